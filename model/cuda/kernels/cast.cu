// Float to bf16 (to nearest even) and back, over n elements in octets. One thread an octet.
#include "model/cuda/kernels/device.cuh"

template <typename From, typename To> static __global__ void cast(size_t octets, const From *from, To *to) {
    size_t i = thread_number();
    if (i >= octets)
        return;
    float v[OCTET];
    load8(from + i * OCTET, v);
    store8(to + i * OCTET, v);
}

cudaError_t cuda_cast_to_bf16(size_t n, const float *from, void *to, cudaStream_t stream) {
    return launch(cast<float, bf16>, blocks_for(n / OCTET), BLOCK_THREADS, stream, n / OCTET, from,
                  static_cast<bf16 *>(to));
}

cudaError_t cuda_cast_to_float(size_t n, const void *from, float *to, cudaStream_t stream) {
    return launch(cast<bf16, float>, blocks_for(n / OCTET), BLOCK_THREADS, stream, n / OCTET,
                  static_cast<const bf16 *>(from), to);
}
