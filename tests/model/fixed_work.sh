#!/usr/bin/env bash
# What one training step of fixed_steps costs, in counts: instructions (callgrind), and oneDNN primitives that are run, reorders among them.
# One thread and AVX2, whatever the processor has; the difference of a run of three steps and one of a single step, so that start-up drops out.
# usage: fixed_work.sh FIXED_STEPS
set -euo pipefail
most_instructions=14000000 # 13,392,124 with GCC 12.2 and oneDNN 2.6.3
convolutions=182 most_reorders=60
export DNNL_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=1

instructions() { # FIXED_STEPS STEPS
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$1" "$2" 2>&1 | sed -n 's/^==[0-9]*== Collected : //p'
}
primitives() { # FIXED_STEPS STEPS KIND
    DNNL_VERBOSE=1 "$1" "$2" | grep -c "exec,cpu,$3," || true
}

each=$((($(instructions "$1" 3) - $(instructions "$1" 1)) / 2))
convolved=$((($(primitives "$1" 3 convolution) - $(primitives "$1" 1 convolution)) / 2))
reordered=$((($(primitives "$1" 3 reorder) - $(primitives "$1" 1 reorder)) / 2))
echo "a step: $each instructions (at most $most_instructions), $convolved convolutions ($convolutions), $reordered reorders (at most $most_reorders)"
[ "$each" -gt 0 ] && [ "$each" -le "$most_instructions" ] && [ "$convolved" -eq "$convolutions" ] && [ "$reordered" -le "$most_reorders" ]
