#!/usr/bin/env bash
# What a trial costs besides its training: trials that train nothing (trainer = none), here and with other tools, in one call.
# usage: run.sh GRIDFOLD [SIZE...]      default sizes: 1000 10000 100000
#   RANKS=3      ranks of an MPI job: one that hands out, the others work
#   REPEATS=3    runs of each, the median is printed
#   PYTHON=python3 (with mpi4py), OPTUNA=python3 (with optuna); what is missing is left out, and said so
#   OTHERS=1     0: gridfold alone.  LIMIT=10000: other tools are not asked for more trials than this, Optuna's grid not for more than 1000
set -euo pipefail
gridfold=$(realpath "$1")
shift
sizes=("$@")
[ ${#sizes[@]} -gt 0 ] || sizes=(1000 10000 100000)
here=$(dirname "$(realpath "$0")")
work=$(mktemp -d "${TMPDIR:-/tmp}/gridfold-orchestration-XXXXXX")
trap 'rm -rf "$work"' EXIT
ranks=${RANKS:-3} repeats=${REPEATS:-3} python=${PYTHON:-python3} optuna=${OPTUNA:-python3} others=${OTHERS:-1} limit=${LIMIT:-10000}
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 HOME=${HOME:-/tmp}
mpi() { mpirun --oversubscribe --bind-to none "$@" </dev/null; }

cc -O2 -o "$work/peak" "$here/peak.c"
cc -O2 -o "$work/sync_floor" "$here/sync_floor.c"
cc -O2 -shared -fPIC -o "$work/no_sync.so" "$here/no_sync.c"
mpicc -O2 -o "$work/mpi_empty" "$here/mpi_empty.c"

median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
spread() { sort -n | awk '{ v[NR] = $1 } END { printf "%.3g .. %.3g", v[1], v[NR] }'; }
seconds() { # COMMAND... -> seconds on stdout, output to a log
    local began
    began=$(date +%s.%N)
    "$@" >"$work/log" 2>&1 || { echo "FAILED: $*: $(tail -n 3 "$work/log")" >&2; return 1; }
    awk -v a="$began" -v b="$(date +%s.%N)" 'BEGIN { print b - a }'
}

sweep() { # TRIALS (a power of ten)
    local axes=$((${#1} - 1)) axis
    printf '[sweep]\nname = none\noutput = %s\ntrainer = none\n[grid all]\n' "$work/run"
    for ((axis = 0; axis < axes; axis++)); do
        echo "x$axis = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9"
    done
    [ "$axes" -gt 0 ] || echo "x = 0"
}

row() { # NAME TRIALS COMMAND... : milliseconds a trial of the whole run less its start-up ($started); memory of rank 0
    local name=$1 trials=$2 i
    shift 2
    : >"$work/times"
    : >"$work/memory"
    for ((i = 0; i < repeats; i++)); do
        rm -rf "$work/run" "$work/rows.csv" "$work/journal.log"*
        seconds "$@" >>"$work/times"
        [ ! -s "$work/peak.txt" ] || awk '{ print $2 }' "$work/peak.txt" >>"$work/memory"
        rm -f "$work/peak.txt"
    done
    local each
    each=$(awk -v n="$trials" -v s="$started" '{ print ($1 - s) * 1000 / n }' "$work/times")
    printf '| %s | %s | %.4f | %s | %.0f | %s |\n' "$name" "$trials" "$(median <<<"$each")" "$(spread <<<"$each")" "$(awk -v e="$(median <<<"$each")" 'BEGIN { print 1000 / e }')" \
        "$(if [ -s "$work/memory" ]; then median <"$work/memory"; fi)"
}

echo "$(nproc) cores of $(sed -n 's/^model name[^:]*: //p;T;q' /proc/cpuinfo), $("$gridfold" info | sed -n 1p), $(mpirun --version | sed -n 1p), $ranks ranks, median of $repeats runs, $(date -u +%F)"
echo "One row of 100 bytes with its fdatasync: $("$work/sync_floor" "$work/floor" 2000) ms"
echo
echo "| start-up, -np $ranks | seconds | runs from .. to |"
echo "| --- | --- | --- |"
start() { # NAME COMMAND...
    local name=$1 i
    shift
    for ((i = 0; i < 3 * repeats; i++)); do
        rm -rf "$work/run" "$work/rows.csv" "$work/journal.log"*
        seconds "$@"
    done >"$work/times"
    started=$(median <"$work/times")
    printf '| %s | %.3f | %s |\n' "$name" "$started" "$(spread <"$work/times")"
}
sweep 1 >"$work/one.ini"
start "MPI_Init and MPI_Finalize" mpi -np "$ranks" "$work/mpi_empty"
start "gridfold run, one trial" mpi -np "$ranks" "$gridfold" run "$work/one.ini"
under_mpi=$started
start "gridfold run, one trial, one process" "$gridfold" run "$work/one.ini"
alone=$started

echo
echo "| trials that train nothing | trials | ms a trial, start-up taken off | runs from .. to | trials a second | rank 0, MiB |"
echo "| --- | --- | --- | --- | --- | --- |"
for n in "${sizes[@]}"; do
    sweep "$n" >"$work/sweep.ini"
    started=$under_mpi
    row "gridfold, every row on disk" "$n" mpi -np "$ranks" "$work/peak" "$work/peak.txt" "$gridfold" run "$work/sweep.ini"
    row "gridfold, nothing synced" "$n" mpi -np "$ranks" -x LD_PRELOAD="$work/no_sync.so" "$work/peak" "$work/peak.txt" "$gridfold" run "$work/sweep.ini"
    started=$alone
    row "gridfold in one process, every row on disk" "$n" "$work/peak" "$work/peak.txt" "$gridfold" run "$work/sweep.ini"
done
[ "$others" = 1 ] || exit 0
for n in "${sizes[@]}"; do
    [ "$n" -le "$limit" ] || continue
    if "$python" -c 'import mpi4py.futures' 2>/dev/null; then
        pool=("$python" -m mpi4py.futures "$here/mpi4py_pool.py")
        start "" mpi -np "$ranks" "${pool[@]}" 1 "$work/rows.csv" nosync >/dev/null
        for sync in sync nosync; do
            row "mpi4py.futures, rows by rank 0, $sync" "$n" mpi -np "$ranks" "$work/peak" "$work/peak.txt" "${pool[@]}" "$n" "$work/rows.csv" "$sync"
        done
    else
        echo "mpi4py is not there: left out" >&2
    fi
    if command -v parallel >/dev/null; then
        jobs=(parallel --will-cite -j $((ranks - 1)) --joblog "$work/rows.csv" -a "$work/jobs" true)
        echo 1 >"$work/jobs"
        start "" "${jobs[@]}" >/dev/null
        seq "$n" >"$work/jobs"
        row "GNU parallel --joblog, a process a trial, not synced" "$n" "$work/peak" "$work/peak.txt" "${jobs[@]}"
    else
        echo "GNU parallel is not there: left out" >&2
    fi
    if "$optuna" -c 'import optuna' 2>/dev/null; then
        study=("$optuna" "$here/optuna_journal.py")
        start "" "${study[@]}" 1 "$work/journal.log" random >/dev/null
        row "Optuna, journal file, random" "$n" "$work/peak" "$work/peak.txt" "${study[@]}" "$n" "$work/journal.log" random
        [ "$n" -gt 1000 ] || row "Optuna, journal file, grid" "$n" "$work/peak" "$work/peak.txt" "${study[@]}" "$n" "$work/journal.log" grid
    else
        echo "Optuna is not there: left out" >&2
    fi
done
