// The backend's small device memory as the kernels see it, and sums over a whole block.
#ifndef GRIDFOLD_MODEL_CUDA_KERNELS_WORKSPACE_CUH
#define GRIDFOLD_MODEL_CUDA_KERNELS_WORKSPACE_CUH

#include "model/cuda/kernels/device.cuh"
#include "model/cuda/workspace.h"

// Adds v over the block's threads, in pairs; thread 0 then holds the sum. `shared` has BLOCK_THREADS * COUNT elements.
template <int COUNT, typename T> static __device__ inline void sum_threads(T v[COUNT], T *shared) {
    struct reduction_grid g;
    struct reduction_thread t;
    g.tile_octets = 1;
    t.row = (int)threadIdx.x;
    t.rows = BLOCK_THREADS;
    sum_rows<COUNT>(g, t, v, shared);
}

#endif
