// Convolutions on cuDNN's graph API: OP_CONV2D (bias, accumulate) and OP_CONV_TRANSPOSE2D (bias), in the layouts of
// cuda_backend.h. Internal to model/cuda.
//
// An engine holds cuDNN's handle and the execution plans, found by shape, kind and precision; they are built once and
// live as long as the process, so that the next trial finds them. A convolution is one operation of a program; it holds
// its plans and nothing else: all memory comes with the call. After cuda_convolution_create nothing allocates and
// nothing waits for the device, so that calls can be captured into a CUDA graph.
#ifndef GRIDFOLD_MODEL_CUDA_CONVOLUTION_H
#define GRIDFOLD_MODEL_CUDA_CONVOLUTION_H

#include "model/cuda/cuda_backend.h"

typedef struct cuda_convolution cuda_convolution;

// STATUS_UNSUPPORTED when cuDNN is not there or too old; the message says which file was looked for. The backend's
// device is current and its stream is there.
NODISCARD enum status cudnn_engine_create(struct cuda_backend *b, cudnn_engine **engine, struct error *err);
void cudnn_engine_destroy(cudnn_engine *engine);
// "cuDNN 9.19.0"
void cudnn_engine_describe(const cudnn_engine *engine, char *text, size_t size);

// Plans for every pass in desc->passes. STATUS_UNSUPPORTED when cuDNN has no engine for one of them.
NODISCARD enum status cuda_convolution_create(struct cuda_backend *b, const struct op_desc *desc,
                                              cuda_convolution **convolution, struct error *err);
void cuda_convolution_destroy(cuda_convolution *convolution);

// The most that one call takes of op_args.scratch: cuDNN's workspace, a weight gradient in bf16, partial sums
// of the bias gradient.
size_t cuda_convolution_scratch_bytes(const cuda_convolution *convolution);

// As op_forward and op_backward of backend.h. Backward computes what has a place to go to: args->input_grad[0],
// param_grad[0], param_grad[1].
NODISCARD enum status cuda_convolution_forward(struct cuda_backend *b, cuda_convolution *convolution,
                                               const struct op_args *args, struct error *err);
NODISCARD enum status cuda_convolution_backward(struct cuda_backend *b, cuda_convolution *convolution,
                                                const struct op_args *args, struct error *err);

#endif
