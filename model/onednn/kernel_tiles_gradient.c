// The weight gradient of a convolution in bf16 by tile registers (kernel_tiles.h): a sum over positions, 32 at a time.
//
// Positions are the columns of one row of the map written and the frames, frames innermost. The gradient of the output
// is packed as right factors, [block][row][pair of positions][channel][2], rows filled up with zeros to whole tiles;
// the input as [block][row][phase][channel][position] with columns of zeros on either side, so that a tap's left factor
// lies the tap's shift away. Columns lie apart by their phase, the remainder by the stride. What a left factor reads
// beyond its row meets the zeros of the right one, and is finite where the values are. Where one tap and no stride let
// all pixels of a frame be taken as one row of whole tiles, a frame takes a row's place: it is read from end to end.
#include "model/onednn/kernel_tiles.h"

enum {
    DEPTH = TILE_DEPTH_MAX,
    RIGHT_TILE = DEPTH * BLOCK,
    WEIGHTS = BLOCK * BLOCK,
    PART = 1 << 17, // elements of the output's gradient that all taps pass over before the next: of a second cache
};

// The input, or the output's gradient: sizes, and elements from one row, block and frame to the next.
struct map {
    int blocks, height, width;
    size_t row, plane, frame;
};

struct gradient {
    int frames, kernel, stride, pad;
    struct map in, out;
    int margin;     // columns of zeros before the first
    size_t line;    // elements of one channel's positions in a row and phase
    size_t x_block; // elements of a packed block
    size_t dy_row, dy_block;
    element *x, *dy;
};

static struct map map_of(struct shape s) {
    int blocks = planes_of(s).blocks;
    size_t plane = (size_t)s.h * (size_t)s.w * BLOCK;
    return (struct map){blocks, s.h, s.w, (size_t)s.w * BLOCK, plane, (size_t)blocks * plane};
}

// All pixels of a frame as one row; with `by_frame` as row number frame.
static struct map flat_map_of(struct shape s, bool by_frame) {
    struct map m = map_of(s);
    m.height = by_frame ? s.n : 1;
    m.width = s.h * s.w;
    m.row = by_frame ? m.frame : m.plane;
    return m;
}

static struct gradient gradient_of(const struct conv_shape *conv, void *scratch) {
    struct gradient g = {.frames = conv->src.n,
                         .kernel = conv->kernel,
                         .stride = conv->stride,
                         .pad = conv->pad,
                         .in = map_of(conv->src),
                         .out = map_of(conv->dst)};
    if (is_pointwise(conv)) {
        bool by_frame = conv->src.h * conv->src.w % DEPTH == 0;
        g.in = flat_map_of(conv->src, by_frame);
        g.out = flat_map_of(conv->dst, by_frame);
        g.frames = by_frame ? 1 : g.frames;
    }
    g.margin = (conv->pad + conv->stride - 1) / conv->stride;
    int positions = (g.out.width * g.frames + DEPTH - 1) / DEPTH * DEPTH; // of a row written
    int last = floor_divide(conv->kernel - 1 - conv->pad, conv->stride);  // shift, in columns
    int columns = (g.in.width + conv->stride - 1) / conv->stride;
    int reach = (g.margin + (last > 0 ? last : 0)) * g.frames + positions, whole = (g.margin + columns) * g.frames;
    g.line = (size_t)((reach > whole ? reach : whole) + DEPTH - 1) / DEPTH * DEPTH + DEPTH; // not a power of two
    g.x_block = (size_t)g.in.height * (size_t)g.stride * BLOCK * g.line;
    g.dy_row = (size_t)positions * BLOCK;
    g.dy_block = (size_t)g.out.height * g.dy_row;
    g.x = scratch;
    g.dy = g.x + (size_t)g.in.blocks * g.x_block;
    return g;
}

size_t KERNEL(conv_tiles_gradient_bytes)(const struct conv_shape *conv) {
    struct gradient g = gradient_of(conv, NULL);
    return ((size_t)g.in.blocks * g.x_block + (size_t)g.out.blocks * g.dy_block) * sizeof(element);
}

typedef element half_block __attribute__((vector_size(BLOCK * sizeof(element)), may_alias));
typedef uint32_t pair_block __attribute__((vector_size(BLOCK * sizeof(uint32_t)), may_alias));

// 32 positions of one block of channels.
struct positions {
    const element *row[DEPTH];
};

// As a right factor: [pair of positions][channel][2].
ALWAYS_INLINE void pair_up(const struct positions *p, void *pairs) {
    for (int i = 0; i < DEPTH / 2; i++) {
        half_block low = *(const half_block *)(const void *)p->row[2 * i],
                   high = *(const half_block *)(const void *)p->row[2 * i + 1];
        ((pair_block *)pairs)[i] = __builtin_convertvector(low, pair_block) | __builtin_convertvector(high, pair_block)
                                                                                  << 16;
    }
}

// Positions first .. first + 31 of a row: columns `offset`, `offset` + step, ... of the map, frames innermost.
static void find_positions(const struct map *m, const element *row, int frames, int offset, int step, int first,
                           struct positions *p) {
    static const element zeros[BLOCK] __attribute__((aligned(64)));
    int x = offset + floor_divide(first, frames) * step, n = first - floor_divide(first, frames) * frames;
    for (int i = 0; i < DEPTH; i++) {
        p->row[i] = x >= 0 && x < m->width ? row + (size_t)n * m->frame + (size_t)x * BLOCK : zeros;
        if (++n == frames) {
            n = 0;
            x += step;
        }
    }
}

static void pack_dy(const struct gradient *g, const element *value, int block) {
    for (int y = 0; y < g->out.height; y++) {
        const element *row = value + (size_t)block * g->out.plane + (size_t)y * g->out.row;
        element *to = g->dy + (size_t)block * g->dy_block + (size_t)y * g->dy_row;
        for (int first = 0; (size_t)first * BLOCK < g->dy_row; first += DEPTH, to += RIGHT_TILE) {
            struct positions p;
            find_positions(&g->out, row, g->frames, 0, 1, first, &p);
            pair_up(&p, to);
        }
    }
}

// One phase of one row of a block of channels.
static void pack_line(const struct gradient *g, const element *row, int phase, element *to) {
    for (size_t first = 0; first < g->line; first += DEPTH) {
        struct positions p;
        float pairs[DEPTH / 2 * BLOCK] __attribute__((aligned(64))); // moved as they are
        float turned[DEPTH / 2 * BLOCK] __attribute__((aligned(64)));
        find_positions(&g->in, row, g->frames, phase, g->stride, (int)first - g->margin * g->frames, &p);
        pair_up(&p, pairs);
        transpose_block(pairs, turned);
        for (int l = 0; l < BLOCK; l++)
            memcpy(to + (size_t)l * g->line + first, turned + l * BLOCK, DEPTH * sizeof *to);
    }
}

static void pack_x(const struct gradient *g, const element *value, int block) {
    element *to = g->x + (size_t)block * g->x_block;
    for (int y = 0; y < g->in.height; y++)
        for (int phase = 0; phase < g->stride; phase++, to += BLOCK * g->line)
            if (tap_reads(y, g->kernel, g->stride, g->pad) && tap_reads(phase, g->kernel, g->stride, g->pad))
                pack_line(g, value + (size_t)block * g->in.plane + (size_t)y * g->in.row, phase, to);
}

// Two blocks of channels read (or the last) and two written, and rows first .. end - 1 of the map written.
struct part {
    int ci, co, first, end;
};

// Adds the rows' part of the gradient of one tap, or begins with it.
ALWAYS_INLINE void tap_gradient(const struct gradient *g, struct part part, int ky, int kx, const bool tall,
                                const bool wide, float *dweight) {
    enum { PAIR = 2 * BLOCK * sizeof(element), SUMS = BLOCK * sizeof(float) };
    int at = kx - g->pad, shift = floor_divide(at, g->stride), phase = at - shift * g->stride;
    size_t stride = g->line * sizeof(element), side = (size_t)g->kernel;
    size_t next = side * side * WEIGHTS, below = (size_t)g->in.blocks * next;
    float *to = dweight + (size_t)part.co * below + (size_t)part.ci * next + (size_t)(ky * g->kernel + kx) * WEIGHTS;
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    if (part.first > 0) {
        tile_load(0, to, SUMS);
        if (tall)
            tile_load(1, to + next, SUMS);
        if (wide)
            tile_load(2, to + below, SUMS);
        if (tall && wide)
            tile_load(3, to + below + next, SUMS);
    }
    for (int y = part.first; y < part.end; y++) {
        int row = y * g->stride + ky - g->pad;
        if (row < 0 || row >= g->in.height)
            continue;
        const element *x = g->x + (size_t)part.ci * g->x_block + (size_t)(row * g->stride + phase) * BLOCK * g->line +
                           (size_t)(g->margin + shift) * (size_t)g->frames;
        const element *dy = g->dy + (size_t)part.co * g->dy_block + (size_t)y * g->dy_row;
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
    tile_store(0, to, SUMS);
    if (tall)
        tile_store(1, to + next, SUMS);
    if (wide)
        tile_store(2, to + below, SUMS);
    if (tall && wide)
        tile_store(3, to + below + next, SUMS);
}

static void part_gradient(const struct gradient *g, struct part part, float *dweight) {
    bool tall = part.ci + 1 < g->in.blocks, wide = part.co + 1 < g->out.blocks;
    for (int tap = 0; tap < g->kernel * g->kernel; tap++) {
        int ky = tap / g->kernel, kx = tap % g->kernel;
        if (tall && wide)
            tap_gradient(g, part, ky, kx, true, true, dweight);
        else if (tall)
            tap_gradient(g, part, ky, kx, true, false, dweight);
        else if (wide)
            tap_gradient(g, part, ky, kx, false, true, dweight);
        else
            tap_gradient(g, part, ky, kx, false, false, dweight);
    }
}

static void pair_gradient(const struct gradient *g, int ci, int co, float *dweight) {
    int rows = PART / (int)(2 * g->dy_row);
    if (g->kernel == 1)
        rows = g->out.height; // there is nothing to come back to
    else if (rows < 1)
        rows = 1;
    for (int first = 0; first < g->out.height; first += rows) {
        int end = first + rows < g->out.height ? first + rows : g->out.height;
        part_gradient(g, (struct part){ci, co, first, end}, dweight);
    }
}

void KERNEL(conv_tiles_weight_grad)(const struct conv_shape *conv, const float *src, const float *ddst, float *dweight,
                                    void *scratch, int threads) {
    struct gradient g = gradient_of(conv, scratch);
#pragma omp parallel num_threads(threads)
    {
        tiles_begin(DEPTH);
#pragma omp for schedule(static)
        for (int block = 0; block < g.in.blocks; block++)
            pack_x(&g, elements_of(src), block);
#pragma omp for schedule(static)
        for (int block = 0; block < g.out.blocks; block++)
            pack_dy(&g, elements_of(ddst), block);
#pragma omp for schedule(static) collapse(2)
        for (int co = 0; co < g.out.blocks; co += 2)
            for (int ci = 0; ci < g.in.blocks; ci += 2)
                pair_gradient(&g, ci, co, dweight);
        tiles_end();
    }
}
