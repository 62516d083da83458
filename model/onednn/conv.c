// OP_CONV2D and OP_CONV_TRANSPOSE2D through oneDNN's convolution; by our own kernels those on the smallest maps, the
// one of the image, those for which Winograd's algorithm pays where oneDNN lacks it, and all of OP_CONV2D in bf16 where
// there are tile registers.
//
// Each pass is created with the weight layout that oneDNN likes best there; where that is not the parameter's own, a
// reorder through scratch stands before (or, for the gradient, after) it. With bf16 the products read copies of the
// weight instead (weight_cast.c), and the gradient is written in float. Scratch: [weight in another layout][temporary
// activation gradient][scratchpad].
#include "model/onednn/onednn.h"

#include <stdlib.h>

// Convolutions to maps of at most KERNEL_SMALL_MAP pixels, from maps of at most KERNEL_SMALL_SOURCE, are left to our
// own kernels, where oneDNN is slower, several times where most taps meet the border. oneDNN keeps those of one tap in
// bf16 or with a stride. What is done once for a weight (transforms) needs tiles or frames enough to be worth it.
enum { LEAST_FRAMES = 8 };
enum { WINOGRAD_LEAST_TILES = 24, WINOGRAD_LEAST_CHANNELS = 64 };

// How the weight comes to a pass: as it is (all zero), reordered, or as a copy in bf16 that its layout owns.
struct weight_source {
    struct dnnl_call reorder;
    struct weight_cast *cast;
};

struct conv_op {
    struct conv_geometry geometry;
    bool transposed;
    const struct conv_kernels *own; // by our own kernels; NULL: by oneDNN
    struct dnnl_call forward, data, weights;
    struct weight_source forward_weight, data_weight;
    struct dnnl_call from_weights; // the gradient's reorder, or none
    size_t reordered_bytes, temporary_bytes, scratchpad_bytes;
};

struct conv_geometry conv_geometry_of(const struct op_desc *d) {
    struct conv_geometry g = {d->in, d->out, d->kernel, d->stride, d->pad, d->bias, d->accumulate};
    if (d->kind == OP_CONV_TRANSPOSE2D)
        g = (struct conv_geometry){d->out, d->in, 2, 2, 0, false, false};
    return g;
}

dnnl_status_t conv_mds_create(const struct onednn *o, const struct conv_geometry *g, struct conv_mds *mds) {
    *mds = (struct conv_mds){0};
    const int src_channels = onednn_padded(o, g->src.c), dst_channels = onednn_padded(o, g->dst.c);
    const dnnl_dim_t weights[] = {dst_channels, src_channels, g->kernel, g->kernel}, bias[] = {dst_channels};
    dnnl_status_t status = onednn_value_md(o, g->src, &mds->src);
    if (status == dnnl_success)
        status = onednn_value_md(o, g->dst, &mds->dst);
    if (status == dnnl_success)
        status = compat_md_create(&mds->weights, 4, weights, o->value_type, dnnl_format_tag_any);
    if (status == dnnl_success)
        status = compat_md_create(&mds->diff_weights, 4, weights, dnnl_f32, dnnl_format_tag_any);
    if (status == dnnl_success && g->bias)
        status = compat_md_create(&mds->bias, 1, bias, dnnl_f32, dnnl_a);
    return status;
}

void conv_mds_destroy(struct conv_mds *mds) {
    compat_md_destroy(mds->src);
    compat_md_destroy(mds->weights);
    compat_md_destroy(mds->diff_weights);
    compat_md_destroy(mds->bias);
    compat_md_destroy(mds->dst);
}

// Winograd's F(4x4, 3x3) transforms the weight once and then every tile of 4 x 4 pixels: it pays where there are enough
// tiles for one weight. It rounds more coarsely than the direct algorithm; networks a few channels wide, whose batch
// norms may magnify rounding without bound, are left alone.
static bool winograd_pays(const struct conv_geometry *g) {
    int tiles = g->dst.n * ((g->dst.h + 3) / 4) * ((g->dst.w + 3) / 4);
    bool wide = g->src.c >= WINOGRAD_LEAST_CHANNELS && g->dst.c >= WINOGRAD_LEAST_CHANNELS;
    return g->kernel == 3 && g->stride == 1 && wide && tiles >= WINOGRAD_LEAST_TILES;
}

struct compat_conv conv_desc(const struct conv_geometry *g, const struct conv_mds *mds) {
    return (struct compat_conv){.src = mds->src,
                                .weights = mds->weights,
                                .bias = mds->bias,
                                .dst = mds->dst,
                                .stride = {g->stride, g->stride},
                                .pad = {g->pad, g->pad},
                                .winograd = winograd_pays(g)};
}

struct compat_conv conv_weight_gradient_desc(const struct conv_geometry *g, const struct conv_mds *mds) {
    struct compat_conv conv = conv_desc(g, mds);
    conv.weights = mds->diff_weights;
    return conv;
}

static size_t max_size(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t aligned(size_t bytes) {
    return (bytes + SCRATCH_ALIGNMENT - 1) / SCRATCH_ALIGNMENT * SCRATCH_ALIGNMENT;
}

static void count_scratch(conv_op *c, const struct dnnl_call *call, compat_const_md reordered) {
    c->scratchpad_bytes = max_size(c->scratchpad_bytes, aligned(call->scratchpad_bytes));
    if (reordered)
        c->reordered_bytes = max_size(c->reordered_bytes, aligned(dnnl_memory_desc_get_size(reordered)));
}

// Makes the reorder between the parameter's layout and a pass's, when they differ.
static enum status create_weight_reorder(const struct onednn *o, conv_op *c, const param_layout *weight,
                                         compat_const_md pass_md, bool from_pass, struct dnnl_call *call,
                                         struct error *err) {
    if (dnnl_memory_desc_equal(weight->md, pass_md))
        return STATUS_OK;
    TRY(call_create_reorder(o, call, from_pass ? pass_md : weight->md, from_pass ? weight->md : pass_md, err));
    count_scratch(c, call, pass_md);
    return STATUS_OK;
}

static enum status create_weight_source(const struct onednn *o, conv_op *c, const param_layout *weight,
                                        compat_const_md pass_md, struct weight_source *source, struct error *err) {
    if (o->precision == PRECISION_BF16)
        return weight_cast_find(weight, pass_md, &source->cast, err);
    return create_weight_reorder(o, c, weight, pass_md, false, &source->reorder, err);
}

static enum status create_forward_pd(const struct onednn *o, const struct conv_geometry *g,
                                     const struct compat_conv *conv, dnnl_primitive_desc_t *pd, struct error *err) {
    if (!g->accumulate)
        return onednn_status(compat_conv_forward(pd, o->engine, conv, o->attr), "convolution", err);
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t post_ops = NULL;
    dnnl_status_t status = dnnl_primitive_attr_clone(&attr, o->attr);
    if (status == dnnl_success)
        status = dnnl_post_ops_create(&post_ops);
    if (status == dnnl_success)
        status = compat_append_sum(post_ops);
    if (status == dnnl_success)
        status = dnnl_primitive_attr_set_post_ops(attr, post_ops);
    if (status == dnnl_success)
        status = compat_conv_forward(pd, o->engine, conv, attr);
    if (post_ops)
        dnnl_post_ops_destroy(post_ops);
    if (attr)
        dnnl_primitive_attr_destroy(attr);
    return onednn_status(status, "accumulating convolution", err);
}

// Arguments: src, weights, dst [, bias].
static enum status create_forward(const struct onednn *o, conv_op *c, const struct compat_conv *conv,
                                  const param_layout *weight, struct error *err) {
    dnnl_primitive_desc_t pd = NULL;
    TRY(create_forward_pd(o, &c->geometry, conv, &pd, err));
    TRY(call_create(&c->forward, pd, "convolution", err));
    const_dnnl_primitive_desc_t made = NULL;
    TRY(onednn_status(dnnl_primitive_get_primitive_desc(c->forward.primitive, &made), "convolution", err));
    compat_const_md md = dnnl_primitive_desc_query_md(made, dnnl_query_weights_md, 0);
    TRY(call_bind(o, &c->forward, DNNL_ARG_SRC, conv->src, err));
    TRY(call_bind(o, &c->forward, DNNL_ARG_WEIGHTS, md, err));
    TRY(call_bind(o, &c->forward, DNNL_ARG_DST, conv->dst, err));
    if (conv->bias)
        TRY(call_bind(o, &c->forward, DNNL_ARG_BIAS, conv->bias, err));
    count_scratch(c, &c->forward, NULL);
    return create_weight_source(o, c, weight, md, &c->forward_weight, err);
}

// Arguments: diff_dst, weights, diff_src.
static enum status create_data(const struct onednn *o, conv_op *c, const struct compat_conv *conv,
                               const param_layout *weight, dnnl_primitive_desc_t hint, struct error *err) {
    dnnl_primitive_desc_t pd = NULL;
    TRY(onednn_status(compat_conv_backward_data(&pd, o->engine, conv, hint, o->attr), "convolution data gradient",
                      err));
    TRY(call_create(&c->data, pd, "convolution data gradient", err));
    const_dnnl_primitive_desc_t made = NULL;
    TRY(onednn_status(dnnl_primitive_get_primitive_desc(c->data.primitive, &made), "convolution", err));
    compat_const_md md = dnnl_primitive_desc_query_md(made, dnnl_query_weights_md, 0);
    TRY(call_bind(o, &c->data, DNNL_ARG_DIFF_DST, conv->dst, err));
    TRY(call_bind(o, &c->data, DNNL_ARG_WEIGHTS, md, err));
    TRY(call_bind(o, &c->data, DNNL_ARG_DIFF_SRC, conv->src, err));
    count_scratch(c, &c->data, NULL);
    return create_weight_source(o, c, weight, md, &c->data_weight, err);
}

// Arguments: src, diff_dst, diff_weights [, diff_bias].
static enum status create_weights(const struct onednn *o, conv_op *c, const struct compat_conv *conv,
                                  const param_layout *weight, dnnl_primitive_desc_t hint, struct error *err) {
    dnnl_primitive_desc_t pd = NULL;
    TRY(onednn_status(compat_conv_backward_weights(&pd, o->engine, conv, hint, o->attr), "convolution weight gradient",
                      err));
    TRY(call_create(&c->weights, pd, "convolution weight gradient", err));
    const_dnnl_primitive_desc_t made = NULL;
    TRY(onednn_status(dnnl_primitive_get_primitive_desc(c->weights.primitive, &made), "convolution", err));
    compat_const_md md = dnnl_primitive_desc_query_md(made, dnnl_query_diff_weights_md, 0);
    TRY(call_bind(o, &c->weights, DNNL_ARG_SRC, conv->src, err));
    TRY(call_bind(o, &c->weights, DNNL_ARG_DIFF_DST, conv->dst, err));
    TRY(call_bind(o, &c->weights, DNNL_ARG_DIFF_WEIGHTS, md, err));
    if (conv->bias)
        TRY(call_bind(o, &c->weights, DNNL_ARG_DIFF_BIAS, conv->bias, err));
    count_scratch(c, &c->weights, NULL);
    return create_weight_reorder(o, c, weight, md, true, &c->from_weights, err);
}

// Weights in bf16 for our own kernels: pairs of what is summed over lie together.
static enum status create_own_source(const struct onednn *o, conv_op *c, const param_layout *weight,
                                     dnnl_format_tag_t tag, struct weight_source *source, struct error *err) {
    const struct conv_geometry *g = &c->geometry;
    const dnnl_dim_t dims[] = {onednn_padded(o, g->dst.c), onednn_padded(o, g->src.c), g->kernel, g->kernel};
    compat_md md = NULL;
    enum status status = onednn_status(compat_md_create(&md, 4, dims, o->value_type, tag), "weight descriptor", err);
    if (status == STATUS_OK)
        status = weight_cast_find(weight, md, &source->cast, err);
    compat_md_destroy(md);
    return status;
}

// Which of the convolution's own passes the operation asks for.
struct conv_passes {
    bool forward, data, weights;
};

static struct conv_passes conv_passes_of(const struct op_desc *d) {
    bool transposed = d->kind == OP_CONV_TRANSPOSE2D;
    return (struct conv_passes){
        .forward = d->passes & (transposed ? PASS_INPUT_GRAD : PASS_FORWARD),
        .data = d->passes & (transposed ? PASS_FORWARD : PASS_INPUT_GRAD),
        .weights = d->passes & PASS_PARAM_GRAD,
    };
}

static enum status create_own(const struct onednn *o, conv_op *c, struct conv_passes passes, const param_layout *weight,
                              struct error *err) {
    bool bf16 = o->precision == PRECISION_BF16;
    if (bf16 && passes.forward)
        TRY(create_own_source(o, c, weight, dnnl_OIhw8i16o2i, &c->forward_weight, err));
    if (bf16 && passes.data)
        TRY(create_own_source(o, c, weight, dnnl_OIhw8o16i2o, &c->data_weight, err));
    return STATUS_OK;
}

static enum status create_passes(struct onednn *o, conv_op *c, const struct op_desc *d, const struct compat_conv *conv,
                                 const struct compat_conv *gradient, const param_layout *weight, struct error *err) {
    struct conv_passes passes = conv_passes_of(d);
    if (c->own)
        return create_own(o, c, passes, weight, err);
    dnnl_primitive_desc_t hint = NULL;
    enum status status = onednn_status(compat_conv_forward(&hint, o->engine, conv, o->attr), "convolution", err);
    if (status == STATUS_OK && passes.forward)
        status = create_forward(o, c, conv, weight, err);
    if (status == STATUS_OK && passes.data)
        status = create_data(o, c, conv, weight, hint, err);
    if (status == STATUS_OK && passes.weights)
        status = create_weights(o, c, gradient, weight, hint, err);
    if (hint)
        dnnl_primitive_desc_destroy(hint);
    return status;
}

// What an accumulated input gradient, or a bias gradient of our own, needs besides.
static void count_temporary(const struct onednn *o, conv_op *c, const struct op_desc *d) {
    if (c->own)
        c->temporary_bytes = aligned(c->own->scratch_bytes(d));
    else if (d->passes & PASS_INPUT_GRAD)
        c->temporary_bytes = aligned(onednn_value_floats(o, d->in) * sizeof(float));
    if (d->passes & PASS_PARAM_GRAD && (c->transposed || c->own))
        c->temporary_bytes = max_size(c->temporary_bytes, aligned(o->kernels->bias_grad_scratch_bytes(d)));
}

static bool is_small(const struct onednn *o, const struct op_desc *d) {
    bool one_tap = d->kernel == 1 && (o->precision == PRECISION_BF16 || d->stride > 1 || d->in.n < LEAST_FRAMES);
    return d->kernel * d->kernel <= KERNEL_SMALL_TAPS && !one_tap && d->out.h * d->out.w <= KERNEL_SMALL_MAP &&
           d->in.h * d->in.w <= KERNEL_SMALL_SOURCE;
}

static bool is_own_winograd(const struct onednn *o, const struct op_desc *d) {
    struct conv_geometry g = conv_geometry_of(d);
    bool whole_tiles = g.pad == 1 && g.dst.h % 4 == 0 && g.dst.w % 4 == 0;
    return o->kernels->conv_winograd.forward && whole_tiles && winograd_pays(&g);
}

static const struct conv_kernels *own_kernels_for(const struct onednn *o, const struct op_desc *d,
                                                  const param_layout *weight) {
    if (d->kind != OP_CONV2D || !weight->blocked)
        return NULL;
    if (o->tiles && d->kernel <= KERNEL_TILES_SIDE)
        return o->tiles;
    if (o->kernels->conv_image_fits && o->kernels->conv_image_fits(d))
        return &o->kernels->conv_image;
    if (is_own_winograd(o, d))
        return &o->kernels->conv_winograd;
    if (!is_small(o, d))
        return NULL;
    bool on_2x2 =
        d->kernel == 3 && d->stride == 1 && d->pad == 1 && d->in.h == 2 && d->in.w == 2 && d->in.n >= LEAST_FRAMES;
    return on_2x2 && o->kernels->conv_2x2.forward ? &o->kernels->conv_2x2 : &o->kernels->conv_small;
}

enum status conv_op_create(struct onednn *o, const struct op_desc *d, const param_layout *weight, conv_op **out,
                           struct error *err) {
    if (!weight || !weight->md)
        return error_set(err, STATUS_INVALID, "a convolution without a weight layout");
    conv_op *c = calloc(1, sizeof *c);
    if (!c)
        return error_memory(err, "a convolution");
    c->geometry = conv_geometry_of(d);
    c->transposed = d->kind == OP_CONV_TRANSPOSE2D;
    c->own = own_kernels_for(o, d, weight);
    count_temporary(o, c, d);
    struct conv_mds mds;
    enum status status = onednn_status(conv_mds_create(o, &c->geometry, &mds), "convolution", err);
    if (status == STATUS_OK) {
        struct compat_conv conv = conv_desc(&c->geometry, &mds),
                           gradient = conv_weight_gradient_desc(&c->geometry, &mds);
        status = create_passes(o, c, d, &conv, &gradient, weight, err);
    }
    conv_mds_destroy(&mds);
    if (status == STATUS_OK)
        *out = c;
    else
        conv_op_destroy(c);
    return status;
}

void conv_op_destroy(conv_op *c) {
    if (!c)
        return;
    call_destroy(&c->forward);
    call_destroy(&c->data);
    call_destroy(&c->weights);
    call_destroy(&c->forward_weight.reorder);
    call_destroy(&c->data_weight.reorder);
    call_destroy(&c->from_weights);
    free(c);
}

size_t conv_op_scratch_bytes(const conv_op *c) {
    return c->reordered_bytes + c->temporary_bytes + c->scratchpad_bytes;
}

struct conv_scratch {
    float *reordered;
    void *temporary, *scratchpad;
};

static struct conv_scratch scratch_of(const conv_op *c, void *scratch) {
    char *at = scratch;
    return (struct conv_scratch){(float *)scratch, at + c->reordered_bytes,
                                 at + c->reordered_bytes + c->temporary_bytes};
}

// The weight as a pass wants it: itself, a copy in scratch, or one in bf16.
static enum status weight_for(const struct onednn *o, const struct weight_source *source, const float *weight,
                              struct conv_scratch s, const void **wanted, struct error *err) {
    *wanted = weight;
    if (source->cast)
        return weight_cast_run(o, source->cast, weight, wanted, err);
    if (!source->reorder.primitive)
        return STATUS_OK;
    *wanted = s.reordered;
    return call_run(o, &source->reorder, (const void *[]){weight, s.reordered}, s.scratchpad, err);
}

static struct conv_shape shape_of(const conv_op *c) {
    const struct conv_geometry *g = &c->geometry;
    return (struct conv_shape){g->src, g->dst, g->kernel, g->stride, g->pad};
}

static enum status run_forward(const struct onednn *o, const conv_op *c, const float *src, const float *weight,
                               const float *bias, float *dst, struct conv_scratch s, struct error *err) {
    const void *wanted;
    TRY(weight_for(o, &c->forward_weight, weight, s, &wanted, err));
    if (c->own) {
        struct conv_shape shape = shape_of(c);
        c->own->forward(&shape, src, wanted, bias, c->geometry.accumulate, dst, s.temporary, o->threads);
        return STATUS_OK;
    }
    return call_run(o, &c->forward, (const void *[]){src, wanted, dst, bias}, s.scratchpad, err);
}

static enum status run_data(const struct onednn *o, const conv_op *c, const float *ddst, const float *weight,
                            float *dsrc, struct conv_scratch s, struct error *err) {
    const void *wanted;
    TRY(weight_for(o, &c->data_weight, weight, s, &wanted, err));
    return call_run(o, &c->data, (const void *[]){ddst, wanted, dsrc}, s.scratchpad, err);
}

static enum status run_weights(const struct onednn *o, const conv_op *c, const float *src, const float *ddst,
                               float *dweight, float *dbias, struct conv_scratch s, struct error *err) {
    if (c->own) {
        struct conv_shape shape = shape_of(c);
        c->own->weight_grad(&shape, src, ddst, dweight, s.temporary, o->threads);
        if (dbias)
            o->kernels->bias_grad(c->geometry.dst, ddst, dbias, s.temporary, o->threads);
        return STATUS_OK;
    }
    bool reorder = c->from_weights.primitive != NULL;
    float *written = reorder ? s.reordered : dweight;
    TRY(call_run(o, &c->weights, (const void *[]){src, ddst, written, dbias}, s.scratchpad, err));
    return reorder ? call_run(o, &c->from_weights, (const void *[]){s.reordered, dweight}, s.scratchpad, err)
                   : STATUS_OK;
}

enum status conv_op_forward(const struct onednn *o, conv_op *c, const struct op_args *args, struct error *err) {
    struct conv_scratch s = scratch_of(c, args->scratch);
    if (!c->transposed)
        return run_forward(o, c, args->input[0], args->param[0], args->param[1], args->output[0], s, err);
    TRY(run_data(o, c, args->input[0], args->param[0], args->output[0], s, err));
    if (args->param[1])
        o->kernels->bias_add(c->geometry.src, args->param[1], args->output[0], o->threads);
    return STATUS_OK;
}

static enum status input_gradient(const struct onednn *o, conv_op *c, const struct op_args *args, struct error *err) {
    struct conv_scratch s = scratch_of(c, args->scratch);
    bool accumulate = args->input_grad_accumulate[0];
    if (c->own) {
        struct conv_shape shape = shape_of(c);
        const void *wanted;
        TRY(weight_for(o, &c->data_weight, args->param[0], s, &wanted, err));
        c->own->data_grad(&shape, args->output_grad[0], wanted, accumulate, args->input_grad[0], s.temporary,
                          o->threads);
        return STATUS_OK;
    }
    float *dx = accumulate ? s.temporary : args->input_grad[0];
    if (c->transposed)
        TRY(run_forward(o, c, args->output_grad[0], args->param[0], NULL, dx, s, err));
    else
        TRY(run_data(o, c, args->output_grad[0], args->param[0], dx, s, err));
    if (accumulate)
        o->kernels->add(c->transposed ? c->geometry.dst : c->geometry.src, dx, args->input_grad[0], o->threads);
    return STATUS_OK;
}

enum status conv_op_backward(const struct onednn *o, conv_op *c, const struct op_args *args, struct error *err) {
    struct conv_scratch s = scratch_of(c, args->scratch);
    if (args->input_grad[0])
        TRY(input_gradient(o, c, args, err));
    if (!args->param_grad[0])
        return STATUS_OK;
    if (!c->transposed)
        return run_weights(o, c, args->input[0], args->output_grad[0], args->param_grad[0], args->param_grad[1], s,
                           err);
    TRY(run_weights(o, c, args->output_grad[0], args->input[0], args->param_grad[0], NULL, s, err));
    if (args->param_grad[1])
        o->kernels->bias_grad(c->geometry.src, args->output_grad[0], args->param_grad[1], s.temporary, o->threads);
    return STATUS_OK;
}
