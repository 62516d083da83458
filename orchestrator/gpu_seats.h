// Which GPU each worker's trainers get: trainers-per-gpu of them share one. Internal to the master.
//
// The ranks of a host take its GPUs in the order of their local ranks, so many consecutive ones each (the master, where
// it is among them, is not counted); a rank whose GPU has no room takes the next that has. Where no GPU that it may use
// has room it stays idle. GPUs are told apart by what they physically are (struct message_hello), not by what a rank
// calls them.
#ifndef GRIDFOLD_ORCHESTRATOR_GPU_SEATS_H
#define GRIDFOLD_ORCHESTRATOR_GPU_SEATS_H

#include "worker/protocol.h"

enum gpu_use {
    GPU_USE_NONE,   // trainers are on CPUs
    GPU_USE_USABLE, // the embedded trainer, where CUDA finds any
    GPU_USE_ANY,    // another program, that may be a GPU's: whatever the host says it has
};

struct gpu_rules {
    enum gpu_use use;
    int per_gpu;             // trainers; 0: as many as there are ranks
    const char *master_host; // whose first rank is no worker; "": nobody's. Copied
};

struct gpu_seats;

NODISCARD enum status gpu_seats_create(int workers, const struct gpu_rules *rules, struct gpu_seats **s,
                                       struct error *err);
void gpu_seats_destroy(struct gpu_seats *s);

// Gives a worker that has said hello its GPU, if any; it keeps the one that it has while that is in its list. The
// hello stays where it is for as long as the seats.
void gpu_seats_take(struct gpu_seats *s, int worker, const struct message_hello *hello);
const char *gpu_seats_id(const struct gpu_seats *s, int worker); // what it has; "cpu": none
bool gpu_seats_idle(const struct gpu_seats *s, int worker);      // it should have one, and there is no room
// The first `wanted` entries of CUDA_VISIBLE_DEVICES for a trainer: those of the `count` workers of a place, then of
// the first one's others. "": leave the variable as it is.
void gpu_seats_visible(const struct gpu_seats *s, const int *workers, int count, int wanted,
                       char out[PROTOCOL_GPUS_SIZE]);
// Why the workers of this one's host are idle, in one line; false: none is, or a worker before it says so.
bool gpu_seats_complaint(const struct gpu_seats *s, int worker, char *out, size_t size);

#endif
