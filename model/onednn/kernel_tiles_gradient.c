// The weight gradient of a convolution in bf16 by tile registers (kernel_tiles.h): a sum over positions, 32 at a time.
//
// Positions are the columns of one row of the map written and the frames, frames innermost. The gradient of the output
// is packed as right factors, [block][row][pair of positions][channel][2], rows filled up with zeros to whole tiles;
// the input as [block][row][phase][channel][position] with columns of zeros on either side, so that a tap's left factor
// lies the tap's shift away. Columns lie apart by their phase, the remainder by the stride. What a left factor reads
// beyond its row meets the zeros of the right one, and is finite where the values are.
#include "model/onednn/kernel_tiles.h"

enum { DEPTH = TILE_DEPTH_MAX, RIGHT_TILE = DEPTH * BLOCK, WEIGHTS = BLOCK * BLOCK };

struct gradient {
    int frames, kernel, stride, pad;
    int in_blocks, in_height, in_width, out_blocks, out_height, out_width;
    int margin;     // columns of zeros before the first
    size_t line;    // elements of one channel's positions in a row and phase
    size_t x_block; // elements of a packed block
    size_t dy_row, dy_block;
    element *x, *dy;
};

static struct gradient gradient_of(const struct conv_small *conv, void *scratch) {
    bool flat = is_pointwise(conv); // all in one row
    struct gradient g = {.frames = conv->src.n,
                         .kernel = conv->kernel,
                         .stride = conv->stride,
                         .pad = conv->pad,
                         .in_blocks = planes_of(conv->src).blocks,
                         .in_height = flat ? 1 : conv->src.h,
                         .in_width = flat ? conv->src.h * conv->src.w : conv->src.w,
                         .out_blocks = planes_of(conv->dst).blocks,
                         .out_height = flat ? 1 : conv->dst.h,
                         .out_width = flat ? conv->dst.h * conv->dst.w : conv->dst.w};
    g.margin = (conv->pad + conv->stride - 1) / conv->stride;
    int positions = (g.out_width * g.frames + DEPTH - 1) / DEPTH * DEPTH; // of a row written
    int last = floor_divide(conv->kernel - 1 - conv->pad, conv->stride);  // shift, in columns
    int columns = (g.in_width + conv->stride - 1) / conv->stride;
    int reach = (g.margin + (last > 0 ? last : 0)) * g.frames + positions, whole = (g.margin + columns) * g.frames;
    g.line = (size_t)((reach > whole ? reach : whole) + DEPTH - 1) / DEPTH * DEPTH + DEPTH; // not a power of two
    g.x_block = (size_t)g.in_height * (size_t)g.stride * BLOCK * g.line;
    g.dy_row = (size_t)positions * BLOCK;
    g.dy_block = (size_t)g.out_height * g.dy_row;
    g.x = scratch;
    g.dy = g.x + (size_t)g.in_blocks * g.x_block;
    return g;
}

size_t KERNEL(conv_tiles_gradient_bytes)(const struct conv_small *conv) {
    struct gradient g = gradient_of(conv, NULL);
    return ((size_t)g.in_blocks * g.x_block + (size_t)g.out_blocks * g.dy_block) * sizeof(element);
}

// 32 positions of one block of channels.
struct positions {
    const element *row[DEPTH]; // NULL: zeros
};

// As a right factor: [pair of positions][channel][2].
ALWAYS_INLINE void pair_up(const struct positions *p, uint32_t *pairs) {
    for (int i = 0; i < DEPTH / 2; i++) {
        const element *low = p->row[2 * i], *high = p->row[2 * i + 1];
        for (int l = 0; l < BLOCK; l++)
            pairs[i * BLOCK + l] = (low ? low[l] : 0u) | (high ? (uint32_t)high[l] << 16 : 0u);
    }
}

// Positions first .. first + 31 of a row: columns `offset`, `offset` + step, ... of the map, frames innermost.
static void find_positions(const element *row, int width, size_t frame, int frames, int offset, int step, int first,
                           struct positions *p) {
    int x = offset + floor_divide(first, frames) * step, n = first - floor_divide(first, frames) * frames;
    for (int i = 0; i < DEPTH; i++) {
        p->row[i] = x >= 0 && x < width ? row + (size_t)n * frame + (size_t)x * BLOCK : NULL;
        if (++n == frames) {
            n = 0;
            x += step;
        }
    }
}

static void pack_dy(const struct gradient *g, const element *value, int block) {
    size_t plane = (size_t)g->out_height * (size_t)g->out_width * BLOCK, frame = (size_t)g->out_blocks * plane;
    for (int y = 0; y < g->out_height; y++) {
        const element *row = value + (size_t)block * plane + (size_t)(y * g->out_width) * BLOCK;
        element *to = g->dy + (size_t)block * g->dy_block + (size_t)y * g->dy_row;
        for (int first = 0; (size_t)first * BLOCK < g->dy_row; first += DEPTH, to += RIGHT_TILE) {
            struct positions p;
            find_positions(row, g->out_width, frame, g->frames, 0, 1, first, &p);
            pair_up(&p, (uint32_t *)(void *)to);
        }
    }
}

static void pack_x(const struct gradient *g, const element *value, int block) {
    size_t plane = (size_t)g->in_height * (size_t)g->in_width * BLOCK, frame = (size_t)g->in_blocks * plane;
    element *to = g->x + (size_t)block * g->x_block;
    for (int y = 0; y < g->in_height; y++)
        for (int phase = 0; phase < g->stride; phase++, to += BLOCK * g->line) {
            const element *row = value + (size_t)block * plane + (size_t)(y * g->in_width) * BLOCK;
            for (size_t first = 0; first < g->line; first += DEPTH) {
                struct positions p;
                uint32_t pairs[DEPTH / 2 * BLOCK] __attribute__((aligned(64)));
                float turned[DEPTH / 2 * BLOCK] __attribute__((aligned(64)));
                find_positions(row, g->in_width, frame, g->frames, phase, g->stride, (int)first - g->margin * g->frames,
                               &p);
                pair_up(&p, pairs);
                transpose_block((const float *)(const void *)pairs, turned); // pairs are moved as they are
                for (int l = 0; l < BLOCK; l++)
                    memcpy(to + (size_t)l * g->line + first, turned + l * BLOCK, DEPTH * sizeof *to);
            }
        }
}

// The gradient of one tap between blocks ci (and, with `tall`, ci + 1) and co (and, with `wide`, co + 1).
ALWAYS_INLINE void tap_gradient(const struct gradient *g, int ci, int co, int ky, int kx, const bool tall,
                                const bool wide, float *dweight) {
    enum { PAIR = 2 * BLOCK * sizeof(element), SUMS = BLOCK * sizeof(float) };
    int at = kx - g->pad, shift = floor_divide(at, g->stride), phase = at - shift * g->stride;
    size_t stride = g->line * sizeof(element);
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    for (int y = 0; y < g->out_height; y++) {
        int row = y * g->stride + ky - g->pad;
        if (row < 0 || row >= g->in_height)
            continue;
        const element *x = g->x + (size_t)ci * g->x_block + (size_t)(row * g->stride + phase) * BLOCK * g->line +
                           (size_t)(g->margin + shift) * (size_t)g->frames;
        const element *dy = g->dy + (size_t)co * g->dy_block + (size_t)y * g->dy_row;
        for (size_t k = 0; k < g->dy_row; k += RIGHT_TILE, x += DEPTH, dy += RIGHT_TILE) {
            tile_load(4, x, stride);
            tile_load(6, dy, PAIR);
            tile_multiply(0, 4, 6);
            if (tall) {
                tile_load(5, x + g->x_block, stride);
                tile_multiply(1, 5, 6);
            }
            if (wide) {
                tile_load(7, dy + g->dy_block, PAIR);
                tile_multiply(2, 4, 7);
            }
            if (tall && wide)
                tile_multiply(3, 5, 7);
        }
    }
    size_t side = (size_t)g->kernel, next = side * side * WEIGHTS, below = (size_t)g->in_blocks * next;
    float *to = dweight + (size_t)co * below + (size_t)ci * next + (size_t)(ky * g->kernel + kx) * WEIGHTS;
    tile_store(0, to, SUMS);
    if (tall)
        tile_store(1, to + next, SUMS);
    if (wide)
        tile_store(2, to + below, SUMS);
    if (tall && wide)
        tile_store(3, to + below + next, SUMS);
}

static void pair_gradient(const struct gradient *g, int ci, int co, float *dweight) {
    bool tall = ci + 1 < g->in_blocks, wide = co + 1 < g->out_blocks;
    for (int tap = 0; tap < g->kernel * g->kernel; tap++) {
        int ky = tap / g->kernel, kx = tap % g->kernel;
        if (tall && wide)
            tap_gradient(g, ci, co, ky, kx, true, true, dweight);
        else if (tall)
            tap_gradient(g, ci, co, ky, kx, true, false, dweight);
        else if (wide)
            tap_gradient(g, ci, co, ky, kx, false, true, dweight);
        else
            tap_gradient(g, ci, co, ky, kx, false, false, dweight);
    }
}

void KERNEL(conv_tiles_weight_grad)(const struct conv_small *conv, const float *src, const float *ddst, float *dweight,
                                    void *scratch, int threads) {
    struct gradient g = gradient_of(conv, scratch);
#pragma omp parallel num_threads(threads)
    {
        tiles_begin(DEPTH);
#pragma omp for schedule(static)
        for (int block = 0; block < g.in_blocks; block++)
            pack_x(&g, elements_of(src), block);
#pragma omp for schedule(static)
        for (int block = 0; block < g.out_blocks; block++)
            pack_dy(&g, elements_of(ddst), block);
#pragma omp for schedule(static) collapse(2)
        for (int co = 0; co < g.out_blocks; co += 2)
            for (int ci = 0; ci < g.in_blocks; ci += 2)
                pair_gradient(&g, ci, co, dweight);
        tiles_end();
    }
}
