// y += x over n elements in octets. One thread an octet.
#include "model/cuda/kernels/device.cuh"

template <typename T> static __global__ void add(size_t octets, const T *x, T *y) {
    size_t i = thread_number();
    if (i >= octets)
        return;
    float v[OCTET];
    load8(x + i * OCTET, v);
    write8(y + i * OCTET, v, true);
}

cudaError_t cuda_add(size_t n, bool is_bf16, const void *x, void *y, cudaStream_t stream) {
    size_t octets = n / OCTET;
    if (is_bf16)
        return launch(add<bf16>, blocks_for(octets), BLOCK_THREADS, stream, octets, static_cast<const bf16 *>(x),
                      static_cast<bf16 *>(y));
    return launch(add<float>, blocks_for(octets), BLOCK_THREADS, stream, octets, static_cast<const float *>(x),
                  static_cast<float *>(y));
}
