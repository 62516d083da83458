# Sourced by the end-to-end tests, with $source set: a folder of their own that goes away again, and mpirun as root and on few cores.
# shellcheck shell=bash
work=$(mktemp -d /tmp/gridfold-test-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 HOME=${HOME:-/tmp} TMPDIR=$work
# The slow unwinder: only it gets through plugins that Open MPI has unloaded when leaks are looked for.
export LSAN_OPTIONS=print_suppressions=0:suppressions=$source/tests/open_mpi.supp
mpi() { ASAN_OPTIONS=fast_unwind_on_malloc=0 mpirun --oversubscribe --bind-to none "$@" </dev/null; }
fail() { echo "FAILED: $*" >&2; exit 1; }
