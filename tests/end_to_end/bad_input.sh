#!/usr/bin/env bash
# Bad input as a user gives it: one clear line on standard error, a non-zero exit, nothing written, nothing run.
# usage: bad_input.sh GRIDFOLD SOURCE_DIR
set -euo pipefail
gridfold=$1
work=$(mktemp -d /tmp/gridfold-bad-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
failed=0

# refuse WHAT PATTERN COMMAND...: the command must fail with one line on standard error that matches.
refuse() {
    local what=$1 pattern=$2 code=0
    shift 2
    "$@" >out 2>err </dev/null || code=$?
    if [ "$code" -eq 0 ] || [ "$code" -ge 128 ]; then
        echo "FAILED: $what: exit code $code"
        failed=1
    elif [ "$(wc -l <err)" -ne 1 ] || ! grep -qE -- "$pattern" err; then
        echo "FAILED: $what: wanted one line with '$pattern', got:"
        head -5 err
        failed=1
    fi
}

sweep() { # LINE...: a sweep file of these lines after a sound beginning
    printf '%s\n' '[sweep]' 'name = x' 'dataset = d.safetensors' 'output = run' "$@" >s.ini
}

: >d.safetensors
refuse "no such verb" "did you mean.*run|nearest.*run" "$gridfold" rnu s.ini
refuse "no sweep file" "missing.ini" "$gridfold" run missing.ini
sweep '[base]' 'learning-rat = 1'
refuse "unknown key" "s.ini:6: .*learning-rat" "$gridfold" run s.ini
sweep '[base]' 'optimiser = sgd'
refuse "unknown key, nearest" "s.ini:6: .*optimizer" "$gridfold" plan s.ini
sweep '[base]' 'lr = 12000'
refuse "out of range" "s.ini:6: .*lr = 12000" "$gridfold" run s.ini
sweep '[config a]' 'lr = 0.1'
refuse "empty dataset file" "d.safetensors" "$gridfold" run s.ini
head -c 100 /dev/urandom >d.safetensors
refuse "damaged dataset file" "d.safetensors" "$gridfold" run s.ini
refuse "override that is none" "lr" "$gridfold" run s.ini lr
refuse "unknown option" "nearest is --fold" "$gridfold" train --fodls 3
refuse "option without value" "--lr" "$gridfold" train --lr
refuse "no dataset" "--dataset" "$gridfold" train --lr 0.1
refuse "missing tree" "nowhere|built without GDAL" "$gridfold" import nowhere out.safetensors
refuse "missing checkpoint" "no.safetensors" "$gridfold" evaluate no.safetensors --dataset d.safetensors
echo tile >tile.tif
refuse "output over the input" "tile.tif is an input" "$gridfold" predict no.safetensors tile.tif ./tile.tif
refuse "missing run" "norun" "$gridfold" report norun
for verb in status trials best verify; do
    refuse "missing run of $verb" "norun" "$gridfold" $verb norun
done
refuse "missing folds" "nofile.csv" "$gridfold" compare nofile.csv --baseline a --candidate b
printf 'config,fold,best_iou\na,0,0.5\na,1,0.6\n' >folds.csv
refuse "unknown configuration" "'?b'?" "$gridfold" compare folds.csv --baseline a --candidate b
[ ! -e run ] || { echo "FAILED: an output folder was made"; failed=1; }
[ ! -e out.safetensors ] || { echo "FAILED: a dataset file was made"; failed=1; }
[ "$failed" -eq 0 ] && echo "bad input: every case refused in one line"
exit "$failed"
