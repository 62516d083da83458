#!/usr/bin/env bash
# What surrounds a training step of the full model: import, start to first step, epochs, checkpoints, evaluation, prediction. Prints Markdown.
# usage: run.sh BUILD_FOLDER [OTHER_BUILD_FOLDER]        (build/release, built with the tests; two of them are measured in turn)
#   PARTS="import start epochs checkpoints predict"    what to do
#   RUNS=5  HIDDEN=256  THREADS=2  EPOCHS=6  CHECKPOINT_SECONDS=40  CHECKPOINT_EPOCHS=30  SCENE=512 (pixels a side)    of the parts
# An idle machine is wanted, and gdal_translate for the scene. Files go to a folder below TMPDIR (/tmp), which should be on a disk.
set -euo pipefail
here=$PWD builds=("$@")
parts=${PARTS:-import start epochs checkpoints predict} runs=${RUNS:-5} scene=${SCENE:-512}
common=(--hidden "${HIDDEN:-256}" --threads "${THREADS:-2}")
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-10000} # as the trainer is started
[ ${#builds[@]} -ge 1 ] || { sed -n '3p' "$0"; exit 2; }
work=$(mktemp -d "${TMPDIR:-/tmp}/gridfold-around-XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"
for i in "${!builds[@]}"; do [[ ${builds[i]} == /* ]] || builds[i]=$here/${builds[i]}; done
gridfold=${builds[0]}/gridfold

now() { date +%s.%N; }
note() { # BUILD NAME NUMBER
    echo "$3" >>"$1.$2"
}
bench() { # BUILD NUMBER [OPTION...]: every line of the benchmark is noted
    local b=$1 name value
    shift
    rm -rf trial
    BEGAN=$(now) "${builds[b]}/bench_around" tiles.safetensors trial "${common[@]}" "$@" >lines
    while read -r name value; do note "$b" "$name" "$value"; done <lines
}
cell() { # BUILD NAME: median (least .. most) of what was noted
    [ -s "$1.$2" ] || { echo "|"; return; }
    sort -n "$1.$2" | awk '{ x[NR] = $1 } END { printf "| %s (%s .. %s) ", x[int((NR + 1) / 2)], x[1], x[NR] }'
}
row() { # NAME WHAT
    local line="| $2 " b
    ls -- *".$1" >/dev/null 2>&1 || return 0
    for b in "${!builds[@]}"; do line+=$(cell "$b" "$1"); done
    echo "$line |"
}

"$gridfold" synth tiles >/dev/null
"$gridfold" import tiles tiles.safetensors >/dev/null
if [[ $parts == *import* ]]; then
    for ((i = 0; i < runs; i++)); do
        for b in "${!builds[@]}"; do
            began=$(now)
            "${builds[b]}/gridfold" import tiles imported.safetensors >/dev/null
            note "$b" import_s "$(awk -v a="$began" -v b="$(now)" 'BEGIN { printf "%.2f", b - a }')"
        done
    done
fi
if [[ $parts == *start* ]]; then
    for ((i = 0; i < runs; i++)); do
        for b in "${!builds[@]}"; do
            bench "$b" --epochs 1
            grep -v first_step_s lines | while read -r name _; do sed -i '$d' "$b.$name"; done # one epoch says nothing of the rest
        done
    done
fi
if [[ $parts == *epochs* ]]; then
    for b in "${!builds[@]}"; do
        bench "$b" --epochs "${EPOCHS:-6}"
        rm -f "$b".quiet_* # of the checkpoints' part alone
    done
fi
if [[ $parts == *checkpoints* ]]; then
    for b in "${!builds[@]}"; do
        bench "$b" --epochs "${CHECKPOINT_EPOCHS:-30}" --checkpoint-seconds "${CHECKPOINT_SECONDS:-40}"
        for name in step_ms peak_mib; do [ -e "$b.$name" ] && mv "$b.$name" "$b.beside_$name"; done
    done
fi
if [[ $parts == *predict* ]]; then
    tile=$(find tiles/sentinel -name '*.tif' | sort | sed -n 1p)
    gdal_translate -q -r bilinear -outsize "$scene" "$scene" "$tile" scene.tif
    [ -e trial/best.safetensors ] || bench 0 --epochs 1
    for b in "${!builds[@]}"; do
        began=$(now)
        "${builds[b]}/gridfold" predict trial/best.safetensors scene.tif map.tif --threads "${THREADS:-2}" >/dev/null 2>&1
        note "$b" predict_megapixels_s "$(awk -v a="$began" -v b="$(now)" -v n="$scene" 'BEGIN { printf "%.4f", 1e-6 * n * n / (b - a) }')"
    done
fi

echo "$(nproc) cores of $(sed -n 's/^model name[^:]*: //p;T;q' /proc/cpuinfo), load $(cut -d' ' -f1 /proc/loadavg), $(date -u +%F); hidden ${HIDDEN:-256}, ${THREADS:-2} threads"
echo
echo "| what | ${builds[*]} |" | sed "s| /| \\| /|2g"
echo "| --- |$(printf ' --- |%.0s' "${builds[@]}")"
row import_s "import of 53 tiles, s"
row first_step_s "start of the process to the end of its first step, s"
row step_ms "a step, ms"
row epoch_s "an epoch, s"
row epoch_overhead_ms "what of it is neither step nor validation, ms"
row evaluation_megapixels_s "validation, megapixels a second"
row peak_mib "memory without a checkpoint under way, MiB"
row checkpoints "checkpoints written while steps were taken"
row checkpoint_seconds "a checkpoint from beginning to end, s (median)"
row quiet_steps "steps while none is written"
row beside_step_ms "such a step, ms (median)"
row quiet_longest_ms "the longest of them, ms"
row quiet_waited_ms "what their threads together waited for a processor, ms a step (mean)"
row quiet_waited_most_ms "the most of it, ms"
row quiet_stolen_ms "what the hypervisor took of all cores, ms a step (mean)"
row checkpoint_steps "steps while one is written, or memory is made for the first"
row checkpoint_disturbed_step_ms "such a step, ms (median)"
row checkpoint_longest_step_ms "the longest of a checkpoint, ms (median of the checkpoints)"
row checkpoint_longest_ms "the longest of them, ms"
row checkpoint_waited_ms "what their threads together waited for a processor, ms a step (mean)"
row checkpoint_waited_most_ms "the most of it, ms"
row checkpoint_stolen_ms "what the hypervisor took of all cores, ms a step (mean)"
row checkpoint_writer_most_ms "the most that the writer's thread ran in one of them, ms"
row checkpoint_delay_ms "all steps of a checkpoint together later by, ms (median)"
row beside_peak_mib "memory with checkpoints, MiB"
row predict_megapixels_s "predict, $scene x $scene pixels, start and all, megapixels a second"
