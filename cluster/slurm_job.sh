#!/usr/bin/env bash
# What a Slurm job of gridfold does; called by one_node.sbatch and many_nodes.sbatch, which say what it is given.
# usage: slurm_job.sh SWEEP.ini [key=value ...]
# GRIDFOLD: the binary; else build/release/gridfold beside this folder. GRIDFOLD_LAUNCH: more options for gridfold launch.
set -u
gridfold=${GRIDFOLD:-$(dirname "$(realpath "$0")")/../build/release/gridfold}

# Slurm before 23.02 does not say when the job ends.
if [ -z "${SLURM_JOB_END_TIME:-}" ]; then
    end=$(date -d "$(squeue --noheader --jobs "$SLURM_JOB_ID" --format %e)" +%s 2>/dev/null) && export SLURM_JOB_END_TIME=$end
fi

# USR1 comes from --signal some time before the end, TERM when Slurm takes the job away: requeued or cancelled is then its own business.
taken=0
trap 'kill -USR1 "$launcher"' USR1 USR2
trap 'taken=1; kill -TERM "$launcher"' TERM
echo "$(date -Is) job $SLURM_JOB_ID on $SLURM_JOB_NODELIST, start $((${SLURM_RESTART_COUNT:-0} + 1))"
# shellcheck disable=SC2086
"$gridfold" launch ${GRIDFOLD_LAUNCH:-} "$@" &
launcher=$!
code=129
while [ "$code" -gt 128 ]; do # a signal ends the waiting, not the launcher
    wait "$launcher"
    code=$?
    kill -0 "$launcher" 2>/dev/null || break
done
trap - USR1 USR2 TERM
echo "$(date -Is) gridfold launch: exit code $code"
if [ "$code" -eq 75 ] && [ $taken -eq 0 ]; then
    scontrol requeue "$SLURM_JOB_ID"
    sleep 60 # Slurm ends this job now; leaving by ourselves would end it for good
fi
exit "$code"
