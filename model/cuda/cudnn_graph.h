// cuDNN's backend descriptors in C, and the one kind of graph that is built of them: a convolution pass, alone or with
// a bias added to what it makes. Internal to model/cuda; one thread at a time.
#ifndef GRIDFOLD_MODEL_CUDA_CUDNN_GRAPH_H
#define GRIDFOLD_MODEL_CUDA_CUDNN_GRAPH_H

#include "model/backend.h"
#include "model/cuda/cudnn_library.h"

// Tensors and operations of one graph, its heuristics and its plan.
enum { CUDNN_MAX_DESCRIPTORS = 24 };

// Descriptors that are released together, last made first.
struct cudnn_descriptors {
    cudnnBackendDescriptor_t descriptors[CUDNN_MAX_DESCRIPTORS];
    int count;
};

// Makes descriptors into `owned`. The first failure is kept in `status` and `err`, and then nothing more is done.
struct cudnn_builder {
    const struct cudnn_library *library;
    struct cudnn_descriptors *owned;
    struct error *err;
    enum status status;
};

cudnnBackendDescriptor_t cudnn_make(struct cudnn_builder *b, cudnnBackendDescriptorType_t type, const char *what);
void cudnn_set(struct cudnn_builder *b, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
               cudnnBackendAttributeType_t type, int64_t count, const void *values);
void cudnn_set_descriptor(struct cudnn_builder *b, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                          cudnnBackendDescriptor_t value);
cudnnBackendDescriptor_t cudnn_finalize(struct cudnn_builder *b, cudnnBackendDescriptor_t d, const char *what);
void cudnn_descriptors_release(const struct cudnn_library *library, struct cudnn_descriptors *owned);

// A cuDNN status as one of ours (UNSUPPORTED, MEMORY, INTERNAL) with cuDNN's own words.
NODISCARD enum status cudnn_checked(const struct cudnn_library *library, cudnnStatus_t status, const char *what,
                                    struct error *err);

enum cudnn_pass {
    CUDNN_PASS_FORWARD, // y = conv(x, w)
    CUDNN_PASS_DATA,    // x = the transposed convolution of y by w
    CUDNN_PASS_WEIGHTS, // w = the weight gradient of x and y
};

// A convolution as cuDNN sees it: x (N,C,H,W) and y (N,K,P,Q) in NHWC, w (K,C,R,R) in KRSC, all float or all bf16 as
// the precision says, sums in float; bias in float, of the result's channels. Also the key of its plan, compared byte
// by byte: all members are ints.
struct cudnn_convolution {
    struct shape x, y;
    int kernel, stride, pad;
    int pass;       // enum cudnn_pass
    int precision;  // enum precision
    int accumulate; // adds to what the result holds; never together with bias
    int bias;       // the result gets a bias: PASS_FORWARD, PASS_DATA
};

enum cudnn_operand { CUDNN_OPERAND_X, CUDNN_OPERAND_W, CUDNN_OPERAND_Y, CUDNN_OPERAND_BIAS, CUDNN_OPERANDS };

// The finalized operation graph; the unique id of operand i is i + 1.
cudnnBackendDescriptor_t cudnn_convolution_graph(struct cudnn_builder *b, const struct cudnn_convolution *c);

// "weight gradient of x 28x64x16x16, 3x3 stride 1 pad 1, y 28x64x16x16, bf16"
void cudnn_convolution_name(const struct cudnn_convolution *c, char *text, size_t size);

#endif
