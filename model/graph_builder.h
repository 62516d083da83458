// Growing a graph: storages, values, parameters, nodes. For the builders of models (lstm_unet.c); a finished graph is
// read through graph.h.
//
// A builder remembers its first failure (out of memory) and then does nothing more: build on without checks, ask at
// graph_builder_finish. Shapes are inferred from the inputs. Owned by one caller.
#ifndef GRIDFOLD_MODEL_GRAPH_BUILDER_H
#define GRIDFOLD_MODEL_GRAPH_BUILDER_H

#include "model/graph.h"

struct graph_builder {
    graph *g;
    int node_room, value_room, storage_room, param_room, buffer_room;
    bool failed;
};

// BatchNorm's parameters and running statistics, declared together under "<key>.weight" .. "<key>.running_var".
struct batchnorm_params {
    int gamma, beta, mean, variance;
};

void graph_builder_init(struct graph_builder *b, int batch, int steps);
// Hands the graph over, or destroys it. The caller sets graph.input and graph.logits.
NODISCARD enum status graph_builder_finish(struct graph_builder *b, graph **g, struct error *err);

int build_value(struct graph_builder *b, struct shape shape);                    // with a storage of its own
int build_view(struct graph_builder *b, int value, int first_frame, int frames); // of `frames` frames of `value`
struct shape value_shape(const struct graph_builder *b, int value);

// Every function that declares parameters takes them in state-dict order: the order of the calls is the order of the
// state dict.
int build_conv_weight(struct graph_builder *b, const char *key, int out_channels, int in_channels, int kernel,
                      enum param_init init); // (Co,Ci,k,k)
// The input channels first .. first + channels of a weight that has `total`.
int build_conv_weight_slice(struct graph_builder *b, const char *key, int out_channels, int first, int channels,
                            int total, int kernel, enum param_init init);
int build_conv_transpose_weight(struct graph_builder *b, const char *key, int in_channels, int out_channels);
// A bias, with the fans of the weight that it belongs to.
int build_bias(struct graph_builder *b, const char *key, int channels, enum param_init init, int weight);
struct batchnorm_params build_batchnorm_params(struct graph_builder *b, const char *key, int channels);

struct conv_options {
    int stride; // 0 means 1
    int bias;   // parameter, or -1
    int into;   // NO_VALUE: a new value; else an existing one, which the convolution adds to when `accumulate`
    bool accumulate;
    unsigned passes; // 0 means all three
};
// Padding is kernel / 2. Returns the output.
int build_conv(struct graph_builder *b, const char *name, int x, int weight, struct conv_options options);
int build_conv_transpose(struct graph_builder *b, const char *name, int x, int weight, int bias);
int build_batchnorm(struct graph_builder *b, const char *name, int x, int residual, bool relu,
                    struct batchnorm_params params);
int build_maxpool(struct graph_builder *b, const char *name, int x);
int build_upsample(struct graph_builder *b, const char *name, int x);
int build_temporal(struct graph_builder *b, const char *name, enum op_kind kind, int x, int steps);
// h goes into an existing value (a view of the sequence), c_prev may be NO_VALUE. Returns c.
int build_lstm_cell(struct graph_builder *b, const char *name, int gates, int c_prev, int h);

#endif
