#!/usr/bin/env bash
# The quickstart sweep with the real trainer: the same bytes in epochs.csv, trials.csv and every checkpoint from one process, two ranks, four ranks, and from a
# run that is interrupted again and again and resumed; and what the report says of it.
# usage: same_bytes.sh GRIDFOLD SOURCE_DIR
set -euo pipefail
gridfold=$1 source=$2
. "$source/tests/end_to_end/place.sh"

"$gridfold" synth tiles --samples 14 --test 2 >/dev/null
"$gridfold" import tiles tiles.safetensors >/dev/null
settings=(dataset=tiles.safetensors "epochs=${TEST_EPOCHS:-3}")

run() { # OUTPUT [LAUNCHER...]
    local output=$1
    shift
    "$@" "$gridfold" run "$source/sweeps/quickstart.ini" "${settings[@]}" "output=$output" >"$output.log" 2>&1
}

same() { # A B
    for file in epochs.csv trials.csv folds.csv; do
        cmp "$1/$file" "$2/$file" || fail "$2/$file is not $1/$file"
    done
    local checked=0
    for file in "$1"/trials/*/*.safetensors; do
        cmp "$file" "$2${file#"$1"}" || fail "checkpoint $2${file#"$1"} differs"
        checked=$((checked + 1))
    done
    [ "$checked" -ge 18 ] || fail "only $checked checkpoints in $1"
}

run one || fail "one process: $(tail -3 one.log)"
run two mpi -np 2 || fail "two ranks: $(tail -3 two.log)"
run four mpi -np 4 || fail "four ranks: $(tail -3 four.log)"
same one two
same one four

# Interrupted like Ctrl-C does it (SIGINT to the process), later and later, until it comes to its end.
rounds=0
for delay in 0.3 0.6 0.9 1.2 1.5 2 3 5 8 13 600; do
    code=0
    timeout --foreground -s INT "$delay" "$gridfold" run "$source/sweeps/quickstart.ini" "${settings[@]}" output=again >again.log 2>&1 || code=$?
    [ "$code" -eq 0 ] && break
    rounds=$((rounds + 1))
done
[ "$code" -eq 0 ] || fail "the interrupted run never came to its end: $(tail -3 again.log)"
[ "$rounds" -ge 2 ] || fail "the run was over before it could be interrupted twice"
same one again

# Killed outright: nothing may be lost but time.
for delay in 0.7 1.4 2.1; do
    timeout --foreground -s KILL "$delay" "$gridfold" run "$source/sweeps/quickstart.ini" "${settings[@]}" output=killed >killed.log 2>&1 || true
done
run killed || fail "after kills: $(tail -3 killed.log)"
same one killed

# A finished sweep runs nothing again, and another sweep may not take its folder.
run one || fail "run again: $(tail -3 one.log)"
same one killed
if "$gridfold" run "$source/sweeps/quickstart.ini" dataset=tiles.safetensors epochs=4 output=one >other.log 2>&1; then
    fail "another sweep was let into the folder"
fi
grep -q "another sweep" other.log || fail "the refusal says: $(cat other.log)"
grep -q "Configuration optimized: 3 folds" one.log || fail "no Phase 2 table in the output"
grep -q "learning-rate (fold 0)" one.log || fail "no Phase 1 table in the output"

# The winner's checkpoint is what the table says it is.
trial=$(awk -F, '$3 == "optimized" { print $1; exit }' one/trials.csv)
table=$(awk -F, -v t="$trial" '$1 == t { printf "%.2f", 100 * $9; exit }' one/trials.csv)
shown=$("$gridfold" evaluate "one/trials/$trial/best.safetensors" --dataset tiles.safetensors --split val --threads 1 | awk '$1 == "all" { print $3 }')
[ "$table" = "$shown" ] || fail "evaluate says IoU $shown, trials.csv $table"

# A checkpoint of another architecture is refused before anything runs.
if "$gridfold" train --dataset tiles.safetensors --output other --init-checkpoint "one/trials/$trial/best.safetensors" >other.log 2>&1; then
    fail "a checkpoint of another architecture was taken"
fi
grep -q "another architecture: encoder-width 8, the trial's is 64" other.log || fail "the refusal says: $(cat other.log)"
[ ! -e other ] || fail "a refused run left a folder"

# A prediction is georeferenced as its input, and its values are probabilities.
tile=$(ls tiles/sentinel | sed -n 1p)
"$gridfold" predict "one/trials/$trial/best.safetensors" "tiles/sentinel/$tile" out.tif --threads 1 >/dev/null
if command -v gdalinfo >/dev/null; then
    geo() { gdalinfo "$1" | grep -E '^(Size|Origin|Pixel Size)'; }
    [ "$(geo out.tif)" = "$(geo "tiles/sentinel/$tile")" ] || fail "georeference of out.tif"
    grep -q 'STATISTICS_MAXIMUM=0\.' <<<"$(gdalinfo -stats out.tif)" || fail "out.tif holds no probabilities"
fi
echo "same bytes: one process, 2 and 4 ranks, $rounds interruptions, 3 kills"
