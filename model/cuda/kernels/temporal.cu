// OP_TEMPORAL_MAX and OP_TEMPORAL_MEAN: frames of one timestep lie together, so x is `steps` vectors of the length of
// y. One thread an octet of y, all timesteps. The maximum saves the timestep that won in a byte: the earliest, a NaN
// before anything else, as PyTorch's max(dim).
#include "model/cuda/kernels/device.cuh"

template <typename T> static __global__ void max_forward(size_t octets, int steps, const T *x, T *y, uint8_t *winners) {
    size_t i = thread_number();
    if (i >= octets)
        return;
    float best[OCTET], v[OCTET];
    unsigned winner[OCTET] = {0};
    load8(x + i * OCTET, best);
    for (int t = 1; t < steps; t++) {
        load8(x + ((size_t)t * octets + i) * OCTET, v);
        for (int c = 0; c < OCTET; c++)
            if (v[c] > best[c] || (v[c] != v[c] && best[c] == best[c])) {
                best[c] = v[c];
                winner[c] = (unsigned)t;
            }
    }
    store8(y + i * OCTET, best);
    if (winners)
        *reinterpret_cast<uint2 *>(winners + i * OCTET) =
            make_uint2(winner[0] | winner[1] << 8 | winner[2] << 16 | winner[3] << 24,
                       winner[4] | winner[5] << 8 | winner[6] << 16 | winner[7] << 24);
}

template <typename T>
static __global__ void max_backward(size_t octets, int steps, const T *dy, const uint8_t *winners, T *dx,
                                    bool accumulate) {
    size_t i = thread_number();
    if (i >= octets)
        return;
    const uint2 packed = *reinterpret_cast<const uint2 *>(winners + i * OCTET);
    float v[OCTET], mine[OCTET];
    load8(dy + i * OCTET, v);
    for (int t = 0; t < steps; t++) {
        for (int c = 0; c < OCTET; c++) {
            unsigned winner = (c < 4 ? packed.x : packed.y) >> (8 * (c % 4)) & 255u;
            mine[c] = winner == (unsigned)t ? v[c] : 0.0f;
        }
        write8(dx + ((size_t)t * octets + i) * OCTET, mine, accumulate);
    }
}

template <typename T> static __global__ void mean_forward(size_t octets, int steps, const T *x, T *y) {
    size_t i = thread_number();
    if (i >= octets)
        return;
    float sum[OCTET] = {0}, v[OCTET];
    for (int t = 0; t < steps; t++) {
        load8(x + ((size_t)t * octets + i) * OCTET, v);
        for (int c = 0; c < OCTET; c++)
            sum[c] += v[c];
    }
    for (int c = 0; c < OCTET; c++)
        sum[c] /= (float)steps;
    store8(y + i * OCTET, sum);
}

template <typename T>
static __global__ void mean_backward(size_t octets, int steps, const T *dy, T *dx, bool accumulate) {
    size_t i = thread_number();
    if (i >= octets)
        return;
    float v[OCTET];
    load8(dy + i * OCTET, v);
    for (int c = 0; c < OCTET; c++)
        v[c] /= (float)steps;
    for (int t = 0; t < steps; t++)
        write8(dx + ((size_t)t * octets + i) * OCTET, v, accumulate);
}

template <typename T>
static cudaError_t forward(const struct op_desc *d, const struct op_args *a, cudaStream_t stream) {
    size_t octets = octet_count(d->out);
    const T *x = reinterpret_cast<const T *>(a->input[0]);
    T *y = reinterpret_cast<T *>(a->output[0]);
    if (d->kind == OP_TEMPORAL_MEAN)
        return launch(mean_forward<T>, blocks_for(octets), BLOCK_THREADS, stream, octets, d->steps, x, y);
    return launch(max_forward<T>, blocks_for(octets), BLOCK_THREADS, stream, octets, d->steps, x, y,
                  static_cast<uint8_t *>(a->saved));
}

template <typename T>
static cudaError_t backward(const struct op_desc *d, const struct op_args *a, cudaStream_t stream) {
    size_t octets = octet_count(d->out);
    const T *dy = reinterpret_cast<const T *>(a->output_grad[0]);
    T *dx = reinterpret_cast<T *>(a->input_grad[0]);
    if (d->kind == OP_TEMPORAL_MEAN)
        return launch(mean_backward<T>, blocks_for(octets), BLOCK_THREADS, stream, octets, d->steps, dy, dx,
                      a->input_grad_accumulate[0]);
    return launch(max_backward<T>, blocks_for(octets), BLOCK_THREADS, stream, octets, d->steps, dy,
                  static_cast<const uint8_t *>(a->saved), dx, a->input_grad_accumulate[0]);
}

size_t cuda_temporal_max_saved_bytes(const struct op_desc *d) {
    return octet_count(d->out) * OCTET;
}

cudaError_t cuda_temporal_forward(const struct op_desc *d, bool is_bf16, const struct op_args *a, cudaStream_t stream) {
    return is_bf16 ? forward<bf16>(d, a, stream) : forward<float>(d, a, stream);
}

cudaError_t cuda_temporal_backward(const struct op_desc *d, bool is_bf16, const struct op_args *a,
                                   cudaStream_t stream) {
    return is_bf16 ? backward<bf16>(d, a, stream) : backward<float>(d, a, stream);
}
