// A 3x3 convolution (stride 1, padding 1) by Winograd's F(4x4, 3x3), as of Lavin and Gray 2016, "Fast algorithms for
// convolutional neural networks": a tile of 4x4 pixels written takes 36 products of channels instead of 144.
//
//     forward           Y  = A' [(G g G') (B' d B)] A    d: the 6x6 pixels read, g: the taps, Y: the 4x4 written
//     input gradient    the same with the taps turned around and the channels exchanged
//     weight gradient   dg = G' [(B' d B) (A dY A')] G, summed over tiles
//
// where the product in brackets is element by element, and over channels or tiles a matrix product for each of the 36.
// Tiles are numbered along x, y and frames, and go through the products in groups whose sums fit the registers.
#include "model/onednn/kernel_vec.h"

enum {
    SIDE = 4,   // pixels of a tile along an axis
    WINDOW = 6, // and those read for it
    TAPS = 9,
    PRODUCTS = WINDOW * WINDOW,
    MATRIX = BLOCK * BLOCK, // one product's weights between two blocks of channels
    GROUP = 6,              // tiles, and
    TOGETHER = 2,           // blocks written, whose sums fit the registers
    READ = 4,               // blocks read before sums go back to memory
    CHUNK = 5,              // groups for which weights are transformed once
    CHUNK_TILES = CHUNK * GROUP
};

struct map {
    struct planes planes;
    int height, width, tiles_x, tiles; // tiles: of a frame
};

static struct map map_of(struct shape s) {
    return (struct map){planes_of(s), s.h, s.w, s.w / SIDE, s.h / SIDE * (s.w / SIDE)};
}

static int tile_count(struct map m) {
    return m.planes.frames * m.tiles;
}

static int group_count(struct map m) {
    return (tile_count(m) + GROUP - 1) / GROUP;
}

// The plane of a block of the frame that tile `t` is in, and where the tile begins there.
struct place {
    size_t plane;
    int y, x;
};

static struct place place_of(struct map m, int t, int block) {
    int n = t / m.tiles, in_frame = t % m.tiles;
    return (struct place){(size_t)(n * m.planes.blocks + block) * plane_elements(m.planes), in_frame / m.tiles_x * SIDE,
                          in_frame % m.tiles_x * SIDE};
}

// B' along one axis.
ALWAYS_INLINE void transform_read(const vec d[WINDOW], vec t[WINDOW]) {
    vec even = d[4] - 4 * d[2], odd = d[3] - 4 * d[1], far = d[4] - d[2], twice = 2 * (d[3] - d[1]);
    t[0] = 4 * d[0] - 5 * d[2] + d[4];
    t[1] = even + odd;
    t[2] = even - odd;
    t[3] = far + twice;
    t[4] = far - twice;
    t[5] = 4 * d[1] - 5 * d[3] + d[5];
}

// A' along one axis.
ALWAYS_INLINE void transform_written(const vec m[WINDOW], vec y[SIDE]) {
    vec sum = m[1] + m[2], difference = m[1] - m[2], far_sum = m[3] + m[4], far_difference = m[3] - m[4];
    y[0] = m[0] + sum + far_sum;
    y[1] = difference + 2 * far_difference;
    y[2] = sum + 4 * far_sum;
    y[3] = difference + 8 * far_difference + m[5];
}

// A along one axis.
ALWAYS_INLINE void transform_gradient(const vec y[SIDE], vec z[WINDOW]) {
    vec even = y[0] + y[2], odd = y[1] + y[3], far_even = y[0] + 4 * y[2], far_odd = 2 * y[1] + 8 * y[3];
    z[0] = y[0];
    z[1] = even + odd;
    z[2] = even - odd;
    z[3] = far_even + far_odd;
    z[4] = far_even - far_odd;
    z[5] = y[3];
}

// G along one axis.
ALWAYS_INLINE void transform_taps(const vec g[3], vec u[WINDOW]) {
    vec even = (g[0] + g[2]) * (-1.0f / 6), odd = g[1] * (1.0f / 6);
    vec far_even = g[0] * (1.0f / 24) + g[2] * (1.0f / 6), far_odd = g[1] * (1.0f / 12);
    u[0] = g[0] * 0.25f;
    u[1] = even - odd;
    u[2] = even + odd;
    u[3] = far_even + far_odd;
    u[4] = far_even - far_odd;
    u[5] = g[2];
}

// G' along one axis.
ALWAYS_INLINE void transform_products(const vec p[WINDOW], vec g[3]) {
    vec sum = p[1] + p[2], far_sum = p[3] + p[4];
    g[0] = p[0] * 0.25f - sum * (1.0f / 6) + far_sum * (1.0f / 24);
    g[1] = (p[2] - p[1]) * (1.0f / 6) + (p[3] - p[4]) * (1.0f / 12);
    g[2] = (far_sum - sum) * (1.0f / 6) + p[5];
}

// A tile's window of one block as the products read it; pixels outside the map are zero. Product WINDOW i + j goes to
// to[(WINDOW i + j) * distance].
static void read_window(struct map m, const float *value, int t, int block, vec *to, size_t distance) {
    struct place at = place_of(m, t, block);
    vec rows[WINDOW][WINDOW];
    for (int i = 0; i < WINDOW; i++) {
        int y = at.y - 1 + i;
        vec d[WINDOW] = {0};
        if (y >= 0 && y < m.height) {
            const vec *row = (const vec *)(value + at.plane) + (ptrdiff_t)y * m.width + at.x;
            if (at.x > 0)
                d[0] = row[-1];
#pragma GCC unroll 4
            for (int j = 0; j < SIDE; j++)
                d[1 + j] = row[j];
            if (at.x + SIDE < m.width)
                d[WINDOW - 1] = row[SIDE];
        }
        transform_read(d, rows[i]);
    }
    for (int j = 0; j < WINDOW; j++) {
        vec d[WINDOW], column[WINDOW];
#pragma GCC unroll 6
        for (int i = 0; i < WINDOW; i++)
            d[i] = rows[i][j];
        transform_read(d, column);
#pragma GCC unroll 6
        for (int i = 0; i < WINDOW; i++)
            to[(size_t)(i * WINDOW + j) * distance] = column[i];
    }
}

// A tile of a gradient, likewise.
static void read_gradient(struct map m, const float *value, int t, int block, vec *to, size_t distance) {
    struct place at = place_of(m, t, block);
    vec rows[SIDE][WINDOW];
    for (int i = 0; i < SIDE; i++)
        transform_gradient((const vec *)(value + at.plane) + (size_t)(at.y + i) * (size_t)m.width + at.x, rows[i]);
    for (int j = 0; j < WINDOW; j++) {
        vec y[SIDE], column[WINDOW];
#pragma GCC unroll 4
        for (int i = 0; i < SIDE; i++)
            y[i] = rows[i][j];
        transform_gradient(y, column);
#pragma GCC unroll 6
        for (int i = 0; i < WINDOW; i++)
            to[(size_t)(i * WINDOW + j) * distance] = column[i];
    }
}

// Blocks `a` of one value from blocks `r` of another, on maps of one size.
struct product {
    struct map written, read;
    int groups;
    bool transposed; // the input gradient
    const float *weight;
    float *packed; // [groups][read][PRODUCTS][GROUP][BLOCK]
};

static struct product product_of(const struct conv_shape *conv, bool transposed, const void *weight, void *scratch) {
    struct map in = map_of(conv->src), out = map_of(conv->dst);
    return (struct product){.written = transposed ? in : out,
                            .read = transposed ? out : in,
                            .groups = group_count(in),
                            .transposed = transposed,
                            .weight = weight,
                            .packed = scratch};
}

size_t KERNEL(conv_winograd_scratch_bytes)(const struct op_desc *d) {
    size_t blocks = (size_t)planes_of(d->in).blocks + (size_t)planes_of(d->out).blocks; // both for the weight gradient
    return (size_t)group_count(map_of(d->in)) * GROUP * blocks * PRODUCTS * BLOCK * sizeof(float);
}

static float *packed_at(const struct product *p, int group, int r) {
    return p->packed + (size_t)(group * p->read.planes.blocks + r) * PRODUCTS * GROUP * BLOCK;
}

static void pack_group(const struct product *p, const float *value, int group, int r) {
    vec *to = (vec *)packed_at(p, group, r);
    for (int k = 0; k < GROUP; k++) {
        int t = group * GROUP + k;
        if (t < tile_count(p->read))
            read_window(p->read, value, t, r, to + k, GROUP);
        else
            for (int m = 0; m < PRODUCTS; m++)
                to[m * GROUP + k] = (vec){0};
    }
}

// [3][3][BLOCK][BLOCK] to products at a distance (floats) from each other.
static void transform_weights(const float *weight, float *transformed, size_t distance) {
    for (int l = 0; l < BLOCK; l++) {
        vec rows[3][WINDOW];
#pragma GCC unroll 3
        for (int i = 0; i < 3; i++) {
            vec g[3];
#pragma GCC unroll 3
            for (int j = 0; j < 3; j++)
                g[j] = *(const vec *)(weight + (size_t)(3 * i + j) * MATRIX + (size_t)l * BLOCK);
            transform_taps(g, rows[i]);
        }
#pragma GCC unroll 6
        for (int j = 0; j < WINDOW; j++) {
            vec g[3] = {rows[0][j], rows[1][j], rows[2][j]}, u[WINDOW];
            transform_taps(g, u);
#pragma GCC unroll 6
            for (int i = 0; i < WINDOW; i++)
                *(vec *)(transformed + (size_t)(i * WINDOW + j) * distance + (size_t)l * BLOCK) = u[i];
        }
    }
}

static void weights_between(const struct product *p, int a, int r, float *transformed, size_t distance) {
    int in = p->transposed ? a : r, out = p->transposed ? r : a;
    int in_blocks = p->transposed ? p->written.planes.blocks : p->read.planes.blocks;
    const float *weight = p->weight + (size_t)(out * in_blocks + in) * TAPS * MATRIX;
    float turned[TAPS * MATRIX] __attribute__((aligned(64)));
    if (p->transposed) {
        for (int tap = 0; tap < TAPS; tap++)
            transpose_block(weight + (size_t)tap * MATRIX, turned + (size_t)(TAPS - 1 - tap) * MATRIX);
        weight = turned;
    }
    transform_weights(weight, transformed, distance);
}

// sums [count][GROUP] += of `read` blocks: weight [read][count][MATRIX], packed [read][..][GROUP][BLOCK].
ALWAYS_INLINE void multiply(const int count, int read, const float *weight, const float *packed, vec *sums[TOGETHER]) {
    vec acc[TOGETHER][GROUP];
#pragma GCC unroll 2
    for (int a = 0; a < count; a++) {
#pragma GCC unroll 6
        for (int k = 0; k < GROUP; k++)
            acc[a][k] = sums[a][k];
    }
    for (int r = 0; r < read; r++) {
        const float *x = packed + (size_t)r * PRODUCTS * GROUP * BLOCK;
        const vec *w = (const vec *)weight + (size_t)(r * count) * BLOCK;
        for (int i = 0; i < BLOCK; i++) {
#pragma GCC unroll 6
            for (int k = 0; k < GROUP; k++) {
                float one = x[k * BLOCK + i];
#pragma GCC unroll 2
                for (int a = 0; a < count; a++)
                    acc[a][k] += one * w[a * BLOCK + i];
            }
        }
    }
#pragma GCC unroll 2
    for (int a = 0; a < count; a++) {
#pragma GCC unroll 6
        for (int k = 0; k < GROUP; k++)
            sums[a][k] = acc[a][k];
    }
}

struct work {
    int a, count;      // blocks written
    int group, groups; // groups of tiles
    float *weight;     // [PRODUCTS][READ][TOGETHER][MATRIX]
    vec *sums;         // [TOGETHER][PRODUCTS][CHUNK_TILES]
};

// Sums of `count` blocks over all blocks read.
ALWAYS_INLINE void multiply_all(const struct product *p, const struct work *w, const int count) {
    const size_t matrices = READ * TOGETHER * MATRIX;
    for (int r = 0; r < p->read.planes.blocks; r += READ) {
        int left = p->read.planes.blocks - r, read = left < READ ? left : READ;
        for (int i = 0; i < read * count; i++)
            weights_between(p, w->a + i % count, r + i / count, w->weight + (size_t)i * MATRIX, matrices);
        for (int m = 0; m < PRODUCTS; m++)
            for (int g = 0; g < w->groups; g++) {
                vec *sums[TOGETHER] = {w->sums + m * CHUNK_TILES + g * GROUP,
                                       w->sums + (PRODUCTS + m) * CHUNK_TILES + g * GROUP};
                multiply(count, read, w->weight + (size_t)m * matrices,
                         packed_at(p, w->group + g, r) + (size_t)m * GROUP * BLOCK, sums);
            }
    }
}

// One tile of one block from its sums [PRODUCTS][CHUNK_TILES].
static void write_tile(const struct product *p, int t, int a, const vec *sums, const float *bias, bool accumulate,
                       float *value) {
    struct place at = place_of(p->written, t, a);
    vec b = {0}, rows[WINDOW][SIDE];
    if (bias)
        b = *(const vec *)(bias + (size_t)a * BLOCK);
    for (int i = 0; i < WINDOW; i++) {
        vec m[WINDOW];
#pragma GCC unroll 6
        for (int j = 0; j < WINDOW; j++)
            m[j] = sums[(i * WINDOW + j) * CHUNK_TILES];
        transform_written(m, rows[i]);
    }
    for (int j = 0; j < SIDE; j++) {
        vec m[WINDOW], y[SIDE];
#pragma GCC unroll 6
        for (int i = 0; i < WINDOW; i++)
            m[i] = rows[i][j];
        transform_written(m, y);
        for (int i = 0; i < SIDE; i++) {
            vec *to = (vec *)(value + at.plane) + (size_t)(at.y + i) * (size_t)p->written.width + at.x + j;
            *to = accumulate ? *to + y[i] + b : y[i] + b;
        }
    }
}

static void write_chunk(const struct product *p, const struct work *w, const float *bias, bool accumulate,
                        float *written) {
    int first = w->group * GROUP, tiles = tile_count(p->written) - first;
    for (int a = 0; a < w->count; a++)
        for (int k = 0; k < w->groups * GROUP && k < tiles; k++)
            write_tile(p, first + k, w->a + a, w->sums + a * PRODUCTS * CHUNK_TILES + k, bias, accumulate, written);
}

static void run_product(const struct product *p, const float *read, const float *bias, bool accumulate, float *written,
                        int threads) {
    int chunks = (p->groups + CHUNK - 1) / CHUNK, blocks = p->written.planes.blocks;
#pragma omp parallel num_threads(threads)
    {
        float weight[PRODUCTS * READ * TOGETHER * MATRIX] __attribute__((aligned(64)));
        vec sums[TOGETHER * PRODUCTS * CHUNK_TILES];
#pragma omp for schedule(static) collapse(2)
        for (int g = 0; g < p->groups; g++)
            for (int r = 0; r < p->read.planes.blocks; r++)
                pack_group(p, read, g, r);
#pragma omp for schedule(static) collapse(2)
        for (int c = 0; c < chunks; c++)
            for (int a = 0; a < blocks; a += TOGETHER) {
                int left = p->groups - c * CHUNK;
                struct work w = {.a = a,
                                 .count = blocks - a < TOGETHER ? blocks - a : TOGETHER,
                                 .group = c * CHUNK,
                                 .groups = left < CHUNK ? left : CHUNK,
                                 .weight = weight,
                                 .sums = sums};
                memset(sums, 0, sizeof sums);
                if (w.count == TOGETHER)
                    multiply_all(p, &w, TOGETHER);
                else
                    multiply_all(p, &w, 1);
                write_chunk(p, &w, bias, accumulate, written);
            }
    }
}

void KERNEL(conv_winograd_forward)(const struct conv_shape *conv, const float *src, const void *weight,
                                   const float *bias, bool accumulate, float *dst, void *scratch, int threads) {
    struct product p = product_of(conv, false, weight, scratch);
    run_product(&p, src, bias, accumulate, dst, threads);
}

void KERNEL(conv_winograd_data_grad)(const struct conv_shape *conv, const float *ddst, const void *weight,
                                     bool accumulate, float *dsrc, void *scratch, int threads) {
    struct product p = product_of(conv, true, weight, scratch);
    run_product(&p, ddst, NULL, accumulate, dsrc, threads);
}

// products[i][o] = sum over tiles of x[i] dy[o]
ALWAYS_INLINE void outer_products(int tiles, const float *x, const vec *dy, vec *products) {
    vec acc[BLOCK];
#pragma GCC unroll 16
    for (int i = 0; i < BLOCK; i++)
        acc[i] = (vec){0};
    for (int t = 0; t < tiles; t++) {
        vec g = dy[t];
#pragma GCC unroll 16
        for (int i = 0; i < BLOCK; i++)
            acc[i] += x[t * BLOCK + i] * g;
    }
#pragma GCC unroll 16
    for (int i = 0; i < BLOCK; i++)
        products[i] = acc[i];
}

// From the products to the taps' gradients, [3][3][BLOCK][BLOCK].
static void finish_gradient(const vec *products, vec *dweight) {
    for (int l = 0; l < BLOCK; l++) {
        vec rows[WINDOW][3];
#pragma GCC unroll 6
        for (int i = 0; i < WINDOW; i++) {
            vec p[WINDOW];
#pragma GCC unroll 6
            for (int j = 0; j < WINDOW; j++)
                p[j] = products[(i * WINDOW + j) * BLOCK + l];
            transform_products(p, rows[i]);
        }
#pragma GCC unroll 3
        for (int j = 0; j < 3; j++) {
            vec p[WINDOW], g[3];
#pragma GCC unroll 6
            for (int i = 0; i < WINDOW; i++)
                p[i] = rows[i][j];
            transform_products(p, g);
#pragma GCC unroll 3
            for (int i = 0; i < 3; i++)
                dweight[(3 * i + j) * BLOCK + l] = g[i];
        }
    }
}

void KERNEL(conv_winograd_weight_grad)(const struct conv_shape *conv, const float *src, const float *ddst,
                                       float *dweight, void *scratch, int threads) {
    struct map in = map_of(conv->src), out = map_of(conv->dst);
    int tiles = tile_count(in), in_blocks = in.planes.blocks, out_blocks = out.planes.blocks;
    vec *x = scratch, *dy = x + (size_t)in_blocks * PRODUCTS * (size_t)tiles; // [blocks][PRODUCTS][tiles]
    size_t block = (size_t)PRODUCTS * (size_t)tiles;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static) collapse(2) nowait
        for (int ci = 0; ci < in_blocks; ci++)
            for (int t = 0; t < tiles; t++)
                read_window(in, src, t, ci, x + (size_t)ci * block + t, (size_t)tiles);
#pragma omp for schedule(static) collapse(2)
        for (int co = 0; co < out_blocks; co++)
            for (int t = 0; t < tiles; t++)
                read_gradient(out, ddst, t, co, dy + (size_t)co * block + t, (size_t)tiles);
#pragma omp for schedule(static) collapse(2)
        for (int co = 0; co < out_blocks; co++)
            for (int ci = 0; ci < in_blocks; ci++) {
                vec products[PRODUCTS * BLOCK];
                for (int m = 0; m < PRODUCTS; m++) {
                    size_t at = (size_t)m * (size_t)tiles;
                    outer_products(tiles, (const float *)(x + (size_t)ci * block + at), dy + (size_t)co * block + at,
                                   products + (size_t)m * BLOCK);
                }
                finish_gradient(products, (vec *)(dweight + (size_t)(co * in_blocks + ci) * TAPS * MATRIX));
            }
    }
}
