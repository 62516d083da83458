// OP_MAXPOOL2D and OP_UPSAMPLE2D, one thread an octet of what is written.
//
// Pooling saves the tap (ky * kernel + kx) of each maximum in a byte: the first in row-major order, a NaN before
// anything else, as PyTorch. Backward gathers: a thread of the input asks the windows that hold its pixel, in row-major
// order, whether it was their maximum; no two threads write one place.
#include "model/cuda/kernels/device.cuh"

struct map { // geometry by value, so that kernels divide by what they know
    int octets, in_h, in_w, out_h, out_w;
    int kernel, stride, pad;
};

struct place {
    int octet, x, y, n;
};

static __device__ inline struct place place_of(size_t i, int octets, int h, int w) {
    struct place at;
    at.octet = (int)(i % (size_t)octets);
    i /= (size_t)octets;
    at.x = (int)(i % (size_t)w);
    i /= (size_t)w;
    at.y = (int)(i % (size_t)h);
    at.n = (int)(i / (size_t)h);
    return at;
}

static __device__ inline size_t offset_of(int n, int y, int x, int octet, int octets, int h, int w) {
    return ((((size_t)n * (size_t)h + (size_t)y) * (size_t)w + (size_t)x) * (size_t)octets + (size_t)octet) * OCTET;
}

static __device__ inline void store_taps(uint8_t *to, const int tap[OCTET]) {
    uint2 packed = make_uint2(0, 0);
    for (int i = 0; i < 4; i++) {
        packed.x |= (unsigned)tap[i] << (8 * i);
        packed.y |= (unsigned)tap[i + 4] << (8 * i);
    }
    *reinterpret_cast<uint2 *>(to) = packed;
}

static __device__ inline void load_taps(const uint8_t *from, int tap[OCTET]) {
    const uint2 packed = *reinterpret_cast<const uint2 *>(from);
    for (int i = 0; i < 4; i++) {
        tap[i] = (int)(packed.x >> (8 * i) & 255u);
        tap[i + 4] = (int)(packed.y >> (8 * i) & 255u);
    }
}

template <typename T>
static __global__ void maxpool_forward(size_t octets, struct map m, const T *x, T *y, uint8_t *taps) {
    size_t i = thread_number();
    if (i >= octets)
        return;
    struct place at = place_of(i, m.octets, m.out_h, m.out_w);
    float best[OCTET] = {0}, v[OCTET];
    int tap[OCTET] = {0};
    bool none = true; // of the window's pixels was seen
    for (int ky = 0; ky < m.kernel; ky++)
        for (int kx = 0; kx < m.kernel; kx++) {
            int iy = at.y * m.stride + ky - m.pad, ix = at.x * m.stride + kx - m.pad;
            if (iy < 0 || iy >= m.in_h || ix < 0 || ix >= m.in_w)
                continue;
            load8(x + offset_of(at.n, iy, ix, at.octet, m.octets, m.in_h, m.in_w), v);
            for (int c = 0; c < OCTET; c++)
                if (none || v[c] > best[c] || v[c] != v[c]) {
                    best[c] = v[c];
                    tap[c] = ky * m.kernel + kx;
                }
            none = false;
        }
    store8(y + i * OCTET, best);
    if (taps)
        store_taps(taps + i * OCTET, tap);
}

template <typename T>
static __global__ void maxpool_backward(size_t octets, struct map m, const T *dy, const uint8_t *taps, T *dx,
                                        bool accumulate) {
    size_t i = thread_number();
    if (i >= octets)
        return;
    struct place at = place_of(i, m.octets, m.in_h, m.in_w);
    float sum[OCTET] = {0}, v[OCTET];
    int tap[OCTET];
    // Taps from the last to the first are windows from the first to the last.
    for (int ky = m.kernel - 1; ky >= 0; ky--)
        for (int kx = m.kernel - 1; kx >= 0; kx--) {
            int top = at.y + m.pad - ky, left = at.x + m.pad - kx, oy = top / m.stride, ox = left / m.stride;
            if (top < 0 || left < 0 || top % m.stride || left % m.stride || oy >= m.out_h || ox >= m.out_w)
                continue;
            size_t from = offset_of(at.n, oy, ox, at.octet, m.octets, m.out_h, m.out_w);
            load8(dy + from, v);
            load_taps(taps + from, tap);
            for (int c = 0; c < OCTET; c++)
                sum[c] += tap[c] == ky * m.kernel + kx ? v[c] : 0.0f;
        }
    write8(dx + i * OCTET, sum, accumulate);
}

template <typename T> static __global__ void upsample_forward(size_t octets, struct map m, const T *x, T *y) {
    size_t i = thread_number();
    if (i >= octets)
        return;
    struct place at = place_of(i, m.octets, m.out_h, m.out_w);
    float v[OCTET];
    load8(x + offset_of(at.n, at.y / 2, at.x / 2, at.octet, m.octets, m.in_h, m.in_w), v);
    store8(y + i * OCTET, v);
}

template <typename T>
static __global__ void upsample_backward(size_t octets, struct map m, const T *dy, T *dx, bool accumulate) {
    size_t i = thread_number();
    if (i >= octets)
        return;
    struct place at = place_of(i, m.octets, m.in_h, m.in_w);
    float sum[OCTET] = {0}, v[OCTET];
    for (int k = 0; k < 4; k++) {
        load8(dy + offset_of(at.n, 2 * at.y + k / 2, 2 * at.x + k % 2, at.octet, m.octets, m.out_h, m.out_w), v);
        for (int c = 0; c < OCTET; c++)
            sum[c] += v[c];
    }
    write8(dx + i * OCTET, sum, accumulate);
}

static struct map map_of(const struct op_desc *d) {
    return {padded_channels(d->in.c) / OCTET, d->in.h, d->in.w, d->out.h, d->out.w, d->kernel, d->stride, d->pad};
}

template <typename T>
static cudaError_t forward(const struct op_desc *d, const struct op_args *a, cudaStream_t stream) {
    size_t octets = octet_count(d->out);
    const T *x = reinterpret_cast<const T *>(a->input[0]);
    T *y = reinterpret_cast<T *>(a->output[0]);
    if (d->kind == OP_UPSAMPLE2D)
        return launch(upsample_forward<T>, blocks_for(octets), BLOCK_THREADS, stream, octets, map_of(d), x, y);
    return launch(maxpool_forward<T>, blocks_for(octets), BLOCK_THREADS, stream, octets, map_of(d), x, y,
                  static_cast<uint8_t *>(a->saved));
}

template <typename T>
static cudaError_t backward(const struct op_desc *d, const struct op_args *a, cudaStream_t stream) {
    size_t octets = octet_count(d->in);
    const T *dy = reinterpret_cast<const T *>(a->output_grad[0]);
    T *dx = reinterpret_cast<T *>(a->input_grad[0]);
    if (d->kind == OP_UPSAMPLE2D)
        return launch(upsample_backward<T>, blocks_for(octets), BLOCK_THREADS, stream, octets, map_of(d), dy, dx,
                      a->input_grad_accumulate[0]);
    return launch(maxpool_backward<T>, blocks_for(octets), BLOCK_THREADS, stream, octets, map_of(d), dy,
                  static_cast<const uint8_t *>(a->saved), dx, a->input_grad_accumulate[0]);
}

size_t cuda_maxpool_saved_bytes(const struct op_desc *d) {
    return octet_count(d->out) * OCTET;
}

cudaError_t cuda_pool_forward(const struct op_desc *d, bool is_bf16, const struct op_args *a, cudaStream_t stream) {
    return is_bf16 ? forward<bf16>(d, a, stream) : forward<float>(d, a, stream);
}

cudaError_t cuda_pool_backward(const struct op_desc *d, bool is_bf16, const struct op_args *a, cudaStream_t stream) {
    return is_bf16 ? backward<bf16>(d, a, stream) : backward<float>(d, a, stream);
}
