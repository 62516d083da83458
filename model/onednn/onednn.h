// What the sources of the oneDNN backend share. Internal to model/onednn.
//
// oneDNN runs the convolutions; every other operation is ours (kernels.h). A value's layout is nChw16c, nChw8c or nchw,
// by the CPU's instruction set: channels are padded with zeros to whole blocks.
//
// With PRECISION_BF16 values and their gradients are bf16, in nChw16c, and backend.h's `float *` is then an opaque
// pointer to them; parameters, their gradients and all sums stay float. The products of convolutions read weights from
// copies in bf16 (weight_cast.c). Where the CPU has tile registers (AMX) our own kernels run OP_CONV2D there.
#ifndef GRIDFOLD_MODEL_ONEDNN_ONEDNN_H
#define GRIDFOLD_MODEL_ONEDNN_ONEDNN_H

#include "model/onednn/dnnl_compat.h"
#include "model/onednn/kernels.h"

struct onednn {
    backend base;
    int threads;
    enum precision precision;
    dnnl_data_type_t value_type; // of activations, their gradients, and the weights that products read
    uint64_t changes;            // grows whenever parameters may have changed
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    dnnl_primitive_attr_t attr; // scratchpads are the caller's
    const struct kernel_table *kernels;
    const struct conv_kernels *tiles;    // OP_CONV2D by tile registers; NULL: the processor has none
    double partial[KERNEL_PARTIAL_SUMS]; // sum_squares
};

enum { CALL_MAX_MEMORIES = 6, SCRATCH_ALIGNMENT = 64 };

// A primitive with memory objects made once; each run only points them somewhere else. All zero: no call.
struct dnnl_call {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[CALL_MAX_MEMORIES];
    int count;
    bool scratchpad; // the last argument is one
    size_t scratchpad_bytes;
};

// Takes over `pd`, also on failure. Arguments are then bound in the order in which call_run's handles come.
enum status call_create(struct dnnl_call *call, dnnl_primitive_desc_t pd, const char *what, struct error *err);
enum status call_bind(const struct onednn *o, struct dnnl_call *call, int arg, compat_const_md md, struct error *err);
// A scratchpad, if the primitive wants one, is bound last and lies at `scratchpad`. The handles are as many as were
// bound.
enum status call_run(const struct onednn *o, const struct dnnl_call *call, const void *const *handles, void *scratchpad,
                     struct error *err);
void call_destroy(struct dnnl_call *call);
// from -> to; arguments: from, to.
enum status call_create_reorder(const struct onednn *o, struct dnnl_call *call, compat_const_md from,
                                compat_const_md to, struct error *err);

enum status onednn_status(dnnl_status_t status, const char *what, struct error *err);

int onednn_padded(const struct onednn *o, int64_t channels);            // to whole blocks
size_t onednn_value_floats(const struct onednn *o, struct shape shape); // that take up its memory
dnnl_status_t onednn_value_md(const struct onednn *o, struct shape shape, compat_md *md);

// A convolution weight's layout (md) is the one that the forward primitive of its first user prefers, or with bf16,
// where that reads a copy, the one in which the gradient is written; both channel counts are padded with zeros to whole
// blocks. A vector is plain, padded likewise.
struct param_layout {
    const struct onednn *owner;
    size_t floats;         // ours
    int64_t shape[4];      // the host's; unused dimensions are 1
    int64_t padded[2];     // of dimensions 0 and 1
    bool blocked;          // [Co / b][Ci / b][k][k][b][b], which our own kernels understand
    compat_md md, host_md; // NULL for vectors; host_md is row-major and padded
    int64_t group;         // rows of dimension 0 that `export` takes; 1 for vectors
    size_t group_floats;   // ours, from one group to the next
    struct dnnl_call import, export;
    float *staging; // row-major and padded: between the host's tensor and ours
    void *scratchpad;
    struct weight_casts *casts; // PRECISION_BF16; NULL otherwise
};

enum status onednn_param_layout_create(backend *b, const struct graph_param *param, const struct op_desc *op_desc,
                                       param_layout **layout, struct error *err);
void onednn_param_layout_destroy(backend *b, param_layout *layout);
size_t onednn_param_floats(const param_layout *layout);
void onednn_param_import(backend *b, const param_layout *layout, const float *host, float *param);
int64_t onednn_param_row_group(const param_layout *layout);
void onednn_param_export(backend *b, const param_layout *layout, const float *param, int64_t first, int64_t rows,
                         float *host);

// The copies of one weight in bf16, each in another layout, which live as long as the weight's own. A copy is made anew
// at its first use after the parameter has changed.
struct weight_cast;
struct weight_casts {
    struct weight_cast *first;
};
enum status weight_cast_find(const param_layout *layout, compat_const_md md, struct weight_cast **cast,
                             struct error *err);
enum status weight_cast_run(const struct onednn *o, struct weight_cast *cast, const float *weight, const void **copy,
                            struct error *err);
void weight_casts_destroy(struct weight_casts *casts);

// The convolution behind OP_CONV2D or OP_CONV_TRANSPOSE2D: the latter is the former with forward and input gradient
// exchanged, so its "src" is the operation's output.
struct conv_geometry {
    struct shape src, dst;
    int kernel, stride, pad;
    bool bias, accumulate; // of the convolution's forward pass
};
struct conv_geometry conv_geometry_of(const struct op_desc *desc);

// Descriptors of one convolution; weights of any layout. Destroy also after failure.
struct conv_mds {
    compat_md src, weights, diff_weights, bias, dst;
};
dnnl_status_t conv_mds_create(const struct onednn *o, const struct conv_geometry *g, struct conv_mds *mds);
void conv_mds_destroy(struct conv_mds *mds);
struct compat_conv conv_desc(const struct conv_geometry *g, const struct conv_mds *mds);
struct compat_conv conv_weight_gradient_desc(const struct conv_geometry *g, const struct conv_mds *mds);

typedef struct conv_op conv_op;
enum status conv_op_create(struct onednn *o, const struct op_desc *desc, const param_layout *weight, conv_op **c,
                           struct error *err);
void conv_op_destroy(conv_op *c);
size_t conv_op_scratch_bytes(const conv_op *c);
enum status conv_op_forward(const struct onednn *o, conv_op *c, const struct op_args *args, struct error *err);
enum status conv_op_backward(const struct onednn *o, conv_op *c, const struct op_args *args, struct error *err);

#endif
