#!/usr/bin/env bash
# Successive halving of a program that gridfold knows nothing of, here a shell script: one that stops where it is told to, one that pays no heed and is ended, one
# that begins anew at each rung and one that goes on; the same rows from one process, three ranks and a run that is killed again and again. A program that
# runs out of memory is tried again alone.
# usage: command_asha.sh GRIDFOLD SOURCE_DIR
set -euo pipefail
gridfold=$1 source=$2
killed="anew kept heedless" delays="0.3 0.5 0.7 1"
[ -z "${TEST_EPOCHS:-}" ] || killed="anew heedless" delays="0.5 1" # with sanitizers
. "$source/tests/end_to_end/place.sh"

# Nine rates; a loss that falls by a share of itself in each epoch. Where it is comes from its folder, where it goes to from the environment.
cat >fall.sh <<'EOS'
#!/bin/sh
# usage: fall.sh heeds|goes-on keeps|begins
from=0 to=12
[ "$2" != keeps ] || from=$GRIDFOLD_EPOCHS
[ "$1" != heeds ] || to=$GRIDFOLD_UNTIL
[ "${STOPS_AT:-}" != "$GRIDFOLD_RATE" ] || [ "$to" -lt 3 ] || to=3
echo "$GRIDFOLD_TRIAL from $from to $GRIDFOLD_UNTIL" >>"$GRIDFOLD_FOLDER/starts"
awk -v rate="$GRIDFOLD_RATE" -v fold="$GRIDFOLD_FOLD" -v from="$from" -v to="$to" -v pause="${PAUSE:-0}" 'BEGIN {
    print "epoch,loss"
    loss = 10 + fold
    for (e = 0; e < to; e++) {
        loss *= 1 - rate * (1 - rate)
        if (e < from)
            continue
        printf "%d,%.9f\n", e, loss
        fflush()
        if (pause > 0)
            system("sleep " pause)
    }
}'
EOS
chmod +x fall.sh
sweep() { # HOW WHENCE RESUME
    printf '[sweep]\nname = fall\noutput = runs/fall\ntrainer = command\ncommand = ./fall.sh %s %s\nmetrics = loss\ndirection = min\nresume = %s\nthreads = 1\n' "$1" "$2" "$3"
    printf 'method = asha\nmax-epochs = 9\nfirst-rung = 1\nreduction-factor = 3\n'
    printf '[folds]\ncount = 2\n[grid rate]\nrate = 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5\n[config first]\nrate = 0.05\n'
}
sweep heeds begins no >anew.ini
sweep heeds keeps yes >kept.ini
sweep goes-on keeps yes >heedless.ini
sweep goes-on begins no >heedless-anew.ini

run() { # SWEEP OUTPUT [LAUNCHER...]
    local file=$1 output=$2
    shift 2
    "$@" "$gridfold" run "$file.ini" "output=runs/$output" >"$output.log" 2>&1
}
same() { # but for the trials' ids, of which the command is a part
    for file in epochs.csv trials.csv; do
        diff <(cut -d , -f 2- "runs/anew/$file") <(cut -d , -f 2- "runs/$1/$file") >difference.log || fail "runs/$1/$file is not that of the undisturbed run: $(head -5 difference.log)"
    done
    "$gridfold" verify "runs/$1" >verify.log || fail "verify $1: $(cat verify.log)"
}
rows() { grep -c "$1" "runs/$2/trials.csv" || true; }

# 9 configurations on two folds: the best 3 go on after 1 epoch, the best of them after 3. The smallest loss is the best: rate 0.5.
run anew anew || fail "one process: $(tail -n 3 anew.log)"
[ "$(rows ',stopped,.*at rung 1 of 3: not among the best 3 of 9' anew)" -eq 10 ] || fail "not 10 rows stopped at rung 1: $(cat runs/anew/trials.csv)"
[ "$(rows ',stopped,.*at rung 2 of 3: not among the best 1 of 3' anew)" -eq 4 ] || fail "not 4 rows stopped at rung 2: $(cat runs/anew/trials.csv)"
[ "$(rows '^[^,]*,rate,rate=0.5,.*,done,' anew)" -eq 2 ] || fail "the best is not rate 0.5: $(cat runs/anew/trials.csv)"
# One of those that came to nothing at rung 1 stands in [config first], too, and is trained to its end.
[ "$(rows ',done,' anew)" -eq 6 ] || fail "$(rows ',done,' anew) rows are done, not 6"
[ "$(($(wc -l <runs/anew/epochs.csv) - 1))" -eq $((2 * (5 * 1 + 2 * 3 + 2 * 9))) ] || fail "$(wc -l <runs/anew/epochs.csv) lines in epochs.csv"
same anew
"$gridfold" plan anew.ini >planned.log
grep -q '  2         3               3       6              18$' planned.log || fail "plan does not count that a program begins anew: $(cat planned.log)"
grep -q '  2         3               3       6              12$' <<<"$("$gridfold" plan kept.ini)" || fail "plan: $("$gridfold" plan kept.ini)"
grep -q 'from 0 to 3' runs/anew/trials/*/starts || fail "no program was begun anew for rung 2"
grep -q 'Rungs of rate' runs/anew/report/report.md || fail "the report has no rungs"

run anew ranks mpi -np 3 || fail "three ranks: $(tail -n 3 ranks.log)"
same ranks
run kept kept mpi -np 3 || fail "a program that goes on: $(tail -n 3 kept.log)"
same kept
grep -q 'from 3 to 9' runs/kept/trials/*/starts || fail "no program went on from rung 2"
PAUSE=0.02 run heedless heedless mpi -np 3 || fail "a program that pays no heed: $(tail -n 3 heedless.log)"
same heedless
PAUSE=0.02 run heedless-anew heedless-anew || fail "a program that pays no heed and begins anew: $(tail -n 3 heedless-anew.log)"
same heedless-anew

# Killed outright, whatever it was doing, and gone on with.
for sweep in $killed; do
    for delay in $delays; do
        PAUSE=0.05 timeout --foreground -s KILL "$delay" "$gridfold" run "$sweep.ini" "output=runs/killed-$sweep" >killed.log 2>&1 || true
    done
    run "$sweep" "killed-$sweep" mpi -np 3 || fail "$sweep after kills: $(tail -n 3 killed-$sweep.log)"
    same "killed-$sweep"
done

# One that ends by itself before its rung is done, and compared by what it has.
STOPS_AT=0.5 run kept early || fail "a program that ends early: $(tail -n 3 early.log)"
[ "$(rows '^[^,]*,rate,rate=0.5,.*,done,.*,3,' early)" -eq 2 ] || fail "the early one is not done: $(cat runs/early/trials.csv)"
"$gridfold" verify runs/early >verify.log || fail "verify: $(cat verify.log)"

# What is missing or contradicts is said before anything runs.
refused() { # WORDS
    if "$gridfold" run bad.ini output=runs/bad >bad.log 2>&1; then fail "not refused: $1"; fi
    grep -q "$1" bad.log || fail "the refusal says: $(cat bad.log)"
    [ ! -e runs/bad ] || fail "a refused sweep has left a folder"
}
grep -v max-epochs anew.ini >bad.ini && refused 'method = asha needs max-epochs = EPOCHS of a whole training by the command'
sed 's/^command = .*/command = .\/fall.sh {until}/; /max-epochs\|method\|first-rung\|reduction/d' anew.ini >bad.ini && refused '{until} needs max-epochs = N'

# A program that runs out of memory beside another is tried again alone, and has a row that says so when it fails alone.
cat >hungry.sh <<'EOS'
#!/bin/sh
echo "loss"
[ "$1" = 1 ] || { sleep 0.3; echo 1; exit 0; }
n=$(cat "$GRIDFOLD_FOLDER/tries" 2>/dev/null || echo 0)
echo $((n + 1)) >"$GRIDFOLD_FOLDER/tries"
[ "$n" -lt "$2" ] || { echo 1; exit 0; }
case $3 in
words) echo "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB" >&2; exit 1 ;;
code) exit 71 ;;
esac
EOS
chmod +x hungry.sh
for how in words code; do
    printf '[sweep]\nname = hungry\noutput = runs/%s\ntrainer = command\ncommand = ./hungry.sh {hungry} {tries} %s\nmetrics = loss\n[folds]\ncount = 2\n[base]\ntries = 2\n[grid all]\nhungry = 1, 0\n' \
        "$how" "$how" >hungry.ini
    mpi -np 3 "$gridfold" run hungry.ini >hungry.log 2>&1 || fail "out of memory ($how): $(tail -n 3 hungry.log)"
    [ "$(rows ',done,' "$how")" -eq 4 ] || fail "out of memory ($how): $(cat "runs/$how/trials.csv")"
    grep -q ',lost,.*out of memory: the program ended with exit code' "runs/$how/events.csv" || fail "the cause is not told: $(cat "runs/$how/events.csv")"
    grep -q ',alone,' "runs/$how/events.csv" || fail "it was not tried alone: $(cat "runs/$how/events.csv")"
done
sed -i 's/^tries = 2/tries = 99/' hungry.ini
mpi -np 3 "$gridfold" run hungry.ini output=runs/never >hungry.log 2>&1 || fail "never enough memory: $(tail -n 3 hungry.log)"
[ "$(rows ',failed,.*lost 3 times without a new epoch; the last: out of memory' never)" -eq 2 ] && [ "$(rows ',done,' never)" -eq 2 ] || fail "never enough memory: $(cat runs/never/trials.csv)"

echo "command under asha: the same rows from one process, three ranks, kills, programs that heed or do not, go on or begin anew"
