#!/usr/bin/env bash
# clang-tidy over every C file of a build folder's compile_commands.json; the checks stand in .clang-tidy.
# Arguments: BUILD_FOLDER [FILE...]; without files all that git knows. Exits with 1 on a finding.
set -euo pipefail
folder=$1
shift
mapfile -t known < <(sed -n 's/^  "file": "\(.*\)",\?$/\1/p' "$folder/compile_commands.json" | sort -u)
[ $# -gt 0 ] && files=("$@") || mapfile -t files < <(git ls-files '*.c')
# What this build leaves out has no flags to be read with.
checked=()
for file in "${files[@]}"; do
    [[ " ${known[*]} " == *" $PWD/$file "* ]] && checked+=("$file")
done
[ ${#checked[@]} -gt 0 ] || { echo "tidy: no C file of these is in $folder/compile_commands.json" >&2; exit 1; }

# One file a process: clang-tidy 14 takes every va_list after the first file's for uninitialized. Its counts of warnings in system headers
# are left out; what it says about a clean file is nothing else.
check_one() {
    local output
    output=$(clang-tidy-14 --quiet -p "$1" "$2" 2>&1) && return
    grep -v -E '^[0-9]+ (warning|error)s?( and [0-9]+ errors?)? (generated|treated)|^Suppressed|^Use -' <<<"$output"
    return 1
}
export -f check_one
printf '%s\0' "${checked[@]}" | xargs -0 -P "$(nproc)" -n 1 bash -c 'check_one "$@"' tidy "$folder" || { echo "tidy: findings" >&2; exit 1; }
