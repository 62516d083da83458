// The network's own structure, shared by network.c (steps), network_state.c (state dict, snapshot) and network_init.c
// (initialisation).
#ifndef GRIDFOLD_MODEL_NETWORK_PRIVATE_H
#define GRIDFOLD_MODEL_NETWORK_PRIVATE_H

#include "model/executor.h"
#include "model/network.h"

enum { ARENA_COUNT = 4, ARENA_GRANULE = 16 }; // every slice begins at a multiple of 64 bytes

// A tensor of the state dict and where it lives: consecutive slices from parameter `first` on, or buffer `first`.
struct state_tensor {
    struct network_tensor info;
    int first, slices;
    enum param_init init;
    int64_t fan_in, fan_out;
    float initial;          // buffers
    size_t snapshot_offset; // floats
};

struct compiled {
    int batch;
    bool training;
    graph *g;
    program *p;
};

struct network {
    backend *b;
    struct lstm_unet_config config;
    graph *g; // of the largest batch

    param_layout **param_layouts, **buffer_layouts;
    size_t *param_offsets, *buffer_offsets; // floats
    size_t param_floats, buffer_floats;     // of a whole arena, padding included
    float *arenas[ARENA_COUNT];             // backend memory, by enum network_arena; NULL until needed
    float *buffer_arena;
    float **params, **grads, **buffers; // addresses for program_bind

    struct state_tensor *tensors;
    int tensor_count;
    size_t state_count; // floats of all tensors

    struct compiled *programs;
    int program_count, program_room;
    void *arena; // shared by the programs
    size_t arena_bytes;

    float *staging; // host: one batch of frames, or one slice of a parameter
    float *snapshot;
    bool has_snapshot, write_failed;
    int64_t steps_taken;
};

// network_state.c
NODISCARD enum status network_list_tensors(struct network *net, struct error *err);
size_t network_largest_slice(const struct network *net); // floats
// Allocates an arena (zeroed) unless it is there.
NODISCARD enum status network_ensure_arena(struct network *net, enum network_arena arena, struct error *err);
void network_forget_snapshot(struct network *net);

#endif
