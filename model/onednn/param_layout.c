#include "model/onednn/onednn.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

// [Co / b][Ci / b][k][k][b][b]
static enum status blocked_weights(const struct onednn *o, const dnnl_dim_t dims[4], compat_md *md, struct error *err) {
    dnnl_format_tag_t tag = o->kernels->block == 16 ? dnnl_OIhw16i16o : dnnl_OIhw8i8o;
    return onednn_status(compat_md_create(md, 4, dims, dnnl_f32, tag), "weight descriptor", err);
}

// The layout that the forward primitive would choose, or, with bf16, the one in which the gradient would be written.
static enum status preferred_weights(const struct onednn *o, const struct op_desc *op_desc, compat_md *md,
                                     struct error *err) {
    struct conv_geometry g = conv_geometry_of(op_desc);
    struct conv_mds mds;
    dnnl_primitive_desc_t pd = NULL, gradient = NULL;
    bool bf16 = o->precision == PRECISION_BF16;
    dnnl_status_t status = conv_mds_create(o, &g, &mds);
    struct compat_conv conv = conv_desc(&g, &mds), with_gradient = conv_weight_gradient_desc(&g, &mds);
    if (status == dnnl_success)
        status = compat_conv_forward(&pd, o->engine, &conv, o->attr);
    if (status == dnnl_success && bf16)
        status = compat_conv_backward_weights(&gradient, o->engine, &with_gradient, pd, o->attr);
    if (status == dnnl_success)
        status = compat_md_clone(md, bf16 ? dnnl_primitive_desc_query_md(gradient, dnnl_query_diff_weights_md, 0)
                                          : dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0));
    if (gradient)
        dnnl_primitive_desc_destroy(gradient);
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    conv_mds_destroy(&mds);
    return onednn_status(status, "convolution", err);
}

static enum status detect_blocked(const struct onednn *o, const dnnl_dim_t dims[4], param_layout *layout,
                                  struct error *err) {
    if (o->kernels->block == 1)
        return STATUS_OK;
    compat_md blocked = NULL;
    enum status status = blocked_weights(o, dims, &blocked, err);
    if (status == STATUS_OK)
        layout->blocked = dnnl_memory_desc_equal(layout->md, blocked);
    compat_md_destroy(blocked);
    return status;
}

// As many rows as go well into a cache, in whole blocks. Powers of two, so that groups of slices fit each other.
static int64_t choose_group(const struct onednn *o, const param_layout *layout) {
    enum { MOST_BYTES = 1 << 18 };
    int64_t row = layout->padded[1] * layout->shape[2] * layout->shape[3] * (int64_t)sizeof(float);
    int64_t group = o->kernels->block;
    while (layout->padded[0] % (2 * group) == 0 && 2 * group * row <= MOST_BYTES)
        group *= 2;
    return group;
}

// oneDNN settles the number of threads when it makes a primitive; whoever writes a checkpoint beside the training has
// one.
static enum status create_for_one_thread(const struct onednn *o, struct dnnl_call *call, compat_const_md from,
                                         compat_const_md to, struct error *err) {
    int threads = omp_get_max_threads();
    omp_set_num_threads(1);
    enum status status = call_create_reorder(o, call, from, to, err);
    omp_set_num_threads(threads);
    return status;
}

// Elements from one group of rows to the next, of which there may be none.
static dnnl_status_t group_stride(const param_layout *layout, const dnnl_dims_t dims, dnnl_dim_t *stride) {
    const dnnl_dims_t second = {dims[0]};
    compat_md md = NULL;
    *stride = 0;
    dnnl_status_t status =
        dims[0] < layout->padded[0] ? compat_md_part(&md, layout->md, dims, second, stride) : dnnl_success;
    compat_md_destroy(md);
    return status;
}

static enum status create_export(const struct onednn *o, param_layout *layout, int64_t group, struct error *err) {
    const dnnl_dims_t dims = {group, layout->padded[1], layout->shape[2], layout->shape[3]}, begin = {0};
    compat_md ours = NULL, host = NULL;
    dnnl_dim_t none, stride;
    dnnl_status_t cut = group_stride(layout, dims, &stride);
    if (cut == dnnl_success)
        cut = compat_md_part(&ours, layout->md, dims, begin, &none);
    enum status status = onednn_status(cut, "part of a weight", err);
    if (status == STATUS_OK)
        status = onednn_status(compat_md_create(&host, 4, dims, dnnl_f32, dnnl_oihw), "weight descriptor", err);
    if (status == STATUS_OK)
        status = create_for_one_thread(o, &layout->export, ours, host, err);
    layout->group = group;
    layout->group_floats = (size_t)stride;
    compat_md_destroy(ours);
    compat_md_destroy(host);
    return status;
}

// Some layouts go by larger blocks than ours; one that cannot be cut into rows at all is exported as a whole.
static enum status create_any_export(const struct onednn *o, param_layout *layout, struct error *err) {
    for (int64_t group = choose_group(o, layout); layout->padded[0] % group == 0; group *= 2) {
        enum status status = create_export(o, layout, group, err);
        if (status == STATUS_OK || status == STATUS_MEMORY)
            return status;
        call_destroy(&layout->export);
    }
    layout->group = layout->padded[0];
    layout->group_floats = 0;
    return create_for_one_thread(o, &layout->export, layout->md, layout->host_md, err);
}

static float *allocate(size_t bytes) {
    return bytes ? aligned_alloc(SCRATCH_ALIGNMENT,
                                 (bytes + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT * SCRATCH_ALIGNMENT)
                 : NULL;
}

static enum status create_weight(const struct onednn *o, const struct op_desc *op_desc, param_layout *layout,
                                 struct error *err) {
    const dnnl_dim_t dims[4] = {layout->padded[0], layout->padded[1], layout->shape[2], layout->shape[3]};
    if (o->tiles && op_desc->kind == OP_CONV2D)
        TRY(blocked_weights(o, dims, &layout->md, err));
    else
        TRY(preferred_weights(o, op_desc, &layout->md, err));
    TRY(onednn_status(compat_md_create(&layout->host_md, 4, dims, dnnl_f32, dnnl_oihw), "weight descriptor", err));
    TRY(detect_blocked(o, dims, layout, err));
    layout->floats = dnnl_memory_desc_get_size(layout->md) / sizeof(float);
    TRY(call_create_reorder(o, &layout->import, layout->host_md, layout->md, err));
    TRY(create_any_export(o, layout, err));
    if (o->precision == PRECISION_BF16)
        layout->casts = calloc(1, sizeof *layout->casts);
    size_t in = layout->import.scratchpad_bytes, out = layout->export.scratchpad_bytes;
    layout->scratchpad = allocate(in > out ? in : out);
    layout->staging = allocate(dnnl_memory_desc_get_size(layout->host_md));
    bool complete =
        layout->staging && (layout->scratchpad || in + out == 0) && (layout->casts || o->precision != PRECISION_BF16);
    return complete ? STATUS_OK : error_memory(err, "a weight");
}

enum status onednn_param_layout_create(backend *b, const struct graph_param *param, const struct op_desc *op_desc,
                                       param_layout **out, struct error *err) {
    const struct onednn *o = (const struct onednn *)b;
    param_layout *layout = calloc(1, sizeof *layout);
    if (!layout)
        return error_memory(err, param->key);
    layout->owner = o;
    for (int i = 0; i < 4; i++)
        layout->shape[i] = i < param->rank ? param->shape[i] : 1;
    layout->padded[0] = onednn_padded(o, layout->shape[0]);
    layout->padded[1] = onednn_padded(o, layout->shape[1]);
    layout->floats = (size_t)layout->padded[0];
    layout->group = 1;
    enum status status = param->role == PARAM_VECTOR ? STATUS_OK : create_weight(o, op_desc, layout, err);
    if (status != STATUS_OK) {
        onednn_param_layout_destroy(b, layout);
        return error_prefix(err, "%s", param->key);
    }
    *out = layout;
    return STATUS_OK;
}

void onednn_param_layout_destroy(backend *b, param_layout *layout) {
    (void)b;
    if (!layout)
        return;
    weight_casts_destroy(layout->casts);
    call_destroy(&layout->import);
    call_destroy(&layout->export);
    compat_md_destroy(layout->md);
    compat_md_destroy(layout->host_md);
    free(layout->staging);
    free(layout->scratchpad);
    free(layout);
}

size_t onednn_param_floats(const param_layout *layout) {
    return layout->floats;
}

// A reorder between two known layouts does not fail; should it ever, the values must not pass for good ones.
static void run_reorder(const param_layout *layout, const struct dnnl_call *call, const float *from, float *to,
                        size_t floats) {
    struct error err;
    if (call_run(layout->owner, call, (const void *[]){from, to}, layout->scratchpad, &err) != STATUS_OK)
        memset(to, 0xff, floats * sizeof *to); // NaN
}

// Rows of one kernel lie together in the host's tensor and in staging alike.
static size_t staging_at(const param_layout *layout, int64_t outer, int64_t inner) {
    return (size_t)((outer * layout->padded[1] + inner) * layout->shape[2] * layout->shape[3]);
}

static size_t host_at(const param_layout *layout, int64_t outer, int64_t inner) {
    return (size_t)((outer * layout->shape[1] + inner) * layout->shape[2] * layout->shape[3]);
}

// Whether ours has more channels than the host's: else the host's tensor is read and written where it is, and staging
// is never touched.
static bool is_padded(const param_layout *layout) {
    return layout->padded[0] != layout->shape[0] || layout->padded[1] != layout->shape[1] ||
           layout->floats != host_at(layout, layout->shape[0], 0);
}

void onednn_param_import(backend *b, const param_layout *layout, const float *host, float *param) {
    ((struct onednn *)b)->changes++;
    if (!layout->md) {
        memset(param, 0, layout->floats * sizeof *param);
        memcpy(param, host, (size_t)layout->shape[0] * sizeof *param);
        return;
    }
    if (!is_padded(layout)) {
        run_reorder(layout, &layout->import, host, param, layout->floats);
        return;
    }
    float *padded = layout->staging;
    size_t row = host_at(layout, 0, layout->shape[1]) * sizeof *host;
    memset(padded, 0, layout->floats * sizeof *padded);
    for (int64_t i = 0; i < layout->shape[0]; i++)
        memcpy(padded + staging_at(layout, i, 0), host + host_at(layout, i, 0), row);
    run_reorder(layout, &layout->import, padded, param, layout->floats);
}

int64_t onednn_param_row_group(const param_layout *layout) {
    return layout->group;
}

// One group, of which the host has `rows`.
static void export_group(const param_layout *layout, const float *param, int64_t rows, float *host) {
    size_t floats = staging_at(layout, layout->group, 0), row = host_at(layout, 0, layout->shape[1]) * sizeof *host;
    if (!is_padded(layout)) {
        run_reorder(layout, &layout->export, param, host, floats);
        return;
    }
    run_reorder(layout, &layout->export, param, layout->staging, floats);
    for (int64_t i = 0; i < rows; i++)
        memcpy(host + host_at(layout, i, 0), layout->staging + staging_at(layout, i, 0), row);
}

void onednn_param_export(backend *b, const param_layout *layout, const float *param, int64_t first, int64_t rows,
                         float *host) {
    (void)b;
    if (!layout->md) {
        memcpy(host, param + first, (size_t)rows * sizeof *host);
        return;
    }
    const float *from = param + (size_t)(first / layout->group) * layout->group_floats;
    for (int64_t i = 0; i < rows; i += layout->group, from += layout->group_floats) {
        int64_t left = rows - i;
        export_group(layout, from, left < layout->group ? left : layout->group, host + host_at(layout, i, 0));
    }
}
