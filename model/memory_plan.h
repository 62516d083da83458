// Where every tensor of a program lies in one arena, from liveness on a static timeline.
//
// With N nodes, node i runs forward at time i, the loss at time N, node i's backward pass at time 2N - i. A tensor
// lives from its first write to its last read; tensors that never live at the same time may share bytes. Placement is
// greedy best fit, largest first (Pisarchyk and Lee 2020, "Efficient memory management for deep neural net inference",
// greedy by size). Needs no device: sizes are the caller's.
#ifndef GRIDFOLD_MODEL_MEMORY_PLAN_H
#define GRIDFOLD_MODEL_MEMORY_PLAN_H

#include "model/graph.h"

struct memory_plan_sizes {
    const size_t *storage; // bytes of each storage; its gradient takes as many
    const size_t *saved;   // bytes that each node keeps from forward to backward
    size_t scratch;        // bytes for the node that is running
};

// Byte offsets into the arena, multiples of MEMORY_PLAN_ALIGNMENT; MEMORY_PLAN_NONE where nothing is needed.
enum { MEMORY_PLAN_ALIGNMENT = 256 };
#define MEMORY_PLAN_NONE ((size_t)-1)

typedef struct memory_plan memory_plan;
struct memory_plan {
    size_t *storage;  // [storage_count]
    size_t *gradient; // [storage_count]
    size_t *saved;    // [node_count]
    size_t scratch;
    size_t bytes; // of the arena
};

// `training` false: the forward pass alone, nothing kept. STATUS_MEMORY. Destroy with memory_plan_destroy (NULL is
// fine).
NODISCARD enum status memory_plan_create(const graph *g, bool training, const struct memory_plan_sizes *sizes,
                                         memory_plan **plan, struct error *err);
void memory_plan_destroy(memory_plan *plan);

#endif
