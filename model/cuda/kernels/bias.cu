// Bias of a convolution: y[p,c] += b[c], one thread an octet; db[c] = sum over pixels p of dy[p,c], blocks by
// reduction_grid. The sum takes two kernels: one sum a chunk of pixels, then the chunks in order.
#include "model/cuda/kernels/device.cuh"

template <typename T> static __global__ void bias_add(size_t octets, int channel_octets, const float *bias, T *y) {
    size_t i = thread_number();
    if (i >= octets)
        return;
    float b[OCTET];
    load8(bias + i % (size_t)channel_octets * OCTET, b);
    write8(y + i * OCTET, b, true);
}

// partial: [chunk][channels]
template <typename T> static __global__ void bias_chunk(struct reduction_grid g, const T *dy, float *partial) {
    __shared__ float shared[BLOCK_THREADS * OCTET];
    struct reduction_thread t = reduction_thread_of(g);
    float sum[OCTET] = {0}, v[OCTET];
    if (t.octet < g.octets)
        for (size_t p = t.first + (size_t)t.row; p < t.end; p += (size_t)t.rows) {
            load8(dy + (p * (size_t)g.octets + (size_t)t.octet) * OCTET, v);
            for (int i = 0; i < OCTET; i++)
                sum[i] += v[i];
        }
    sum_rows<OCTET>(g, t, sum, shared);
    if (t.row == 0 && t.octet < g.octets)
        store8(partial + ((size_t)blockIdx.y * (size_t)g.octets + (size_t)t.octet) * OCTET, sum);
}

static __global__ void bias_total(struct reduction_grid g, const float *partial, float *dbias) {
    int c = (int)thread_number(), channels = g.octets * OCTET;
    if (c >= channels)
        return;
    float sum = 0;
    for (int k = 0; k < g.chunks; k++)
        sum += partial[(size_t)k * (size_t)channels + (size_t)c];
    dbias[c] = sum;
}

template <typename T>
static cudaError_t launch_bias_grad(struct shape shape, const void *dy, float *dbias, float *partial,
                                    cudaStream_t stream) {
    struct reduction_grid g = reduction_grid_of(shape);
    float *sums = g.chunks == 1 ? dbias : partial;
    cudaError_t code =
        launch(bias_chunk<T>, reduction_blocks(g), BLOCK_THREADS, stream, g, static_cast<const T *>(dy), sums);
    if (code != cudaSuccess || g.chunks == 1)
        return code;
    return launch(bias_total, blocks_for((size_t)g.octets * OCTET), BLOCK_THREADS, stream, g, partial, dbias);
}

cudaError_t cuda_bias_add(struct shape shape, bool is_bf16, const float *bias, void *y, cudaStream_t stream) {
    size_t octets = octet_count(shape);
    int channel_octets = padded_channels(shape.c) / OCTET;
    if (is_bf16)
        return launch(bias_add<bf16>, blocks_for(octets), BLOCK_THREADS, stream, octets, channel_octets, bias,
                      static_cast<bf16 *>(y));
    return launch(bias_add<float>, blocks_for(octets), BLOCK_THREADS, stream, octets, channel_octets, bias,
                  static_cast<float *>(y));
}

size_t cuda_bias_grad_scratch_bytes(struct shape shape) {
    struct reduction_grid g = reduction_grid_of(shape);
    return g.chunks == 1 ? 0 : (size_t)g.chunks * (size_t)g.octets * OCTET * sizeof(float);
}

cudaError_t cuda_bias_grad(struct shape shape, bool is_bf16, const void *dy, float *dbias, void *scratch,
                           cudaStream_t stream) {
    float *partial = static_cast<float *>(scratch);
    return is_bf16 ? launch_bias_grad<bf16>(shape, dy, dbias, partial, stream)
                   : launch_bias_grad<float>(shape, dy, dbias, partial, stream);
}
