#!/usr/bin/env bash
# Sweeps of a program that gridfold knows nothing of, here a shell script: the same bytes from one process and from three ranks, killed and resumed; a program
# that fails, that is killed, that goes on where it was, that is asked to stop.
# usage: command_trainer.sh GRIDFOLD SOURCE_DIR
set -euo pipefail
gridfold=$1 source=$2
. "$source/tests/end_to_end/place.sh"

# Gradient descent on (x - 3)^2 from a start that depends on the fold; the numbers are exact, so that runs can be compared.
cat >descend.sh <<'EOF'
#!/bin/sh
# usage: descend.sh RATE EPOCHS
[ "${CRASH:-}" = "$GRIDFOLD_RATE" ] && { echo "cannot go on: no gradient" >&2; exit 3; }
if [ -n "${DIE_ONCE:-}" ] && [ ! -e "$GRIDFOLD_FOLDER/died" ]; then
    touch "$GRIDFOLD_FOLDER/died"
    echo "epoch,loss,x"
    echo "0,99,99"
    sleep 0.2
    kill -9 $$
fi
echo "starting with rate $1"
awk -v rate="$1" -v epochs="$2" -v x="$GRIDFOLD_FOLD" -v pause="${PAUSE:-0}" 'BEGIN {
    print "epoch,loss,x"
    for (e = 0; e < epochs; e++) {
        x -= rate * 2 * (x - 3)
        printf "%d,%.9f,%.9f\n", e, (x - 3) * (x - 3), x
        fflush()
        if (pause > 0)
            system("sleep " pause)
    }
}'
EOF
cat >resumable.sh <<'EOF'
#!/bin/sh
# Counts to 20 in steps; what it has reached stands in its folder, and is never more than what it has told.
n=$GRIDFOLD_EPOCHS
trap 'echo "told to stop at $n" >&2; exit 0' TERM
echo "epoch,value"
echo "from $n"
while [ "$n" -lt 20 ]; do
    echo "$n,$((n * n % 17))"
    n=$((n + 1))
    sleep 0.05
done
EOF
chmod +x descend.sh resumable.sh

sweep() { # NAME COMMAND METRICS DIRECTION RESUME
    printf '[sweep]\nname = %s\noutput = runs/%s\ntrainer = command\ncommand = %s\nmetrics = %s\ndirection = %s\nresume = %s\n' "$1" "$1" "$2" "$3" "$4" "$5"
}
{
    sweep plain "./descend.sh {rate} {epochs}" "loss, x" min no
    printf '[folds]\ncount = 2\n[base]\nepochs = 5\n[grid rate]\nrate = 0.1, 0.2, 0.4, 0.9\n[config slow]\nrate = 0.1\n[config best]\nrate = @rate\nepochs = 8\n'
    printf '[compare]\nbaseline = slow\ncandidate = best\n'
} >plain.ini

run() { # OUTPUT [LAUNCHER...]
    local output=$1
    shift
    "$@" "$gridfold" run plain.ini "output=runs/$output" >"$output.log" 2>&1
}
same() {
    for file in epochs.csv trials.csv; do
        cmp "runs/plain/$file" "runs/$1/$file" || fail "runs/$1/$file is not that of the undisturbed run"
    done
}

run plain || fail "one process: $(tail -n 3 plain.log)"
[ "$(wc -l <runs/plain/trials.csv)" -eq 13 ] || fail "trials.csv has not its 12 rows"
grep -q '^trial,grid,config,fold,epochs,rate,status,best_loss,best_epoch,best_f1,final_loss,' <<<"$(head -1 runs/plain/trials.csv)" || fail "columns of trials.csv"
grep -q 'grad_norm,loss,x$' <<<"$(head -1 runs/plain/epochs.csv)" || fail "columns of epochs.csv"
# The smallest loss wins: 0.4 overshoots least; its row after 8 epochs has (3 - 0) * 0.2^8 to go.
awk -F, '$3 == "best" && $4 == 0 { found = $6 == 0.4 && $7 == "done" && $8 < 1e-9 && $13 == 8 && $14 == 8 } END { exit !found }' <(awk -F, -v OFS=, '{ $13 = $14 = $14; print }' runs/plain/trials.csv) ||
    fail "the winner of a minimized metric: $(grep best runs/plain/trials.csv)"
grep -q "starting with rate 0.4" runs/plain/trials/*/output.log || fail "what is no metric is not in output.log"
"$gridfold" status runs/plain >status.log && grep -q "10 trials: 10 done" status.log || fail "status: $(cat status.log)"
"$gridfold" plan plain.ini >planned.log && grep -q -- "descend.sh" planned.log || fail "plan: $(cat planned.log)"

run ranks mpi -np 3 || fail "three ranks: $(tail -n 3 ranks.log)"
same ranks

# Killed outright, whatever it was doing, and gone on with.
for delay in 0.3 0.6 1; do
    PAUSE=0.1 timeout --foreground -s KILL "$delay" "$gridfold" run plain.ini output=runs/killed >killed.log 2>&1 || true
done
run killed || fail "after kills: $(tail -n 3 killed.log)"
same killed

# The program is killed in every trial's first attempt, after an epoch that no second attempt repeats.
DIE_ONCE=1 run died || fail "killed programs: $(tail -n 3 died.log)"
same died
[ "$(grep -c ',lost,' runs/died/events.csv)" -eq 10 ] || fail "not every killed program is an event"
grep -q 'killed by signal 9' runs/died/events.csv || fail "the signal is not told"

# A program that fails is a row with its exit code and last words; the others go on.
CRASH=0.2 run crash || fail "a failing program: $(tail -n 3 crash.log)"
grep -q 'lr=\|rate=0.2,0,.*,failed,.*the program ended with exit code 3: cannot go on: no gradient' runs/crash/trials.csv || fail "the failure: $(grep failed runs/crash/trials.csv)"
[ "$(grep -c ',failed,' runs/crash/trials.csv)" -eq 2 ] || fail "more has failed than was meant to"

# A flood of epochs while the master takes nothing: workers wait for it, and go on when it does.
{
    sweep flood "awk 'BEGIN { print \"value\"; for (e = 0; e < 4000; e++) print e }'" value max no
    printf 'worker-timeout-seconds = 10\n[folds]\ncount = 2\n[grid all]\na = 1, 2\n'
} >flood.ini
mpi -np 3 "$gridfold" run flood.ini >flood.log 2>&1 &
for _ in $(seq 100); do
    master=$(sed -n 's/^process = //p' runs/flood/status 2>/dev/null || true)
    [ -z "$master" ] || [ "$(wc -l <runs/flood/epochs.csv)" -lt 2 ] || break
    sleep 0.05
done
kill -STOP "$master"
sleep 1
kill -CONT "$master"
wait $! || fail "a flood: $(tail -n 3 flood.log)"
[ "$(grep -c ',done,.*,4000,$' runs/flood/trials.csv)" -eq 4 ] || fail "a flood: $(cat runs/flood/trials.csv)"
if grep ',lost,' runs/flood/events.csv; then fail "a worker was lost in a flood of epochs"; fi

# Goes on where it was, after Ctrl-C and after kills, and tells nothing twice.
{
    sweep resumable ./resumable.sh value max yes
    printf '[grid all]\na = 1, 2\n'
} >resumable.ini
"$gridfold" run resumable.ini output=runs/once >once.log 2>&1 || fail "a resumable program: $(tail -n 3 once.log)"
for signal in INT INT KILL KILL; do
    code=0
    timeout --foreground -s "$signal" 0.8 "$gridfold" run resumable.ini output=runs/resumed >resumed.log 2>&1 || code=$?
    [ "$code" -ne 0 ] || break
done
grep -q "told to stop at" runs/resumed/trials/*/output.log || fail "no program was asked to stop"
"$gridfold" run resumable.ini output=runs/resumed >resumed.log 2>&1 || fail "resumed: $(tail -n 3 resumed.log)"
for file in epochs.csv trials.csv; do
    cmp "runs/once/$file" "runs/resumed/$file" || fail "runs/resumed/$file differs"
done
grep -hq "^from [1-9]" runs/resumed/trials/*/output.log || fail "no program went on where it was"

# What cannot run is said at once, or is a row.
{
    sweep none ./no-such-program value max no
    printf '[grid all]\na = 1\n'
} >none.ini
if "$gridfold" run none.ini >none.log 2>&1; then fail "a program that is not there"; fi
grep -q "cannot run ./no-such-program: No such file" runs/none/trials.csv || fail "the reason: $(cat runs/none/trials.csv)"
{
    sweep silent "sh -c 'echo nothing to tell'" value max no
    printf '[grid all]\na = 1\n'
} >silent.ini
if "$gridfold" run silent.ini >silent.log 2>&1; then fail "a program without metrics"; fi
grep -q "printed no header line with the columns value: nothing to tell" runs/silent/trials.csv || fail "the reason: $(cat runs/silent/trials.csv)"

# Nothing of a program stays behind when gridfold, or the trainer alone, is killed outright: no child, no orphan, none in a session of its own.
cat >family.sh <<'EOF'
#!/bin/sh
sleep 1000 &
setsid sleep 1000 &
(setsid sh -c 'sleep 1000; :' &)
sh -c 'sleep 1000; :' &
printf 'epoch,value\n0,1\n'
touch "$GRIDFOLD_FOLDER/started"
[ -n "${GO:-}" ] || sleep 1000
EOF
chmod +x family.sh
{
    sweep family ./family.sh value max no
    printf '[grid all]\na = 1\n'
} >family.ini
# shellcheck disable=SC2154 # work is of place.sh
left() { # all processes in this folder but the test
    local process
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/cwd" 2>/dev/null || true)" != "$work" ] || [ "${process#/proc/}" = $$ ] || [ "${process#/proc/}" = "$BASHPID" ] || echo "${process#/proc/}"
    done
}
expect_none_left() {
    for _ in $(seq 50); do
        [ -n "$(left)" ] || return 0
        sleep 0.1
    done
    fail "left behind after $1: $(for p in $(left); do tr '\0' ' ' <"/proc/$p/cmdline"; done)"
}
start_family() { # OUTPUT
    "$gridfold" run family.ini "output=runs/$1" >"$1.log" 2>&1 &
    sweeper=$!
    for _ in $(seq 100); do
        [ ! -e "$(echo runs/"$1"/trials/*/started)" ] || break
        sleep 0.1
    done
    [ "$(left | wc -l)" -ge 10 ] || fail "the program has not started its family: $(cat "$1.log")"
}
expect_none_left "the runs before"
start_family killed-gridfold
kill -KILL "$sweeper"
wait "$sweeper" || true
expect_none_left "gridfold was killed"
start_family killed-trainer
pkill -KILL -P "$sweeper"
sleep 1
kill -INT "$sweeper"
wait "$sweeper" || true
expect_none_left "the trainer was killed"
grep -q ',lost,' runs/killed-trainer/events.csv || fail "the killed trainer is no event"
GO=1 "$gridfold" run family.ini output=runs/ended >ended.log 2>&1 || fail "a program that leaves others behind: $(tail -n 3 ended.log)"
expect_none_left "the program's own end"
echo "same bytes: one process, three ranks, kills, resumed programs"
