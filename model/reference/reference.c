// The reference backend: the kernels behind backend.h, on one thread, with plain row-major layouts.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/reference/kernels.h"

enum { ALIGNMENT = 64 };

struct param_layout {
    size_t count, row; // floats: of all, of a row of dimension 0
};

struct op {
    struct op_desc desc;
    struct kernel_pair kernels;
};

static void reference_destroy(backend *b) {
    free(b);
}

static void reference_describe(const backend *b, char *text, size_t size) {
    (void)b;
    snprintf(text, size, "reference, 1 thread");
}

static enum status reference_reserve(backend *b, size_t bytes, void **memory, struct error *err) {
    (void)b;
    size_t rounded = (bytes / ALIGNMENT + 1) * ALIGNMENT;
    *memory = rounded > bytes ? aligned_alloc(ALIGNMENT, rounded) : NULL;
    if (!*memory)
        return error_set(err, STATUS_MEMORY, "out of memory: the reference backend asked for %zu bytes", bytes);
    return STATUS_OK;
}

static enum status reference_alloc(backend *b, size_t bytes, void **memory, struct error *err) {
    TRY(reference_reserve(b, bytes, memory, err));
    memset(*memory, 0, bytes);
    return STATUS_OK;
}

static void reference_release(backend *b, void *memory) {
    (void)b;
    free(memory);
}

static void reference_fill(backend *b, void *memory, int byte, size_t bytes) {
    (void)b;
    memset(memory, byte, bytes);
}

static void reference_copy(backend *b, void *to, const void *from, size_t bytes) {
    (void)b;
    memcpy(to, from, bytes);
}

static size_t activation_floats(const backend *b, struct shape shape) {
    (void)b;
    return (size_t)element_count(shape);
}

static void activation_import(backend *b, struct shape shape, const float *host, float *value) {
    memcpy(value, host, activation_floats(b, shape) * sizeof(float));
}

static void activation_export(backend *b, struct shape shape, const float *value, float *host) {
    memcpy(host, value, activation_floats(b, shape) * sizeof(float));
}

static enum status reference_param_layout_create(backend *b, const struct graph_param *param,
                                                 const struct op_desc *op_desc, param_layout **layout,
                                                 struct error *err) {
    (void)b, (void)op_desc;
    param_layout *l = malloc(sizeof *l);
    if (!l)
        return error_memory(err, param->key);
    l->count = param->count;
    l->row = param->count / (size_t)param->shape[0];
    *layout = l;
    return STATUS_OK;
}

static void reference_param_layout_destroy(backend *b, param_layout *layout) {
    (void)b;
    free(layout);
}

static size_t param_floats(const param_layout *layout) {
    return layout->count;
}

static void param_import(backend *b, const param_layout *layout, const float *host, float *param) {
    (void)b;
    memcpy(param, host, layout->count * sizeof(float));
}

static int64_t param_row_group(const param_layout *layout) {
    (void)layout;
    return 1;
}

static void param_export(backend *b, const param_layout *layout, const float *param, int64_t first, int64_t rows,
                         float *host) {
    (void)b;
    memcpy(host, param + (size_t)first * layout->row, (size_t)rows * layout->row * sizeof(float));
}

static enum status reference_op_create(backend *b, const struct op_desc *desc, const param_layout *weight, op **o,
                                       struct error *err) {
    (void)b, (void)weight;
    op *created = malloc(sizeof *created);
    if (!created)
        return error_memory(err, op_kind_name(desc->kind));
    *created = (op){.desc = *desc, .kernels = kernels_of(desc->kind)};
    *o = created;
    return STATUS_OK;
}

static void reference_op_destroy(backend *b, op *o) {
    (void)b;
    free(o);
}

static size_t op_saved_bytes(const op *o) {
    return kernel_saved_bytes(&o->desc);
}

static size_t op_scratch_bytes(const op *o) {
    return kernel_scratch_bytes(&o->desc);
}

static struct kernel_args to_kernel_args(const struct op_args *args) {
    struct kernel_args a = {.saved = args->saved, .scratch = args->scratch, .training = args->training};
    for (int i = 0; i < OP_MAX_INPUTS; i++) {
        a.input[i] = args->input[i];
        a.input_grad[i] = args->input_grad[i];
        a.accumulate[i] = args->input_grad_accumulate[i];
    }
    for (int i = 0; i < OP_MAX_OUTPUTS; i++) {
        a.output[i] = args->output[i];
        a.output_grad[i] = args->output_grad[i];
    }
    for (int i = 0; i < OP_MAX_PARAMS; i++) {
        a.param[i] = args->param[i];
        a.param_grad[i] = args->param_grad[i];
    }
    for (int i = 0; i < OP_MAX_BUFFERS; i++)
        a.buffer[i] = args->buffer[i];
    return a;
}

// Batch norm over the batches of all members. Scratch: [2 + members][C].
static enum status forward_together(const struct op_desc *d, const struct op_args *args, struct error *err) {
    struct kernel_args a = to_kernel_args(args);
    struct channel_sums *sums = args->scratch;
    if (args->absent)
        memset(sums, 0, (size_t)d->in.c * sizeof *sums);
    else
        batchnorm_moments(d, &a, sums);
    TRY(collectives_merge_moments(args->together, d->in.c, sums, sums + d->in.c, err));
    batchnorm_finish(d, &a, sums, args->absent);
    return STATUS_OK;
}

static enum status backward_together(const struct op_desc *d, const struct op_args *args, struct error *err) {
    struct kernel_args a = to_kernel_args(args);
    struct channel_sums *own = args->scratch, *sums = own + d->in.c;
    if (args->absent)
        memset(own, 0, (size_t)d->in.c * sizeof *own);
    else
        batchnorm_gradient_sums(d, &a, own);
    memcpy(sums, own, (size_t)d->in.c * sizeof *own);
    TRY(collectives_add_sums(args->together, d->in.c, sums, sums + d->in.c, err));
    if (!args->absent)
        batchnorm_gradient(d, &a, own, sums);
    return STATUS_OK;
}

static enum status op_forward(backend *b, op *o, const struct op_args *args, struct error *err) {
    (void)b;
    if (args->together)
        return forward_together(&o->desc, args, err);
    struct kernel_args a = to_kernel_args(args);
    o->kernels.forward(&o->desc, &a);
    return STATUS_OK;
}

static enum status op_backward(backend *b, op *o, const struct op_args *args, struct error *err) {
    (void)b;
    if (args->together)
        return backward_together(&o->desc, args, err);
    struct kernel_args a = to_kernel_args(args);
    o->kernels.backward(&o->desc, &a);
    return STATUS_OK;
}

static enum status focal_loss(backend *b, struct shape shape, const float *logits, const uint8_t *mask,
                              const struct focal_loss_config *config, const struct collectives *together,
                              float *dlogits, struct loss_sums *sums, struct error *err) {
    (void)b;
    int64_t counted = kernel_counted_pixels(shape, mask);
    if (together)
        TRY(collectives_count(together, &counted, err));
    kernel_focal_sums(shape, logits, mask, config, counted, dlogits, sums);
    if (together)
        TRY(collectives_loss(together, sums, err));
    sums->loss = counted ? sums->loss / (double)counted : 0;
    return STATUS_OK;
}

static double sum_squares(backend *b, size_t n, const float *x) {
    (void)b;
    return kernel_sum_squares(n, x);
}

static void sgd_step(backend *b, size_t n, const struct sgd_config *config, const float *grad,
                     const struct optimizer_state *from, const struct optimizer_state *to) {
    (void)b;
    kernel_sgd_step(n, config, grad, from, to);
}

static void adamw_step(backend *b, size_t n, const struct adamw_config *config, const float *grad,
                       const struct optimizer_state *from, const struct optimizer_state *to) {
    (void)b;
    kernel_adamw_step(n, config, grad, from, to);
}

static const struct backend_ops reference_ops = {
    .name = "reference",
    .host_memory = true,
    .destroy = reference_destroy,
    .describe = reference_describe,
    .alloc = reference_alloc,
    .reserve = reference_reserve,
    .release = reference_release,
    .fill = reference_fill,
    .copy = reference_copy,
    .activation_floats = activation_floats,
    .activation_import = activation_import,
    .activation_export = activation_export,
    .param_layout_create = reference_param_layout_create,
    .param_layout_destroy = reference_param_layout_destroy,
    .param_floats = param_floats,
    .param_import = param_import,
    .param_row_group = param_row_group,
    .param_export = param_export,
    .op_create = reference_op_create,
    .op_destroy = reference_op_destroy,
    .op_saved_bytes = op_saved_bytes,
    .op_scratch_bytes = op_scratch_bytes,
    .op_forward = op_forward,
    .op_backward = op_backward,
    .focal_loss = focal_loss,
    .sum_squares = sum_squares,
    .sgd_step = sgd_step,
    .adamw_step = adamw_step,
};

enum status backend_reference_create(const struct backend_config *config, backend **b, struct error *err) {
    // One thread, whatever is asked for: its order of summation is the definition.
    if (config->precision != PRECISION_FP32)
        return error_set(err, STATUS_UNSUPPORTED, "the reference backend computes in fp32 alone");
    backend *created = malloc(sizeof *created);
    if (!created)
        return error_memory(err, "the reference backend");
    created->ops = &reference_ops;
    *b = created;
    return STATUS_OK;
}
