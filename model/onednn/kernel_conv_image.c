// A convolution of an image of few bands (the network's first), whose padding to a whole block of channels would be
// most of oneDNN's work. No bias, and no input gradient.
//
// The image is packed as [frame][row][column][band] with its border of zeros, so that a row of the kernel meets
// kernel * bands numbers that lie together; they are multiplied as they come with weights [k][k][band][b of Co].
#include "model/onednn/kernel_vec.h"

enum {
    TILE = 8,     // pixels of a row of the output, or numbers under a kernel's row, that one pass takes together
    TOGETHER = 2, // blocks of channels written
    PARTS = 8, // of the frames, for the weight gradient: fixed, so that its sums are the same for any number of threads
};

struct image {
    struct planes in, out;
    int bands, kernel, stride, width; // of a packed row in numbers
    int out_height, out_width;
    size_t frame;                      // numbers of a packed frame
    size_t block_weights, row_weights; // of a block of channels written, and of one row of the kernel in it
    float *packed;
};

static struct image image_of(const struct conv_shape *conv, void *scratch) {
    struct image m = {.in = planes_of(conv->src),
                      .out = planes_of(conv->dst),
                      .bands = conv->src.c,
                      .kernel = conv->kernel,
                      .stride = conv->stride,
                      .width = (conv->src.w + 2 * conv->pad) * conv->src.c,
                      .out_height = conv->dst.h,
                      .out_width = conv->dst.w,
                      .packed = scratch};
    m.frame = (size_t)(conv->src.h + 2 * conv->pad) * (size_t)m.width;
    m.row_weights = (size_t)conv->kernel * BLOCK * BLOCK;
    m.block_weights = (size_t)conv->kernel * m.row_weights;
    return m;
}

bool KERNEL(conv_image_fits)(const struct op_desc *d) {
    return 4 * d->in.c <= 3 * BLOCK && d->out.w >= TILE && !d->bias && !d->accumulate && !(d->passes & PASS_INPUT_GRAD);
}

static size_t whole_blocks(size_t floats) {
    return (floats + BLOCK - 1) / BLOCK * BLOCK;
}

static size_t partial_floats(const struct op_desc *d) {
    return (size_t)planes_of(d->out).blocks * (size_t)(d->kernel * d->kernel) * BLOCK * BLOCK;
}

size_t KERNEL(conv_image_scratch_bytes)(const struct op_desc *d) {
    size_t frame = (size_t)(d->in.h + 2 * d->pad) * (size_t)(d->in.w + 2 * d->pad) * (size_t)d->in.c;
    return (whole_blocks((size_t)d->in.n * frame) + PARTS * partial_floats(d)) * sizeof(float);
}

static void pack_frame(const struct image *m, const struct conv_shape *conv, const float *src, int n) {
    float *to = m->packed + (size_t)n * m->frame;
    const float *from = src + (size_t)n * plane_elements(m->in); // few bands: one block
    memset(to, 0, m->frame * sizeof *to);
    for (int y = 0; y < conv->src.h; y++)
        for (int x = 0; x < conv->src.w; x++) {
            float *pixel = to + (size_t)(y + conv->pad) * (size_t)m->width + (size_t)((x + conv->pad) * m->bands);
            for (int c = 0; c < m->bands; c++)
                pixel[c] = from[(size_t)(y * conv->src.w + x) * BLOCK + (size_t)c];
        }
}

// TILE pixels of a row, `blocks` blocks of channels: sums over everything under the kernel.
ALWAYS_INLINE void forward_tile(const struct image *m, const float *x, const float *weight, float *dst,
                                const int blocks) {
    vec acc[TOGETHER][TILE];
    size_t step = (size_t)m->stride * (size_t)m->bands;
#pragma GCC unroll 2
    for (int b = 0; b < blocks; b++)
#pragma GCC unroll 8
        for (int p = 0; p < TILE; p++)
            acc[b][p] = (vec){0};
    for (int ky = 0; ky < m->kernel; ky++)
        for (int kx = 0; kx < m->kernel; kx++) {
            const float *row = x + (size_t)ky * (size_t)m->width + (size_t)(kx * m->bands);
            const float *w = weight + (size_t)ky * m->row_weights + (size_t)kx * BLOCK * BLOCK;
            for (int c = 0; c < m->bands; c++)
#pragma GCC unroll 2
                for (int b = 0; b < blocks; b++) {
                    vec v = *(const vec *)(w + (size_t)b * m->block_weights + (size_t)c * BLOCK);
#pragma GCC unroll 8
                    for (int p = 0; p < TILE; p++)
                        acc[b][p] += row[(size_t)p * step + (size_t)c] * v;
                }
        }
#pragma GCC unroll 2
    for (int b = 0; b < blocks; b++)
#pragma GCC unroll 8
        for (int p = 0; p < TILE; p++)
            *(vec *)(dst + (size_t)b * plane_elements(m->out) + (size_t)p * BLOCK) = acc[b][p];
}

// The last tile of a row may do pixels again.
static void forward_row(const struct image *m, const float *weight, float *dst, int n, int oy) {
    const float *x = m->packed + (size_t)n * m->frame + (size_t)(oy * m->stride) * (size_t)m->width;
    for (int block = 0; block < m->out.blocks; block += TOGETHER)
        for (int first = 0; first < m->out_width; first += TILE) {
            int ox = first + TILE <= m->out_width ? first : m->out_width - TILE;
            const float *from = x + (size_t)(ox * m->stride * m->bands), *w = weight + (size_t)block * m->block_weights;
            float *to = dst + (size_t)(n * m->out.blocks + block) * plane_elements(m->out) +
                        (size_t)(oy * m->out_width + ox) * BLOCK;
            if (block + TOGETHER <= m->out.blocks)
                forward_tile(m, from, w, to, TOGETHER);
            else
                forward_tile(m, from, w, to, 1);
        }
}

void KERNEL(conv_image_forward)(const struct conv_shape *conv, const float *src, const void *weight, const float *bias,
                                bool accumulate, float *dst, void *scratch, int threads) {
    struct image m = image_of(conv, scratch);
    (void)bias, (void)accumulate; // conv_image_fits
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int n = 0; n < m.in.frames; n++)
            pack_frame(&m, conv, src, n);
#pragma omp for schedule(static) collapse(2)
        for (int n = 0; n < m.in.frames; n++)
            for (int oy = 0; oy < m.out_height; oy++)
                forward_row(&m, weight, dst, n, oy);
    }
}

// dweight += over a row of pixels: `count` numbers under a kernel's row, `blocks` blocks of channels. `at[k]` is the
// row of dweight of number k.
ALWAYS_INLINE void gradient_tile(const struct image *m, const float *x, const float *dy, float *const *at,
                                 const int count, const int blocks) {
    vec acc[TOGETHER][TILE];
    size_t step = (size_t)m->stride * (size_t)m->bands;
#pragma GCC unroll 2
    for (int b = 0; b < blocks; b++)
#pragma GCC unroll 8
        for (int k = 0; k < count; k++)
            acc[b][k] = *(vec *)(at[k] + (size_t)b * m->block_weights);
    for (int ox = 0; ox < m->out_width; ox++)
#pragma GCC unroll 2
        for (int b = 0; b < blocks; b++) {
            vec g = *(const vec *)(dy + (size_t)b * plane_elements(m->out) + (size_t)ox * BLOCK);
#pragma GCC unroll 8
            for (int k = 0; k < count; k++)
                acc[b][k] += x[(size_t)ox * step + (size_t)k] * g;
        }
#pragma GCC unroll 2
    for (int b = 0; b < blocks; b++)
#pragma GCC unroll 8
        for (int k = 0; k < count; k++)
            *(vec *)(at[k] + (size_t)b * m->block_weights) = acc[b][k];
}

ALWAYS_INLINE void gradient_blocks(const struct image *m, const float *x, const float *dy, float *const *at,
                                   const int count, int blocks) {
    if (blocks == TOGETHER)
        gradient_tile(m, x, dy, at, count, TOGETHER);
    else
        gradient_tile(m, x, dy, at, count, 1);
}

// One row of the kernel and one of the output.
static void gradient_row(const struct image *m, const float *x, const float *dy, float *dweight, int blocks) {
    int numbers = m->kernel * m->bands, k = 0;
    float *at[TILE];
    while (k < numbers) {
        int count = k + TILE <= numbers ? TILE : 1;
        for (int i = 0; i < count; i++)
            at[i] = dweight + (size_t)((k + i) / m->bands * BLOCK + (k + i) % m->bands) * BLOCK;
        if (count == TILE)
            gradient_blocks(m, x + k, dy, at, TILE, blocks);
        else
            gradient_blocks(m, x + k, dy, at, 1, blocks);
        k += count;
    }
}

static void gradient_frame(const struct image *m, const float *ddst, float *dweight, int n) {
    for (int block = 0; block < m->out.blocks; block += TOGETHER)
        for (int oy = 0; oy < m->out_height; oy++)
            for (int ky = 0; ky < m->kernel; ky++) {
                const float *x = m->packed + (size_t)n * m->frame + (size_t)(oy * m->stride + ky) * (size_t)m->width;
                const float *dy = ddst + (size_t)(n * m->out.blocks + block) * plane_elements(m->out) +
                                  (size_t)(oy * m->out_width) * BLOCK;
                int blocks = block + TOGETHER <= m->out.blocks ? TOGETHER : 1;
                gradient_row(m, x, dy, dweight + (size_t)block * m->block_weights + (size_t)ky * m->row_weights,
                             blocks);
            }
}

void KERNEL(conv_image_weight_grad)(const struct conv_shape *conv, const float *src, const float *ddst, float *dweight,
                                    void *scratch, int threads) {
    struct image m = image_of(conv, scratch);
    size_t floats = (size_t)m.out.blocks * m.block_weights;
    float *partial = m.packed + whole_blocks((size_t)m.in.frames * m.frame); // [PARTS][floats]
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int n = 0; n < m.in.frames; n++)
            pack_frame(&m, conv, src, n);
#pragma omp for schedule(static)
        for (int part = 0; part < PARTS; part++) {
            memset(partial + (size_t)part * floats, 0, floats * sizeof *partial);
            for (int n = part; n < m.in.frames; n += PARTS)
                gradient_frame(&m, ddst, partial + (size_t)part * floats, n);
        }
#pragma omp for schedule(static)
        for (size_t i = 0; i < floats; i += BLOCK) {
            vec sum = *(vec *)(partial + i);
            for (size_t part = 1; part < PARTS; part++)
                sum += *(vec *)(partial + part * floats + i);
            *(vec *)(dweight + i) = sum;
        }
    }
}
