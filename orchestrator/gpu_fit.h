// Whether trials fit into a GPU's memory, so many at a time, before any is run.
#ifndef GRIDFOLD_ORCHESTRATOR_GPU_FIT_H
#define GRIDFOLD_ORCHESTRATOR_GPU_FIT_H

#include "orchestrator/plan.h"

enum gpu_source {
    GPU_SOURCE_NONE,    // no GPU here, and no setting: nothing can be checked
    GPU_SOURCE_SETTING, // device-memory-gib
    GPU_SOURCE_HERE,    // free on the GPU of this host that has the least
};

struct gpu_room {
    enum gpu_source source;
    double bytes;
    char where[160]; // "free on NVIDIA H100 80GB HBM3 (GPU-8932f937-...)", "given by device-memory-gib"
};

// Asks CUDA where there is no setting, by a process of its own (worker/devices.h).
void gpu_room_find(const struct sweep *sweep, struct gpu_room *room);

// What one trial needs; 0: it is not trained by CUDA.
double gpu_fit_need(const struct plan_trial *trial);
// The trial that needs the most; -1: none needs any.
int gpu_fit_largest(const struct plan *plan);
// How many trainers of this trial the room holds.
int gpu_fit_count(const struct plan_trial *trial, const struct gpu_room *room);

// STATUS_INVALID when more than one trainer is to share a GPU and a trial that would fit alone does not fit so many
// times. A trial that does not fit alone either is no reason: it gets its row like others that fail.
NODISCARD enum status gpu_fit_check(const struct plan *plan, const struct gpu_room *room, struct error *err);
// The same for a run, of trials that share GPUs: memory of trainers that have just ended is waited for a little.
NODISCARD enum status gpu_fit_check_run(const struct plan *plan, struct error *err);

#endif
