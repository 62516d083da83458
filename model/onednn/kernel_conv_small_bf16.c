// The weight gradient of a convolution on a map of a few pixels, as in kernel_conv_small.c, from values in bf16.
//
// The sum over frames takes two at a time: values are packed as [block][pixel][pair of frames][channel][2], and one
// instruction (vdpbf16ps) multiplies and adds both frames of a channel read with those of 16 channels written. An odd
// last frame is paired with zeros. The gradient is float.
#include <immintrin.h>

#include "model/onednn/kernel_common.h"

enum { PAIR = 2, ROW = PAIR * BLOCK }; // elements of one pair of frames

// Block `block` of a value, to [pixel][pair][BLOCK][PAIR].
static void pack_block(struct planes p, const element *value, int block, element *packed) {
    int pairs = (p.frames + 1) / PAIR;
    for (int j = 0; j < p.pixels; j++)
        for (int n = 0; n < PAIR * pairs; n++) {
            const element *from = value + ((size_t)(n * p.blocks + block) * (size_t)p.pixels + (size_t)j) * BLOCK;
            element *to =
                packed + ((size_t)(block * p.pixels + j) * (size_t)pairs + (size_t)(n / PAIR)) * ROW + n % PAIR;
            for (int l = 0; l < BLOCK; l++)
                to[l * PAIR] = n < p.frames ? from[l] : 0;
        }
}

static size_t packed_elements(struct planes p) {
    return (size_t)p.blocks * (size_t)p.pixels * (size_t)((p.frames + 1) / PAIR) * ROW;
}

// acc[i][o] += sum over frames of x[i] dy[o]
ALWAYS_INLINE void outer_products(int pairs, const element *x, const element *dy, __m512 acc[BLOCK]) {
    for (int n = 0; n < pairs; n++, x += ROW, dy += ROW) {
        __m512bh g = (__m512bh)_mm512_load_si512(dy);
#pragma GCC unroll 16
        for (int i = 0; i < BLOCK; i++) {
            int32_t both;
            memcpy(&both, x + (size_t)i * PAIR, sizeof both);
            acc[i] = _mm512_dpbf16_ps(acc[i], g, (__m512bh)_mm512_set1_epi32(both));
        }
    }
}

// x, dy: the packed blocks read and written.
static void tap_gradient(const struct conv_shape *conv, const element *x, const element *dy, int ky, int kx,
                         float *dweight) {
    __m512 acc[BLOCK];
    int pairs = (conv->src.n + 1) / PAIR;
#pragma GCC unroll 16
    for (int i = 0; i < BLOCK; i++)
        acc[i] = _mm512_setzero_ps();
    for (int oy = 0; oy < conv->dst.h; oy++)
        for (int ox = 0; ox < conv->dst.w; ox++) {
            int iy = oy * conv->stride - conv->pad + ky, ix = ox * conv->stride - conv->pad + kx;
            if (iy < 0 || iy >= conv->src.h || ix < 0 || ix >= conv->src.w)
                continue;
            outer_products(pairs, x + (size_t)((iy * conv->src.w + ix) * pairs) * ROW,
                           dy + (size_t)((oy * conv->dst.w + ox) * pairs) * ROW, acc);
        }
#pragma GCC unroll 16
    for (int i = 0; i < BLOCK; i++)
        _mm512_store_ps(dweight + (size_t)i * BLOCK, acc[i]);
}

void KERNEL(conv_small_weight_grad)(const struct conv_shape *conv, const float *src, const float *ddst, float *dweight,
                                    void *scratch, int threads) {
    struct planes in = planes_of(conv->src), out = planes_of(conv->dst);
    int taps = conv->kernel * conv->kernel;
    element *x = scratch, *dy = x + packed_elements(in);
    size_t x_block = packed_elements(in) / (size_t)in.blocks, dy_block = packed_elements(out) / (size_t)out.blocks;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int block = 0; block < in.blocks; block++)
            pack_block(in, elements_of(src), block, x);
#pragma omp for schedule(static)
        for (int block = 0; block < out.blocks; block++)
            pack_block(out, elements_of(ddst), block, dy);
#pragma omp for schedule(static) collapse(2)
        for (int co = 0; co < out.blocks; co++)
            for (int ci = 0; ci < in.blocks; ci++)
                for (int tap = 0; tap < taps; tap++)
                    tap_gradient(conv, x + (size_t)ci * x_block, dy + (size_t)co * dy_block, tap / conv->kernel,
                                 tap % conv->kernel,
                                 dweight + (size_t)((co * in.blocks + ci) * taps + tap) * BLOCK * BLOCK);
    }
}
