// The backend's small device memory: results that the host reads, numbers that it writes, and what kernels leave for
// one another. Plain data; the same on the host and on the device. Internal to model/cuda.
#ifndef GRIDFOLD_MODEL_CUDA_WORKSPACE_H
#define GRIDFOLD_MODEL_CUDA_WORKSPACE_H

#include "model/backend.h"
#include "model/sample_cut.h"

enum { WORKSPACE_COUNTERS = 8192, LOSS_BLOCKS = 64, LOSS_SUMS = 6, SQUARE_BLOCKS = 1024 };

// One optimizer step, worked out: p = shrink p - size m / (root sqrt(v) + epsilon) for AdamW, with the gradient times
// `clip` everywhere.
struct cuda_update {
    float lr, momentum, weight_decay;  // SGD
    float beta1, take1, beta2, take2;  // AdamW: take = 1 - beta
    float shrink, size, root, epsilon; // 1 - lr wd, lr / (1 - beta1^t), 1 / sqrt(1 - beta2^t)
    float clip;                        // 1: gradients as they are
    int first;                         // SGD: there is no velocity yet
    int skip;                          // leave everything as it is
};

struct cuda_sample {     // device memory
    const float *image;  // (T, C, height, width)
    const uint8_t *mask; // (height, width)
    int height, width;
};

// Where a stretch of steps stands (resident.h).
struct cuda_stretch {
    int next_cut, step; // advanced by the kernel that ends a step
    int64_t optimizer_steps;
    double lr;
    int halted; // loss or norm was not finite
};

struct cuda_workspace {
    // Blocks that have finished, by tile of channels (batch norm); all counters are zero between kernels.
    unsigned counters[WORKSPACE_COUNTERS];
    unsigned loss_counter, square_counter;
    double loss_partial[LOSS_BLOCKS][LOSS_SUMS];
    double loss_parts[COLLECTIVES_MAX_MEMBERS][LOSS_SUMS]; // of a group's members
    double square_partial[SQUARE_BLOCKS];
    struct loss_sums loss; // of the last batch
    float counted_pixels;
    double squares; // of the last sum_squares
    struct cuda_update update;
};

#endif
