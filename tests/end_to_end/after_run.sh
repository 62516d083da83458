#!/usr/bin/env bash
# What looks at a run that is there: status (also while it runs), trials, best, evaluate, predict; and verify, with every file damaged in turn.
# usage: after_run.sh GRIDFOLD SOURCE_DIR
set -euo pipefail
gridfold=$1
work=$(mktemp -d /tmp/gridfold-after-XXXXXX)
trap 'rm -rf "$work"' EXIT
cd "$work"
fail() { echo "FAILED: $*" >&2; exit 1; }

"$gridfold" synth tiles --samples 12 --test 3 >/dev/null
"$gridfold" import tiles tiles.safetensors >/dev/null
cat >sweep.ini <<'END'
[sweep]
name = small
dataset = tiles.safetensors
output = run
threads = 1
[folds]
count = 3
run = all
[base]
optimizer = adamw
epochs = 3
image-size = 32
encoder-width = 4
lstm-hidden-dim = 8
decoder-channels = 8,8,8,8,8
focal-alpha = 0.75
[grid rate]
folds = 0
lr = 0.001, 0.01
[grid size]
folds = 0
image-size = 32, 96
[config plain]
lr = 0.0001
[config optimized]
from = @this
[compare]
baseline = plain
candidate = optimized
END

# ---- status, while it runs ----
"$gridfold" run sweep.ini >run.log 2>&1 &
running=$!
until [ -s run/events.csv ]; do sleep 0.05; done
"$gridfold" status run --watch --interval 1 --json >watch.log
wait $running || fail "the run: $(tail -3 run.log)"
[ "$(wc -l <watch.log)" -ge 2 ] || fail "--watch looked $(wc -l <watch.log) times"
grep -q '"alive":true' <<<"$(head -1 watch.log)" || fail "the first look sees no process: $(head -1 watch.log)"
"$gridfold" status run --json >status.json
if command -v jq >/dev/null; then
    [ "$(jq -c '[.complete, .alive, .states.done, .states.failed, .count, (.trials | length)]' status.json)" = '[true,false,7,1,8,8]' ] ||
        fail "status --json: $(jq -c . status.json)"
    jq -c . watch.log >/dev/null || fail "--watch --json is not JSON"
fi
grep -q '8 trials: 7 done, 1 failed, 0 diverged, 0 running, 0 paused, 0 waiting' <<<"$("$gridfold" status run)" || fail "status: $("$gridfold" status run)"

# ---- trials ----
[ "$("$gridfold" trials run --csv | wc -l)" -eq "$(wc -l <run/trials.csv)" ] || fail "trials --csv has other rows"
diff <("$gridfold" trials run --csv) run/trials.csv || fail "trials --csv is not trials.csv"
best=$("$gridfold" trials run --filter 'status = done and grid = rate' --sort -best_iou --limit 1 --csv | tail -1)
highest=$(awk -F, '$2 == "rate" { print $8 }' run/trials.csv | sort -g | tail -1)
[ "$(cut -d, -f8 <<<"$best")" = "$highest" ] || fail "the first of --sort -best_iou is $best, the highest $highest"
[ "$("$gridfold" trials run --filter 'status != done' --csv | wc -l)" -eq 2 ] || fail "not one trial failed"
[ "$("$gridfold" trials run --filter 'error ~ image-size' --csv | wc -l)" -eq 2 ] || fail "~ finds no error"
grep -q optimized <<<"$("$gridfold" trials run)" || fail "trials shows no configuration"
if command -v jq >/dev/null; then
    "$gridfold" trials run --json | jq -e 'length == 10 and all(.[]; (.fold | type) == "number" and (.trial | type) == "string")' >/dev/null ||
        fail "trials --json"
fi

# ---- best ----
checkpoint=$("$gridfold" best run --config optimized --checkpoint)
[ -s "$checkpoint" ] || fail "best --checkpoint says '$checkpoint'"
[ "$("$gridfold" best run --checkpoints | wc -l)" -eq 3 ] || fail "a grid point on one fold won over configurations on three"
# The winner's text is a sweep file's [base]: what is trained with it is the same trial.
{ printf '[sweep]\nname = again\ndataset = tiles.safetensors\noutput = again\n[folds]\ncount = 3\nrun = 0\n[config x]\n'; "$gridfold" best run --config optimized; } >again.ini
"$gridfold" plan again.ini >plan.log || fail "best's settings are no sweep file: $(cat plan.log)"
id=$(awk -F, '$3 == "optimized" && $4 == 0 { print $1 }' run/trials.csv)
grep -q "$id" plan.log || "$gridfold" run again.ini >again.log 2>&1 || fail "again: $(tail -1 again.log)"
[ ! -e again ] || [ -d "again/trials/$id" ] || fail "best's settings make another trial than $id: $(ls again/trials)"

# ---- evaluate ----
"$gridfold" evaluate run --threads 1 >evaluate.log || fail "evaluate: $(cat evaluate.log)"
for table in folds:9 summary:21 samples:25 threshold:793 calibration:121; do
    file=run/report/test/test_${table%:*}.csv
    [ "$(wc -l <"$file")" -eq "${table#*:}" ] || fail "$file has $(wc -l <"$file") lines, not ${table#*:}"
done
grep -q '^plain,ensemble,' run/report/test/test_folds.csv && grep -q '^optimized,fold 2,' run/report/test/test_folds.csv || fail "test_folds.csv: models"
for picture in best median worst; do
    file=run/report/test/qualitative_$picture.png
    [ "$(head -c 4 "$file" | tail -c 3)" = PNG ] || fail "$file is no PNG"
done
# A fold's row is what evaluate says of its checkpoint alone.
alone=$("$gridfold" evaluate "run/trials/$id/best.safetensors" --dataset tiles.safetensors --threads 1 | awk '$1 == "all" { print $3 }')
table=$(awk -F, '$1 == "optimized" && $2 == "fold 0" { printf "%.2f", 100 * $4 }' run/report/test/test_folds.csv)
[ "$alone" = "$table" ] || fail "fold 0 of optimized has IoU $table in the run's table, $alone alone"
# The curve at 0.5 is the fold's row.
awk -F, '$1 == "optimized" && $3 == "0.50" { print $4 }' run/report/test/test_threshold.csv >curve
awk -F, '$1 == "optimized" { print $4 }' run/report/test/test_folds.csv | diff curve - || fail "the curve at 0.5 is not test_folds.csv"
# On the validation split every fold's IoU is its best one of trials.csv (whose ratios are guarded by 1e-7).
"$gridfold" evaluate run --split val --config optimized --threads 1 >/dev/null
awk -F, '$1 == "optimized" && $2 ~ /^fold/ { printf "%.5f\n", $4 }' run/report/val/val_folds.csv >val
awk -F, '$3 == "optimized" { printf "%.5f\n", $8 }' run/trials.csv | diff val - || fail "val_folds.csv is not trials.csv"
[ "$(grep -c 'out of fold' run/report/val/val_samples.csv)" -eq 9 ] || fail "not every sample is out of fold once"
refuse() { # PATTERN COMMAND...
    local pattern=$1
    shift
    if "$@" >refused.log 2>&1 || ! grep -qE -- "$pattern" refused.log; then fail "not refused with '$pattern': $* says $(cat refused.log)"; fi
}
refuse "its configurations are .*'plain'" "$gridfold" evaluate run --config plane
refuse "\-\-fold is for a single checkpoint" "$gridfold" evaluate run --fold 1
refuse "\-\-config and --out are for a run folder" "$gridfold" evaluate "run/trials/$id/best.safetensors" --dataset tiles.safetensors --config plain
"$gridfold" synth tiles2 --samples 12 --test 2 --seed 7 >/dev/null && "$gridfold" import tiles2 tiles2.safetensors >/dev/null
cp -r run moved && sed -i 's/tiles.safetensors/tiles2.safetensors/' moved/sweep.ini
refuse "tiles2.safetensors is not the one of moved" "$gridfold" evaluate moved
"$gridfold" evaluate moved --dataset tiles2.safetensors --out elsewhere --threads 1 >/dev/null || fail "another dataset by name"
[ "$(awk -F, '$2 == "ensemble" { print $3; exit }' elsewhere/test_folds.csv)" -eq 2 ] || fail "another dataset's samples"
cp "moved/trials/$(awk -F, '$3 == "plain" && $4 == 0 { print $1 }' run/trials.csv)/best.safetensors" "moved/trials/$id/best.safetensors"
refuse "best.safetensors is not of epoch" "$gridfold" evaluate moved --dataset tiles.safetensors --config optimized

# ---- predict ----
tile=$(head -1 tiles/splits/test.txt)
sentinel=tiles/sentinel/${tile}_RGBNIRRSWIRQ_Mosaic.tif
"$gridfold" predict --ensemble run --config optimized "$sentinel" map.tif --mask mask.tif --threshold 0.4 --picture map.png --truth "tiles/masks/${tile}_mask.tif" --threads 1 \
    2>predict.err >predict.log || fail "predict: $(cat predict.err)"
[ ! -s predict.err ] || fail "predict of a small image is not silent in a log: $(cat predict.err)"
grep -q 'mean of 3 checkpoints' predict.log || fail "predict says: $(cat predict.log)"
[ "$(head -c 4 map.png | tail -c 3)" = PNG ] || fail "map.png is no PNG"
if command -v gdalinfo >/dev/null; then
    geo() { gdalinfo "$1" | grep -E '^(Size|Origin|Pixel Size)|EPSG'; }
    [ "$(geo map.tif)" = "$(geo "$sentinel")" ] && [ "$(geo mask.tif)" = "$(geo "$sentinel")" ] || fail "georeference of map.tif or mask.tif"
    grep -q 'NoData Value=255' <<<"$(gdalinfo mask.tif)" && grep -q 'NoData Value=nan' <<<"$(gdalinfo map.tif)" || fail "nodata of map.tif or mask.tif"
    # An image of thousands of windows: a line of progress every tenth, and memory for a band of its rows alone.
    gdal_translate -q -outsize 540 540 "$sentinel" large.tif
    "$gridfold" predict "$checkpoint" large.tif large-map.tif --threads 1 --batch-size 16 2>predict.err >predict.log
    [ "$(grep -c 'of 1089 windows' predict.err)" -eq 10 ] || fail "progress of a large image: $(cat predict.err)"
    grep -q 'STATISTICS_VALID_PERCENT=100' <<<"$(gdalinfo -stats large-map.tif)" || fail "holes in large-map.tif"
fi
refuse "IN.tif OUT.tif beside --ensemble" "$gridfold" predict --ensemble run "$checkpoint" "$sentinel" none.tif
refuse "map.tif is named for two outputs" "$gridfold" predict "$checkpoint" "$sentinel" map.tif --mask map.tif
refuse "mask.tif is an input" "$gridfold" predict "$checkpoint" "$sentinel" none.tif --truth mask.tif --picture mask.tif
refuse "threshold 2: a number from 0 to 1" "$gridfold" predict "$checkpoint" "$sentinel" none.tif --threshold 2
[ ! -e none.tif ] || fail "a refused prediction left a file"
rm large.tif

# ---- verify ----
"$gridfold" verify run >verify.log || fail "verify of a sound run: $(cat verify.log)"
grep -q 'is whole: 8 trials with a result, 21 epochs, 14 checkpoints' verify.log || fail "verify says: $(cat verify.log)"

# find WHAT PATTERN: verify must exit with 1 and have a finding that matches; then the run is made whole again.
found=0
find_damage() {
    local code=0
    "$gridfold" verify run >verify.log 2>err.log || code=$?
    [ "$code" -eq 1 ] && [ ! -s err.log ] || fail "$1: exit code $code: $(cat verify.log err.log)"
    grep -qE -- "$2" verify.log || fail "$1: no finding '$2' among: $(cat verify.log)"
    rm -rf run
    cp -r whole run
    found=$((found + 1))
}
cp -r run whole
best=run/trials/$id/best.safetensors last=run/trials/$id/last.safetensors
other=run/trials/$(awk -F, '$3 == "plain" && $4 == 0 { print $1 }' run/trials.csv)

for file in epochs trials events folds; do
    truncate -s -5 run/$file.csv
    find_damage "torn $file.csv" "run/$file.csv: line [0-9]+ is torn"
    rm run/$file.csv
    find_damage "no $file.csv" "run/$file.csv is missing"
    sed -i '3s/,/;/' run/$file.csv
    find_damage "a field less in $file.csv" "run/$file.csv: line 3: [0-9]+ fields where the header has"
    sed -i '1s/,/,x/' run/$file.csv
    find_damage "another header in $file.csv" "run/$file.csv: line 1"
    printf '\0\0\0\0' | dd of=run/$file.csv bs=1 seek=200 conv=notrunc status=none
    find_damage "zeros in $file.csv" "run/$file.csv: line [0-9]+ holds bytes that are no text"
done
sed -i "0,/^$id,/{/^$id,/d}" run/epochs.csv
find_damage "an epoch less" "trial $id: epoch 0 is missing"
sed -i "/^$id,.*,1,[^,]*,/p" run/epochs.csv
find_damage "an epoch twice" "trial $id: epoch [0-9] stands there twice"
awk -F, -v OFS=, -v id="$id" '$1 == id && $4 == 2 { $10 = 0.0123 } 1' whole/epochs.csv >run/epochs.csv
find_damage "another validation IoU" "trial $id: final_iou is .*, its epochs give 0.0123"
awk -F, -v OFS=, -v id="$id" '$1 == id && $4 == 1 { $14 = 0.5 } 1' whole/epochs.csv >run/epochs.csv
find_damage "another gradient norm" "last.safetensors: its epoch 1 is not that of epochs.csv"
awk -F, -v OFS=, '$4 == 1 { $10 = 1.5 } 1' whole/epochs.csv >run/epochs.csv
find_damage "an IoU of 1.5" "val_iou is 1.5, not a share"
awk -F, -v OFS=, -v id="$id" '$1 == id { $8 = 0.99 } 1' whole/trials.csv >run/trials.csv
find_damage "another best IoU" "trial $id: best_iou is 0.98999"
awk -F, -v OFS=, -v id="$id" '$1 == id { $5 = 0.5 } 1' whole/trials.csv >run/trials.csv
find_damage "another learning rate" "trial $id: its hyperparameters, fold and seed are those of trial"
awk -F, -v OFS=, -v id="$id" '$1 == id { $7 = "dome" } 1' whole/trials.csv >run/trials.csv
find_damage "no status" "'dome' is no status"
tail -1 whole/trials.csv >>run/trials.csv
find_damage "a row twice" "stands twice in optimized"
sed -i '2s/,[0-9a-z]*$/,7/' run/folds.csv
find_damage "another fold" "folds.csv: line 2: fold is '7', the dataset and the seed give"
sed -i '1s/2026\|20/xx/;2s/^20/xx/' run/events.csv
find_damage "no time" "events.csv: row 1: .* is no time"
sed -i 's/^seed = 42/seed = 43/' run/sweep.ini
find_damage "another seed" "those of trial"
sed -i 's/^\[base\]/[bsae]/' run/sweep.ini
find_damage "no section" "run/sweep.ini:[0-9]+:"
rm run/sweep.ini
find_damage "no sweep.ini" "sweep.ini"
echo nonsense >>run/manifest.ini
find_damage "no INI" "manifest.ini: line [0-9]+ is no INI line"
rm run/manifest.ini
find_damage "no manifest.ini" "manifest.ini is missing"
for file in $best $last; do
    truncate -s -100 "$file"
    find_damage "truncated $file" "$file: "
    rm "$file"
    find_damage "no $file" "$file is missing"
    : >"$file"
    find_damage "empty $file" "$file: "
    cp "$other/$(basename "$file")" "$file"
    find_damage "another trial's $file" "$file: its metadata say trial = [0-9a-f]*, not $id"
    at=$(($(stat -c %s "$file") - 4000))
    byte=$(od -An -tu1 -j $at -N 1 "$file")
    # shellcheck disable=SC2059
    printf "\\$(printf '%03o' $((byte ^ 1)))" | dd of="$file" bs=1 seek=$at conv=notrunc status=none
    find_damage "another byte in $file" "$file.*checksum"
    printf '\377\377\377\377\377\377\377\377' | dd of="$file" bs=1 seek=$(($(stat -c %s "$file") - 4000)) conv=notrunc status=none
    find_damage "not a number in $file" "$file: tensor .* not finite"
done
cp "$last" "$best"
find_damage "last for best" "best.safetensors holds a trial under way"
rm -r "run/trials/$id"
find_damage "no folder of a trial" "$id/best.safetensors is missing"
mkdir run/trials/0123456789abcdef
find_damage "a stray folder" "run/trials/0123456789abcdef belongs to no trial"
awk -F, '$3 != "plain"' whole/trials.csv >run/trials.csv
awk -F, '$2 != "plain" || $4 < 2' whole/epochs.csv >run/epochs.csv
"$gridfold" verify run >verify.log || fail "a run that goes on is not damaged: $(cat verify.log)"
grep -q '^note: the run is not complete: 3 of 8 trials' verify.log || fail "no note of an incomplete run: $(cat verify.log)"
mv tiles.safetensors elsewhere.safetensors
rm -rf run && cp -r whole run
"$gridfold" verify run >verify.log || fail "a run without its dataset is not damaged: $(cat verify.log)"
grep -q '^note: the dataset cannot be compared: .*tiles.safetensors' verify.log || fail "no note of a lost dataset: $(cat verify.log)"
mv elsewhere.safetensors tiles.safetensors
echo "after a run: status, trials, best, evaluate, predict; verify found $found of $found damages"
