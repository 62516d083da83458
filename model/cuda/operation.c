// One operation: a convolution of cuDNN's, or one of our own kernels.
#include <stdlib.h>

#include "model/cuda/backend_parts.h"
#include "model/cuda/convolution.h"
#include "model/cuda/kernels.h"

enum { MAX_STEPS = 256 }; // the temporal maximum saves its timestep in a byte

struct op {
    struct op_desc desc;
    cuda_convolution *convolution; // NULL: our own
};

static bool is_convolution(const struct op_desc *desc) {
    return desc->kind == OP_CONV2D || desc->kind == OP_CONV_TRANSPOSE2D;
}

enum status cuda_op_create(backend *base, const struct op_desc *desc, const param_layout *weight, op **out,
                           struct error *err) {
    (void)weight;
    if (desc->kind == OP_TEMPORAL_MAX && desc->steps > MAX_STEPS)
        return error_set(err, STATUS_UNSUPPORTED, "backend cuda: temporal max over %d steps; at most %d", desc->steps,
                         MAX_STEPS);
    op *o = calloc(1, sizeof *o);
    if (!o)
        return error_memory(err, op_kind_name(desc->kind));
    o->desc = *desc;
    enum status status = STATUS_OK;
    if (is_convolution(desc))
        status = cuda_convolution_create(cuda_backend_of(base), desc, &o->convolution, err);
    if (status != STATUS_OK)
        free(o);
    else
        *out = o;
    return status;
}

void cuda_op_destroy(backend *base, op *o) {
    (void)base;
    cuda_convolution_destroy(o->convolution);
    free(o);
}

size_t cuda_op_saved_bytes(const op *o) {
    if (!(o->desc.passes & (PASS_INPUT_GRAD | PASS_PARAM_GRAD)))
        return 0;
    switch (o->desc.kind) {
    case OP_BATCHNORM:
        return cuda_batchnorm_saved_bytes(&o->desc);
    case OP_MAXPOOL2D:
        return cuda_maxpool_saved_bytes(&o->desc);
    case OP_TEMPORAL_MAX:
        return cuda_temporal_max_saved_bytes(&o->desc);
    default:
        return 0;
    }
}

size_t cuda_op_scratch_bytes(const op *o) {
    if (o->convolution)
        return cuda_convolution_scratch_bytes(o->convolution);
    return o->desc.kind == OP_BATCHNORM ? cuda_batchnorm_scratch_bytes(&o->desc) : 0;
}

static enum status gather_parts(const struct op_desc *d, const struct op_args *args, struct error *err) {
    const struct collectives *c = args->together;
    float *parts = cuda_batchnorm_parts(d, args);
    size_t floats = cuda_batchnorm_part_floats(d);
    return c->gather(c->context, parts + (size_t)c->member * floats, floats * sizeof *parts, parts, err);
}

static enum status batchnorm_forward(struct cuda_backend *b, const struct op_desc *d, bool bf16,
                                     const struct op_args *args, struct error *err) {
    const char *name = op_kind_name(d->kind);
    if (!args->together)
        return cuda_status(cuda_batchnorm_forward(d, bf16, args, b->workspace, b->stream), name, err);
    TRY(cuda_status(cuda_batchnorm_forward_part(d, bf16, args, b->workspace, b->stream), name, err));
    TRY(gather_parts(d, args, err));
    return cuda_status(cuda_batchnorm_forward_rest(d, bf16, args, b->stream), name, err);
}

static enum status batchnorm_backward(struct cuda_backend *b, const struct op_desc *d, bool bf16,
                                      const struct op_args *args, struct error *err) {
    const char *name = op_kind_name(d->kind);
    if (!args->together)
        return cuda_status(cuda_batchnorm_backward(d, bf16, args, b->workspace, b->stream), name, err);
    TRY(cuda_status(cuda_batchnorm_backward_part(d, bf16, args, b->workspace, b->stream), name, err));
    TRY(gather_parts(d, args, err));
    return cuda_status(cuda_batchnorm_backward_rest(d, bf16, args, b->stream), name, err);
}

enum status cuda_op_forward(backend *base, op *o, const struct op_args *args, struct error *err) {
    struct cuda_backend *b = cuda_backend_of(base);
    bool bf16 = b->precision == PRECISION_BF16;
    cudaError_t code = cudaSuccess;
    TRY(cuda_failed_before(b, err));
    switch (o->desc.kind) {
    case OP_CONV2D:
    case OP_CONV_TRANSPOSE2D:
        return cuda_convolution_forward(b, o->convolution, args, err);
    case OP_BATCHNORM:
        return batchnorm_forward(b, &o->desc, bf16, args, err);
    case OP_MAXPOOL2D:
    case OP_UPSAMPLE2D:
        code = cuda_pool_forward(&o->desc, bf16, args, b->stream);
        break;
    case OP_TEMPORAL_MAX:
    case OP_TEMPORAL_MEAN:
        code = cuda_temporal_forward(&o->desc, bf16, args, b->stream);
        break;
    case OP_LSTM_CELL:
        code = cuda_lstm_cell_forward(&o->desc, bf16, args, b->stream);
        break;
    }
    return cuda_status(code, op_kind_name(o->desc.kind), err);
}

enum status cuda_op_backward(backend *base, op *o, const struct op_args *args, struct error *err) {
    struct cuda_backend *b = cuda_backend_of(base);
    bool bf16 = b->precision == PRECISION_BF16;
    cudaError_t code = cudaSuccess;
    TRY(cuda_failed_before(b, err));
    switch (o->desc.kind) {
    case OP_CONV2D:
    case OP_CONV_TRANSPOSE2D:
        return cuda_convolution_backward(b, o->convolution, args, err);
    case OP_BATCHNORM:
        return batchnorm_backward(b, &o->desc, bf16, args, err);
    case OP_MAXPOOL2D:
    case OP_UPSAMPLE2D:
        if (args->input_grad[0])
            code = cuda_pool_backward(&o->desc, bf16, args, b->stream);
        break;
    case OP_TEMPORAL_MAX:
    case OP_TEMPORAL_MEAN:
        if (args->input_grad[0])
            code = cuda_temporal_backward(&o->desc, bf16, args, b->stream);
        break;
    case OP_LSTM_CELL:
        code = cuda_lstm_cell_backward(&o->desc, bf16, args, b->stream);
        break;
    }
    return cuda_status(code, op_kind_name(o->desc.kind), err);
}
