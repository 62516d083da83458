#!/usr/bin/env bash
# The remote shell for hosts that run gridfold in an Apptainer image: as ssh, but what is started there is started in the image.
#     GRIDFOLD_IMAGE=/shared/gridfold.sif apptainer run gridfold.sif launch --hostfile hosts.txt --remote-shell /shared/container_shell.sh sweeps/phase1.ini
# The image, the sweep file, the dataset and the output folder must have the same path on every host, outside and in the image.
set -euo pipefail
host=$1
shift
command=$(printf '%q ' bash -c "$*")
exec ssh -o BatchMode=yes -o ConnectTimeout=5 "$host" "apptainer exec --bind $(printf '%q' "$PWD") $(printf '%q' "$GRIDFOLD_IMAGE") $command"
