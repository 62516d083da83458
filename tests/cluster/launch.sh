#!/usr/bin/env bash
# gridfold launch on this host: what is killed or stopped on the way does not show in the results, and nothing is left running.
# usage: launch.sh GRIDFOLD SOURCE_DIR
set -euo pipefail
gridfold=$1 source=$2
work=$(mktemp -d /tmp/gridfold-launch-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
export HOME=${HOME:-/tmp} TMPDIR=$work
# The slow unwinder: only it gets through plugins that Open MPI has unloaded when leaks are looked for.
export LSAN_OPTIONS=print_suppressions=0:suppressions=$source/tests/open_mpi.supp ASAN_OPTIONS=fast_unwind_on_malloc=0
fail() { echo "FAILED: $*" >&2; exit 1; }

"$gridfold" synth tiles --samples 14 --test 2 >/dev/null
"$gridfold" import tiles tiles.safetensors >/dev/null
cat >sweep.ini <<END
[sweep]
dataset = tiles.safetensors
threads = 1
checkpoint-seconds = 0.2
[folds]
count = 3
run = 0, 1
[base]
epochs = ${TEST_EPOCHS:-16}
image-size = 32
encoder-width = 8
lstm-hidden-dim = 16
decoder-channels = 16,16,16,16,16
[grid rate]
lr = 0.001, 0.01
END
sweep=(sweep.ini)
launch() { # OUTPUT
    "$gridfold" launch -np 3 "${sweep[@]}" "output=$1" >>"$1.log" 2>&1
}

# Processes that belong to the run in a folder of this test.
left() { pgrep -f "output=$1( |\$)" || pgrep -f "$work/$1/" || true; }
expect_nothing_left() { # OUTPUT SECONDS
    for _ in $(seq $((10 * $2))); do
        [ -z "$(left "$1")" ] && return
        sleep 0.1
    done
    ps -eo pid,ppid,stat,args >&2
    fail "$1: still running $2 s later: $(left "$1")"
}
expect_same() { # OUTPUT
    for file in epochs.csv trials.csv folds.csv; do
        cmp "one/$file" "$1/$file" || fail "$1/$file differs from the run in one process"
    done
    for file in one/trials/*/*.safetensors; do
        cmp "$file" "$1${file#one}" || fail "checkpoint $1${file#one} differs"
    done
    grep -q '^state = done$' "$1/status" || fail "$1/status says: $(cat "$1/status")"
    [ -z "$(find "$1" -name '.launch-*')" ] || fail "$1: the launcher has left its file"
}

rank() { # OUTPUT RANK: the process of this rank
    local pid
    for pid in $(pgrep -f "run .*output=$1( |\$)"); do
        if grep -qzx "OMPI_COMM_WORLD_RANK=$2" "/proc/$pid/environ" 2>/dev/null && [ "$(readlink "/proc/$pid/exe")" = "$(realpath "$gridfold")" ]; then
            echo "$pid"
        fi
    done | sed -n 1p
}

epochs() { { wc -l <"$1/epochs.csv"; } 2>/dev/null || echo 1; } # OUTPUT: recorded, and the head

# Starts a launch, hits one of its processes a moment after its first epoch, and leaves its exit code in `code`.
hit() { # OUTPUT VICTIM SIGNAL
    "$gridfold" launch -np 3 "${sweep[@]}" "output=$1" >>"$1.log" 2>&1 &
    launcher=$!
    local before
    before=$(epochs "$1")
    until [ "$(epochs "$1")" -gt "$before" ]; do
        kill -0 $launcher 2>/dev/null || fail "$1 ended before it could be hit: $(tail -3 "$1.log")"
        sleep 0.05
    done
    local victim=$launcher
    case $2 in
    rank*) victim=$(rank "$1" "${2#rank}") ;;
    mpirun) victim=$(pgrep -P $launcher) ;;
    esac
    kill "-$3" "$victim" || fail "$1: no $2 to hit"
    code=0
    wait $launcher || code=$?
}

"$gridfold" run "${sweep[@]}" output=one >one.log 2>&1 || fail "one process: $(tail -3 one.log)"
launch calm || fail "undisturbed: $(tail -3 calm.log)"
expect_same calm
expect_nothing_left calm 5

# Without any network but the host's own, as in a container or on a laptop that is offline.
alone=(unshare --net)
[ "$(id -u)" -eq 0 ] || alone=(unshare --map-root-user --net)
if command -v ip >/dev/null && "${alone[@]}" true 2>/dev/null; then
    # shellcheck disable=SC2016
    "${alone[@]}" bash -c 'ip link set lo up && exec "$@"' bash "$gridfold" launch -np 3 --max-restarts 0 "${sweep[@]}" output=offline >offline.log 2>&1 ||
        fail "without a network: $(tail -3 offline.log)"
    expect_same offline
    expect_nothing_left offline 5
fi

hit master rank0 KILL
[ $code -eq 0 ] || fail "master killed: exit code $code: $(tail -3 master.log)"
grep -q "rank 0 died; starting again" master.log || fail "master killed: $(grep launch: master.log)"
expect_same master
expect_nothing_left master 5

hit mpirun mpirun KILL
[ $code -eq 0 ] || fail "mpirun killed: exit code $code: $(tail -3 mpirun.log)"
expect_same mpirun
expect_nothing_left mpirun 5

# A launcher that is stopped, and one whose worker gets the batch system's signal: 75, and the same command goes on.
hit stop launcher TERM
[ $code -eq 75 ] || fail "launcher stopped: exit code $code: $(tail -3 stop.log)"
grep -q '^state = stopped$' stop/status || fail "stop/status says: $(cat stop/status)"
expect_nothing_left stop 5
hit stop rank2 USR2
[ $code -eq 75 ] || fail "worker preempted: exit code $code: $(tail -3 stop.log)"
grep -q "a rank was told to" stop.log || fail "worker preempted: $(tail -3 stop.log)"
expect_nothing_left stop 5
launch stop || fail "after stops: $(tail -3 stop.log)"
expect_same stop

# A launcher that is killed takes everything with it.
hit killed launcher KILL
expect_nothing_left killed 20
launch killed || fail "after the launcher was killed: $(tail -3 killed.log)"
expect_same killed

# What cannot work is said in one line, and not tried again and again.
refuse() { # PATTERN WORD...
    local pattern=$1 code=0
    shift
    "$gridfold" launch "$@" >out 2>err || code=$?
    if [ $code -ne 1 ] || [ "$(wc -l <err)" -ne 1 ] || ! grep -qE -- "$pattern" err; then
        fail "launch $*: exit code $code, wanted one line with '$pattern', got: $(head -5 err)"
    fi
}
refuse "nowhere.ini" nowhere.ini
refuse "nearest is --hostfile" --hostfiel x "${sweep[@]}"
refuse "whole number in 1" --host a:0 "${sweep[@]}"
refuse "lrr" "${sweep[@]}" lrr=1
printf 'a slots=2\nb slots=x\n' >hosts.txt
refuse "hosts.txt:2: 'slots=x'" --hostfile hosts.txt "${sweep[@]}"
code=0
"$gridfold" launch --max-restarts 1 --host nowhere.invalid --remote-shell false "${sweep[@]}" output=nobody >nobody.log 2>&1 || code=$?
if [ $code -ne 1 ] || ! grep -q "no host answers; giving up after 1 restarts in a row" nobody.log; then
    fail "no host: exit code $code: $(cat nobody.log)"
fi
echo "launch: the same bytes after the death of master, mpirun and launcher, and after two stops; nothing left running"
