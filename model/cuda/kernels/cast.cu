// Float to bf16 (to nearest even), over n elements in octets, one thread an octet; and back, for several arrays in one
// kernel: a block has up to CAST_OCTETS octets of one of them, which it finds by its number.
#include "model/cuda/kernels/device.cuh"

enum { CAST_OCTETS = 8 * BLOCK_THREADS };

static __global__ void cast(size_t octets, const float *from, bf16 *to) {
    size_t i = thread_number();
    if (i >= octets)
        return;
    float v[OCTET];
    load8(from + i * OCTET, v);
    store8(to + i * OCTET, v);
}

cudaError_t cuda_cast_to_bf16(size_t n, const float *from, void *to, cudaStream_t stream) {
    return launch(cast, blocks_for(n / OCTET), BLOCK_THREADS, stream, n / OCTET, from, static_cast<bf16 *>(to));
}

static __global__ void cast_several(struct cuda_casts casts) {
    int mine = 0;
    for (int end = casts.count; end - mine > 1;) {
        int middle = (mine + end) / 2;
        if (casts.cast[middle].first_block <= blockIdx.x)
            mine = middle;
        else
            end = middle;
    }
    const struct cuda_cast c = casts.cast[mine];
    const bf16 *from = static_cast<const bf16 *>(c.from);
    unsigned first = (blockIdx.x - c.first_block) * CAST_OCTETS, rest = c.octets - first;
    unsigned last = first + (rest < CAST_OCTETS ? rest : (unsigned)CAST_OCTETS);
    for (unsigned i = first + threadIdx.x; i < last; i += BLOCK_THREADS) {
        float v[OCTET];
        load8(from + (size_t)i * OCTET, v);
        store8(c.to + (size_t)i * OCTET, v);
    }
}

void cuda_casts_add(struct cuda_casts *casts, size_t n, const void *from, float *to) {
    unsigned octets = (unsigned)(n / OCTET);
    casts->cast[casts->count++] = {from, to, octets, casts->blocks};
    casts->blocks += (octets + CAST_OCTETS - 1) / CAST_OCTETS;
}

cudaError_t cuda_casts_to_float(const struct cuda_casts *casts, cudaStream_t stream) {
    return launch(cast_several, dim3(casts->blocks), BLOCK_THREADS, stream, *casts);
}
