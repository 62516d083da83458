#!/usr/bin/env bash
# bf16 on the CPU, as a sweep's axis beside fp32: five seeds of each, whose training losses must tell no more apart than two seeds do; the same bytes from two
# ranks and after interruptions; a bf16 trial's checkpoint evaluates and predicts; and a CPU without bf16 is refused before anything is written.
# With SIZE=full the full-size model on 100 steps of the full-size dataset, the losses alone.
# usage: bf16.sh GRIDFOLD SOURCE_DIR
set -euo pipefail
gridfold=$1 source=$2
. "$source/tests/end_to_end/place.sh"

small='threads = 1
[folds]
count = 3
run = 0
[base]
epochs = 10
image-size = 32
encoder-width = 8
lstm-hidden-dim = 16
decoder-channels = 16,16,16,16,16
focal-alpha = 0.75
optimizer = adamw
lr = 0.003'
full='threads = 1
[folds]
count = 5
run = 0
[base]
epochs = 12
lstm-hidden-dim = 256
optimizer = adamw
scheduler = cosine
lr = 0.0003'
settings=$small samples=14
[ "${SIZE:-small}" = small ] || { settings=$full samples=53; }
printf '[sweep]\nname = bf16\ndataset = tiles.safetensors\noutput = run\ndevice = cpu\n%s\n[grid precision]\nprecision = fp32, bf16\n' "$settings" >s.ini
"$gridfold" synth tiles --samples $samples --test $((samples / 7 + 1)) >/dev/null
"$gridfold" import tiles tiles.safetensors >/dev/null

code=0
DNNL_MAX_CPU_ISA=AVX2 "$gridfold" run s.ini >refused.out 2>refused.err || code=$?
[ "$code" -ne 0 ] && [ "$code" -lt 128 ] || fail "a CPU without bf16 ran it: $code"
[ "$(wc -l <refused.err)" -eq 1 ] || fail "not one line: $(cat refused.err)"
grep -q 'precision = bf16: this CPU (avx2) has no AVX512_BF16; take fp32' refused.err || fail "not said: $(cat refused.err)"
[ ! -e run ] || fail "a refused run left a folder"
if DNNL_MAX_CPU_ISA=AVX2 "$gridfold" plan s.ini >/dev/null 2>&1; then fail "the plan lets it pass"; fi

if ! grep -q avx512_bf16 /proc/cpuinfo; then
    if "$gridfold" plan s.ini >plan.log 2>&1; then fail "this CPU has no bf16, and the plan lets it pass"; fi
    echo "skipped but for the refusal: $(tail -1 plan.log)"
    exit 0
fi

for seed in ${SEEDS:-42 43 44 45 46}; do
    "$gridfold" run s.ini seed="$seed" output="seed$seed" >"seed$seed.log" 2>&1 || fail "seed $seed: $(tail -3 "seed$seed.log")"
done

# The training losses of every epoch: the means of both precisions, the spread of fp32 over the seeds, and the largest difference that bf16 makes for one seed.
# epochs.csv: trial, config, fold, epoch, lr, train_loss, ...
for seed in ${SEEDS:-42 43 44 45 46}; do
    awk -F, -v seed="$seed" 'NR > 1 { print seed, $2 ~ /bf16/ ? "bf16" : "fp32", $4, $6 }' "seed$seed/epochs.csv"
done >losses
awk '
    { loss[$1, $2, $3] = $4; seeds[$1] = 1; if ($3 + 1 > epochs) epochs = $3 + 1 }
    END {
        print "epoch, fp32 mean, least, most, bf16 mean, largest difference of one seed"
        for (e = 0; e < epochs; e++) {
            n = f = b = worst = 0; least = 1e30; most = -1e30
            for (s in seeds) {
                x = loss[s, "fp32", e]; y = loss[s, "bf16", e]; n++; f += x; b += y
                if (x == "" || y == "") exit 2
                if (x < least) least = x
                if (x > most) most = x
                d = x > y ? x - y : y - x
                if (d > worst) worst = d
            }
            printf "%d %.6f %.6f %.6f %.6f %.6f\n", e, f / n, least, most, b / n, worst
            if (b / n < least || b / n > most || worst > most - least) { print "epoch " e ": bf16 leaves the spread of fp32"; bad = 1 }
        }
        exit bad
    }' losses || fail "bf16 trains apart from fp32"
[ "${SIZE:-small}" = small ] || exit 0

same() { # A B
    for file in epochs.csv trials.csv; do cmp "$1/$file" "$2/$file" || fail "$2/$file is not $1/$file"; done
    for file in "$1"/trials/*/*.safetensors; do cmp "$file" "$2${file#"$1"}" || fail "checkpoint $2${file#"$1"} differs"; done
}
mpi -np 3 "$gridfold" run s.ini output=ranks seed=42 >ranks.log 2>&1 || fail "three ranks: $(tail -3 ranks.log)"
same seed42 ranks
rounds=-1
for delay in 0.2 0.4 0.6 600; do
    rounds=$((rounds + 1)) code=0
    timeout --foreground -s INT "$delay" "$gridfold" run s.ini output=again seed=42 >again.log 2>&1 || code=$?
    [ "$code" -eq 0 ] && break
done
[ "$code" -eq 0 ] || fail "the interrupted run never came to its end: $(tail -3 again.log)"
[ "$rounds" -ge 1 ] || fail "the run was over before it could be interrupted"
same seed42 again

best=$(awk -F, 'NR > 1 && /bf16/ { print "seed42/trials/" $1 "/best.safetensors" }' seed42/trials.csv)
[ -f "$best" ] || fail "no checkpoint of the bf16 trial"
"$gridfold" evaluate "$best" --dataset tiles.safetensors --split val >evaluate.log 2>&1 || fail "evaluate: $(tail -3 evaluate.log)"
"$gridfold" predict "$best" "$(find tiles/sentinel -name '*.tif' | sort | sed -n 1p)" probability.tif >predict.log 2>&1 || fail "predict: $(tail -3 predict.log)"
[ -s probability.tif ] || fail "no prediction"
echo "bf16: inside the spread of fp32; same bytes; evaluates; refused where it is not"
