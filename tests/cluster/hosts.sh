#!/usr/bin/env bash
# Three hosts with one Open MPI daemon each, as network namespaces joined by a bridge; the link of one is cut in the middle. The sweep is finished without
# it, a second one is started without it, both with the bytes of one process, and nothing is left running on any of them.
# usage: hosts.sh GRIDFOLD SOURCE_DIR; needs root and the right to make network namespaces (77: skipped)
set -euo pipefail
gridfold=$1 source=$2
id=gf$$
if [ "$(id -u)" -ne 0 ] || ! command -v ip >/dev/null || ! ip netns add $id-sw 2>/dev/null; then
    echo "skipped: no right to make network namespaces"
    exit 77
fi
work=$(mktemp -d /tmp/gridfold-hosts-XXXXXX)
clean() {
    for host in sw 1 2 3; do ip netns del $id-$host 2>/dev/null || true; done
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap clean EXIT
cd "$work"
fail() {
    echo "FAILED: $*" >&2
    exit 1
}

ip -n $id-sw link add br0 type bridge
ip -n $id-sw link set br0 up
for host in 1 2 3; do
    ip netns add $id-$host
    ip -n $id-sw link add v$host type veth peer name eth0 netns $id-$host
    ip -n $id-sw link set v$host master br0 up
    ip -n $id-$host addr add 10.77.0.$host/24 dev eth0
    ip -n $id-$host link set lo up
    ip -n $id-$host link set eth0 up
done

# As ssh would: gets to a host whose link is up, waits for one whose link is not.
cat >remote_shell <<END
#!/bin/bash
host=\$1
shift
ip -n $id-\${host#h} -o link show eth0 | grep -q 'state UP' || sleep 60
exec ip netns exec $id-\${host#h} unshare --uts bash -c 'hostname \$0; exec bash -c "\$1"' \$host "\$*"
END
chmod +x remote_shell

"$gridfold" synth tiles --samples 14 --test 2 >/dev/null
"$gridfold" import tiles tiles.safetensors >/dev/null
sweep=("$source/sweeps/quickstart.ini" dataset=tiles.safetensors "epochs=${TEST_EPOCHS:-40}" checkpoint-seconds=0.2 master-timeout-seconds=10 worker-timeout-seconds=6)
"$gridfold" run "${sweep[@]}" output=one >one.log 2>&1 || fail "one process: $(tail -3 one.log)"

export OMPI_MCA_btl_tcp_if_include=eth0 OMPI_MCA_oob_tcp_if_include=eth0
launch() { # OUTPUT: on h1
    ip netns exec $id-1 unshare --uts bash -c 'hostname h1; exec "$@"' host "$gridfold" launch --host h1:1,h2:1,h3:1 --remote-shell "$work/remote_shell" \
        "${sweep[@]}" "output=$1" >"$1.log" 2>&1
}
expect_same() { # OUTPUT
    for file in epochs.csv trials.csv folds.csv; do
        cmp "one/$file" "$1/$file" || fail "$1/$file differs from the run in one process"
    done
    for file in one/trials/*/*.safetensors; do
        cmp "$file" "$1${file#one}" || fail "checkpoint $1${file#one} differs"
    done
}

launch cut &
launcher=$!
epochs() { { wc -l <cut/epochs.csv; } 2>/dev/null || echo 0; }
for _ in $(seq 300); do
    [ "$(epochs)" -gt 20 ] && break
    kill -0 $launcher 2>/dev/null || fail "it ended early"
    sleep 0.1
done
for host in 1 2 3; do
    ip netns pids $id-$host | xargs -r ps -o args= -p | grep -q "gridfold run" || fail "no rank on h$host"
done
began=$SECONDS before=$(epochs)
ip -n $id-sw link set v3 down
echo "h3 cut off after $before rows of epochs.csv"
code=0
wait $launcher || code=$?
[ $code -eq 0 ] || fail "exit code $code: $(tail -3 cut.log)"
grep -q ',lost,h3,' cut/events.csv || fail "h3 was not missed"
expect_same cut
echo "finished $((SECONDS - began)) s after the cut, with $(grep -c 'starting again' cut.log || true) restarts"
launch without || fail "without h3: $(tail -3 without.log)"
grep -q "h3 does not answer: going on without it" without.log || fail "h3 was not left out"
expect_same without
echo "another sweep: started without h3"
for _ in $(seq 300); do
    left=$(for host in 1 2 3; do ip netns pids $id-$host; done)
    [ -z "$left" ] && break
    sleep 0.1
done
# shellcheck disable=SC2086
[ -z "$left" ] || fail "still running: $(ps -o pid,args -p $left)"
echo "hosts: the same bytes both times; nothing left running on any of them $((SECONDS - began)) s after the cut"
