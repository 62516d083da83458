# Sourced by hosts.sh and ssh.sh: network namespaces as hosts, joined by a bridge, and the sweep that they are given.
# shellcheck shell=bash disable=SC2154
# Host N has the name hN, the namespace $id-N and the address $network.N; the bridge has a namespace of its own, so that nothing of this machine's network
# is touched. The sourcing script sets `gridfold`, `source` and `network`, and `clean_more` where it has more to remove.
id=gf$$
host_count=0
if [ "$(id -u)" -ne 0 ] || ! command -v ip >/dev/null || ! ip netns add $id-sw 2>/dev/null; then
    echo "skipped: no right to make network namespaces"
    exit 77
fi
work=$(mktemp -d /tmp/gridfold-hosts-XXXXXX)
clean() {
    for host in sw $(seq $host_count); do
        ip netns pids $id-"$host" 2>/dev/null | xargs -r kill -KILL 2>/dev/null || true
        ip netns del $id-"$host" 2>/dev/null || true
    done
    if declare -F clean_more >/dev/null; then clean_more; fi
    [ -n "${KEEP:-}" ] || rm -rf "$work"
}
trap clean EXIT
cd "$work" || exit
fail() {
    echo "FAILED: $*" >&2
    exit 1
}

make_hosts() { # COUNT
    host_count=$1
    ip -n $id-sw link add br0 type bridge
    ip -n $id-sw link set br0 up
    for host in $(seq "$1"); do
        ip netns add $id-"$host"
        ip -n $id-sw link add v"$host" type veth peer name eth0 netns $id-"$host"
        ip -n $id-sw link set v"$host" master br0 up
        ip -n $id-"$host" addr add "$network.$host/24" dev eth0
        ip -n $id-"$host" link set lo up
        ip -n $id-"$host" link set eth0 up
    done
    export OMPI_MCA_btl_tcp_if_include=eth0 OMPI_MCA_oob_tcp_if_include=eth0
}
on_host() { # N COMMAND...: becomes the command, for & and its process number
    # shellcheck disable=SC2016
    exec ip netns exec $id-"$1" unshare --uts bash -c 'hostname "$0"; exec "$@"' h"$1" "${@:2}"
}
running() { # the processes of all hosts
    for host in $(seq $host_count); do ip netns pids $id-"$host"; done
}
expect_nothing_runs() { # SECONDS
    local left=
    for _ in $(seq $((10 * $1))); do
        left=$(running)
        [ -z "$left" ] && return
        sleep 0.1
    done
    # shellcheck disable=SC2086
    fail "still running: $(ps -o pid,args -p $left)"
}

make_sweep() { # [KEY=VALUE...]: tiles, `sweep`, and the run in one process
    "$gridfold" synth tiles --samples 14 --test 2 >/dev/null
    "$gridfold" import tiles tiles.safetensors >/dev/null
    sweep=("$source/sweeps/quickstart.ini" dataset=tiles.safetensors checkpoint-seconds=0.2 "$@")
    "$gridfold" run "${sweep[@]}" output=one >one.log 2>&1 || fail "one process: $(tail -3 one.log)"
}
expect_same() { # OUTPUT
    for file in epochs.csv trials.csv folds.csv; do
        cmp "one/$file" "$1/$file" || fail "$1/$file differs from the run in one process"
    done
    for file in one/trials/*/*.safetensors; do
        cmp "$file" "$1${file#one}" || fail "checkpoint $1${file#one} differs"
    done
}
