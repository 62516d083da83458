// The network's own structure, shared by network.c (steps), network_gradient.c (backward, in a group), network_state.c
// (state dict, snapshot) and network_init.c (initialisation).
#ifndef GRIDFOLD_MODEL_NETWORK_PRIVATE_H
#define GRIDFOLD_MODEL_NETWORK_PRIVATE_H

#include "model/executor.h"
#include "model/network.h"
#include "model/resident.h"

enum { ARENA_COUNT = 4, ARENA_GRANULE = 16 }; // every slice begins at a multiple of 64 bytes

// A tensor of the state dict and where it lives: consecutive slices from parameter `first` on, or buffer `first`.
struct state_tensor {
    struct network_tensor info;
    int first, slices;
    enum param_init init;
    int64_t fan_in, fan_out;
    float initial; // buffers
};

struct compiled {
    struct resident_batch batch;
    bool training;
    graph *g;
    program *p;
    size_t *final_from;  // by node: gradients that lie here or later are final once it has run backward; or NULL
    bool has_run;        // a step with samples that the backend holds
    recording *recorded; // such a step; NULL: not yet
    bool replayed;       // it is: it fits, and in a group everyone has one
    bool unrecordable;   // each step is handed over call by call
    struct optimizer_config recorded_with;
};

struct network {
    backend *b;
    struct lstm_unet_config config;
    graph *g;                           // of the largest batch
    const struct collectives *host;     // what the members do together in host memory; NULL: alone
    const struct collectives *together; // the same in backend memory
    int members;                        // of them; 0: alone
    bool together_statistics;           // batch norm's too

    param_layout **param_layouts, **buffer_layouts;
    size_t *param_offsets, *buffer_offsets; // floats
    size_t param_floats, buffer_floats;     // of a whole arena, padding included
    float *arenas[ARENA_COUNT];             // backend memory, by enum network_arena; NULL until needed
    network_frozen *freezing; // takes the arenas that the next optimizer step leaves, and gives its own; NULL: nobody
    float *buffer_arena;
    float **params, **grads, **buffers; // addresses for program_bind

    struct state_tensor *tensors;
    int tensor_count;

    struct compiled *programs;
    int program_count, program_room;
    void *arena; // shared by the programs
    size_t arena_bytes;
    resident *samples;       // NULL: the host brings every batch
    struct error unrecorded; // why a step could not be recorded; STATUS_OK: none

    float *staging;                            // host: one batch of frames
    float *slice;                              // host: one slice of a parameter (network_largest_slice)
    bool slice_touched;                        // since network_release_slice
    float *snapshot_params, *snapshot_buffers; // backend memory, laid out as the arenas; NULL until needed
    bool has_snapshot, write_failed;
    struct network_profile *profile, unread; // the caller's, or our own that nobody reads
    int64_t steps_taken;
};

// network.c: the program for this batch, compiled when it is first asked for: of its own samples, or of one where it
// has none, which then knows whom to take part with. Valid until the next call.
NODISCARD enum status network_find_program(struct network *net, struct resident_batch batch, bool training,
                                           struct compiled **c, struct error *err);
struct shape network_logits_shape(const struct network *net, int batch);
void network_bind_programs(struct network *net); // to the arenas, after one has moved

// network_gradient.c: this member's part of the gradients, and the sum of all parts.
NODISCARD enum status network_backward(struct network *net, const struct compiled *c, double *seconds,
                                       struct error *err);
// For a program whose sums begin before its backward pass is over.
NODISCARD enum status network_plan_gradient(const struct network *net, struct compiled *c, struct error *err);

// network_resident.c: recorded steps know addresses; forget them when an arena moves.
void network_forget_recordings(struct network *net);

// network_state.c
NODISCARD enum status network_list_tensors(struct network *net, struct error *err);
size_t network_largest_slice(const struct network *net); // floats
// Allocates an arena (zeroed) unless it is there.
NODISCARD enum status network_ensure_arena(struct network *net, enum network_arena arena, struct error *err);
void network_place_arena(struct network *net, enum network_arena arena, float *memory); // the network's from then on
void network_forget_snapshot(struct network *net);
// Gives the memory of `slice` back to the system until it is written again: reading and writing the state dict needs
// it, and training does not.
void network_release_slice(struct network *net);
size_t network_staging_floats(const struct network *net); // for the rows of a slice in one piece
// Of parameters or moments in one arena and of running statistics in the other, through `staging` where the tensor is
// sliced. Zeros where the arena is NULL: gradients and moments begin so.
void network_export(const struct network *net, const float *arena, const float *buffers,
                    const struct network_piece *piece, float *staging, float *host);
// network_frozen.c: where the next optimizer step writes, and what follows it: the arenas are there from then on.
float *network_next_arena(const struct network *net, enum network_arena arena);
void network_leave_to_frozen(struct network *net);
// Between backend memory, by all threads where that is the host's.
void network_copy(const struct network *net, float *to, const float *from, size_t floats);

#endif
