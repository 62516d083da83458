// The few calls of oneDNN's C API that differ between versions 2 and 3, under one name each.
//
// Version 3 took away dnnl_*_desc_init and made the memory descriptor opaque. Here a descriptor is always a pointer:
// owned (compat_md, to be destroyed) or borrowed (compat_const_md). Every other call takes these pointers unchanged in
// both versions.
#ifndef GRIDFOLD_MODEL_ONEDNN_DNNL_COMPAT_H
#define GRIDFOLD_MODEL_ONEDNN_DNNL_COMPAT_H

#include <stdbool.h>

#include <dnnl.h>

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t compat_md;
typedef const_dnnl_memory_desc_t compat_const_md;
#else
typedef dnnl_memory_desc_t *compat_md;
typedef const dnnl_memory_desc_t *compat_const_md;
#endif

// A descriptor of `rank` dimensions. compat_md_destroy takes NULL.
dnnl_status_t compat_md_create(compat_md *md, int rank, const dnnl_dim_t *dims, dnnl_data_type_t type,
                               dnnl_format_tag_t tag);
dnnl_status_t compat_md_clone(compat_md *md, compat_const_md from);
// What begins at `first`, with the strides of the whole; *offset: elements before it. Dimensions in blocks are cut
// between blocks alone (dnnl_unimplemented).
dnnl_status_t compat_md_part(compat_md *md, compat_const_md from, const dnnl_dims_t dims, const dnnl_dims_t first,
                             dnnl_dim_t *offset);
void compat_md_destroy(compat_md md);

dnnl_status_t compat_append_sum(dnnl_post_ops_t post_ops);

// A 2-D convolution; bias is NULL where there is none. With `winograd` a pass takes Winograd's algorithm (Lavin and
// Gray 2016) where oneDNN has it for that pass, and the direct one elsewhere.
struct compat_conv {
    compat_const_md src, weights, bias, dst;
    dnnl_dims_t stride, pad;
    bool winograd;
};

// `hint` is a forward primitive descriptor of the same convolution.
dnnl_status_t compat_conv_forward(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const struct compat_conv *conv,
                                  dnnl_primitive_attr_t attr);
dnnl_status_t compat_conv_backward_data(dnnl_primitive_desc_t *pd, dnnl_engine_t engine, const struct compat_conv *conv,
                                        dnnl_primitive_desc_t hint, dnnl_primitive_attr_t attr);
dnnl_status_t compat_conv_backward_weights(dnnl_primitive_desc_t *pd, dnnl_engine_t engine,
                                           const struct compat_conv *conv, dnnl_primitive_desc_t hint,
                                           dnnl_primitive_attr_t attr);

#endif
