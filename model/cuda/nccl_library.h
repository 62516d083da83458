// NCCL, loaded when the first trial comes that several GPUs train: a binary runs as well where there is none. Internal
// to model/cuda.
#ifndef GRIDFOLD_MODEL_CUDA_NCCL_LIBRARY_H
#define GRIDFOLD_MODEL_CUDA_NCCL_LIBRARY_H

#include <nccl.h>

#include "model/base/status.h"

// All that is called of NCCL.
#define NCCL_FUNCTIONS(X)                                                                                              \
    X(ncclGetVersion)                                                                                                  \
    X(ncclGetErrorString)                                                                                              \
    X(ncclGetLastError)                                                                                                \
    X(ncclGetUniqueId)                                                                                                 \
    X(ncclCommInitRank)                                                                                                \
    X(ncclCommGetAsyncError)                                                                                           \
    X(ncclAllGather)                                                                                                   \
    X(ncclAllReduce)                                                                                                   \
    X(ncclBroadcast)

struct nccl_library {
#define X(name) __typeof__(name) *name;
    NCCL_FUNCTIONS(X)
#undef X
};

// Loads the library that the environment variable GRIDFOLD_NCCL names, or libnccl.so.2, once a process; it is never
// unloaded. STATUS_UNSUPPORTED when it is not there, or older than 2.14 (whose communicators may be used inside and
// outside of captured graphs at once); the message names the file. One thread at a time.
NODISCARD enum status nccl_library_load(const struct nccl_library **library, struct error *err);

#endif
