// What the kernel sources share: names by instruction set, and the blocked geometry of a shape. Internal to kernel_*.c.
#ifndef GRIDFOLD_MODEL_ONEDNN_KERNEL_COMMON_H
#define GRIDFOLD_MODEL_ONEDNN_KERNEL_COMMON_H

#include <math.h>
#include <string.h>

#include "model/base/bf16.h"
#include "model/onednn/kernels.h"

#define KERNEL_PASTE_(name, isa) name##_##isa
#define KERNEL_PASTE(name, isa)  KERNEL_PASTE_(name, isa)
#define KERNEL(name)             KERNEL_PASTE(name, KERNEL_ISA)
#define ALWAYS_INLINE            static inline __attribute__((always_inline))

enum { BLOCK = KERNEL_BLOCK, CHUNK_PIXELS = 1024 };

// What activations and their gradients are held in. Everything else, parameters' gradients and statistics among it, is
// float, and so is all arithmetic.
#ifdef KERNEL_BF16
typedef uint16_t element;
ALWAYS_INLINE float to_float(element x) {
    return bf16_to_float(x);
}
ALWAYS_INLINE element to_element(float x) {
    return bf16_from_float(x);
}
#else
typedef float element;
ALWAYS_INLINE float to_float(element x) {
    return x;
}
ALWAYS_INLINE element to_element(float x) {
    return x;
}
#endif

// backend.h's float * of an activation, as what it is.
ALWAYS_INLINE const element *elements_of(const float *value) {
    return (const void *)value;
}
ALWAYS_INLINE element *elements_to(float *value) {
    return (void *)value;
}

// A value as planes of [pixels][BLOCK]: plane n * blocks + k holds channels k * BLOCK .. of frame n. Reductions and
// loops go by chunks of at most CHUNK_PIXELS pixels of a plane.
struct planes {
    int frames, blocks, pixels, chunks; // chunks of a plane
};

ALWAYS_INLINE struct planes planes_of(struct shape s) {
    int pixels = s.h * s.w;
    return (struct planes){s.n, (s.c + BLOCK - 1) / BLOCK, pixels, (pixels + CHUNK_PIXELS - 1) / CHUNK_PIXELS};
}

ALWAYS_INLINE int padded_channels(struct planes p) {
    return p.blocks * BLOCK;
}

ALWAYS_INLINE size_t plane_elements(struct planes p) {
    return (size_t)p.pixels * BLOCK;
}

ALWAYS_INLINE size_t value_elements(struct planes p) {
    return (size_t)p.frames * (size_t)p.blocks * plane_elements(p);
}

struct chunk {
    int block;    // of channels
    int pixels;   // in this chunk
    size_t first; // offset in elements from the value's beginning
};

// Chunk number i of frames * blocks * chunks, frames outermost.
ALWAYS_INLINE struct chunk chunk_at(struct planes p, int i) {
    int plane = i / p.chunks, first = i % p.chunks * CHUNK_PIXELS;
    int pixels = p.pixels - first < CHUNK_PIXELS ? p.pixels - first : CHUNK_PIXELS;
    return (struct chunk){plane % p.blocks, pixels, (size_t)plane * plane_elements(p) + (size_t)first * BLOCK};
}

ALWAYS_INLINE int chunk_count(struct planes p) {
    return p.frames * p.blocks * p.chunks;
}

// Offset of channel c, pixel j of frame n.
ALWAYS_INLINE size_t element_at(struct planes p, int n, int c, int j) {
    return ((size_t)(n * p.blocks + c / BLOCK) * (size_t)p.pixels + (size_t)j) * BLOCK + (size_t)(c % BLOCK);
}

ALWAYS_INLINE void store(element *to, float value, bool accumulate) {
    *to = to_element(accumulate ? to_float(*to) + value : value);
}

kernel_op KERNEL(batchnorm_forward), KERNEL(batchnorm_backward);
kernel_bytes KERNEL(batchnorm_saved_bytes), KERNEL(batchnorm_scratch_bytes);
void KERNEL(batchnorm_moments)(const struct op_desc *d, const struct op_args *args, struct channel_sums *sums,
                               int threads);
void KERNEL(batchnorm_finish)(const struct op_desc *d, const struct op_args *args, const struct channel_sums *sums,
                              int threads);
void KERNEL(batchnorm_gradient_sums)(const struct op_desc *d, const struct op_args *args, struct channel_sums *sums,
                                     int threads);
void KERNEL(batchnorm_gradient)(const struct op_desc *d, const struct op_args *args, const struct channel_sums *sums,
                                int threads);
kernel_op KERNEL(maxpool_forward), KERNEL(maxpool_backward);
kernel_bytes KERNEL(maxpool_saved_bytes);
kernel_op KERNEL(upsample_forward), KERNEL(upsample_backward);
kernel_op KERNEL(temporal_max_forward), KERNEL(temporal_max_backward);
kernel_bytes KERNEL(temporal_max_saved_bytes);
kernel_op KERNEL(temporal_mean_forward), KERNEL(temporal_mean_backward);
kernel_op KERNEL(lstm_cell_forward), KERNEL(lstm_cell_backward);

void KERNEL(bias_add)(struct shape shape, const float *bias, float *y, int threads);
void KERNEL(bias_grad)(struct shape shape, const float *dy, float *dbias, void *scratch, int threads);
kernel_bytes KERNEL(bias_grad_scratch_bytes);
void KERNEL(conv_small_forward)(const struct conv_shape *conv, const float *src, const void *weight, const float *bias,
                                bool accumulate, float *dst, void *scratch, int threads);
void KERNEL(conv_small_data_grad)(const struct conv_shape *conv, const float *ddst, const void *weight, bool accumulate,
                                  float *dsrc, void *scratch, int threads);
kernel_bytes KERNEL(conv_small_scratch_bytes);
void KERNEL(conv_small_weight_grad)(const struct conv_shape *conv, const float *src, const float *ddst, float *dweight,
                                    void *scratch, int threads);
void KERNEL(conv_2x2_forward)(const struct conv_shape *conv, const float *src, const void *weight, const float *bias,
                              bool accumulate, float *dst, void *scratch, int threads);
void KERNEL(conv_2x2_data_grad)(const struct conv_shape *conv, const float *ddst, const void *weight, bool accumulate,
                                float *dsrc, void *scratch, int threads);
kernel_bytes KERNEL(conv_2x2_scratch_bytes);
void KERNEL(conv_2x2_weight_grad)(const struct conv_shape *conv, const float *src, const float *ddst, float *dweight,
                                  void *scratch, int threads);
void KERNEL(conv_winograd_forward)(const struct conv_shape *conv, const float *src, const void *weight,
                                   const float *bias, bool accumulate, float *dst, void *scratch, int threads);
void KERNEL(conv_winograd_data_grad)(const struct conv_shape *conv, const float *ddst, const void *weight,
                                     bool accumulate, float *dsrc, void *scratch, int threads);
kernel_bytes KERNEL(conv_winograd_scratch_bytes);
void KERNEL(conv_winograd_weight_grad)(const struct conv_shape *conv, const float *src, const float *ddst,
                                       float *dweight, void *scratch, int threads);
bool KERNEL(conv_image_fits)(const struct op_desc *d);
void KERNEL(conv_image_forward)(const struct conv_shape *conv, const float *src, const void *weight, const float *bias,
                                bool accumulate, float *dst, void *scratch, int threads);
kernel_bytes KERNEL(conv_image_scratch_bytes);
void KERNEL(conv_image_weight_grad)(const struct conv_shape *conv, const float *src, const float *ddst, float *dweight,
                                    void *scratch, int threads);
void KERNEL(focal_loss)(struct shape shape, const float *logits, const uint8_t *mask,
                        const struct focal_loss_config *config, int64_t counted, float *dlogits, struct loss_sums *sums,
                        int threads);
void KERNEL(add)(struct shape shape, const float *x, float *y, int threads);
double KERNEL(sum_squares)(size_t n, const float *x, double *partial, int threads);
void KERNEL(sgd_step)(size_t n, const struct sgd_config *config, const float *grad, const struct optimizer_state *from,
                      const struct optimizer_state *to, int threads);
void KERNEL(adamw_step)(size_t n, const struct adamw_config *config, const float *grad,
                        const struct optimizer_state *from, const struct optimizer_state *to, int threads);

#endif
