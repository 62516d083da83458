// Forward pass and input gradient of a convolution on a map of a few pixels, as dense products: each pair
// (pixel read, pixel written) that a tap joins is a product with that tap's matrix, and pairs that would cross the
// border do not exist. oneDNN's kernels take three to four times as long there.
//
// What is read is packed as [group of frames][block r][pixel s][channel][frame of the group]; one vector of weights
// then meets all frames of the group in registers. The input gradient is the same product with each [b][b] block of the
// weight transposed on the way. In bf16 two channels read lie together, in what is packed and in the weights, and one
// instruction (vdpbf16ps) multiplies and adds both; the input gradient's weights come transposed.
#include "model/onednn/kernel_vec.h"

#ifdef KERNEL_BF16
#include <immintrin.h>
#endif

enum {
    GROUP = BLOCK == 16 ? 14 : 7, // frames whose sums fit the registers
    SMALL_GROUP = 4,
    MAX_TAPS = KERNEL_SMALL_TAPS,
    MAX_PIXELS = KERNEL_SMALL_SOURCE,
    TOGETHER = (int)(sizeof(float) / sizeof(element)), // channels that one product adds up
};

// A pixel read that the tap joins with the pixel written at hand.
struct joined {
    uint8_t read, tap;
};

// One product: writes blocks `a` of one value from blocks `r` of another.
struct product {
    int frames, group, groups; // group: GROUP or SMALL_GROUP
    int kernel, stride, pad;
    int written, read;                 // blocks of channels
    int written_pixels, written_width; // of the two maps
    int read_pixels, read_width;
    bool transposed; // the input gradient
    // What pixel q written is joined with: joined[first_joined[q]] up to joined[first_joined[q + 1]].
    struct joined joined[KERNEL_SMALL_MAP * KERNEL_SMALL_SOURCE];
    int first_joined[MAX_PIXELS + 1];
    const element *weight;
    element *packed; // [groups][read][read_pixels][BLOCK / TOGETHER][group][TOGETHER]
    float *sums;     // [written][groups][written_pixels][group][BLOCK]
};

// The tap between pixel q written and pixel s read is that with input = output * stride - pad + tap; none: -1.
static int tap_between(const struct product *p, int q, int s) {
    int out = p->transposed ? s : q, in = p->transposed ? q : s;
    int out_width = p->transposed ? p->read_width : p->written_width;
    int in_width = p->transposed ? p->written_width : p->read_width;
    int ky = in / in_width - out / out_width * p->stride + p->pad;
    int kx = in % in_width - out % out_width * p->stride + p->pad;
    return ky >= 0 && ky < p->kernel && kx >= 0 && kx < p->kernel ? ky * p->kernel + kx : -1;
}

static void join_pixels(struct product *p) {
    int count = 0;
    for (int q = 0; q < p->written_pixels; q++) {
        p->first_joined[q] = count;
        for (int s = 0; s < p->read_pixels; s++) {
            int tap = tap_between(p, q, s);
            if (tap >= 0)
                p->joined[count++] = (struct joined){(uint8_t)s, (uint8_t)tap};
        }
    }
    p->first_joined[p->written_pixels] = count;
}

static struct product product_of(const struct conv_shape *conv, bool transposed, void *scratch) {
    struct planes in = planes_of(conv->src), out = planes_of(conv->dst);
    struct product p = {.frames = conv->src.n,
                        .kernel = conv->kernel,
                        .stride = conv->stride,
                        .pad = conv->pad,
                        .written = transposed ? in.blocks : out.blocks,
                        .read = transposed ? out.blocks : in.blocks,
                        .written_pixels = transposed ? in.pixels : out.pixels,
                        .written_width = transposed ? conv->src.w : conv->dst.w,
                        .read_pixels = transposed ? out.pixels : in.pixels,
                        .read_width = transposed ? conv->dst.w : conv->src.w,
                        .transposed = transposed,
                        .packed = scratch};
    p.group = p.frames <= SMALL_GROUP ? SMALL_GROUP : GROUP;
    p.groups = (p.frames + p.group - 1) / p.group;
    size_t packed = (size_t)p.groups * (size_t)p.group * (size_t)p.read * (size_t)p.read_pixels * BLOCK;
    p.sums = (float *)scratch + packed / TOGETHER;
    join_pixels(&p);
    return p;
}

size_t KERNEL(conv_small_scratch_bytes)(const struct op_desc *d) {
    struct planes in = planes_of(d->in), out = planes_of(d->out);
    size_t rows = (size_t)in.blocks * (size_t)in.pixels + (size_t)out.blocks * (size_t)out.pixels;
    return (size_t)(d->in.n + GROUP) * rows * BLOCK * sizeof(float);
}

// Pixel s of block r of every frame; frames past the last are zero.
static void pack_block(const struct product *p, const element *value, int r) {
    for (int g = 0; g < p->groups; g++)
        for (int s = 0; s < p->read_pixels; s++) {
            element *to = p->packed + (size_t)((g * p->read + r) * p->read_pixels + s) * BLOCK * (size_t)p->group;
            for (int k = 0; k < p->group; k++) {
                int n = g * p->group + k;
                const element *from = value + (size_t)((n * p->read + r) * p->read_pixels + s) * BLOCK;
                for (int l = 0; l < BLOCK; l++)
                    to[(l / TOGETHER * p->group + k) * TOGETHER + l % TOGETHER] = n < p->frames ? from[l] : 0;
            }
        }
}

#ifdef KERNEL_BF16
// sums[k] += over the block's pairs of channels of packed[pair][k] . weight[pair], for the frames k of a group.
ALWAYS_INLINE void multiply_block(const element *weight, const element *packed, vec *acc, const int group) {
    for (int i = 0; i < BLOCK / TOGETHER; i++) {
        __m512bh w = (__m512bh)_mm512_load_si512(weight + (size_t)i * BLOCK * TOGETHER);
#pragma GCC unroll 16
        for (int k = 0; k < group; k++) {
            int32_t pair;
            memcpy(&pair, packed + (size_t)(i * group + k) * TOGETHER, sizeof pair);
            acc[k] = (vec)_mm512_dpbf16_ps((__m512)acc[k], w, (__m512bh)_mm512_set1_epi32(pair));
        }
    }
}
#else
// sums[k] += over the block's channels of packed[channel][k] * weight[channel], for the frames k of a group.
ALWAYS_INLINE void multiply_block(const float *weight, const float *packed, vec *acc, const int group) {
    for (int i = 0; i < BLOCK; i++) {
        vec w = ((const vec *)weight)[i];
#pragma GCC unroll 16
        for (int k = 0; k < group; k++)
            acc[k] += packed[i * group + k] * w;
    }
}
#endif

// One block of channels read, into all pixels of one block written, for one group of frames. weight:
// [taps][BLOCK][BLOCK].
ALWAYS_INLINE void multiply_pixels(const struct product *p, const element *weight, const element *packed, float *sums,
                                   const int group) {
    for (int q = 0; q < p->written_pixels; q++) {
        vec acc[GROUP];
#pragma GCC unroll 16
        for (int k = 0; k < group; k++)
            acc[k] = (vec){0};
        for (int j = p->first_joined[q]; j < p->first_joined[q + 1]; j++)
            multiply_block(weight + (size_t)p->joined[j].tap * BLOCK * BLOCK,
                           packed + (size_t)p->joined[j].read * BLOCK * (size_t)group, acc, group);
        vec *total = (vec *)sums + (size_t)q * (size_t)group;
#pragma GCC unroll 16
        for (int k = 0; k < group; k++)
            total[k] += acc[k];
    }
}

// The taps' matrices between block `r` read and block `a` written; `turned` is room for transposed ones.
static const element *weight_blocks(const struct product *p, int a, int r, element *turned) {
    size_t taps = (size_t)p->kernel * (size_t)p->kernel;
    size_t at = p->transposed ? (size_t)r * (size_t)p->written + (size_t)a : (size_t)a * (size_t)p->read + (size_t)r;
    const element *weight = p->weight + at * taps * BLOCK * BLOCK;
#ifdef KERNEL_BF16
    (void)turned;
    return weight;
#else
    if (!p->transposed)
        return weight;
    for (size_t tap = 0; tap < taps; tap++)
        transpose_block(weight + tap * BLOCK * BLOCK, turned + tap * BLOCK * BLOCK);
    return turned;
#endif
}

static void product_block(const struct product *p, int a) {
    element turned[MAX_TAPS * BLOCK * BLOCK] __attribute__((aligned(64)));
    size_t group_sums = (size_t)p->written_pixels * (size_t)p->group * BLOCK;
    float *sums = p->sums + (size_t)a * (size_t)p->groups * group_sums;
    memset(sums, 0, (size_t)p->groups * group_sums * sizeof *sums);
    for (int r = 0; r < p->read; r++) {
        const element *weight = weight_blocks(p, a, r, turned);
        for (int g = 0; g < p->groups; g++) {
            const element *packed = p->packed + (size_t)((g * p->read + r) * p->read_pixels) * BLOCK * (size_t)p->group;
            if (p->group == GROUP)
                multiply_pixels(p, weight, packed, sums + (size_t)g * group_sums, GROUP);
            else
                multiply_pixels(p, weight, packed, sums + (size_t)g * group_sums, SMALL_GROUP);
        }
    }
}

// From the sums to the value: block a of every frame.
static void unpack_block(const struct product *p, int a, const float *bias, bool accumulate, element *value) {
    for (int n = 0; n < p->frames; n++)
        for (int q = 0; q < p->written_pixels; q++) {
            size_t group = (size_t)a * (size_t)p->groups + (size_t)(n / p->group);
            const float *from =
                p->sums +
                ((group * (size_t)p->written_pixels + (size_t)q) * (size_t)p->group + (size_t)(n % p->group)) * BLOCK;
            element *to = value + (size_t)((n * p->written + a) * p->written_pixels + q) * BLOCK;
#pragma omp simd
            for (int l = 0; l < BLOCK; l++)
                store(to + l, from[l] + (bias ? bias[a * BLOCK + l] : 0), accumulate);
        }
}

static void run_product(const struct product *p, const float *read, const float *bias, bool accumulate, float *written,
                        int threads) {
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int r = 0; r < p->read; r++)
            pack_block(p, elements_of(read), r);
#pragma omp for schedule(static)
        for (int a = 0; a < p->written; a++) {
            product_block(p, a);
            unpack_block(p, a, bias, accumulate, elements_to(written));
        }
    }
}

void KERNEL(conv_small_forward)(const struct conv_shape *conv, const float *src, const void *weight, const float *bias,
                                bool accumulate, float *dst, void *scratch, int threads) {
    struct product p = product_of(conv, false, scratch);
    p.weight = weight;
    run_product(&p, src, bias, accumulate, dst, threads);
}

void KERNEL(conv_small_data_grad)(const struct conv_shape *conv, const float *ddst, const void *weight, bool accumulate,
                                  float *dsrc, void *scratch, int threads) {
    struct product p = product_of(conv, true, scratch);
    p.weight = weight;
    run_product(&p, ddst, NULL, accumulate, dsrc, threads);
}
