#!/usr/bin/env bash
# A training step of the full model: where its time goes, and PyTorch beside it, step by step in turn. Prints Markdown.
# usage: run.sh BENCH_TRAIN_STEP        (build/release/bench_train_step, built with the tests)
#   PARTS="profile pairs"    what to do
#   HIDDEN="256 512 1024"  THREADS="1 2"  PRECISION="fp32"    of the profiles
#   PAIR_HIDDEN=256  PAIR_THREADS=2  PAIR_PRECISION=fp32  ROUNDS=9    of the pairs
#   TORCH=python3 (with the newest PyTorch)  MODES="eager channels_last compile"    DEBIAN=/usr/bin/python3 (with python3-torch), "" leaves it out
# An idle machine is wanted. torch.compile needs g++, and a minute or two at its first run.
set -euo pipefail
bench=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
parts=${PARTS:-profile pairs} rounds=${ROUNDS:-9} torch=${TORCH:-python3} debian=${DEBIAN-/usr/bin/python3}
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-10000} # as the trainer is started

echo "$(nproc) cores of $(sed -n 's/^model name[^:]*: //p;T;q' /proc/cpuinfo), load $(cut -d' ' -f1 /proc/loadavg), $(date -u +%F)"
echo

if [[ $parts == *profile* ]]; then
    for precision in ${PRECISION:-fp32}; do
        for hidden in ${HIDDEN:-256 512 1024}; do
            for threads in ${THREADS:-1 2}; do
                "$bench" --hidden "$hidden" --threads "$threads" --precision "$precision" || true
                echo
            done
        done
    done
fi

pair() { # PYTHON MODE
    command -v "${1%% *}" >/dev/null && "$1" -c 'import torch' 2>/dev/null || { echo "| no PyTorch in $1 | | | | | |"; return; }
    local common="--hidden ${PAIR_HIDDEN:-256} --threads ${PAIR_THREADS:-2} --precision ${PAIR_PRECISION:-fp32}"
    python3 "$here/pair.py" "$rounds" "$bench --serve $common" "$1 $here/torch_step.py $common --mode $2"
}

if [[ $parts == *pairs* ]]; then
    echo "Hidden ${PAIR_HIDDEN:-256}, ${PAIR_THREADS:-2} threads, gridfold in ${PAIR_PRECISION:-fp32}, $rounds rounds:"
    echo
    echo "| beside gridfold | its ms a step (least .. most) | gridfold's | ratio, round by round | its peak MiB | gridfold's |"
    echo "| --- | ---: | ---: | ---: | ---: | ---: |"
    for mode in ${MODES-eager channels_last compile}; do pair "$torch" "$mode"; done
    [ -z "$debian" ] || pair "$debian" eager
fi
