// The static graph: operations, values, parameters. It is written once, by a builder (lstm_unet.h), and read by
// everything else: shape inference, state-dict keys, memory plan, FLOPs, backends.
//
// A value is a 4-D tensor (N, C, H, W) of float32. Sequences are frames in time-major order: frame t of sample b is n =
// t * B + b, so that the frames of one timestep are one contiguous view. A value lives in a storage; views are ranges
// of a storage's frames and own nothing. No concatenation and no addition stands in the graph: a convolution with
// `accumulate` adds to what its output already holds, on a slice of the weight's input channels. Gradients mirror
// values, storage by storage. A graph is immutable once built; any thread may read it.
#ifndef GRIDFOLD_MODEL_GRAPH_H
#define GRIDFOLD_MODEL_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/status.h"

struct shape {
    int n, c, h, w;
};

enum op_kind {
    OP_CONV2D, // x (N,Ci,H,W), weight (Co,Ci,k,k) [, bias (Co)] -> y (N,Co,Ho,Wo); cross-correlation as PyTorch
    OP_CONV_TRANSPOSE2D, // x (N,Ci,H,W), weight (Ci,Co,2,2), bias (Co) -> y (N,Co,2H,2W); kernel 2, stride 2
    OP_BATCHNORM,  // x [, residual], gamma (C), beta (C), buffers mean (C), var (C) -> y = relu?(bn(x) + residual?)
    OP_MAXPOOL2D,  // kernel 3, stride 2, padding 1; the first maximum in row-major order takes the gradient, as PyTorch
    OP_UPSAMPLE2D, // nearest neighbour, x 2
    OP_TEMPORAL_MAX,  // x (T*B,C,H,W) -> y (B,C,H,W); the earliest maximum takes the gradient, as PyTorch's max(dim)
    OP_TEMPORAL_MEAN, // x (T*B,C,H,W) -> y (B,C,H,W)
    OP_LSTM_CELL,     // gates (B,4C,H,W) in the order i,f,g,o before activation [, c_prev (B,C,H,W)] -> h, c (B,C,H,W)
};

enum op_pass { PASS_FORWARD = 1, PASS_INPUT_GRAD = 2, PASS_PARAM_GRAD = 4 };

// Everything a backend needs to compile one operation.
struct op_desc {
    enum op_kind kind;
    struct shape in, out;    // of input 0 and output 0
    int kernel, stride, pad; // convolutions and pooling
    bool bias;               // OP_CONV2D
    bool accumulate;         // OP_CONV2D: forward adds to y (never together with bias)
    bool relu, residual;     // OP_BATCHNORM
    bool no_previous;        // OP_LSTM_CELL: first step, c_prev is zero and input 1 absent
    int steps;               // OP_TEMPORAL_*: T
    float epsilon,
        momentum; // OP_BATCHNORM: 1e-5 and 0.1; running = (1 - momentum) running + momentum batch (unbiased variance)
    unsigned passes; // which of enum op_pass this operation is ever asked for
    int members; // OP_BATCHNORM in training: statistics are those of so many processes' batches; 0 and 1: of its own
};

enum {
    OP_MAX_INPUTS = 2,
    OP_MAX_OUTPUTS = 2,
    OP_MAX_PARAMS = 2,
    OP_MAX_BUFFERS = 2,
    GRAPH_KEY_SIZE = 96,
    NO_VALUE = -1
};

struct graph_node {
    struct op_desc desc;
    int input[OP_MAX_INPUTS];   // value, or NO_VALUE
    int output[OP_MAX_OUTPUTS]; // value, or NO_VALUE
    int param[OP_MAX_PARAMS];   // parameter (weight, bias | gamma, beta), or -1
    int buffer[OP_MAX_BUFFERS]; // buffer (running mean, running variance), or -1
    char name[GRAPH_KEY_SIZE];  // for messages and profiles: "encoder.layer1.0.conv1"
};

struct graph_value {
    struct shape shape;
    int storage;
    int first_frame; // offset in frames within the storage
};

struct graph_storage {
    struct shape shape;
};

enum param_role { PARAM_CONV_WEIGHT, PARAM_CONV_TRANSPOSE_WEIGHT, PARAM_VECTOR };
enum param_init {
    INIT_ZERO,
    INIT_ONE,
    INIT_KAIMING_NORMAL_FAN_OUT,
    INIT_KAIMING_UNIFORM_FAN_IN,
    INIT_XAVIER_UNIFORM,
    INIT_PYTORCH_DEFAULT_UNIFORM
};

// A parameter is one tensor of the state dict, or a slice of its input channels (dimension 1): a convolution over
// concatenated inputs is two convolutions over slices of one weight. Initialisation draws the whole tensor, so slicing
// changes no number.
struct graph_param {
    char key[GRAPH_KEY_SIZE]; // state-dict key
    enum param_role role;
    int rank;         // 4 or 1
    int64_t shape[4]; // of this slice: (Co,Ci,k,k), (Ci,Co,2,2) or (C)
    int slice_first,
        slice_total; // input channels slice_first .. slice_first + shape[1] of slice_total; 0 and shape[1] when whole
    enum param_init init;
    int64_t fan_in, fan_out; // PyTorch's, of the whole weight (a bias has its weight's)
    size_t count;
};

struct graph_buffer { // BatchNorm running statistics
    char key[GRAPH_KEY_SIZE];
    int channels;
    float initial; // 0 for means, 1 for variances
};

typedef struct graph graph;
struct graph {
    int batch, steps; // B, T
    int input;        // value (T*B, bands, H, W)
    int logits;       // value (B, 1, H, W)
    struct graph_node *nodes;
    struct graph_value *values;
    struct graph_storage *storages;
    struct graph_param *params;
    struct graph_buffer *buffers;
    int node_count, value_count, storage_count, param_count, buffer_count;
};

void graph_destroy(graph *g);

size_t graph_parameter_count(const graph *g); // scalars that are learned
double graph_flops(const graph *g,
                   bool training); // 2 x multiply-adds of the convolutions; training: forward and both gradients
double graph_op_flops(const struct op_desc *desc, unsigned passes); // of those of `passes` that it is asked for
const char *op_kind_name(enum op_kind kind);

// Which values the backward pass of an operation reads: bit i for input i, bit 8 + i for output i.
unsigned op_backward_reads(const struct op_desc *desc);

#endif
