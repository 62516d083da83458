#!/usr/bin/env bash
# The remote shell for hosts that run gridfold in an image: as ssh, but what is started there is started in the image.
#     GRIDFOLD_IMAGE=/shared/gridfold.sif apptainer run gridfold.sif launch --hostfile hosts.txt --remote-shell /shared/container_shell.sh sweeps/phase1.ini
# The image, the sweep file, the dataset and the output folder must have the same path on every host, outside and in the image.
# With another engine than Apptainer GRIDFOLD_CONTAINER is what stands before a command to run it in the image there (cluster/README.md):
#     GRIDFOLD_CONTAINER="podman run --rm --network host --entrypoint= -v /shared:/shared -w /shared gridfold"
set -euo pipefail
host=$1
shift
command=$(printf '%q ' bash -c "$*")
container=${GRIDFOLD_CONTAINER:-"apptainer exec --bind $(printf '%q' "$PWD") $(printf '%q' "${GRIDFOLD_IMAGE:?names the image}")"}
exec ssh -o BatchMode=yes -o ConnectTimeout=5 "$host" "$container $command"
