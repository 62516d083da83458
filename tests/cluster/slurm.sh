#!/usr/bin/env bash
# The batch script on a real Slurm: munged, slurmctld and slurmd of this machine, started for the test. A job that is requeued in the middle, one that Slurm
# signals before its time is up and that requeues itself, and one that is cancelled: the same bytes as one process, nothing left running.
# usage: slurm.sh GRIDFOLD SOURCE_DIR; needs root and Debian's slurmctld, slurmd, slurm-client, munge (77: skipped)
set -euo pipefail
export GRIDFOLD=$1 GRIDFOLD_HOME=$2
for program in slurmctld slurmd sbatch munged; do
    command -v $program >/dev/null || { echo "skipped: no $program"; exit 77; }
done
[ "$(id -u)" -eq 0 ] || { echo "skipped: not root"; exit 77; }
work=$(mktemp -d /tmp/gridfold-slurm-XXXXXX)
fail() {
    echo "FAILED: $*" >&2
    tail -n 20 "$work"/*.log >&2
    exit 1
}
stop_daemons() {
    scancel --user=root 2>/dev/null || true
    for _ in $(seq 50); do # without slurmctld what runs a job would stay
        [ -n "$(squeue --noheader 2>/dev/null)" ] || break
        sleep 0.2
    done
    for daemon in slurmd slurmctld munged; do
        if [ -f "$work/$daemon.pid" ]; then kill "$(cat "$work/$daemon.pid")" 2>/dev/null || true; fi
    done
    sleep 1
    rm -rf "$work"
}
trap stop_daemons EXIT
cd "$work"
host=$(hostname -s)
port=$((20000 + RANDOM % 10000))
mkdir state spool
head -c 1024 /dev/urandom >key
chmod 600 key
munged --force --key-file="$work/key" --socket="$work/munge.socket" --pid-file="$work/munged.pid" --log-file="$work/munged.log" --seed-file="$work/seed" 2>/dev/null
export SLURM_CONF=$work/slurm.conf
cat >slurm.conf <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge.socket
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
SlurmctldPort=$port
SlurmdPort=$((port + 1))
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF"
for _ in $(seq 100); do
    grep -q idle <<<"$(sinfo --noheader --format=%t 2>/dev/null)" && break
    sleep 0.2
done
grep -q idle <<<"$(sinfo --noheader --format=%t)" || fail "the node does not come up"

"$GRIDFOLD" synth tiles --samples 14 --test 2 >/dev/null
"$GRIDFOLD" import tiles tiles.safetensors >/dev/null
sweep=("$GRIDFOLD_HOME/sweeps/quickstart.ini" dataset=tiles.safetensors "epochs=${TEST_EPOCHS:-200}")
"$GRIDFOLD" run "${sweep[@]}" output=one >one.log 2>&1 || fail "one process"

submit() { # OUTPUT [OPTION OF SBATCH...]
    local output=$1
    shift
    sbatch --parsable --ntasks-per-node=2 --cpus-per-task=1 "$@" "$GRIDFOLD_HOME/cluster/one_node.sbatch" "${sweep[@]}" "output=$output"
}
wait_for() { # SECONDS WHAT COMMAND...
    local seconds=$1 what=$2
    shift 2
    for _ in $(seq $((5 * seconds))); do
        "$@" && return
        sleep 0.2
    done
    fail "after $seconds s: not $what"
}
has_epochs() { [ -f "$1/epochs.csv" ] && [ "$(wc -l <"$1/epochs.csv")" -gt 5 ]; }
has_in_log() { grep -q "$2" "gridfold-$1.log" 2>/dev/null; }
is_pending() { [ "$(squeue --noheader --jobs "$1" --format=%t)" = PD ]; }
is_over() { [ -z "$(squeue --noheader --jobs "$1" 2>/dev/null)" ]; }
nothing_runs() { ! pgrep -f "output=$1( |\$)" >/dev/null && ! pgrep -f "$work/$1/" >/dev/null; }
go_on() { # JOB: Slurm lets a requeued job wait for two minutes
    wait_for 40 "pending again" is_pending "$1"
    sleep 2 # slurmd tells a new credential from the one that the requeue has revoked by the second of its making
    scontrol update JobId="$1" StartTime=now TimeLimit=10
}
expect_same() { # JOB OUTPUT
    wait_for 120 "over" is_over "$1"
    has_in_log "$1" "gridfold launch: exit code 0" || fail "job $1: $(tail -3 "gridfold-$1.log")"
    for file in epochs.csv trials.csv folds.csv; do
        cmp "one/$file" "$2/$file" || fail "$2/$file differs from the run in one process"
    done
    for file in one/trials/*/*.safetensors; do
        cmp "$file" "$2${file#one}" || fail "checkpoint $2${file#one} differs"
    done
    wait_for 5 "clean: a process of $2 is left" nothing_runs "$2"
}
seconds_between() { # JOB PATTERN PATTERN: of the first lines that begin with a time and match
    local a b
    a=$(grep -m1 "$2" "gridfold-$1.log" | cut -d' ' -f1)
    b=$(grep -m1 "$3" "gridfold-$1.log" | cut -d' ' -f1)
    echo $(($(date -d "$b" +%s) - $(date -d "$a" +%s)))
}

job=$(submit requeued --time=10)
wait_for 60 "training" has_epochs requeued
began=$SECONDS
scontrol requeue "$job"
wait_for 40 "stopped" has_in_log "$job" "exit code 75"
echo "requeued by scontrol: exit code 75 after $((SECONDS - began)) s, $(grep -c ',stopped,' requeued/events.csv) trials checkpointed"
wait_for 5 "clean: a process is left" nothing_runs requeued
go_on "$job"
expect_same "$job" requeued
echo "requeued by scontrol: $(grep -c ' job ' "gridfold-$job.log") starts, the same bytes"

job=$(submit signalled --time=1 --signal=B:USR1@55)
wait_for 90 "stopped" has_in_log "$job" "exit code 75"
echo "signalled before its end: exit code 75 after $(seconds_between "$job" ' job ' 'exit code 75') s"
go_on "$job"
expect_same "$job" signalled
echo "signalled before its end: requeued itself, $(grep -c ' job ' "gridfold-$job.log") starts, the same bytes"

job=$(submit cancelled --time=10)
wait_for 60 "training" has_epochs cancelled
scancel "$job"
wait_for 40 "cancelled" is_over "$job"
wait_for 10 "clean: a process is left" nothing_runs cancelled
grep -q JobState=CANCELLED <<<"$(scontrol show job "$job")" || fail "the cancelled job: $(scontrol show job "$job")"
echo "cancelled: ended for good, nothing left running"
