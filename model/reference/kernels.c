// Which kernel serves which operation, and what memory it asks for.
#include "model/reference/kernels.h"

struct kernel_pair kernels_of(enum op_kind kind) {
    static const struct kernel_pair pairs[] = {
        [OP_CONV2D] = {conv2d_forward, conv2d_backward},
        [OP_CONV_TRANSPOSE2D] = {conv_transpose2d_forward, conv_transpose2d_backward},
        [OP_BATCHNORM] = {batchnorm_forward, batchnorm_backward},
        [OP_MAXPOOL2D] = {maxpool2d_forward, maxpool2d_backward},
        [OP_UPSAMPLE2D] = {upsample2d_forward, upsample2d_backward},
        [OP_TEMPORAL_MAX] = {temporal_max_forward, temporal_max_backward},
        [OP_TEMPORAL_MEAN] = {temporal_mean_forward, temporal_mean_backward},
        [OP_LSTM_CELL] = {lstm_cell_forward, lstm_cell_backward},
    };
    return pairs[kind];
}

size_t kernel_saved_bytes(const struct op_desc *d) {
    if (!(d->passes & (PASS_INPUT_GRAD | PASS_PARAM_GRAD)))
        return 0;
    if (d->kind == OP_BATCHNORM)
        return (size_t)d->in.c * 2 * sizeof(double);
    if (d->kind == OP_MAXPOOL2D || d->kind == OP_TEMPORAL_MAX)
        return (size_t)element_count(d->out) * sizeof(int32_t);
    return 0;
}

size_t kernel_scratch_bytes(const struct op_desc *d) {
    if (d->kind == OP_BATCHNORM && d->members > 1) // of this member twice, and of all
        return (size_t)d->in.c * ((size_t)d->members + 2) * sizeof(struct channel_sums);
    // One row of sums.
    return d->kind == OP_CONV2D ? (size_t)(d->in.w > d->out.w ? d->in.w : d->out.w) * sizeof(double) : 0;
}
