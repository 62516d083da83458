#!/usr/bin/env bash
# How long it takes to look at a run of many trials (trainer = none, one epoch each): seconds and memory of every verb that reads a run.
# usage: inspect.sh GRIDFOLD [SIZE...]      sizes are powers of ten; default 10000 100000
#   REPEATS=3    runs of each, the median is printed and the spread;  LIMIT=600    seconds after which a run is ended
set -euo pipefail
gridfold=$(realpath "$1")
shift
sizes=("$@")
[ ${#sizes[@]} -gt 0 ] || sizes=(10000 100000)
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d "${TMPDIR:-/tmp}/gridfold-inspect-XXXXXX")
trap 'rm -rf "$work"' EXIT
repeats=${REPEATS:-3} limit=${LIMIT:-600}
cc -O2 -o "$work/peak" "$here/peak.c"

sweep() { # TRIALS
    printf '[sweep]\nname = none%s\noutput = %s\ntrainer = none\n[grid all]\n' "$1" "$work/run$1"
    for ((axis = 0; axis < ${#1} - 1; axis++)); do
        echo "x$axis = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    done
}

measure() { # NAME COMMAND...
    local name=$1 code i
    shift
    : >"$work/times"
    : >"$work/memory"
    for ((i = 0; i < repeats; i++)); do
        rm -rf "$work/events"
        code=0
        timeout "$limit" "$work/peak" "$work/peak.txt" "$@" >"$work/out" 2>&1 || code=$?
        [ "$code" -eq 0 ] || { echo "| $name | not done after $limit s, or exit code $code | |"; return; }
        awk '{ print $1 }' "$work/peak.txt" >>"$work/times"
        awk '{ print $2 }' "$work/peak.txt" >>"$work/memory"
    done
    printf '| %s | %s | %s |\n' "$name" "$(sort -n "$work/times" | awk '{ v[NR] = $1 } END { printf "%.2f (%.2f .. %.2f)", v[int((NR + 1) / 2)], v[1], v[NR] }')" \
        "$(sort -n "$work/memory" | awk '{ v[NR] = $1 } END { printf "%.0f", v[int((NR + 1) / 2)] }')"
}

echo "$(sed -n 's/^model name[^:]*: //p;T;q' /proc/cpuinfo), $("$gridfold" info | sed -n 1p), median and spread of $repeats runs, $(date -u +%F)"
for size in "${sizes[@]}"; do
    sweep "$size" >"$work/sweep$size.ini"
    "$gridfold" run "$work/sweep$size.ini" >"$work/log" 2>&1 || { tail -3 "$work/log" >&2; exit 1; }
    printf '\n| %s trials | seconds | MiB |\n| --- | --- | --- |\n' "$size"
    run=$work/run$size
    measure "plan" "$gridfold" plan "$work/sweep$size.ini"
    measure "report" "$gridfold" report "$run"
    measure "status" "$gridfold" status "$run"
    measure "trials" "$gridfold" trials "$run"
    measure "best" "$gridfold" best "$run"
    measure "verify" "$gridfold" verify "$run"
    measure "export --optuna" "$gridfold" export "$run" --optuna "$work/journal.log"
    measure "export --tensorboard" "$gridfold" export "$run" --tensorboard "$work/events"
    echo "report.html: $(stat -c %s "$run/report/report.html") bytes"
    rm -rf "$run" "$work/events"
done
