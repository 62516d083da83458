// What the sources of the CUDA backend share. Internal to model/cuda.
//
// cuDNN runs the convolutions (convolution.h); every other operation is ours (kernels.h). All work of a backend goes to
// one stream, in order; a group's sums of gradients run beside it (group.h).
//
// Layouts. A value (N,C,H,W) is NHWC, frames outermost, its channels padded with zeros to a multiple of 8: float, or
// bf16 where the precision is PRECISION_BF16; gradients of values likewise. The `float *` of backend.h is then an
// opaque pointer, and activation_floats counts in floats what the elements take. Parameters, their gradients and
// moments are always float (convolutions in bf16 read a copy of the parameters and
// write gradients behind the float ones: params.c): convolution weights KRSC =
// [Co][k][k][Ci] with both channel counts padded, weights of transposed convolutions [Ci][2][2][Co] (the same thing
// seen from cuDNN's data gradient, whose K is our Ci), vectors padded. What begins anywhere begins at a multiple of 16
// bytes at least, which is what vector loads and cuDNN's plans count on.
#ifndef GRIDFOLD_MODEL_CUDA_CUDA_BACKEND_H
#define GRIDFOLD_MODEL_CUDA_CUDA_BACKEND_H

#include <cuda_runtime_api.h>

#include "model/backend.h"
#include "model/cuda/kernels.h"

enum { CUDA_CHANNEL_BLOCK = 8 };

typedef struct cudnn_engine cudnn_engine; // convolution.h
struct cuda_group;                        // group.h
struct cuda_params;                       // params.c

struct cuda_backend {
    backend base;
    int device;
    cudaStream_t stream;
    enum precision precision;
    cudnn_engine *cudnn;
    struct cuda_group *group;    // NULL: alone
    struct cuda_params *params;  // with bf16: memory of parameters and gradients
    struct cuda_casts unsettled; // weight gradients that are there in bf16 alone (gradients.c)
    char device_name[64];

    // The first failure of a function that has no way to say so (zero, copy, imports, optimizers); every fallible
    // function asks for it first. `failure.status` is STATUS_OK while there is none.
    struct error failure;

    void *staging; // page-locked host memory, for copies from and to the host
    size_t staging_bytes;
    struct cuda_workspace *workspace; // small device memory of the backend's own kernels (workspace.h)
    uint8_t *mask;                    // of one batch, in device memory; grows
    size_t mask_bytes;
};

static inline struct cuda_backend *cuda_backend_of(backend *b) {
    return (struct cuda_backend *)b;
}

static inline int cuda_padded(int64_t channels) {
    return (int)((channels + CUDA_CHANNEL_BLOCK - 1) / CUDA_CHANNEL_BLOCK * CUDA_CHANNEL_BLOCK);
}

static inline size_t cuda_element_bytes(const struct cuda_backend *b) {
    return b->precision == PRECISION_BF16 ? 2 : 4;
}

// Elements of a value, padding included.
static inline size_t cuda_value_elements(struct shape s) {
    return (size_t)s.n * (size_t)s.h * (size_t)s.w * (size_t)cuda_padded(s.c);
}

// A CUDA code as a status: cudaErrorMemoryAllocation is STATUS_MEMORY, anything else STATUS_INTERNAL. `what` is what
// was tried, in words: "reading the loss".
NODISCARD enum status cuda_status(cudaError_t code, const char *what, struct error *err);

// For functions that return nothing: keeps the first failure in b->failure.
void cuda_note(struct cuda_backend *b, cudaError_t code, const char *what);

#endif
