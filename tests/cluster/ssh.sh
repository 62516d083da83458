#!/usr/bin/env bash
# Hosts that are reached by real ssh: four network namespaces, each with an sshd of its own on port 22, and a fifth without one from which the sweep is
# launched as well. The sweep ends with the bytes of one process over all hosts, without one whose sshd is down and without one whose sshd answers nothing.
# Hosts whose key is unknown or another one, and hosts that refuse ours, are left out with ssh's reason; nobody is asked for anything, on a terminal either.
# Nothing is left running. Neither ~/.ssh nor /etc/ssh is read or written.
# usage: ssh.sh GRIDFOLD SOURCE_DIR; needs root, the right to make network namespaces, and Debian's openssh-server (77: skipped)
set -euo pipefail
gridfold=$1 source=$2 network=10.78.0 sshd=/usr/sbin/sshd
if ! [ -x $sshd ] || ! command -v ssh >/dev/null || ! command -v script >/dev/null; then
    echo "skipped: no sshd, ssh or script"
    exit 77
fi
# shellcheck source=tests/cluster/namespaces.sh
. "$source/tests/cluster/namespaces.sh"
clean_more() { [ -z "${made_run:-}" ] || rmdir /run/sshd 2>/dev/null || true; }
if mkdir /run/sshd 2>/dev/null; then made_run=yes; fi # where sshd locks itself in before anyone has logged in
make_hosts 5

new_host_key() { # N
    rm -f "host_key-$1" "host_key-$1.pub"
    ssh-keygen -q -t ed25519 -N '' -C "h$1" -f "host_key-$1"
}
know_host() { printf '%s.%d %s\n' $network "$1" "$(cut -d' ' -f1,2 "host_key-$1.pub")" >>known_hosts; } # N
sshd_pid=()
start_sshd() { # N
    (on_host "$1" $sshd -D -f "$work/sshd_config-$1" -E "$work/sshd-$1.log") &
    sshd_pid[$1]=$!
    for _ in $(seq 100); do
        grep -q 'Server listening' "sshd-$1.log" 2>/dev/null && return
        sleep 0.1
    done
    fail "no sshd on h$1: $(cat "sshd-$1.log")"
}
stop_sshd() { # N: and what it has begun
    kill -TERM "${sshd_pid[$1]}"
    wait "${sshd_pid[$1]}" || true
    rm "sshd-$1.log"
}

mkdir bin
ssh-keygen -q -t ed25519 -N '' -C user -f user_key
cat >ssh_config <<END
Host *
    User root
    IdentityFile $work/user_key
    IdentitiesOnly yes
    UserKnownHostsFile $work/known_hosts
    GlobalKnownHostsFile none
END
for host in 1 2 3 4; do
    new_host_key $host
    know_host $host
    cp user_key.pub authorized-$host
    mkdir tmp-$host
    printf 'Host h%d\n    HostName %s.%d\n' $host $network $host >>ssh_config
    # Passwords are allowed, so that an ssh which is refused with its key would ask for one.
    cat >sshd_config-$host <<END
Port 22
ListenAddress $network.$host
HostKey $work/host_key-$host
PidFile none
AuthorizedKeysFile $work/authorized-$host
StrictModes no
PermitRootLogin yes
PermitUserRC no
PasswordAuthentication yes
UsePAM no
UseDNS no
SetEnv TMPDIR=$work/tmp-$host
END
done
# What stands in for ~/.ssh/config: gridfold and mpirun find this ssh in PATH, as they would find the other.
printf '#!/bin/sh\nexec /usr/bin/ssh -F %s "$@"\n' "$work/ssh_config" >bin/ssh
# A dialog would leave its mark.
printf '#!/bin/sh\ntouch %s/asked\n' "$work" >bin/askpass
chmod +x bin/ssh bin/askpass
export PATH=$work/bin:$PATH DISPLAY=:0 SSH_ASKPASS=$work/bin/askpass
unset SSH_AUTH_SOCK
export TMPDIR=$work # a launcher that is killed leaves its folder
for host in 1 2 3 4; do start_sshd $host; done
printf 'h1 slots=1\nh2 slots=1\nh3 slots=1\nh4 slots=1\n' >hosts.txt

make_sweep "epochs=${TEST_EPOCHS:-16}"
launch() { # N OUTPUT [WORD...]: on host N, with a terminal
    local command
    printf -v command '%q ' "$gridfold" launch --hostfile hosts.txt "${sweep[@]}" "output=$2" "${@:3}"
    (on_host "$1" script -qefc "$command" "$2.log" </dev/null >/dev/null)
}
expect_left_out() { # OUTPUT HOST REASON: what stands after "does not answer", once
    [ "$(grep -c "^gridfold launch: $2 does not answer$3: going on without it" "$1.log")" -eq 1 ] || fail "$2, '$3': $(grep launch: "$1.log")"
}
expect_workers() { # OUTPUT HOST...
    local found
    found=$(awk -F, '$4 == "assigned" { print $5 }' "$1/events.csv" | sort -u | xargs)
    [ "$found" = "${*:2}" ] || fail "$1: trials on $found, not on ${*:2}"
}
expect_nobody_asked() { # OUTPUT: each ssh that asks for something names the host or the user in its question
    ! grep -E "password:|passphrase|continue connecting" "$1.log" || fail "$1: somebody was asked"
    [ ! -e asked ] || fail "$1: somebody was asked by a dialog"
}
expect_only_sshd() { # SECONDS
    local left wanted
    wanted=$(printf '%s\n' "${sshd_pid[@]}" | sort | xargs)
    for _ in $(seq $((10 * $1))); do
        left=$(running | sort | xargs)
        [ "$left" = "$wanted" ] && return
        sleep 0.1
    done
    fail "not sshd alone: $(ps -o pid,args -p "${left// /,}")"
}
logins() { grep -c 'Accepted publickey' "sshd-$1.log" || true; } # N

launch 5 all || fail "over all hosts: $(tail -3 all.log)"
! grep "does not answer" all.log || fail "a host was left out"
expect_same all
expect_workers all h1 h2 h3 h4
for host in 1 2 3 4; do
    [ "$(logins $host)" -ge 2 ] || fail "h$host was not reached by ssh: $(cat sshd-$host.log)" # the probe and mpirun
done
echo "launched from elsewhere: four hosts, each reached by ssh, the same bytes"

# Stopped, then killed, in the middle: what runs on the other hosts hears of it by ssh's connections and Open MPI's alone.
epochs() { { wc -l <cut/epochs.csv; } 2>/dev/null || echo 1; }
hit() { # SIGNAL: a launch on h5 after its first new epoch; its exit code as `code`
    local before launcher process
    before=$(epochs)
    launch 5 cut &
    launcher=$!
    until [ "$(epochs)" -gt "$before" ]; do
        kill -0 $launcher 2>/dev/null || fail "ended before it could be hit: $(tail -3 cut.log)"
        sleep 0.05
    done
    for process in $(ip netns pids $id-5); do
        [ "$(readlink "/proc/$process/exe")" != "$(realpath "$gridfold")" ] || kill "-$1" "$process"
    done
    code=0 began=$SECONDS
    wait $launcher || code=$?
}
hit TERM
[ $code -eq 75 ] || fail "stopped: exit code $code: $(tail -3 cut.log)"
expect_only_sshd 30
stopped=$((SECONDS - began))
hit KILL
expect_only_sshd 60
killed=$((SECONDS - began))
launch 5 cut || fail "after a stop and a kill: $(tail -3 cut.log)"
expect_same cut
echo "launched from elsewhere, stopped and killed: nothing left on four hosts after $stopped and $killed s; gone on with, the same bytes"

stop_sshd 3
kill -STOP "${sshd_pid[4]}"
before=$(logins 1)
launch 1 without || fail "without two hosts: $(tail -3 without.log)"
expect_left_out without h3 " (ssh: connect to host $network.3 port 22: Connection refused)"
expect_left_out without h4 " ([^)]*timed out[^)]*)"
expect_workers without h1 h2
expect_same without
expect_nobody_asked without
[ "$(logins 1)" -eq "$before" ] || fail "h1 went to itself by ssh"
echo "launched on h1: without h3, whose sshd is down, and h4, whose sshd hangs: the same bytes"

# What ssh would ask about on a terminal: h2 refuses the key and would take a password, h3 is a stranger. Given plain ssh as the remote shell, nothing but
# the want of a terminal keeps it from asking, and nothing but the launcher bounds how long it waits for h4.
: >authorized-2
start_sshd 3
sed -i "/^$network\.3 /d" known_hosts
began=$(date +%s%N)
launch 1 asking epochs=1 --remote-shell ssh &
launcher=$!
until grep -q "h4 does not answer" asking.log 2>/dev/null; do
    kill -0 $launcher 2>/dev/null || fail "h4 was not left out: $(tail -3 asking.log)"
    sleep 0.1
done
waited=$((($(date +%s%N) - began) / 100000000))
wait $launcher || fail "without three hosts: $(tail -3 asking.log)"
expect_left_out asking h2 " (root@$network.2: Permission denied ([a-z,-]*))"
expect_left_out asking h3 " (Host key verification failed)"
expect_left_out asking h4 ""
expect_workers asking h1
expect_nobody_asked asking
if [ $waited -lt 100 ] || [ $waited -ge 200 ]; then
    fail "h4 was left out after $waited tenths of a second, not after ten seconds"
fi
echo "launched on h1, ssh free to ask and to wait: without h2, which refuses the key, h3, whose key is unknown, and h4, hung, after $((waited / 10)) s"

# The key of h3 is another than the one that is known: ssh prints a page, the launcher its last line.
know_host 3
stop_sshd 3
new_host_key 3
start_sshd 3
code=0
printf 'h2\nh3\n' >hosts.txt
launch 1 nobody --max-restarts 0 || code=$?
expect_left_out nobody h2 " (root@$network.2: Permission denied ([a-z,-]*))"
expect_left_out nobody h3 " (Host key verification failed)"
if [ $code -ne 1 ] || [ "$(grep -c '^gridfold launch:' nobody.log)" -ne 3 ]; then
    fail "no host: exit code $code: $(cat nobody.log)"
fi
grep -q 'error: no host answers; giving up' nobody.log || fail "no host: $(cat nobody.log)"
echo "launched on h1 for h2 and h3 alone: exit code 1, a line for each host and one for the end"

expect_only_sshd 30
kill -CONT "${sshd_pid[4]}"
for host in 1 2 3 4; do stop_sshd $host; done
expect_nothing_runs 5
for host in 1 2 3 4; do
    [ -z "$(ls -A tmp-$host)" ] || fail "left in the temporary folder of h$host: $(ls -A tmp-$host)"
done
echo "ssh: nothing left running on any host, nor in its temporary folder"
