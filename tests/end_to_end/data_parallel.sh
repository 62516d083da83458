#!/usr/bin/env bash
# gpus-per-trial on CPUs: trials that two processes train together, under mpirun and without. The numbers are those of one
# process to rounding; the bytes are the same from run to run, with any number of ranks, and after a member was killed or
# stopped, or the whole run interrupted.
# usage: data_parallel.sh GRIDFOLD SOURCE_DIR
set -euo pipefail
gridfold=$1 source=$2
. "$source/tests/end_to_end/place.sh"

"$gridfold" synth tiles --samples 12 --test 2 >/dev/null
"$gridfold" import tiles tiles.safetensors >/dev/null
cat >sweep.ini <<END
[sweep]
dataset = tiles.safetensors
threads = 1
checkpoint-seconds = 0
[folds]
count = 2
run = 0
[base]
image-size = 32
batch-size = 4
encoder-width = 4
lstm-hidden-dim = 4
decoder-channels = 8,8,8,8,8
epochs = ${TEST_EPOCHS:-8}
temporal-sampling = bi_temporal
[grid rate]
lr = 0.0003, 0.001
END

run() { # OUTPUT MEMBERS [SETTING...] [-- LAUNCHER...]
    local output=$1 members=$2 settings=()
    shift 2
    while [ $# -gt 0 ] && [ "$1" != -- ]; do settings+=("$1"); shift; done
    [ $# -gt 0 ] && shift
    "$@" "$gridfold" run sweep.ini "output=$output" "gpus-per-trial=$members" "${settings[@]}" >"$output.log" 2>&1
}

same() { # A B
    local file
    cmp "$1/epochs.csv" "$2/epochs.csv" || fail "$2/epochs.csv is not $1/epochs.csv"
    cmp "$1/trials.csv" "$2/trials.csv" || fail "$2/trials.csv is not $1/trials.csv"
    for file in "$1"/trials/*/*.safetensors; do cmp "$file" "$2${file#"$1"}" || fail "checkpoint $2${file#"$1"} differs"; done
}

workers() { # OUTPUT: ranks that have had trials
    awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i } $at["event"] == "assigned" { print $at["worker"] }' "$1/events.csv" | sort -u | tr '\n' ' '
}

run one 1 || fail "one: $(tail -3 one.log)"
run two 2 -- mpi -np 3 || fail "two ranks and the master: $(tail -3 two.log)"
[ "$(workers two)" = "1 " ] || fail "trials went to the ranks $(workers two)"
# Losses (columns 6 and 9) and the gradient's norm (14). AdamW-sized steps make rounding grow: the first epoch is compared closely.
paste -d, one/epochs.csv two/epochs.csv | awk -F, '
    NR == 1 { columns = NF / 2; next }
    { rows++
      for (i = 6; i <= columns; i++) {
          a = $i; b = $(i + columns); d = a > b ? a - b : b - a
          limit = i == 6 || i == 9 || i == 14 ? ($4 == 0 ? 0.001 : i == 14 ? 0.1 : 0.01) * a : 0.05
          if (d > limit) { print "epoch " $4 ", column " i ": " a " and " b; bad = 1 } } }
    END { exit bad || rows < 2 }' || fail "two members train something else than one"
cmp -s one/epochs.csv two/epochs.csv && fail "two members give the bits of one: were there two?"

run four 2 -- mpi -np 5 || fail "four ranks: $(tail -3 four.log)"
[ "$(workers four)" = "1 3 " ] || fail "trials went to the ranks $(workers four)"
same two four
run alone 2 || fail "without mpirun: $(tail -3 alone.log)"
same two alone

# What happens to a member: this process's descendants are told by their working folder.
members() {
    local pid
    for pid in $(pgrep -f 'trainer member' || true); do
        [ "$(readlink "/proc/$pid/cwd" 2>/dev/null)" = "$work" ] && echo "$pid"
    done
    return 0
}
strike() { # OUTPUT SIGNAL: the first member, once an epoch has been recorded
    local victim i
    for ((i = 0; i < 600; i++)); do
        victim=$(members | sed -n 1p)
        if [ -n "$victim" ] && [ "$(wc -l <"$1/epochs.csv" 2>/dev/null || echo 0)" -gt 1 ]; then
            kill "-$2" "$victim" && return 0
        fi
        sleep 0.02
    done
    return 1
}
for signal in KILL STOP; do
    run "$signal" 2 hang-seconds=3 &
    job=$!
    strike "$signal" "$signal" || fail "there was no member to strike"
    wait "$job" || fail "after $signal: $(tail -3 "$signal.log")"
    same two "$signal"
    [ -z "$(members)" ] || fail "members outlive their run"
done
grep -q 'lost.*crash: .*member 1 of 2 was ended by signal 9' KILL/events.csv || fail "killed: $(grep lost KILL/events.csv)"
grep -q 'lost.*hang: .*waits for member 1 for\|lost.*hang: ' STOP/events.csv || fail "stopped: $(grep lost STOP/events.csv)"

code=0
timeout --foreground -s INT 1.5 "$gridfold" run sweep.ini output=INT gpus-per-trial=2 >INT.log 2>&1 || code=$?
[ "$code" = 75 ] || [ "$code" = 124 ] || [ "$code" = 0 ] || fail "interrupted: $code, $(tail -3 INT.log)"
run INT 2 || fail "after an interruption: $(tail -3 INT.log)"
same two INT

# A batch that cannot be shared out is refused, and another number of members goes on with a run.
run few 2 batch-size=1 && fail "a batch of one was shared out"
grep -q 'batch-size = 1: too few samples to be shared out among gpus-per-trial = 2' few.log || fail "$(cat few.log)"
run two 1 || fail "a finished run with another number of members: $(tail -3 two.log)"
echo "data-parallel: one and two members, 1, 3 and 5 ranks, a member killed and one stopped"
