#include "model/onednn/dnnl_compat.h"

#include <stdlib.h>
#include <string.h>

#if DNNL_VERSION_MAJOR >= 3

dnnl_status_t compat_md_create(compat_md *md, int rank, const dnnl_dim_t *dims, dnnl_data_type_t type,
                               dnnl_format_tag_t tag) {
    dnnl_dims_t all = {0};
    memcpy(all, dims, (size_t)rank * sizeof *dims);
    return dnnl_memory_desc_create_with_tag(md, rank, all, type, tag);
}

dnnl_status_t compat_md_clone(compat_md *md, compat_const_md from) {
    return dnnl_memory_desc_clone(md, from);
}

dnnl_status_t compat_md_part(compat_md *md, compat_const_md from, const dnnl_dims_t dims, const dnnl_dims_t first,
                             dnnl_dim_t *offset) {
    dnnl_status_t status = dnnl_memory_desc_create_submemory(md, from, dims, first);
    return status == dnnl_success ? dnnl_memory_desc_query(*md, dnnl_query_submemory_offset_s64, offset) : status;
}

void compat_md_destroy(compat_md md) {
    if (md)
        dnnl_memory_desc_destroy(md);
}

dnnl_status_t compat_append_sum(dnnl_post_ops_t post_ops) {
    return dnnl_post_ops_append_sum(post_ops, 1.0f, 0, dnnl_data_type_undef);
}

static dnnl_status_t conv_forward(dnnl_alg_kind_t algorithm, dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                  const struct compat_conv *conv, dnnl_primitive_attr_t attr) {
    return dnnl_convolution_forward_primitive_desc_create(pd, engine, dnnl_forward_training, algorithm, conv->src,
                                                          conv->weights, conv->bias, conv->dst, conv->stride, NULL,
                                                          conv->pad, conv->pad, attr);
}

static dnnl_status_t conv_backward_data(dnnl_alg_kind_t algorithm, dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                        const struct compat_conv *conv, dnnl_primitive_desc_t hint,
                                        dnnl_primitive_attr_t attr) {
    return dnnl_convolution_backward_data_primitive_desc_create(pd, engine, algorithm, conv->src, conv->weights,
                                                                conv->dst, conv->stride, NULL, conv->pad, conv->pad,
                                                                hint, attr);
}

static dnnl_status_t conv_backward_weights(dnnl_alg_kind_t algorithm, dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                           const struct compat_conv *conv, dnnl_primitive_desc_t hint,
                                           dnnl_primitive_attr_t attr) {
    return dnnl_convolution_backward_weights_primitive_desc_create(pd, engine, algorithm, conv->src, conv->weights,
                                                                   conv->bias, conv->dst, conv->stride, NULL, conv->pad,
                                                                   conv->pad, hint, attr);
}

#else

dnnl_status_t compat_md_create(compat_md *md, int rank, const dnnl_dim_t *dims, dnnl_data_type_t type,
                               dnnl_format_tag_t tag) {
    dnnl_dims_t all = {0};
    memcpy(all, dims, (size_t)rank * sizeof *dims);
    *md = malloc(sizeof **md);
    return *md ? dnnl_memory_desc_init_by_tag(*md, rank, all, type, tag) : dnnl_out_of_memory;
}

dnnl_status_t compat_md_clone(compat_md *md, compat_const_md from) {
    *md = malloc(sizeof **md);
    if (!*md)
        return dnnl_out_of_memory;
    **md = *from;
    return dnnl_success;
}

dnnl_status_t compat_md_part(compat_md *md, compat_const_md from, const dnnl_dims_t dims, const dnnl_dims_t first,
                             dnnl_dim_t *offset) {
    *md = malloc(sizeof **md);
    if (!*md)
        return dnnl_out_of_memory;
    dnnl_status_t status = dnnl_memory_desc_init_submemory(*md, from, dims, first);
    if (status == dnnl_success)
        *offset = (*md)->offset0;
    return status;
}

void compat_md_destroy(compat_md md) {
    free(md);
}

dnnl_status_t compat_append_sum(dnnl_post_ops_t post_ops) {
    return dnnl_post_ops_append_sum(post_ops, 1.0f);
}

static dnnl_status_t conv_forward(dnnl_alg_kind_t algorithm, dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                  const struct compat_conv *conv, dnnl_primitive_attr_t attr) {
    dnnl_convolution_desc_t desc;
    dnnl_status_t status =
        dnnl_convolution_forward_desc_init(&desc, dnnl_forward_training, algorithm, conv->src, conv->weights,
                                           conv->bias, conv->dst, conv->stride, conv->pad, conv->pad);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &desc, attr, engine, NULL);
}

static dnnl_status_t conv_backward_data(dnnl_alg_kind_t algorithm, dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                        const struct compat_conv *conv, dnnl_primitive_desc_t hint,
                                        dnnl_primitive_attr_t attr) {
    dnnl_convolution_desc_t desc;
    dnnl_status_t status = dnnl_convolution_backward_data_desc_init(&desc, algorithm, conv->src, conv->weights,
                                                                    conv->dst, conv->stride, conv->pad, conv->pad);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &desc, attr, engine, hint);
}

static dnnl_status_t conv_backward_weights(dnnl_alg_kind_t algorithm, dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                           const struct compat_conv *conv, dnnl_primitive_desc_t hint,
                                           dnnl_primitive_attr_t attr) {
    dnnl_convolution_desc_t desc;
    dnnl_status_t status = dnnl_convolution_backward_weights_desc_init(
        &desc, algorithm, conv->src, conv->weights, conv->bias, conv->dst, conv->stride, conv->pad, conv->pad);
    return status != dnnl_success ? status : dnnl_primitive_desc_create(pd, &desc, attr, engine, hint);
}

#endif

dnnl_status_t compat_conv_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const struct compat_conv *conv,
                                  dnnl_primitive_attr_t attr) {
    if (conv->winograd && conv_forward(dnnl_convolution_winograd, pd, engine, conv, attr) == dnnl_success)
        return dnnl_success;
    return conv_forward(dnnl_convolution_direct, pd, engine, conv, attr);
}

dnnl_status_t compat_conv_backward_data(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const struct compat_conv *conv,
                                        dnnl_primitive_desc_t hint, dnnl_primitive_attr_t attr) {
    if (conv->winograd && conv_backward_data(dnnl_convolution_winograd, pd, engine, conv, hint, attr) == dnnl_success)
        return dnnl_success;
    return conv_backward_data(dnnl_convolution_direct, pd, engine, conv, hint, attr);
}

dnnl_status_t compat_conv_backward_weights(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                           const struct compat_conv *conv, dnnl_primitive_desc_t hint,
                                           dnnl_primitive_attr_t attr) {
    if (conv->winograd &&
        conv_backward_weights(dnnl_convolution_winograd, pd, engine, conv, hint, attr) == dnnl_success)
        return dnnl_success;
    return conv_backward_weights(dnnl_convolution_direct, pd, engine, conv, hint, attr);
}
