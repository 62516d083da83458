// The reference kernels: naive loops on plain row-major (N,C,H,W) tensors, one function a direction and operation.
//
// They are generic over `real`: the backend compiles them for float, the gradient test compiles the very same loops for
// double and compares them with finite differences. Sums run in double either way. Internal to the reference backend
// and its test; any thread.
#ifndef GRIDFOLD_MODEL_REFERENCE_KERNELS_H
#define GRIDFOLD_MODEL_REFERENCE_KERNELS_H

#include <stddef.h>

#include "model/backend.h"

#ifndef REFERENCE_REAL
#define REFERENCE_REAL float
#endif
typedef REFERENCE_REAL real;

// struct op_args over `real`.
struct kernel_args {
    const real *input[OP_MAX_INPUTS];
    real *output[OP_MAX_OUTPUTS];
    const real *output_grad[OP_MAX_OUTPUTS];
    real *input_grad[OP_MAX_INPUTS];
    bool accumulate[OP_MAX_INPUTS];
    const real *param[OP_MAX_PARAMS];
    real *param_grad[OP_MAX_PARAMS];
    real *buffer[OP_MAX_BUFFERS];
    void *saved, *scratch;
    bool training;
};

typedef void kernel_function(const struct op_desc *d, const struct kernel_args *a);
struct kernel_pair {
    kernel_function *forward, *backward;
};
struct kernel_pair kernels_of(enum op_kind kind);

// Bytes that live from forward to backward, and bytes used within one call.
size_t kernel_saved_bytes(const struct op_desc *d);
size_t kernel_scratch_bytes(const struct op_desc *d);

kernel_function conv2d_forward, conv2d_backward;
kernel_function conv_transpose2d_forward, conv_transpose2d_backward;
kernel_function batchnorm_forward, batchnorm_backward;
// In parts, with the statistics of several batches between them: sums[C] of this one (struct channel_sums), and the
// rest from those of all. `absent`: the rest is the running statistics alone, or nothing.
void batchnorm_moments(const struct op_desc *d, const struct kernel_args *a, struct channel_sums *sums);
void batchnorm_finish(const struct op_desc *d, const struct kernel_args *a, const struct channel_sums *sums,
                      bool absent);
void batchnorm_gradient_sums(const struct op_desc *d, const struct kernel_args *a, struct channel_sums *sums);
void batchnorm_gradient(const struct op_desc *d, const struct kernel_args *a, const struct channel_sums *own,
                        const struct channel_sums *sums);
kernel_function maxpool2d_forward, maxpool2d_backward;
kernel_function upsample2d_forward, upsample2d_backward;
kernel_function temporal_max_forward, temporal_max_backward;
kernel_function temporal_mean_forward, temporal_mean_backward;
kernel_function lstm_cell_forward, lstm_cell_backward;

// See backend_ops.focal_loss.
void kernel_focal_loss(struct shape shape, const real *logits, const uint8_t *mask,
                       const struct focal_loss_config *config, real *dlogits, struct loss_sums *sums);
// The same in parts: pixels that count; the loss as a sum, and a gradient divided by `counted`.
int64_t kernel_counted_pixels(struct shape shape, const uint8_t *mask);
void kernel_focal_sums(struct shape shape, const real *logits, const uint8_t *mask,
                       const struct focal_loss_config *config, int64_t counted, real *dlogits, struct loss_sums *sums);

// See backend_ops: arithmetic over flat arenas (optimizer.c).
double kernel_sum_squares(size_t n, const real *x);
void kernel_sgd_step(size_t n, const struct sgd_config *config, const float *grad, const struct optimizer_state *from,
                     const struct optimizer_state *to);
void kernel_adamw_step(size_t n, const struct adamw_config *config, const float *grad,
                       const struct optimizer_state *from, const struct optimizer_state *to);

static inline ptrdiff_t plane_size(struct shape s) {
    return (ptrdiff_t)s.h * s.w;
}

static inline ptrdiff_t element_count(struct shape s) {
    return (ptrdiff_t)s.n * s.c * s.h * s.w;
}

// Offset of row (n, c, y).
static inline ptrdiff_t row_at(struct shape s, int n, int c, int y) {
    return (((ptrdiff_t)n * s.c + c) * s.h + y) * s.w;
}

static inline void store(real *to, double value, bool accumulate) {
    *to = (real)(accumulate ? *to + value : value);
}

#endif
