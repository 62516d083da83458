// The weight gradient of a convolution on a map of a few pixels, where oneDNN's kernels spend most of their time on the
// border.
//
// For each tap the gradient is a matrix product over the pairs (input pixel, output pixel) that the tap joins and over
// the frames; pairs that meet the border do not exist. One block [b of Ci][b of Co] of one tap stays in registers.
#include "model/onednn/kernel_vec.h"

// acc[i][o] += sum over frames of x[i] dy[o]
ALWAYS_INLINE void outer_products(int frames, const float *x, size_t x_stride, const float *dy, size_t dy_stride,
                                  vec acc[BLOCK]) {
    for (int n = 0; n < frames; n++, x += x_stride, dy += dy_stride) {
        vec g = *(const vec *)dy;
#pragma GCC unroll 16
        for (int i = 0; i < BLOCK; i++)
            acc[i] += x[i] * g;
    }
}

struct block_pair {
    const float *x, *dy; // frame 0 of the two planes
    size_t x_stride, dy_stride;
};

static void tap_gradient(const struct conv_small *conv, struct block_pair pair, int ky, int kx, float *dweight) {
    vec acc[BLOCK];
#pragma GCC unroll 16
    for (int i = 0; i < BLOCK; i++)
        acc[i] = (vec){0};
    for (int oy = 0; oy < conv->dst.h; oy++)
        for (int ox = 0; ox < conv->dst.w; ox++) {
            int iy = oy * conv->stride - conv->pad + ky, ix = ox * conv->stride - conv->pad + kx;
            if (iy < 0 || iy >= conv->src.h || ix < 0 || ix >= conv->src.w)
                continue;
            outer_products(conv->src.n, pair.x + (size_t)(iy * conv->src.w + ix) * BLOCK, pair.x_stride,
                           pair.dy + (size_t)(oy * conv->dst.w + ox) * BLOCK, pair.dy_stride, acc);
        }
#pragma GCC unroll 16
    for (int i = 0; i < BLOCK; i++)
        *(vec *)(dweight + (size_t)i * BLOCK) = acc[i];
}

void KERNEL(conv_small_weight_grad)(const struct conv_small *conv, const float *src, const float *ddst, float *dweight,
                                    void *scratch, int threads) {
    (void)scratch;
    struct planes in = planes_of(conv->src), out = planes_of(conv->dst);
    int taps = conv->kernel * conv->kernel;
#pragma omp parallel for num_threads(threads) schedule(static) collapse(2)
    for (int co = 0; co < out.blocks; co++)
        for (int ci = 0; ci < in.blocks; ci++) {
            struct block_pair pair = {
                .x = src + (size_t)ci * plane_elements(in),
                .dy = ddst + (size_t)co * plane_elements(out),
                .x_stride = (size_t)in.blocks * plane_elements(in),
                .dy_stride = (size_t)out.blocks * plane_elements(out),
            };
            for (int tap = 0; tap < taps; tap++)
                tap_gradient(conv, pair, tap / conv->kernel, tap % conv->kernel,
                             dweight + (size_t)((co * in.blocks + ci) * taps + tap) * BLOCK * BLOCK);
        }
}
