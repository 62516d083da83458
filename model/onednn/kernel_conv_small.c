// The weight gradient of a convolution on a map of a few pixels, where oneDNN's kernels spend most of their time on the
// border.
//
// For each tap the gradient is a matrix product over the pairs (input pixel, output pixel) that the tap joins and over
// the frames; pairs that meet the border do not exist. One block [b of Ci][b of Co] of one tap stays in registers.
// Both values are packed first, [block][pixel][frame][b]: as they stand, the frames of a block lie a power of two
// apart, and a few of them fill the ways of the caches that they fall into.
#include "model/onednn/kernel_vec.h"

static void pack_block(struct planes p, const float *value, int block, float *packed) {
    vec *to = (vec *)packed + (size_t)block * (size_t)p.pixels * (size_t)p.frames;
    for (int n = 0; n < p.frames; n++)
        for (int j = 0; j < p.pixels; j++)
            to[(size_t)j * (size_t)p.frames + (size_t)n] =
                *(const vec *)(value + (size_t)(n * p.blocks + block) * plane_elements(p) + (size_t)j * BLOCK);
}

// acc[i][o] += sum over frames of x[i] dy[o]
ALWAYS_INLINE void outer_products(int frames, const float *x, const float *dy, vec acc[BLOCK]) {
    for (int n = 0; n < frames; n++, x += BLOCK, dy += BLOCK) {
        vec g = *(const vec *)dy;
#pragma GCC unroll 16
        for (int i = 0; i < BLOCK; i++)
            acc[i] += x[i] * g;
    }
}

// x and dy: one block, packed.
static void tap_gradient(const struct conv_shape *conv, const float *x, const float *dy, int ky, int kx,
                         float *dweight) {
    size_t pixel = (size_t)conv->src.n * BLOCK;
    vec acc[BLOCK];
#pragma GCC unroll 16
    for (int i = 0; i < BLOCK; i++)
        acc[i] = (vec){0};
    for (int oy = 0; oy < conv->dst.h; oy++)
        for (int ox = 0; ox < conv->dst.w; ox++) {
            int iy = oy * conv->stride - conv->pad + ky, ix = ox * conv->stride - conv->pad + kx;
            if (iy < 0 || iy >= conv->src.h || ix < 0 || ix >= conv->src.w)
                continue;
            outer_products(conv->src.n, x + (size_t)(iy * conv->src.w + ix) * pixel,
                           dy + (size_t)(oy * conv->dst.w + ox) * pixel, acc);
        }
#pragma GCC unroll 16
    for (int i = 0; i < BLOCK; i++)
        *(vec *)(dweight + (size_t)i * BLOCK) = acc[i];
}

void KERNEL(conv_small_weight_grad)(const struct conv_shape *conv, const float *src, const float *ddst, float *dweight,
                                    void *scratch, int threads) {
    struct planes in = planes_of(conv->src), out = planes_of(conv->dst);
    size_t in_block = (size_t)in.frames * plane_elements(in), out_block = (size_t)out.frames * plane_elements(out);
    int taps = conv->kernel * conv->kernel;
    float *x = scratch, *dy = x + (size_t)in.blocks * in_block;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static) nowait
        for (int ci = 0; ci < in.blocks; ci++)
            pack_block(in, src, ci, x);
#pragma omp for schedule(static)
        for (int co = 0; co < out.blocks; co++)
            pack_block(out, ddst, co, dy);
#pragma omp for schedule(static) collapse(2)
        for (int co = 0; co < out.blocks; co++)
            for (int ci = 0; ci < in.blocks; ci++)
                for (int tap = 0; tap < taps; tap++)
                    tap_gradient(conv, x + (size_t)ci * in_block, dy + (size_t)co * out_block, tap / conv->kernel,
                                 tap % conv->kernel,
                                 dweight + (size_t)((co * in.blocks + ci) * taps + tap) * BLOCK * BLOCK);
    }
}
