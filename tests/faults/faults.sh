#!/usr/bin/env bash
# A fault at every place where a sweep writes a file, or allocates: after each a clear word and an exit code, and the same command without
# the fault goes on to the same bytes.
# usage: faults.sh PROGRAM INJECT_LIBRARY SWEEP_INI DATASET PROCESS(master|trainer) WHAT(write|alloc) MODE... -- SAMPLES [key=value ...]
#   MODE: ENOSPC EIO ESTALE short, each also with "+" behind it (from that call on); SAMPLES: how many calls a mode, evenly spread; 0: every one
set -uo pipefail
program=$1 library=$2 sweep=$3 dataset=$4 process=$5 what=$6
shift 6
modes=()
while [ "$1" != -- ]; do modes+=("$1"); shift; done
samples=$2
shift 2
settings=("dataset=$dataset" "$@")
work=$(mktemp -d /tmp/gridfold-faults-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

run() { # OUTPUT LOG [VARIABLE=VALUE...]
    local output=$1 log=$2
    shift 2
    env "$@" timeout 60 "$program" run "$sweep" "${settings[@]}" "output=$work/$output" >"$log" 2>&1 </dev/null
}

inject() { # CALL MODE OUTPUT LOG
    local lasting=()
    [[ $2 == *+ ]] && lasting=(INJECT_LASTING=1)
    run "$3" "$4" "LD_PRELOAD=$library" "INJECT_PROCESS=$process" "INJECT_WHAT=$what" "INJECT_CALL=$1" "INJECT_ERROR=${2%+}" \
        "INJECT_UNDER=$work/$3" "INJECT_LOG=$work/calls" "${lasting[@]}"
}

complain() { # CALL MODE WORDS
    echo "FAILED: $process, call $1 ($(sed -n "$1p" calls 2>/dev/null | sed "s|$work/||")), $2: $3"
    tail -3 fault.log | cut -c 1-400
    failed=$((failed + 1))
}

same() { # OUTPUT: as the undisturbed run, and nothing half-written beside it
    local file
    for file in epochs.csv trials.csv folds.csv; do
        cmp -s "plain/$file" "$1/$file" || { echo "$file differs"; return; }
    done
    while read -r file; do
        cmp -s "plain/$file" "$1/$file" || { echo "$file differs"; return; }
    done <checkpoints
    find "$1" -name '*.tmp-*' | sed -n 1p
}

run plain plain.log || { echo "the sweep fails without any fault:"; tail -3 plain.log; exit 1; }
(cd plain && find trials -name '*.safetensors' | sort) >checkpoints
inject 0 EIO counted counted.log || { echo "the sweep fails when its calls are counted:"; tail -3 counted.log; exit 1; }
[ -z "$(same counted)" ] || { echo "the sweep gives other bytes when its calls are counted: $(same counted)"; exit 1; }
total=$(wc -l <calls)
[ "$what" = alloc ] && total=$(awk '{ print $2 }' calls)
[ "$total" -ge 10 ] || { echo "only $total calls were counted: nothing is tried"; exit 1; }

tried=0 harmless=0
for mode in "${modes[@]}"; do
    stride=1
    [ "$samples" -gt 0 ] && stride=$(((total + samples - 1) / samples))
    for ((call = 1 + (tried % stride); call <= total; call += stride)); do
        rm -rf out out.fired calls
        code=0
        inject "$call" "$mode" out fault.log || code=$?
        tried=$((tried + 1))
        if [ "$code" -eq 0 ]; then
            harmless=$((harmless + 1)) # tried again, or of no account
            rest=$(same out)
            [ -z "$rest" ] || complain "$call" "$mode" "exit code 0, but $rest"
        elif [ "$code" -ge 124 ]; then
            complain "$call" "$mode" "exit code $code"
        elif ! grep -q "^gridfold: error: ." fault.log; then
            complain "$call" "$mode" "exit code $code without a word"
        fi
        [ "$mode" = short ] && [ "$code" -ne 0 ] && complain "$call" "$mode" "exit code $code: half a write is no error"
        if ! run out again.log; then
            complain "$call" "$mode" "the same command does not go on: $(tail -1 again.log)"
        elif [ -n "$(same out)" ]; then
            complain "$call" "$mode" "after going on: $(same out)"
        fi
    done
done
echo "$process, $what: $tried faults in $total places (${modes[*]}): $failed not survived, $harmless without consequence"
[ "$failed" -eq 0 ]
