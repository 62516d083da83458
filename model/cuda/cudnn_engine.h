// cuDNN for one device: its handle, and the execution plans by shape, kind and precision. Internal to model/cuda.
//
// Plans are made once and live as long as the engine, so that the next trial finds them. A refusal is kept like a plan.
// cudnn_engine_create, for a GPU that is there, stands in convolution.h.
#ifndef GRIDFOLD_MODEL_CUDA_CUDNN_ENGINE_H
#define GRIDFOLD_MODEL_CUDA_CUDNN_ENGINE_H

#include "model/cuda/convolution.h"
#include "model/cuda/cudnn_plan.h"

// What one call may use of scratch, where cuDNN has a choice.
enum { CUDNN_WORKSPACE_LIMIT = 128 << 20 };

struct cudnn_engine {
    struct cudnn_device device;
    cudnnHandle_t handle; // NULL: the device is described, not there; nothing can run
    cudaStream_t stream;
    cudnn_plan *plans;
};

// An engine that can make plans for a device that is not there, from cuDNN's JSON of its properties.
NODISCARD enum status cudnn_engine_create_described(const char *json, cudnn_engine **engine, struct error *err);

// The plan for *c: found, or made now. The engine owns it. STATUS_UNSUPPORTED when cuDNN has none.
NODISCARD enum status cudnn_engine_plan(cudnn_engine *engine, const struct cudnn_convolution *c,
                                        const cudnn_plan **plan, struct error *err);

#endif
