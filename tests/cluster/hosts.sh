#!/usr/bin/env bash
# Three hosts with one Open MPI daemon each, as network namespaces joined by a bridge; the link of one is cut in the middle. The sweep is finished without
# it, a second one is started without it, both with the bytes of one process, and nothing is left running on any of them.
# usage: hosts.sh GRIDFOLD SOURCE_DIR; needs root and the right to make network namespaces (77: skipped)
set -euo pipefail
gridfold=$1 source=$2 network=10.77.0
# shellcheck source=tests/cluster/namespaces.sh
. "$source/tests/cluster/namespaces.sh"
make_hosts 3

# As ssh would: gets to a host whose link is up, waits for one whose link is not.
cat >remote_shell <<END
#!/bin/bash
host=\$1
shift
ip -n $id-\${host#h} -o link show eth0 | grep -q 'state UP' || sleep 60
exec ip netns exec $id-\${host#h} unshare --uts bash -c 'hostname \$0; exec bash -c "\$1"' \$host "\$*"
END
chmod +x remote_shell

make_sweep "epochs=${TEST_EPOCHS:-40}" master-timeout-seconds=10 worker-timeout-seconds=6
launch() { # OUTPUT: on h1
    (on_host 1 "$gridfold" launch --host h1:1,h2:1,h3:1 --remote-shell "$work/remote_shell" "${sweep[@]}" "output=$1" >"$1.log" 2>&1)
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
    grep -q "gridfold run" <<<"$(ip netns pids $id-$host | xargs -r ps -o args= -p)" || fail "no rank on h$host"
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
expect_nothing_runs 30
echo "hosts: the same bytes both times; nothing left running on any of them $((SECONDS - began)) s after the cut"
