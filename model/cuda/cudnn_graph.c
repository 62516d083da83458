#include "model/cuda/cudnn_graph.h"

#include <stdio.h>
#include <string.h>

enum {
    ALIGNMENT = 16,    // of every address, in bytes
    UID_BETWEEN = 100, // the convolution's result before the bias is added; operand i has UID i + 1
};

static enum status status_of(cudnnStatus_t status) {
    if (status == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED ||
        status == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED)
        return STATUS_MEMORY;
    return CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED ? STATUS_UNSUPPORTED : STATUS_INTERNAL;
}

enum status cudnn_checked(const struct cudnn_library *library, cudnnStatus_t status, const char *what,
                          struct error *err) {
    if (status == CUDNN_STATUS_SUCCESS)
        return STATUS_OK;
    char said[512] = "";
    library->cudnnGetLastErrorString(said, sizeof said);
    said[strcspn(said, "\n")] = '\0';
    return error_set(err, status_of(status), "cuDNN, %s: %s%s%s", what, library->cudnnGetErrorString(status),
                     *said ? ": " : "", said);
}

void cudnn_convolution_name(const struct cudnn_convolution *c, char *text, size_t size) {
    static const char *const passes[] = {"convolution", "data gradient", "weight gradient"};
    static const char *const precisions[] = {"fp32", "tf32", "bf16"};
    snprintf(text, size, "%s of x %dx%dx%dx%d, %dx%d stride %d pad %d, y %dx%dx%dx%d, %s%s%s", passes[c->pass], c->x.n,
             c->x.c, c->x.h, c->x.w, c->kernel, c->kernel, c->stride, c->pad, c->y.n, c->y.c, c->y.h, c->y.w,
             precisions[c->precision], c->accumulate ? ", accumulating" : "", c->bias ? ", with bias" : "");
}

// ---- Descriptors ----

static void check(struct cudnn_builder *b, cudnnStatus_t status, const char *what) {
    if (b->status == STATUS_OK)
        b->status = cudnn_checked(b->library, status, what, b->err);
}

cudnnBackendDescriptor_t cudnn_make(struct cudnn_builder *b, cudnnBackendDescriptorType_t type, const char *what) {
    cudnnBackendDescriptor_t d = NULL;
    if (b->status == STATUS_OK && b->owned->count == CUDNN_MAX_DESCRIPTORS)
        b->status = error_set(b->err, STATUS_INTERNAL, "cuDNN, %s: too many descriptors for one graph", what);
    if (b->status == STATUS_OK)
        check(b, b->library->cudnnBackendCreateDescriptor(type, &d), what);
    if (b->status == STATUS_OK)
        b->owned->descriptors[b->owned->count++] = d;
    return d;
}

void cudnn_set(struct cudnn_builder *b, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
               cudnnBackendAttributeType_t type, int64_t count, const void *values) {
    if (b->status == STATUS_OK)
        check(b, b->library->cudnnBackendSetAttribute(d, name, type, count, values), "an attribute");
}

void cudnn_set_descriptor(struct cudnn_builder *b, cudnnBackendDescriptor_t d, cudnnBackendAttributeName_t name,
                          cudnnBackendDescriptor_t value) {
    cudnn_set(b, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

cudnnBackendDescriptor_t cudnn_finalize(struct cudnn_builder *b, cudnnBackendDescriptor_t d, const char *what) {
    if (b->status == STATUS_OK)
        check(b, b->library->cudnnBackendFinalize(d), what);
    return d;
}

void cudnn_descriptors_release(const struct cudnn_library *library, struct cudnn_descriptors *owned) {
    while (owned->count > 0)
        library->cudnnBackendDestroyDescriptor(owned->descriptors[--owned->count]);
}

// ---- The graph of a convolution ----

// A tensor with channels innermost. A weight (K,C,R,R) is one of K "frames".
static cudnnBackendDescriptor_t tensor(struct cudnn_builder *b, int64_t uid, cudnnDataType_t type, struct shape s,
                                       bool is_virtual) {
    const int64_t dims[] = {s.n, s.c, s.h, s.w}, alignment = ALIGNMENT;
    const int64_t strides[] = {dims[1] * dims[2] * dims[3], 1, dims[1] * dims[3], dims[1]};
    cudnnBackendDescriptor_t d = cudnn_make(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR, "a tensor");
    cudnn_set(b, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &uid);
    cudnn_set(b, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    cudnn_set(b, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dims);
    cudnn_set(b, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, strides);
    cudnn_set(b, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    cudnn_set(b, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual);
    return cudnn_finalize(b, d, "a tensor");
}

static cudnnBackendDescriptor_t geometry(struct cudnn_builder *b, const struct cudnn_convolution *c) {
    const int64_t dims = 2, pad[] = {c->pad, c->pad}, stride[] = {c->stride, c->stride}, dilation[] = {1, 1};
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    cudnnBackendDescriptor_t d = cudnn_make(b, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, "a convolution");
    cudnn_set(b, d, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &compute);
    cudnn_set(b, d, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode);
    cudnn_set(b, d, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, 1, &dims);
    cudnn_set(b, d, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, 2, pad);
    cudnn_set(b, d, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, 2, pad);
    cudnn_set(b, d, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, 2, stride);
    cudnn_set(b, d, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, 2, dilation);
    return cudnn_finalize(b, d, "a convolution");
}

// The names of one pass's descriptor and attributes.
struct pass_names {
    cudnnBackendDescriptorType_t type;
    cudnnBackendAttributeName_t geometry, x, w, y, alpha, beta;
};

static const struct pass_names pass_names[] = {
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
     CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};

static cudnnBackendDescriptor_t convolution(struct cudnn_builder *b, const struct cudnn_convolution *c,
                                            const cudnnBackendDescriptor_t operands[3]) {
    const struct pass_names *names = &pass_names[c->pass];
    const float alpha = 1, beta = c->accumulate ? 1 : 0;
    cudnnBackendDescriptor_t how = geometry(b, c);
    cudnnBackendDescriptor_t d = cudnn_make(b, names->type, "a convolution");
    cudnn_set_descriptor(b, d, names->geometry, how);
    cudnn_set_descriptor(b, d, names->x, operands[CUDNN_OPERAND_X]);
    cudnn_set_descriptor(b, d, names->w, operands[CUDNN_OPERAND_W]);
    cudnn_set_descriptor(b, d, names->y, operands[CUDNN_OPERAND_Y]);
    cudnn_set(b, d, names->alpha, CUDNN_TYPE_FLOAT, 1, &alpha);
    cudnn_set(b, d, names->beta, CUDNN_TYPE_FLOAT, 1, &beta);
    return cudnn_finalize(b, d, "a convolution");
}

static cudnnBackendDescriptor_t addition(struct cudnn_builder *b, cudnnBackendDescriptor_t x,
                                         cudnnBackendDescriptor_t bias, cudnnBackendDescriptor_t sum) {
    const cudnnPointwiseMode_t mode = CUDNN_POINTWISE_ADD;
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    cudnnBackendDescriptor_t how = cudnn_make(b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, "a bias");
    cudnn_set(b, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    cudnn_set(b, how, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &compute);
    cudnn_finalize(b, how, "a bias");
    cudnnBackendDescriptor_t d = cudnn_make(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, "a bias");
    cudnn_set_descriptor(b, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
    cudnn_set_descriptor(b, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    cudnn_set_descriptor(b, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, bias);
    cudnn_set_descriptor(b, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, sum);
    return cudnn_finalize(b, d, "a bias");
}

static int result_operand(const struct cudnn_convolution *c) {
    static const int results[] = {CUDNN_OPERAND_Y, CUDNN_OPERAND_X, CUDNN_OPERAND_W};
    return results[c->pass];
}

// The convolution writes its result, or hands it (virtual, in float) to the addition that does.
cudnnBackendDescriptor_t cudnn_convolution_graph(struct cudnn_builder *b, const struct cudnn_convolution *c) {
    const cudnnDataType_t type = c->precision == PRECISION_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
    const struct shape shapes[] = {c->x, {c->y.c, c->x.c, c->kernel, c->kernel}, c->y};
    const int result = result_operand(c);
    cudnnBackendDescriptor_t operands[3], sum = NULL, operations[2];
    for (int i = 0; i < 3; i++)
        operands[i] = tensor(b, i + 1, type, shapes[i], false);
    if (c->bias) {
        sum = operands[result];
        operands[result] = tensor(b, UID_BETWEEN, CUDNN_DATA_FLOAT, shapes[result], true);
    }
    operations[0] = convolution(b, c, operands);
    if (c->bias) {
        const struct shape vector = {1, shapes[result].c, 1, 1};
        cudnnBackendDescriptor_t bias = tensor(b, CUDNN_OPERAND_BIAS + 1, CUDNN_DATA_FLOAT, vector, false);
        operations[1] = addition(b, operands[result], bias, sum);
    }
    cudnnBackendDescriptor_t d = cudnn_make(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, "a graph");
    cudnn_set(b, d, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, c->bias ? 2 : 1, operations);
    return cudnn_finalize(b, d, "a graph");
}
