#!/usr/bin/env bash
# The killer: a small sweep of the real model under mpirun or gridfold launch, where a random process (trainer, worker, master, launcher, or all
# of them) gets SIGKILL or SIGSTOP at a random moment; the same command goes on until it is done. Afterwards every result file must be
# the undisturbed run's, byte for byte, and no process may be left.
# usage: killer.sh GRIDFOLD SOURCE_DIR [ROUNDS] [FIRST_ROUND] [SEED]       a round is replayed by its number and seed, but for the scheduler's timing
set -uo pipefail
gridfold=$1 source=$2 rounds=${3:-4} first=${4:-1} seed=${5:-42}
work=$(mktemp -d /tmp/gridfold-killer-XXXXXX)
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 HOME=${HOME:-/tmp} TMPDIR=$work GRIDFOLD_START_SECONDS=6
cd "$work" || exit 1
failed=0 faults=0 invocations=0 by_hand=0
declare -A hits=()
clean_up() { # with what a failed round has left running
    for pid in $(ours); do kill -KILL "$pid" 2>/dev/null; done
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap clean_up EXIT

settings=("dataset=$work/tiles.safetensors" epochs=12 checkpoint-seconds=0.02 "grid rate.lr=0.003, 0.01, 0.03" hang-seconds=2 worker-timeout-seconds=4
    master-timeout-seconds=6)
sweep=$source/tests/faults/sweep.ini
ranks=3

ours() { # [MARK]: the living processes that carry the mark in their environment (it outlives every parent)
    grep -lsaF "GRIDFOLD_KILLER=$work/${1:-}" /proc/[0-9]*/environ 2>/dev/null | cut -d / -f 3 | while read -r pid; do
        [ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] && [ -n "$(tr -d '\0' 2>/dev/null <"/proc/$pid/cmdline")" ] && echo "$pid"
    done
}

kind_of() { # PID
    local words rank
    words=$(tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline")
    rank=$(tr '\0' '\n' 2>/dev/null <"/proc/$1/environ" | sed -n 's/^OMPI_COMM_WORLD_RANK=//p')
    case $words in
    *" trainer "*) echo trainer ;;
    *"gridfold launch "*) echo launch ;;
    *mpirun* | *mpiexec* | *orterun*) echo mpirun ;;
    *"gridfold run "*) if [ "${rank:-0}" = 0 ]; then echo master; else echo worker; fi ;;
    *) echo other ;;
    esac
}

start() { # MARK LOG LAUNCHER: in the background; $! is its pid
    if [ "$3" = launch ]; then
        env "GRIDFOLD_KILLER=$work/$1" setsid "$gridfold" launch --np "$ranks" "$sweep" "${settings[@]}" "output=$work/out" >>"$2" 2>&1 </dev/null &
    else
        env "GRIDFOLD_KILLER=$work/$1" setsid mpirun --oversubscribe --bind-to none -np "$ranks" "$gridfold" run "$sweep" "${settings[@]}" \
            "output=$work/out" >>"$2" 2>&1 </dev/null &
    fi
}

wait_for() { # PID SECONDS: false when it is still there
    local end=$((SECONDS + $2))
    while kill -0 "$1" 2>/dev/null && [ "$(cut -d ' ' -f 3 <"/proc/$1/stat" 2>/dev/null)" != Z ]; do
        [ $SECONDS -ge $end ] && return 1
        sleep 0.05
    done
}

in_training() { # MARK PID: waits until a trainer of the job is there; false when the job has ended before
    local p
    while kill -0 "$2" 2>/dev/null && [ "$(cut -d ' ' -f 3 <"/proc/$2/stat" 2>/dev/null)" != Z ]; do
        for p in $(ours "$1"); do [ "$(kind_of "$p")" = trainer ] && return; done
    done
    return 1
}

only_master_left() { # MARK: a stopped master, and mpirun which waits for it
    local pid state left=0
    for pid in $(ours "$1"); do
        case $(kind_of "$pid") in
        mpirun) continue ;;
        master) left=1 ;;
        *) return 1 ;;
        esac
        state=$(cut -d ' ' -f 3 <"/proc/$pid/stat" 2>/dev/null)
        [ "$state" = T ] || return 1
    done
    [ $left = 1 ]
}

list() { # MARK: what is left of the job, before any of it is ended
    local pids
    mapfile -t pids < <(ours "$1")
    [ ${#pids[@]} -eq 0 ] || ps -o pid,ppid,stat,wchan:20,args -p "$(IFS=,; echo "${pids[*]}")" | cut -c 1-150
    for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null; done
}

strike() { # MARK SIGNAL KIND: says whom it hit; where there is none of that kind, anyone of the job
    local pids=() all=() pid kind=$3
    mapfile -t all < <(ours "$1")
    for pid in "${all[@]}"; do
        [ "$kind" = all ] || [ "$(kind_of "$pid")" = "$kind" ] && pids+=("$pid")
    done
    [ ${#pids[@]} -eq 0 ] && pids=("${all[@]}") && kind=anyone
    [ ${#pids[@]} -eq 0 ] && return 1
    if [ "$kind" != all ]; then
        pids=("${pids[$((RANDOM % ${#pids[@]}))]}")
        kind=$(kind_of "${pids[0]}")
        [ "$kind" = other ] && return 1 # it has just ended
    fi
    for pid in "${pids[@]}"; do kill "-$2" "$pid" 2>/dev/null; done
    echo "$2 $kind"
}

differs() { # what is not as it should be, if anything
    local file
    for file in epochs.csv trials.csv folds.csv; do cmp -s "plain/$file" "out/$file" || { echo "$file"; return; }; done
    while read -r file; do cmp -s "plain/$file" "out/$file" || { echo "$file"; return; }; done <checkpoints
    find out/trials -type f ! -name best.safetensors ! -name last.safetensors | sed -n 1p
}

fail() { # ROUND WORDS
    echo "FAILED: round $1 (seed $seed): $2"
    tail -5 "log.$1" | cut -c 1-300
    failed=$((failed + 1))
}

round() { # NUMBER
    local n=$1 try=0 code mark hit pid launcher=mpirun kinds=(trainer worker master mpirun all) signals=(KILL STOP) stopped
    RANDOM=$((seed * 1000 + n))
    [ $((RANDOM % 2)) -eq 0 ] && launcher=launch && kinds=(trainer worker master mpirun all launch)
    local strikes=$((1 + RANDOM % 3)) story=$launcher:
    rm -rf out
    while :; do
        mark="$n.$try"
        # Half of the moments count from the first trainer on: a start takes as long as the training, and on a busy machine longer.
        local from_trainer=$((RANDOM % 2)) kind=${kinds[$((RANDOM % ${#kinds[@]}))]} signal=${signals[$((RANDOM % 2))]}
        local delay=$((RANDOM % (from_trainer ? training_ms : length_ms))) since=
        start "$mark" "log.$n" "$launcher"
        pid=$! stopped=
        invocations=$((invocations + 1))
        if [ $try -lt $strikes ]; then
            [ $from_trainer -eq 0 ] || { in_training "$mark" "$pid" && since=" of training"; }
            sleep "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
            if hit=$(strike "$mark" "$signal" "$kind"); then
                story="$story $hit at ${delay} ms$since;"
                hits[$hit]=$((${hits[$hit]:-0} + 1))
                faults=$((faults + 1))
                [ "${hit% *}" = STOP ] && stopped=${hit#* }
            fi
        fi
        # Nobody of the job can see that all of it, or the process at its top, has been stopped: that is for who sits before it.
        if [ "$stopped" = all ] || [ "$stopped" = "$launcher" ]; then
            sleep 1
            by_hand=$((by_hand + 1))
            for p in $(ours "$mark"); do kill -CONT "$p" 2>/dev/null; done
        fi
        # The master is the last of plain mpirun's ranks to leave: stopped there, it is seen by nobody either.
        if [ "$stopped" = master ] && [ "$launcher" = mpirun ] && ! wait_for "$pid" 20 && only_master_left "$mark"; then
            by_hand=$((by_hand + 1))
            for p in $(ours "$mark"); do kill -CONT "$p" 2>/dev/null; done
        fi
        if ! wait_for "$pid" 60; then
            fail "$n" "still running after 60 s ($story)"
            list "$mark"
            return
        fi
        code=0
        wait "$pid" || code=$?
        local end=$((SECONDS + 20))
        while [ -n "$(ours "$mark")" ] && [ $SECONDS -lt $end ]; do sleep 0.1; done
        if [ -n "$(ours "$mark")" ]; then
            fail "$n" "processes are left behind ($story)"
            list "$mark"
            return
        fi
        [ $code -eq 0 ] && break
        try=$((try + 1))
        [ $try -gt 6 ] && { fail "$n" "not done after $try invocations, the last with exit code $code ($story)"; return; }
    done
    local what
    what=$(differs)
    [ -z "$what" ] || { fail "$n" "$what is not the undisturbed run's ($story)"; cp -r out "out.$n"; return; }
    echo "round $n: same bytes after $((try + 1)) invocations ($story)"
}

"$gridfold" synth tiles --samples 9 --test 1 >/dev/null && "$gridfold" import tiles tiles.safetensors >/dev/null || exit 1
length_ms=1000000 training_ms=1000000
for i in 1 2 3; do # the shortest of three: signals are to come before the end
    rm -rf out
    began=$(date +%s%3N)
    start "plain$i" log.plain mpirun
    pid=$!
    in_training "plain$i" "$pid"
    trained=$(date +%s%3N)
    wait "$pid" || { echo "the undisturbed run fails:"; tail -3 log.plain; exit 1; }
    ended=$(date +%s%3N)
    [ $((ended - began)) -lt $length_ms ] && length_ms=$((ended - began))
    [ $((ended - trained)) -lt $training_ms ] && training_ms=$((ended - trained))
done
mv out plain
(cd plain && find trials -name '*.safetensors' | sort) >checkpoints
[ "$(wc -l <checkpoints)" -eq 6 ] || { echo "the undisturbed run has left no checkpoints"; exit 1; }
[ "$training_ms" -gt 0 ] || training_ms=1
echo "undisturbed: $length_ms ms, $training_ms ms of them from the first trainer on"
for ((n = first; n < first + rounds; n++)); do round "$n"; done
echo "killer: $rounds rounds from $first on, seed $seed: $faults signals, $invocations invocations, $by_hand continued by hand, $failed rounds failed"
for hit in "${!hits[@]}"; do echo "  $hit: ${hits[$hit]}"; done | sort
if [ "$rounds" -ge 100 ]; then # so many must have met everyone
    for kind in trainer worker master mpirun all launch; do
        for signal in KILL STOP; do
            [ "${hits[$signal $kind]:-0}" -gt 0 ] || { echo "FAILED: nobody of kind $kind got $signal"; failed=$((failed + 1)); }
        done
    done
fi
[ "$failed" -eq 0 ] && [ "$faults" -gt 0 ]
