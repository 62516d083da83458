#include "model/graph_builder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALL_PASSES = PASS_FORWARD | PASS_INPUT_GRAD | PASS_PARAM_GRAD };

void graph_builder_init(struct graph_builder *b, int batch, int steps) {
    *b = (struct graph_builder){.g = calloc(1, sizeof(graph))};
    b->failed = !b->g;
    if (b->g) {
        b->g->batch = batch;
        b->g->steps = steps;
    }
}

enum status graph_builder_finish(struct graph_builder *b, graph **g, struct error *err) {
    if (b->failed) {
        graph_destroy(b->g);
        return error_memory(err, "the graph");
    }
    *g = b->g;
    return STATUS_OK;
}

// Room for one more element; its index, or -1 after a failure.
static int grow(struct graph_builder *b, void *array, int *count, int *room, size_t size) {
    if (b->failed)
        return -1;
    void *data;
    memcpy(&data, array, sizeof data); // the pointer's own type is the caller's
    if (*count == *room) {
        int wanted = *room ? 2 * *room : 64;
        data = realloc(data, (size_t)wanted * size);
        if (!data) {
            b->failed = true;
            return -1;
        }
        memcpy(array, &data, sizeof data);
        *room = wanted;
    }
    memset((char *)data + (size_t)*count * size, 0, size);
    return (*count)++;
}

static int new_value(struct graph_builder *b, struct shape shape, int storage, int first_frame) {
    int i = b->failed ? -1 : grow(b, &b->g->values, &b->g->value_count, &b->value_room, sizeof *b->g->values);
    if (i >= 0)
        b->g->values[i] = (struct graph_value){shape, storage, first_frame};
    return i;
}

int build_value(struct graph_builder *b, struct shape shape) {
    int s = b->failed ? -1 : grow(b, &b->g->storages, &b->g->storage_count, &b->storage_room, sizeof *b->g->storages);
    if (s >= 0)
        b->g->storages[s].shape = shape;
    return new_value(b, shape, s, 0);
}

int build_view(struct graph_builder *b, int value, int first_frame, int frames) {
    if (b->failed)
        return -1;
    struct graph_value of = b->g->values[value];
    of.shape.n = frames;
    return new_value(b, of.shape, of.storage, of.first_frame + first_frame);
}

struct shape value_shape(const struct graph_builder *b, int value) {
    return b->failed ? (struct shape){1, 1, 1, 1} : b->g->values[value].shape;
}

static int new_param(struct graph_builder *b, const char *key, struct graph_param param) {
    int i = b->failed ? -1 : grow(b, &b->g->params, &b->g->param_count, &b->param_room, sizeof *b->g->params);
    if (i < 0)
        return -1;
    param.count = 1;
    for (int k = 0; k < param.rank; k++)
        param.count *= (size_t)param.shape[k];
    snprintf(param.key, sizeof param.key, "%s", key);
    b->g->params[i] = param;
    return i;
}

int build_conv_weight_slice(struct graph_builder *b, const char *key, int out_channels, int first, int channels,
                            int total, int kernel, enum param_init init) {
    return new_param(b, key,
                     (struct graph_param){.role = PARAM_CONV_WEIGHT,
                                          .rank = 4,
                                          .shape = {out_channels, channels, kernel, kernel},
                                          .slice_first = first,
                                          .slice_total = total,
                                          .init = init,
                                          .fan_in = (int64_t)total * kernel * kernel,
                                          .fan_out = (int64_t)out_channels * kernel * kernel});
}

int build_conv_weight(struct graph_builder *b, const char *key, int out_channels, int in_channels, int kernel,
                      enum param_init init) {
    return build_conv_weight_slice(b, key, out_channels, 0, in_channels, in_channels, kernel, init);
}

// PyTorch takes dimension 1 for a weight's inputs whatever the operation, so a transposed convolution's fan-in counts
// its outputs.
int build_conv_transpose_weight(struct graph_builder *b, const char *key, int in_channels, int out_channels) {
    return new_param(b, key,
                     (struct graph_param){.role = PARAM_CONV_TRANSPOSE_WEIGHT,
                                          .rank = 4,
                                          .shape = {in_channels, out_channels, 2, 2},
                                          .slice_total = out_channels,
                                          .init = INIT_PYTORCH_DEFAULT_UNIFORM,
                                          .fan_in = (int64_t)out_channels * 4,
                                          .fan_out = (int64_t)in_channels * 4});
}

static int new_vector(struct graph_builder *b, const char *key, int channels, enum param_init init) {
    return new_param(b, key, (struct graph_param){.role = PARAM_VECTOR, .rank = 1, .shape = {channels}, .init = init});
}

int build_bias(struct graph_builder *b, const char *key, int channels, enum param_init init, int weight) {
    int i = new_vector(b, key, channels, init);
    if (i >= 0) {
        b->g->params[i].fan_in = b->g->params[weight].fan_in;
        b->g->params[i].fan_out = b->g->params[weight].fan_out;
    }
    return i;
}

static int new_buffer(struct graph_builder *b, const char *key, int channels, float initial) {
    int i = b->failed ? -1 : grow(b, &b->g->buffers, &b->g->buffer_count, &b->buffer_room, sizeof *b->g->buffers);
    if (i >= 0) {
        struct graph_buffer *buffer = &b->g->buffers[i];
        snprintf(buffer->key, sizeof buffer->key, "%s", key);
        buffer->channels = channels;
        buffer->initial = initial;
    }
    return i;
}

struct batchnorm_params build_batchnorm_params(struct graph_builder *b, const char *key, int channels) {
    struct batchnorm_params p;
    char full[GRAPH_KEY_SIZE];
    snprintf(full, sizeof full, "%s.weight", key);
    p.gamma = new_vector(b, full, channels, INIT_ONE);
    snprintf(full, sizeof full, "%s.bias", key);
    p.beta = new_vector(b, full, channels, INIT_ZERO);
    snprintf(full, sizeof full, "%s.running_mean", key);
    p.mean = new_buffer(b, full, channels, 0);
    snprintf(full, sizeof full, "%s.running_var", key);
    p.variance = new_buffer(b, full, channels, 1);
    return p;
}

static struct graph_node empty_node(enum op_kind kind, struct shape in, struct shape out) {
    struct graph_node n = {.desc = {.kind = kind, .in = in, .out = out, .passes = ALL_PASSES}};
    for (int i = 0; i < OP_MAX_INPUTS; i++)
        n.input[i] = NO_VALUE;
    for (int i = 0; i < OP_MAX_OUTPUTS; i++)
        n.output[i] = NO_VALUE;
    for (int i = 0; i < OP_MAX_PARAMS; i++)
        n.param[i] = -1;
    for (int i = 0; i < OP_MAX_BUFFERS; i++)
        n.buffer[i] = -1;
    return n;
}

static void add_node(struct graph_builder *b, const char *name, struct graph_node node) {
    int i = b->failed ? -1 : grow(b, &b->g->nodes, &b->g->node_count, &b->node_room, sizeof *b->g->nodes);
    if (i < 0)
        return;
    snprintf(node.name, sizeof node.name, "%s", name);
    b->g->nodes[i] = node;
}

int build_conv(struct graph_builder *b, const char *name, int x, int weight, struct conv_options options) {
    if (b->failed)
        return -1;
    struct shape in = value_shape(b, x);
    int kernel = (int)b->g->params[weight].shape[2], stride = options.stride ? options.stride : 1, pad = kernel / 2;
    struct shape out = {in.n, (int)b->g->params[weight].shape[0], (in.h + 2 * pad - kernel) / stride + 1,
                        (in.w + 2 * pad - kernel) / stride + 1};
    int y = options.into == NO_VALUE ? build_value(b, out) : options.into;
    struct graph_node n = empty_node(OP_CONV2D, in, out);
    n.desc.kernel = kernel;
    n.desc.stride = stride;
    n.desc.pad = pad;
    n.desc.bias = options.bias >= 0;
    n.desc.accumulate = options.accumulate;
    if (options.passes)
        n.desc.passes = options.passes;
    n.input[0] = x;
    n.output[0] = y;
    n.param[0] = weight;
    n.param[1] = options.bias;
    add_node(b, name, n);
    return y;
}

int build_conv_transpose(struct graph_builder *b, const char *name, int x, int weight, int bias) {
    if (b->failed)
        return -1;
    struct shape in = value_shape(b, x), out = {in.n, (int)b->g->params[weight].shape[1], 2 * in.h, 2 * in.w};
    struct graph_node n = empty_node(OP_CONV_TRANSPOSE2D, in, out);
    n.desc.kernel = n.desc.stride = 2;
    n.desc.bias = true;
    n.input[0] = x;
    n.output[0] = build_value(b, out);
    n.param[0] = weight;
    n.param[1] = bias;
    add_node(b, name, n);
    return n.output[0];
}

int build_batchnorm(struct graph_builder *b, const char *name, int x, int residual, bool relu,
                    struct batchnorm_params params) {
    struct shape shape = value_shape(b, x);
    struct graph_node n = empty_node(OP_BATCHNORM, shape, shape);
    n.desc.epsilon = 1e-5f;
    n.desc.momentum = 0.1f;
    n.desc.relu = relu;
    n.desc.residual = residual != NO_VALUE;
    n.input[0] = x;
    n.input[1] = residual;
    n.output[0] = build_value(b, shape);
    n.param[0] = params.gamma;
    n.param[1] = params.beta;
    n.buffer[0] = params.mean;
    n.buffer[1] = params.variance;
    add_node(b, name, n);
    return n.output[0];
}

// A node of one input, one output and no parameters.
static int build_plain(struct graph_builder *b, const char *name, struct graph_node n, int x) {
    n.desc.passes = PASS_FORWARD | PASS_INPUT_GRAD;
    n.input[0] = x;
    n.output[0] = build_value(b, n.desc.out);
    add_node(b, name, n);
    return n.output[0];
}

int build_maxpool(struct graph_builder *b, const char *name, int x) {
    struct shape in = value_shape(b, x), out = {in.n, in.c, (in.h - 1) / 2 + 1, (in.w - 1) / 2 + 1};
    struct graph_node n = empty_node(OP_MAXPOOL2D, in, out);
    n.desc.kernel = 3;
    n.desc.stride = 2;
    n.desc.pad = 1;
    return build_plain(b, name, n, x);
}

int build_upsample(struct graph_builder *b, const char *name, int x) {
    struct shape in = value_shape(b, x), out = {in.n, in.c, 2 * in.h, 2 * in.w};
    return build_plain(b, name, empty_node(OP_UPSAMPLE2D, in, out), x);
}

int build_temporal(struct graph_builder *b, const char *name, enum op_kind kind, int x, int steps) {
    struct shape in = value_shape(b, x), out = {in.n / steps, in.c, in.h, in.w};
    struct graph_node n = empty_node(kind, in, out);
    n.desc.steps = steps;
    return build_plain(b, name, n, x);
}

int build_lstm_cell(struct graph_builder *b, const char *name, int gates, int c_prev, int h) {
    struct graph_node n = empty_node(OP_LSTM_CELL, value_shape(b, gates), value_shape(b, h));
    n.desc.no_previous = c_prev == NO_VALUE;
    n.desc.passes = PASS_FORWARD | PASS_INPUT_GRAD;
    n.input[0] = gates;
    n.input[1] = c_prev;
    n.output[0] = h;
    n.output[1] = build_value(b, value_shape(b, h));
    add_node(b, name, n);
    return n.output[1];
}
