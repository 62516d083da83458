#include "model/onednn/onednn.h"

#include <stdlib.h>
#include <string.h>
#include <string.h>

static size_t round_up(size_t n, size_t to) {
    return (n + to - 1) / to * to;
}

static enum status create_vector(const struct onednn *o, const struct graph_param *param, param_layout *layout) {
    layout->floats = round_up(param->count, (size_t)o->kernels->block);
    return STATUS_OK;
}

// The weights that the forward primitive would choose.
static enum status preferred_weights(const struct onednn *o, const struct op_desc *op_desc, compat_md *md,
                                     struct error *err) {
    struct conv_geometry g = conv_geometry_of(op_desc);
    struct conv_mds mds;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_status_t status = conv_mds_create(o, &g, &mds);
    if (status == dnnl_success) {
        struct compat_conv conv = conv_desc(&g, &mds);
        status = compat_conv_forward(&pd, o->engine, &conv, o->attr);
    }
    if (status == dnnl_success)
        status = compat_md_clone(md, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0));
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    conv_mds_destroy(&mds);
    return onednn_status(status, "convolution", err);
}

static enum status detect_blocked(const struct onednn *o, const struct graph_param *param, param_layout *layout,
                                  struct error *err) {
    if (o->kernels->block == 1)
        return STATUS_OK;
    compat_md blocked = NULL;
    enum status status = onednn_status(
        compat_md_create(&blocked, 4, param->shape, o->kernels->block == 16 ? dnnl_OIhw16i16o : dnnl_OIhw8i8o),
        "weight descriptor", err);
    if (status == STATUS_OK)
        layout->blocked = dnnl_memory_desc_equal(layout->md, blocked);
    compat_md_destroy(blocked);
    return status;
}

static enum status create_weight(const struct onednn *o, const struct graph_param *param, const struct op_desc *op_desc,
                                 param_layout *layout, struct error *err) {
    TRY(preferred_weights(o, op_desc, &layout->md, err));
    TRY(onednn_status(compat_md_create(&layout->host_md, 4, param->shape, dnnl_oihw), "weight descriptor", err));
    TRY(detect_blocked(o, param, layout, err));
    layout->floats = dnnl_memory_desc_get_size(layout->md) / sizeof(float);
    TRY(call_create_reorder(o, &layout->import, layout->host_md, layout->md, err));
    TRY(call_create_reorder(o, &layout->export, layout->md, layout->host_md, err));
    size_t scratchpad = layout->import.scratchpad_bytes > layout->export.scratchpad_bytes
                            ? layout->import.scratchpad_bytes
                            : layout->export.scratchpad_bytes;
    if (scratchpad > 0) {
        layout->scratchpad = aligned_alloc(SCRATCH_ALIGNMENT, round_up(scratchpad, SCRATCH_ALIGNMENT));
        if (!layout->scratchpad)
            return error_memory(err, param->key);
    }
    return STATUS_OK;
}

enum status onednn_param_layout_create(backend *b, const struct graph_param *param, const struct op_desc *op_desc,
                                       param_layout **out, struct error *err) {
    const struct onednn *o = (const struct onednn *)b;
    param_layout *layout = calloc(1, sizeof *layout);
    if (!layout)
        return error_memory(err, param->key);
    layout->count = param->count;
    layout->owner = o;
    enum status status =
        param->role == PARAM_VECTOR ? create_vector(o, param, layout) : create_weight(o, param, op_desc, layout, err);
    if (status != STATUS_OK) {
        onednn_param_layout_destroy(b, layout);
        return status == STATUS_MEMORY ? status : error_prefix(err, "%s", param->key);
    }
    *out = layout;
    return STATUS_OK;
}

void onednn_param_layout_destroy(backend *b, param_layout *layout) {
    (void)b;
    if (!layout)
        return;
    call_destroy(&layout->import);
    call_destroy(&layout->export);
    compat_md_destroy(layout->md);
    compat_md_destroy(layout->host_md);
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

void onednn_param_import(backend *b, const param_layout *layout, const float *host, float *param) {
    (void)b;
    if (layout->md) {
        run_reorder(layout, &layout->import, host, param, layout->floats);
        return;
    }
    memcpy(param, host, layout->count * sizeof *param);
    memset(param + layout->count, 0, (layout->floats - layout->count) * sizeof *param);
}

void onednn_param_export(backend *b, const param_layout *layout, const float *param, float *host) {
    (void)b;
    if (layout->md)
        run_reorder(layout, &layout->export, param, host, layout->count);
    else
        memcpy(host, param, layout->count * sizeof *host);
}
