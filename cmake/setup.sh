# Sourced by ./quickstart, ./check and .ci/run: installs what is missing of Debian's packages, configures and builds a preset.
# Safe to run again; works as root and with sudo. shellcheck shell=bash

BUILD_PACKAGES="gcc libc6-dev cmake ninja-build pkg-config openmpi-bin libopenmpi-dev libinih-dev libcsv-dev libdnnl-dev libgdal-dev libgsl-dev
    libjansson-dev libxxhash-dev"
RUN_PACKAGES="gnuplot-nox"
TEST_PACKAGES="g++ libcmocka-dev gdal-bin valgrind"
LINT_PACKAGES="git clang-format-14 clang-tidy-14 clang-14 libclang-rt-14-dev libomp-14-dev"

say() { printf '\n== %s\n' "$*"; }

install_packages() { # PACKAGE...
    local missing=() sudo=()
    for package in "$@"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if ! command -v apt-get >/dev/null; then
        echo "missing packages: ${missing[*]}; this is no Debian or Ubuntu, install their equivalents and run again" >&2
        return 1
    fi
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || { echo "missing packages: ${missing[*]}; install them as root (there is no sudo here)" >&2; return 1; }
        sudo=(sudo)
    fi
    say "installing ${missing[*]}"
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update >/dev/null
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "${missing[@]}" >/dev/null
}

build_preset() { # PRESET [CMAKE OPTION...]
    local preset=$1
    shift
    say "building $preset (build/$preset)"
    cmake --preset "$preset" "$@" >/dev/null
    cmake --build "build/$preset"
}

# Open MPI refuses to start as root unless told twice, and wants a HOME; two cores must be able to hold more ranks.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export HOME=${HOME:-/tmp}
MPIRUN="mpirun --oversubscribe --bind-to none"
