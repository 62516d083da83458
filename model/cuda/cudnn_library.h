// cuDNN, loaded when the first GPU is opened: a binary built for CUDA also runs where there is no cuDNN. Internal to
// model/cuda.
#ifndef GRIDFOLD_MODEL_CUDA_CUDNN_LIBRARY_H
#define GRIDFOLD_MODEL_CUDA_CUDNN_LIBRARY_H

#include <cudnn_graph.h>

#include "model/base/status.h"

// All that is called of cuDNN. Nothing of it is deprecated in cuDNN 9.
#define CUDNN_FUNCTIONS(X)                                                                                             \
    X(cudnnGetVersion)                                                                                                 \
    X(cudnnGetErrorString)                                                                                             \
    X(cudnnGetLastErrorString)                                                                                         \
    X(cudnnCreate)                                                                                                     \
    X(cudnnDestroy)                                                                                                    \
    X(cudnnSetStream)                                                                                                  \
    X(cudnnBackendCreateDescriptor)                                                                                    \
    X(cudnnBackendDestroyDescriptor)                                                                                   \
    X(cudnnBackendSetAttribute)                                                                                        \
    X(cudnnBackendGetAttribute)                                                                                        \
    X(cudnnBackendFinalize)                                                                                            \
    X(cudnnBackendExecute)

struct cudnn_library {
#define X(name) __typeof__(name) *name;
    CUDNN_FUNCTIONS(X)
#undef X
};

// Loads the library that the environment variable GRIDFOLD_CUDNN names, or libcudnn_graph.so.9, once a process; it is
// never unloaded. STATUS_UNSUPPORTED when it is not there, or older than 9.8 (which brought device descriptors); the
// message names the file. One thread at a time.
NODISCARD enum status cudnn_library_load(const struct cudnn_library **library, struct error *err);

#endif
