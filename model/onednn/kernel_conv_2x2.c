// A 3x3 convolution (stride 1, padding 1) on a map of 2x2 pixels with 9 products of channels where the pairs of pixels
// are 16: Winograd's way with the zeros around the map left out.
//
// Along one axis, with taps w0 w1 w2, pixels x0 x1 read and y0 y1 written:
//     y0 = w1 x0 + w2 x1 = m1 + m2      m0 = (w0 - w1) x0
//     y1 = w0 x0 + w1 x1 = m1 + m0      m1 = w1 (x0 + x1)
//                                       m2 = (w2 - w1) x1
// The input gradient is the same with w0 and w2 exchanged, on transposed weights. For the weight gradient
//     dw0 = p0   dw1 = p1 - p0 - p2   dw2 = p2,   p0 = x0 dy1   p1 = (x0 + x1) (dy0 + dy1)   p2 = x1 dy0
// In two dimensions both axes are treated so; product 3 i + j is i of the rows, j of the columns.
#include "model/onednn/kernel_vec.h"

enum {
    PIXELS = 4,
    PRODUCTS = 9,
    MATRIX = BLOCK * BLOCK,       // one product's weights between two blocks of channels
    GROUP = BLOCK == 16 ? 14 : 7, // frames whose sums fit the registers
};

// Writes blocks `a` of one value from blocks `r` of another.
struct product {
    int frames, groups; // of GROUP frames
    int written, read;  // blocks of channels
    bool transposed;    // the input gradient
    const float *weight;
    float *packed; // [groups][read][PRODUCTS][BLOCK][group]
    float *sums;   // [written][groups][PRODUCTS][group][BLOCK]
};

static struct product product_of(const struct conv_shape *conv, bool transposed, const void *weight, void *scratch) {
    int in = planes_of(conv->src).blocks, out = planes_of(conv->dst).blocks, frames = conv->src.n;
    int groups = (frames + GROUP - 1) / GROUP;
    struct product p = {.frames = frames,
                        .groups = groups,
                        .written = transposed ? in : out,
                        .read = transposed ? out : in,
                        .transposed = transposed,
                        .weight = weight,
                        .packed = scratch};
    p.sums = p.packed + (size_t)groups * (size_t)p.read * PRODUCTS * BLOCK * GROUP;
    return p;
}

size_t KERNEL(conv_2x2_scratch_bytes)(const struct op_desc *d) {
    size_t blocks = (size_t)planes_of(d->in).blocks + (size_t)planes_of(d->out).blocks;
    return (size_t)(d->in.n + GROUP) * blocks * PRODUCTS * BLOCK * sizeof(float);
}

// The pixels of a block of one frame as the products read them: x0, x0 + x1, x1 along either axis.
ALWAYS_INLINE void combine(const vec *x, vec *combined) {
    vec top[3] = {x[0], x[0] + x[1], x[1]}, bottom[3] = {x[2], x[2] + x[3], x[3]};
    for (int j = 0; j < 3; j++) {
        combined[j] = top[j];
        combined[3 + j] = top[j] + bottom[j];
        combined[6 + j] = bottom[j];
    }
}

// Block r of every frame; frames past the last are zero.
static void pack_block(const struct product *p, const float *value, int r) {
    for (int g = 0; g < p->groups; g++)
        for (int k = 0; k < GROUP; k++) {
            int n = g * GROUP + k;
            vec combined[PRODUCTS] = {0};
            if (n < p->frames)
                combine((const vec *)(value + (size_t)(n * p->read + r) * PIXELS * BLOCK), combined);
            float *to = p->packed + (size_t)(g * p->read + r) * PRODUCTS * BLOCK * GROUP + (size_t)k;
            for (int i = 0; i < PRODUCTS * BLOCK; i++)
                to[(size_t)i * GROUP] = ((const float *)combined)[i];
        }
}

// The taps' matrices between two blocks of channels, [3][3][BLOCK][BLOCK], as the products read them: w0 - w1, w1,
// w2 - w1 along either axis.
static void transform_weights(const float *weight, float *transformed) {
    for (int l = 0; l < BLOCK; l++) {
        const float *from = weight + (size_t)l * BLOCK;
        float *to = transformed + (size_t)l * BLOCK;
        vec row[3][3];
#pragma GCC unroll 3
        for (int i = 0; i < 3; i++) {
            vec left = *(const vec *)(from + (size_t)(3 * i) * MATRIX),
                middle = *(const vec *)(from + (size_t)(3 * i + 1) * MATRIX),
                right = *(const vec *)(from + (size_t)(3 * i + 2) * MATRIX);
            row[i][0] = left - middle;
            row[i][1] = middle;
            row[i][2] = right - middle;
        }
#pragma GCC unroll 3
        for (int j = 0; j < 3; j++) {
            *(vec *)(to + (size_t)j * MATRIX) = row[0][j] - row[1][j];
            *(vec *)(to + (size_t)(3 + j) * MATRIX) = row[1][j];
            *(vec *)(to + (size_t)(6 + j) * MATRIX) = row[2][j] - row[1][j];
        }
    }
}

static void prefetch(const float *weight) {
    for (int i = 0; i < PRODUCTS * MATRIX; i += 64 / (int)sizeof(float))
        __builtin_prefetch(weight + i);
}

static const float *weight_of(const struct product *p, int a, int r) {
    size_t at = p->transposed ? (size_t)r * (size_t)p->written + (size_t)a : (size_t)a * (size_t)p->read + (size_t)r;
    return p->weight + at * PRODUCTS * MATRIX;
}

// What the products between block `r` read and block `a` written multiply by: [PRODUCTS][read channel][written
// channel].
static void weight_blocks(const struct product *p, int a, int r, float *ready) {
    float transformed[PRODUCTS * MATRIX] __attribute__((aligned(64)));
    if (r + 1 < p->read)
        prefetch(weight_of(p, a, r + 1));
    if (!p->transposed) {
        transform_weights(weight_of(p, a, r), ready);
        return;
    }
    transform_weights(weight_of(p, a, r), transformed);
    for (int m = 0; m < PRODUCTS; m++)
        transpose_block(transformed + (size_t)m * MATRIX, ready + (size_t)(PRODUCTS - 1 - m) * MATRIX);
}

// sums += products of one block of channels read, for one group of frames.
static void multiply(const float *weight, const float *packed, float *sums) {
    for (int m = 0; m < PRODUCTS; m++) {
        vec acc[GROUP], *total = (vec *)sums + (size_t)m * GROUP;
        const vec *w = (const vec *)weight + (size_t)m * BLOCK;
        const float *x = packed + (size_t)m * BLOCK * GROUP;
#pragma GCC unroll 16
        for (int k = 0; k < GROUP; k++)
            acc[k] = total[k];
        for (int i = 0; i < BLOCK; i++) {
#pragma GCC unroll 16
            for (int k = 0; k < GROUP; k++)
                acc[k] += x[i * GROUP + k] * w[i];
        }
#pragma GCC unroll 16
        for (int k = 0; k < GROUP; k++)
            total[k] = acc[k];
    }
}

static float *sums_of(const struct product *p, int a, int g) {
    return p->sums + (size_t)(a * p->groups + g) * PRODUCTS * GROUP * BLOCK;
}

static void product_block(const struct product *p, int a) {
    float ready[PRODUCTS * MATRIX] __attribute__((aligned(64)));
    memset(sums_of(p, a, 0), 0, (size_t)p->groups * PRODUCTS * GROUP * BLOCK * sizeof(float));
    for (int r = 0; r < p->read; r++) {
        weight_blocks(p, a, r, ready);
        for (int g = 0; g < p->groups; g++) {
            const float *packed = p->packed + (size_t)(g * p->read + r) * PRODUCTS * BLOCK * GROUP;
            multiply(ready, packed, sums_of(p, a, g));
        }
    }
}

// From the sums of products to the value: block a of every frame.
static void unpack_block(const struct product *p, int a, const float *bias, bool accumulate, float *value) {
    vec b = {0};
    if (bias)
        b = *(const vec *)(bias + (size_t)a * BLOCK);
    for (int n = 0; n < p->frames; n++) {
        const vec *sums = (const vec *)sums_of(p, a, n / GROUP) + n % GROUP;
        vec *to = (vec *)(value + (size_t)(n * p->written + a) * PIXELS * BLOCK);
        for (int q = 0; q < PIXELS; q++) {
            int i = q / 2 ? 0 : 6, j = q % 2 ? 0 : 2; // m2 of an axis goes to its first pixel, m0 to its second
            vec y = (sums[4 * GROUP] + sums[(3 + j) * GROUP]) + (sums[(i + 1) * GROUP] + sums[(i + j) * GROUP]) + b;
            if (accumulate)
                y += to[q];
            to[q] = y;
        }
    }
}

static void run_product(const struct product *p, const float *read, const float *bias, bool accumulate, float *written,
                        int threads) {
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int r = 0; r < p->read; r++)
            pack_block(p, read, r);
#pragma omp for schedule(static)
        for (int a = 0; a < p->written; a++) {
            product_block(p, a);
            unpack_block(p, a, bias, accumulate, written);
        }
    }
}

void KERNEL(conv_2x2_forward)(const struct conv_shape *conv, const float *src, const void *weight, const float *bias,
                              bool accumulate, float *dst, void *scratch, int threads) {
    struct product p = product_of(conv, false, weight, scratch);
    run_product(&p, src, bias, accumulate, dst, threads);
}

void KERNEL(conv_2x2_data_grad)(const struct conv_shape *conv, const float *ddst, const void *weight, bool accumulate,
                                float *dsrc, void *scratch, int threads) {
    struct product p = product_of(conv, true, weight, scratch);
    run_product(&p, ddst, NULL, accumulate, dsrc, threads);
}

// Block `block` of a value for the weight gradient: to [PRODUCTS][frames][BLOCK], in reversed order for dy.
static void pack_for_gradient(struct planes p, const float *value, int block, bool reversed, float *packed) {
    vec *to = (vec *)packed + (size_t)(block * p.frames) * PRODUCTS;
    for (int n = 0; n < p.frames; n++) {
        vec combined[PRODUCTS];
        combine((const vec *)(value + (size_t)(n * p.blocks + block) * PIXELS * BLOCK), combined);
        for (int m = 0; m < PRODUCTS; m++)
            to[m * p.frames + n] = combined[reversed ? PRODUCTS - 1 - m : m];
    }
}

// products[i][o] = sum over frames of x[i] dy[o]
ALWAYS_INLINE void outer_products(int frames, const float *x, const float *dy, vec *products) {
    vec acc[BLOCK];
#pragma GCC unroll 16
    for (int i = 0; i < BLOCK; i++)
        acc[i] = (vec){0};
    for (int n = 0; n < frames; n++) {
        vec g = *(const vec *)(dy + (size_t)n * BLOCK);
#pragma GCC unroll 16
        for (int i = 0; i < BLOCK; i++)
            acc[i] += x[(size_t)n * BLOCK + (size_t)i] * g;
    }
#pragma GCC unroll 16
    for (int i = 0; i < BLOCK; i++)
        products[i] = acc[i];
}

// From the products to the taps' gradients, [3][3][BLOCK][BLOCK]: p0, p1 - p0 - p2, p2 along either axis.
static void transform_gradient(const vec *products, vec *dweight) {
    for (int l = 0; l < BLOCK; l++) {
        vec row[3][3];
#pragma GCC unroll 3
        for (int i = 0; i < 3; i++) {
            const vec *p = products + (size_t)(3 * i) * BLOCK + l;
            row[i][0] = p[0];
            row[i][1] = p[BLOCK] - p[0] - p[2 * BLOCK];
            row[i][2] = p[2 * BLOCK];
        }
#pragma GCC unroll 3
        for (int j = 0; j < 3; j++) {
            dweight[j * BLOCK + l] = row[0][j];
            dweight[(3 + j) * BLOCK + l] = row[1][j] - row[0][j] - row[2][j];
            dweight[(6 + j) * BLOCK + l] = row[2][j];
        }
    }
}

void KERNEL(conv_2x2_weight_grad)(const struct conv_shape *conv, const float *src, const float *ddst, float *dweight,
                                  void *scratch, int threads) {
    struct planes in = planes_of(conv->src), out = planes_of(conv->dst);
    size_t block = (size_t)in.frames * PRODUCTS * BLOCK;
    float *x = scratch, *dy = x + (size_t)in.blocks * block;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int k = 0; k < in.blocks; k++)
            pack_for_gradient(in, src, k, false, x);
#pragma omp for schedule(static)
        for (int k = 0; k < out.blocks; k++)
            pack_for_gradient(out, ddst, k, true, dy);
#pragma omp for schedule(static) collapse(2)
        for (int co = 0; co < out.blocks; co++)
            for (int ci = 0; ci < in.blocks; ci++) {
                vec products[PRODUCTS * BLOCK];
                for (int m = 0; m < PRODUCTS; m++) {
                    size_t at = (size_t)m * (size_t)in.frames * BLOCK;
                    outer_products(in.frames, x + (size_t)ci * block + at, dy + (size_t)co * block + at,
                                   products + (size_t)m * BLOCK);
                }
                transform_gradient(products, (vec *)(dweight + (size_t)(co * in.blocks + ci) * PRODUCTS * MATRIX));
            }
    }
}
