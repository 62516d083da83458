#!/usr/bin/env bash
# sweeps/search.ini on a small model, with the real trainer: successive halving comes to the same decisions and the same bytes from one process, three and
# five ranks, and from a run that is killed again and again; what runs to its end has the bytes that it has in a grid; run-cap and retry-failed.
# usage: asha.sh GRIDFOLD SOURCE_DIR
set -euo pipefail
gridfold=$1 source=$2
short=${TEST_EPOCHS:+4} # with sanitizers: one number of ranks less, two kills, the second after so many seconds, and no whole grid beside it
. "$source/tests/end_to_end/place.sh"

"$gridfold" synth tiles --samples 14 --test 2 >/dev/null
"$gridfold" import tiles tiles.safetensors >/dev/null
settings=(dataset=tiles.safetensors threads=1 folds.count=2 "random search.folds=all" "random search.points=9" "random search.lstm-hidden-dim=8, 16"
    "config baseline.lstm-hidden-dim=8" epochs=5 first-rung=1 reduction-factor=2 image-size=32 encoder-width=8 decoder-channels=16,16,16,16,16 lstm-layers=1)

run() { # OUTPUT [LAUNCHER...] [-- key=value...]
    local output=$1 launcher=() more=()
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do launcher+=("$1") && shift; done
    [ $# -gt 0 ] && shift && more=("$@")
    "${launcher[@]}" "$gridfold" run "$source/sweeps/search.ini" "${settings[@]}" "${more[@]}" "output=$output" >"$output.log" 2>&1
}

same() { # A B
    for file in epochs.csv trials.csv folds.csv; do
        cmp "$1/$file" "$2/$file" || fail "$2/$file is not $1/$file"
    done
    [ "$(cd "$1" && find trials -type f | sort)" = "$(cd "$2" && find trials -type f | sort)" ] || fail "$2/trials has other files than $1/trials"
    local file
    while read -r file; do
        cmp "$1/$file" "$2/$file" || fail "$2/$file differs"
    done < <(cd "$1" && find trials -type f)
}

count() { # RUN STATUS
    awk -F, -v s="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "status") c = i } $c == s { n++ } END { print n + 0 }' "$1/trials.csv"
}

# 9 configurations on two folds: 4, then 2, then 1 go on; the winner's two trials are those of [config optimized].
run one || fail "one process: $(tail -3 one.log)"
[ "$(count one stopped)" -eq 16 ] || fail "$(count one stopped) rows are stopped, not 16"
[ "$(count one done)" -eq 6 ] || fail "$(count one done) rows are done, not 6"
[ "$(grep -c 'at rung 1 of 4: not among the best 4 of 9' one/trials.csv)" -eq 10 ] || fail "not 10 trials stopped at rung 1"
[ "$(grep -c 'at rung 2 of 4: not among the best 2 of 4' one/trials.csv)" -eq 4 ] || fail "not 4 trials stopped at rung 2"
[ "$(grep -c 'at rung 3 of 4: not among the best 1 of 2' one/trials.csv)" -eq 2 ] || fail "not 2 trials stopped at rung 3"
[ "$(($(wc -l <one/epochs.csv) - 1))" -eq $((2 * (9 * 1 + 4 * 1 + 2 * 2 + 1 * 1) + 2 * 5)) ] || fail "$(wc -l <one/epochs.csv) lines in epochs.csv"
grep -q 'at most 36 epochs, 40.0 % of the 90' <<<"$("$gridfold" plan "$source/sweeps/search.ini" "${settings[@]}")" || fail "plan does not say what the rungs cost"

# Any number of ranks.
run three mpi -np 3 || fail "three ranks: $(tail -3 three.log)"
same one three
if [ -z "$short" ]; then
    run five mpi -np 5 || fail "five ranks: $(tail -3 five.log)"
    same one five
fi

# Killed outright, everything of it, later and later; with another number of ranks at each start.
kills=0
for delay in 1.2 ${short:-1.6 2 2.5 3}; do
    ranks=$((2 + kills % 3))
    code=0
    mark=$work/$kills
    GRIDFOLD_ASHA_TEST=$mark setsid mpirun --oversubscribe --bind-to none -np $ranks "$gridfold" run "$source/sweeps/search.ini" "${settings[@]}" output=killed \
        >killed.log 2>&1 </dev/null &
    sleep "$delay"
    for pid in $(grep -lsaF "GRIDFOLD_ASHA_TEST=$mark" /proc/[0-9]*/environ 2>/dev/null | cut -d / -f 3); do kill -KILL "$pid" 2>/dev/null || true; done
    wait $! 2>/dev/null || code=$?
    [ "$code" -eq 0 ] && break
    kills=$((kills + 1))
    [ -f killed/trials.csv ] && [ "$(wc -l <killed/trials.csv)" -gt 1 ] && "$gridfold" status killed >/dev/null
done
run killed mpi -np 2 || fail "after $kills kills: $(tail -3 killed.log)"
same one killed

# Everyone who reads runs knows of stopped trials.
"$gridfold" verify one >verify.log || fail "verify: $(cat verify.log)"
cp -r one other && sed -i 's/^reduction-factor = 2/reduction-factor = 3/' other/sweep.ini
if "$gridfold" verify other >verify.log; then fail "verify: decisions that do not follow from the epochs were not seen"; fi
grep -q 'is stopped after 2 epochs, but by the epochs of its section after 3' verify.log || fail "verify says: $(cat verify.log)"
"$gridfold" status one >status.log
grep -q '20 trials: 4 done, 16 stopped early, 0 failed' status.log || fail "status says: $(head -1 status.log)"
grep -q '; complete$' status.log || fail "status does not take the run for complete"
[ "$("$gridfold" trials one --filter 'status = stopped' --csv | wc -l)" -eq 17 ] || fail "trials does not list the stopped"
grep -q 'over 2 folds' <<<"$("$gridfold" best one)" || fail "best: $("$gridfold" best one | head -3)"
"$gridfold" export one --optuna journal.log >/dev/null
[ "$(grep -c '"state":2\|"state": 2' journal.log)" -eq 16 ] || fail "the journal has not 16 pruned trials"
grep -q 'stopped after 1 epoch at rung 1 of 4: not among the best 4 of 9' one/report/report.md || fail "the report does not say where trials were stopped"

# In a grid the trial that ran to its end has the same bytes, and so has the part of a stopped one that was trained.
if [ -z "$short" ]; then
    run grid -- method=grid || fail "as a grid: $(tail -3 grid.log)"
    [ "$(count grid done)" -eq 22 ] || fail "a grid stops trials"
    for trial in $(awk -F, '/,done,/ { print $1 }' one/trials.csv | sort -u); do
        cmp "one/trials/$trial/last.safetensors" "grid/trials/$trial/last.safetensors" || fail "trial $trial differs from a grid's"
        cmp "one/trials/$trial/best.safetensors" "grid/trials/$trial/best.safetensors" || fail "trial $trial differs from a grid's"
    done
    [ "$(grep -cxFf grid/epochs.csv one/epochs.csv)" -eq "$(wc -l <one/epochs.csv)" ] || fail "epochs differ from a grid's"
fi

# A folder of asha is no grid's, and rungs are not changed under way.
if run one -- first-rung=2; then fail "other rungs were let into the folder"; fi
grep -q "another sweep" one.log || fail "the refusal says: $(cat one.log)"

# run-cap: whole configurations, then more of the same.
run capped -- method=random epochs=2 run-cap=7 || fail "run-cap: $(tail -3 capped.log)"
grep -q '6 of 20 trials done, 14 left out by run-cap = 7' capped.log || fail "run-cap says: $(tail -1 capped.log)"
grep -q '14 left out by run-cap = 7' <<<"$("$gridfold" status capped)" || fail "status of a capped run"
cp capped/trials.csv six.csv
run capped mpi -np 3 -- method=random epochs=2 run-cap=10 || fail "a larger run-cap: $(tail -3 capped.log)"
[ "$(count capped done)" -eq 10 ] && [ "$(grep -cxFf six.csv capped/trials.csv)" -eq 7 ] || fail "a larger run-cap does not add to the smaller"

echo "asha: one process, several ranks, $kills kills"
