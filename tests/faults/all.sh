#!/usr/bin/env bash
# Faults in every kind of place (faults.sh), of a sweep whose master is real and whose trainer trains nothing, and of one that trains.
# usage: all.sh GRIDFOLD FAKE_GRIDFOLD INJECT_LIBRARY SOURCE_DIR few|every
set -uo pipefail
gridfold=$1 fake=$2 library=$3 here=$4/tests/faults how=$5
data=$(mktemp -d /tmp/gridfold-faults-data-XXXXXX)
trap 'rm -rf "$data"' EXIT
"$gridfold" synth "$data/tiles" --samples 9 --test 1 >/dev/null && "$gridfold" import "$data/tiles" "$data/tiles.safetensors" >/dev/null || exit 1
failed=0

try() { # PROGRAM PROCESS WHAT FEW EVERY MODE...
    local program=$1 process=$2 what=$3 samples=$4
    [ "$how" = every ] && samples=$5
    shift 5
    "$here/faults.sh" "$program" "$library" "$here/sweep.ini" "$data/tiles.safetensors" "$process" "$what" "$@" -- "$samples" || failed=1
}

try "$fake" master write 5 0 ENOSPC EIO ESTALE+ short
try "$gridfold" trainer write 2 0 ENOSPC EIO EIO+ short
try "$fake" master alloc 12 0 ENOMEM
try "$gridfold" trainer alloc 4 300 ENOMEM
exit "$failed"
