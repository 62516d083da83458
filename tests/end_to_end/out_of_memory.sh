#!/usr/bin/env bash
# The kernel's out-of-memory killer, for real: a sweep in a control group that holds one trainer, not two. Who is killed is tried again alone and
# ends with the bytes of an undisturbed run; what does not fit even alone gets a row that says so; the same for a program (trainer = command).
# usage: out_of_memory.sh GRIDFOLD SOURCE_DIR; needs root and the right to make control groups (77: skipped)
set -euo pipefail
gridfold=$1
work=$(mktemp -d /tmp/gridfold-memory-XXXXXX)
group= limit=
fail() {
    echo "FAILED: $*" >&2
    tail -n 30 "$work"/*.log "$work"/*/events.csv >&2
    exit 1
}
clean() {
    [ -z "$group" ] || rmdir "$group" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT

if below=$(sed -n 's/^[0-9]*:\([a-z_,]*,\)\?memory\(,[a-z_,]*\)\?://p' /proc/self/cgroup) && [ -n "$below" ]; then
    try=/sys/fs/cgroup/memory$below/gridfold-$$ limit=memory.limit_in_bytes
else
    try=/sys/fs/cgroup/gridfold-$$ limit=memory.max
fi
if [ "$(id -u)" -ne 0 ] || ! mkdir "$try" 2>/dev/null; then
    echo "skipped: no right to make control groups"
    exit 77
fi
group=$try
[ -w "$group/$limit" ] || { echo "skipped: control groups here limit no memory"; exit 77; }

export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
mebibytes() { echo $(($1 << 20)) >"$group/$limit"; }
kills() { sed -n 's/^oom_kill //p' /proc/vmstat; }
run_within() { # LOG ARGUMENT...: an MPI job of one master and two workers in the group
    local log=$1
    shift
    bash -c 'echo $$ >"$0/cgroup.procs"; exec mpirun --oversubscribe --bind-to none -np 3 "$@"' "$group" "$gridfold" run "$@" >"$log" 2>&1 </dev/null
}
count() { grep -c "$1" "$2" || true; }

cd "$work"
"$gridfold" synth tiles --samples 8 --test 2 >/dev/null
"$gridfold" import tiles tiles.safetensors >/dev/null
cat >sweep.ini <<'END'
[sweep]
name = memory
dataset = tiles.safetensors
threads = 1
[folds]
count = 2
run = all
[base]
optimizer = adamw
lr = 0.001
epochs = 3
image-size = 64
encoder-width = 32
lstm-hidden-dim = 128
[grid all]
lr = 0.001, 0.002
END
"$gridfold" run sweep.ini output=undisturbed >undisturbed.log 2>&1 || fail "the undisturbed run"
cat sweep.ini - >wide.ini <<'END'
[config wide]
encoder-width = 64
lstm-hidden-dim = 512
END

mebibytes 680
before=$(kills)
run_within limited.log wide.ini output=limited || fail "exit code $?"
killed=$(($(kills) - before))
alone=$(count ',alone,' limited/events.csv)
[ "$killed" -ge 3 ] || fail "the kernel killed $killed processes: the limit does not do what the test wants"
[ "$(count ',lost,.*out of memory: trainer killed by signal 9' limited/events.csv)" -eq "$killed" ] || fail "not every kill is told as out of memory"
[ "$(count ',lost,' limited/events.csv)" -eq "$killed" ] || fail "something else was lost"
for trial in undisturbed/trials/*; do
    for file in best last; do
        cmp "$trial/$file.safetensors" "limited/trials/${trial##*/}/$file.safetensors" || fail "checkpoints differ"
    done
    [ "$(count "^${trial##*/},.*,done," limited/trials.csv)" -eq 1 ] || fail "trial ${trial##*/} is not done"
done
[ "$(count ',failed,.*out of memory' limited/trials.csv)" -eq 2 ] || fail "the two trials that do not fit are not failed for want of memory"
[ ! -s "$group/cgroup.procs" ] || fail "processes are left: $(cat "$group/cgroup.procs")"
echo "embedded trainer: $killed killed by the kernel, $alone times alone; 4 trials with the same bytes, 2 failed as out of memory"

cat >eater.sh <<'END'
#!/bin/sh
exec perl -e '$x = "a" x ($ARGV[0] << 20); sleep 2; print "epoch,bytes\n0,", length $x, "\n"' "$1"
END
chmod +x eater.sh
cat >command.ini <<'END'
[sweep]
name = eater
trainer = command
command = ./eater.sh {mib}
metric = bytes
[grid all]
mib = 100, 101, 102, 400
END
mebibytes 330 # a word of so many bytes is there twice while perl makes it
before=$(kills)
run_within command.log command.ini output=command || fail "exit code $?"
killed=$(($(kills) - before))
[ "$killed" -ge 2 ] || fail "the kernel killed $killed programs"
[ "$(count ',done,' command/trials.csv)" -eq 3 ] || fail "not all that fit are done"
[ "$(count ',failed,.*out of memory' command/trials.csv)" -eq 1 ] || fail "what does not fit is not failed for want of memory"
[ ! -s "$group/cgroup.procs" ] || fail "processes are left: $(cat "$group/cgroup.procs")"
echo "trainer = command: $killed killed by the kernel, $(count ',alone,' command/events.csv) times alone; 3 done, 1 failed as out of memory"
