#!/usr/bin/env bash
# One trial of sweeps/command-xgboost.ini: the xgboost command-line program on one fold, its evaluation lines as CSV.
# usage: command-xgboost.sh DATA.libsvm KEY=VALUE...      with gridfold's variables in the environment
set -euo pipefail
data=$(realpath "$1")
shift
cd "$GRIDFOLD_FOLDER"
awk -v fold="$GRIDFOLD_FOLD" -v folds="$GRIDFOLD_FOLDS" 'NR % folds == fold { print >"valid.libsvm"; next } { print >"train.libsvm" }' "$data"
printf 'objective = reg:squarederror\neval_metric = rmse\n' >xgboost.conf
xgboost xgboost.conf data=train.libsvm 'eval[train]=train.libsvm' 'eval[valid]=valid.libsvm' model_out=model.json seed="$GRIDFOLD_SEED" nthread="$GRIDFOLD_THREADS" "$@" 2>&1 |
    # [11:07:51] [0]	train-rmse:10.64542	valid-rmse:10.59450
    awk -F '\t' 'BEGIN { print "train_rmse,valid_rmse" }
        NF == 3 && sub(/.*train-rmse:/, "", $2) && sub(/.*valid-rmse:/, "", $3) { print $2 "," $3; fflush(); next }
        { print; fflush() }'
rm -f train.libsvm valid.libsvm
