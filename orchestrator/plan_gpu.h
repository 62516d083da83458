// What `gridfold plan` says of a GPU's memory.
#ifndef GRIDFOLD_ORCHESTRATOR_PLAN_GPU_H
#define GRIDFOLD_ORCHESTRATOR_PLAN_GPU_H

#include <stdio.h>

#include "orchestrator/gpu_fit.h"

// Whether it is to be said: a GPU is here, or the sweep speaks of one, and not only of "auto".
bool plan_gpu_wanted(const struct plan *plan, const struct gpu_room *room);
// The largest trial, part by part; how many fit into what there is, or that nothing could be checked; and every
// configuration that does not fit.
void plan_gpu_print(const struct plan *plan, const struct gpu_room *room, FILE *out);

#endif
