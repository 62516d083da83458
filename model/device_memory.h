// What a trial will take of a GPU's memory, from the graph alone: no GPU, no CUDA in the build. It is the CUDA
// backend's account (model/cuda) made beforehand: its layouts, what its kernels keep and its arenas; tests lay the two
// side by side.
#ifndef GRIDFOLD_MODEL_DEVICE_MEMORY_H
#define GRIDFOLD_MODEL_DEVICE_MEMORY_H

#include "model/backend.h"
#include "model/lstm_unet.h"

struct device_memory {   // bytes
    size_t arenas;       // parameters, gradients, moments, the best epoch's parameters; float; with bf16 a
                         // copy of the parameters
    size_t activations;  // the training step's arena: values and their gradients where they live at the same time, what
                         // goes from forward to backward, a weight's gradient in bf16, partial sums
    size_t samples;      // the dataset's tiles and masks, and what stretches of steps read and write
    size_t convolutions; // cuDNN's workspace: the most that a plan may have; 0 where there is no trial
    size_t context;      // CUDA's context, code, allocations rounded up: a constant, not measured
};

// The whole dataset, which lies on the GPU.
struct device_samples {
    int count;
    size_t pixels; // of all tiles
};

// config->batch is the batch of this GPU: with several GPUs a trial, the largest share. STATUS_INVALID, STATUS_MEMORY.
NODISCARD enum status device_memory_estimate(const struct lstm_unet_config *config, enum optimizer_kind optimizer,
                                             enum precision precision, const struct device_samples *samples,
                                             struct device_memory *memory, struct error *err);

size_t device_memory_total(const struct device_memory *memory);

#endif
