// The operations that oneDNN is not asked for: plain loops over the blocked layout, compiled once an instruction set.
//
// Layout of a value (N,C,H,W): [N][ceil(C / b)][H * W][b], with zeros in the channels past C; vectors over channels
// have ceil(C / b) * b floats. The sources kernel_*.c are compiled several times: KERNEL_BLOCK is b (the vector length
// in floats), KERNEL_ISA names the instruction set, and the compiler's flags match it; with KERNEL_BF16 values are held
// in bf16, and the `float *` of a value is an opaque pointer. Which table runs is decided once, when the backend is
// created. Work is shared out in pieces that depend on the shape alone, and partial sums are
// added in a fixed order.
#ifndef GRIDFOLD_MODEL_ONEDNN_KERNELS_H
#define GRIDFOLD_MODEL_ONEDNN_KERNELS_H

#include "model/backend.h"

typedef void kernel_op(const struct op_desc *desc, const struct op_args *args, int threads);
typedef size_t kernel_bytes(const struct op_desc *desc);

// An operation that is all ours; NULL where it is oneDNN's, or where it needs no memory.
struct kernel_class {
    kernel_op *forward, *backward;
    kernel_bytes *saved_bytes, *scratch_bytes;
};

enum {
    KERNEL_KINDS = OP_LSTM_CELL + 1,
    KERNEL_PARTIAL_SUMS = 256,
    KERNEL_SMALL_TAPS = 25,   // most taps of a conv_small
    KERNEL_SMALL_MAP = 4,     // most pixels of the map that a conv_small writes
    KERNEL_SMALL_SOURCE = 16, // and of the map that it reads
    KERNEL_TILES_SIDE = 7,    // most taps of a kernel_conv_tiles along one axis
};

// A convolution by our own kernels (conv_kernels).
struct conv_shape {
    struct shape src, dst;
    int kernel, stride, pad;
};

// Weights are [Co / b][Ci / b][k][k][b of Ci][b of Co], and so is their gradient. In bf16 the forward pass reads
// [Co / b][Ci / b][k][k][b / 2 of Ci][b of Co][2 of Ci], the input gradient the same with Ci and Co exchanged
// within a block. bias may be NULL.
struct conv_kernels {
    void (*forward)(const struct conv_shape *conv, const float *src, const void *weight, const float *bias,
                    bool accumulate, float *dst, void *scratch, int threads);
    void (*data_grad)(const struct conv_shape *conv, const float *ddst, const void *weight, bool accumulate,
                      float *dsrc, void *scratch, int threads);
    void (*weight_grad)(const struct conv_shape *conv, const float *src, const float *ddst, float *dweight,
                        void *scratch, int threads);
    kernel_bytes *scratch_bytes;
};

struct kernel_table {
    int block;
    struct kernel_class ops[KERNEL_KINDS];
    // y += x; y += bias by channel; the bias gradient is the sum of dy over frames and pixels.
    void (*add)(struct shape shape, const float *x, float *y, int threads);
    void (*bias_add)(struct shape shape, const float *bias, float *y, int threads);
    void (*bias_grad)(struct shape shape, const float *dy, float *dbias, void *scratch, int threads);
    kernel_bytes *bias_grad_scratch_bytes; // of desc->out
    // conv_2x2: 3x3, stride 1, padding 1 on maps of 2x2. conv_image: where conv_image_fits; it has no data_grad. bf16
    // has neither: NULL. conv_winograd: 3x3, stride 1, padding 1 on maps whose sides are multiples of 4; for AVX2, for
    // which oneDNN has no such algorithm, and else NULL.
    struct conv_kernels conv_small, conv_2x2, conv_image, conv_winograd;
    bool (*conv_image_fits)(const struct op_desc *desc);
    // Batch norm in training in parts, with the statistics of several batches between them: sums[C] of this one, and
    // the rest from those of all. With args->absent `finish` sets the running statistics alone; the other three are not
    // called then.
    void (*batchnorm_moments)(const struct op_desc *desc, const struct op_args *args, struct channel_sums *sums,
                              int threads);
    void (*batchnorm_finish)(const struct op_desc *desc, const struct op_args *args, const struct channel_sums *sums,
                             int threads);
    void (*batchnorm_gradient_sums)(const struct op_desc *desc, const struct op_args *args, struct channel_sums *sums,
                                    int threads);
    void (*batchnorm_gradient)(const struct op_desc *desc, const struct op_args *args, const struct channel_sums *sums,
                               int threads);
    // The loss as a sum over pixels; the gradient is divided by `counted`.
    void (*focal_loss)(struct shape shape, const float *logits, const uint8_t *mask,
                       const struct focal_loss_config *config, int64_t counted, float *dlogits, struct loss_sums *sums,
                       int threads);
    double (*sum_squares)(size_t n, const float *x, double *partial, int threads); // partial: [KERNEL_PARTIAL_SUMS]
    void (*sgd_step)(size_t n, const struct sgd_config *config, const float *grad, const struct optimizer_state *from,
                     const struct optimizer_state *to, int threads);
    void (*adamw_step)(size_t n, const struct adamw_config *config, const float *grad,
                       const struct optimizer_state *from, const struct optimizer_state *to, int threads);
};

extern const struct kernel_table kernel_table_avx512_bf16, kernel_table_avx512, kernel_table_avx2, kernel_table_scalar;

// bf16 on processors with tile registers (AMX), which the process has been allowed to use.
extern const struct conv_kernels kernel_conv_tiles_amx;

#endif
