#!/usr/bin/env bash
# A short sweep of the real model, master and trainer, under valgrind's memcheck: no invalid access, no use of uninitialised memory, nothing lost.
# usage: valgrind.sh GRIDFOLD SOURCE_DIR SPAWN_BY_NAME
set -uo pipefail
gridfold=$1 source=$2 spawn_by_name=$3
command -v valgrind >/dev/null || { echo "valgrind is not installed: skipped"; exit 0; }
work=$(mktemp -d /tmp/gridfold-valgrind-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
"$gridfold" synth tiles --samples 9 --test 1 >/dev/null && "$gridfold" import tiles tiles.safetensors >/dev/null || exit 1
LD_PRELOAD=$spawn_by_name valgrind --quiet --trace-children=yes --child-silent-after-fork=yes --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
    --suppressions="$source/tests/valgrind.supp" --error-exitcode=9 --log-file="$work/log.%p" \
    "$gridfold" run "$source/tests/faults/sweep.ini" dataset=tiles.safetensors output=out hang-seconds=600 worker-timeout-seconds=600 >run.log 2>&1
code=$?
errors=$(cat log.* | grep -c '^==.*== \(Invalid\|Conditional\|Use of\|Syscall\|[0-9,]* bytes in\)')
echo "valgrind: exit code $code, $errors reports in $(find . -name 'log.*' | wc -l) processes"
[ "$errors" -eq 0 ] || cat log.* | sed -n 1,60p
[ "$code" -eq 0 ] || tail -n 3 run.log
[ "$(find . -name 'log.*' | wc -l)" -gt 1 ] || { echo "valgrind has not followed the trainer"; exit 1; }
[ "$code" -eq 0 ] && [ "$errors" -eq 0 ] && [ -f out/trials.csv ]
