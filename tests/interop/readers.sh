#!/usr/bin/env bash
# A small run and a full-width checkpoint, read by tensorboard, pandas, safetensors, optuna, optuna-dashboard and segmentation-models-pytorch.
# GRIDFOLD_PYTHON: a python with the first five; GRIDFOLD_PYTHON_TORCH: one with torch and the last. Skipped (77) without either.
# usage: readers.sh GRIDFOLD SOURCE_DIR
set -euo pipefail
gridfold=$1 source=$2
[ -n "${GRIDFOLD_PYTHON:-}${GRIDFOLD_PYTHON_TORCH:-}" ] || { echo "skipped: GRIDFOLD_PYTHON and GRIDFOLD_PYTHON_TORCH name no python"; exit 77; }
work=$(mktemp -d /tmp/gridfold-readers-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
"$gridfold" synth tiles --samples 12 --test 2 >/dev/null
"$gridfold" import tiles tiles.safetensors >/dev/null
if [ -n "${GRIDFOLD_PYTHON:-}" ]; then
    "$gridfold" run "$source/sweeps/quickstart.ini" dataset=tiles.safetensors output=run epochs=4 >run.log 2>&1 || { tail -3 run.log; exit 1; }
    "$gridfold" evaluate run --threads 1 >/dev/null
    "$gridfold" export run --tensorboard events --optuna journal.log
    "$GRIDFOLD_PYTHON" "$source/tests/interop/readers.py" run run events journal.log
    # Another program's metrics, one of them a column that epochs.csv has anyway.
    cat >mine.ini <<'END'
[sweep]
name = mine
output = mine
trainer = command
command = awk -v lr={lr} -v f={fold} 'BEGIN { print "epoch,val_loss,rmse,mae"; for (e = 0; e < 9; e++) printf "%d,%.4f,%.4f,%.4f\n", e, exp(-lr * e), exp(-lr * e) + (e == 8) + f, e + f }'
metrics = val_loss, rmse, mae
metric = rmse
direction = min
[folds]
count = 2
run = all
[grid rate]
lr = 0.3, 0.1
END
    "$gridfold" run mine.ini >mine.log 2>&1 || { tail -3 mine.log; exit 1; }
    "$gridfold" export mine --tensorboard mine-events --optuna mine-journal.log >/dev/null
    "$GRIDFOLD_PYTHON" "$source/tests/interop/readers.py" command mine mine-events mine-journal.log
fi
if [ -n "${GRIDFOLD_PYTHON_TORCH:-}" ]; then
    "$gridfold" train --dataset tiles.safetensors --output full --folds 2 --epochs 1 --image-size 32 --temporal-sampling bi_temporal --lstm-hidden-dim 256 \
        --decoder-upsample nearest >full.log 2>&1 || { tail -3 full.log; exit 1; }
    "$GRIDFOLD_PYTHON_TORCH" "$source/tests/interop/readers.py" model full/trials/*/best.safetensors
fi
