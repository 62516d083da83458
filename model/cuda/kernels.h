// Launchers of the kernels in model/cuda/kernels, one operation a file; plain C, so that the backend is. Each puts its
// kernels on `stream`, waits for nothing, allocates nothing, and returns the launch's error. Device pointers all,
// layouts as in cuda_backend.h; `bf16` says whether values are bf16 or float. Sums are taken in an order that depends
// on shapes alone, never by floating-point atomics: same inputs, same bits.
#ifndef GRIDFOLD_MODEL_CUDA_KERNELS_H
#define GRIDFOLD_MODEL_CUDA_KERNELS_H

#include <cuda_runtime_api.h>

#include "model/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

// ---- cast.cu ----
// n elements, n a multiple of 8, both 16-byte aligned. To bf16: round to nearest even.
cudaError_t cuda_cast_to_bf16(size_t n, const float *from, void *to, cudaStream_t stream);
cudaError_t cuda_cast_to_float(size_t n, const void *from, float *to, cudaStream_t stream);

// ---- bias.cu ----
// y[n,h,w,c] += bias[c]
cudaError_t cuda_bias_add(struct shape shape, bool bf16, const float *bias, void *y, cudaStream_t stream);
// dbias[c] = sum over n, h, w of dy; scratch: cuda_bias_grad_scratch_bytes
size_t cuda_bias_grad_scratch_bytes(struct shape shape);
cudaError_t cuda_bias_grad(struct shape shape, bool bf16, const void *dy, float *dbias, void *scratch,
                           cudaStream_t stream);

// ---- elementwise.cu ----
// y += x over n elements, n a multiple of 8, both 16-byte aligned
cudaError_t cuda_add(size_t n, bool bf16, const void *x, void *y, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
