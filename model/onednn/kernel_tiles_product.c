// Forward pass and input gradient of a convolution in bf16 by tile registers (kernel_tiles.h).
//
// A tile's 16 rows are 16 positions of a run: the columns of one row of the map written and the frames, frames
// innermost. What is read is packed as [block][row][phase][column][frame][channel] with columns of zeros on either
// side, so that whatever a tap meets are 16 neighbours again, the tap's shift away. A stride of s reads every s-th
// column: columns lie apart by their phase (the remainder). The input gradient exchanges the roles: it writes phase by
// phase. Taps that lie outside for all of a run's row are left out. A convolution of one tap and no stride reads frames
// of whole tiles where they are, without packing.
#include "model/onednn/kernel_tiles.h"

enum {
    DEPTH = BLOCK,
    TILE = TILE_ROWS * BLOCK,
    MAX_TAPS = KERNEL_TILES_SIDE * KERNEL_TILES_SIDE,
    TOGETHER = 8,       // pairs of tiles that one task writes, so that a part of the weights is read once for them
    PART_WEIGHTS = 128, // matrices of two blocks' weights in such a part: 128 KiB of a core's second cache
};

// A map of the convolution that is read or written.
struct side {
    int blocks, height, width;
    int step; // 1, or the stride: columns of one phase lie so far apart
};

struct product {
    struct side read, written;
    int frames, kernel, stride, pad;
    bool transposed;     // the input gradient
    bool in_place;       // not packed
    int margin, columns; // packed columns of one phase: zeros before the first, and all
    size_t block;        // elements from one block of channels read to the next
    const element *from; // packed, or where it is
    const element *weight;
    const float *bias;
    bool accumulate;
    element *to;
};

ALWAYS_INLINE int phase_columns(int width, int step, int phase) {
    return (width - phase + step - 1) / step;
}

static struct side side_of(struct shape s, bool flat, int step) {
    return (struct side){(s.c + BLOCK - 1) / BLOCK, flat ? 1 : s.h, flat ? s.h * s.w : s.w, step};
}

// Where a tap reads when a column of `phase` is written: the phase read, and columns to the right. False: nowhere.
static bool tap_columns(const struct product *p, int phase, int kx, int *read_phase, int *shift) {
    int at = p->transposed ? phase + p->pad - kx : kx - p->pad;
    *read_phase = p->transposed ? 0 : modulo(at, p->stride);
    *shift = floor_divide(at, p->stride);
    return !p->transposed || modulo(at, p->stride) == 0;
}

static void count_columns(struct product *p) {
    int last = 0;
    for (int phase = 0; phase < p->written.step; phase++)
        for (int kx = 0; kx < p->kernel; kx++) {
            int read_phase, shift, columns = phase_columns(p->written.width, p->written.step, phase);
            if (!tap_columns(p, phase, kx, &read_phase, &shift))
                continue;
            p->margin = -shift > p->margin ? -shift : p->margin;
            last = columns + shift > last ? columns + shift : last;
        }
    int widest = phase_columns(p->read.width, p->read.step, 0);
    p->columns = p->margin + (last > widest ? last : widest);
}

static struct product product_of(const struct conv_shape *conv, bool transposed) {
    bool flat = is_pointwise(conv);
    struct product p = {.read = side_of(transposed ? conv->dst : conv->src, flat, transposed ? 1 : conv->stride),
                        .written = side_of(transposed ? conv->src : conv->dst, flat, transposed ? conv->stride : 1),
                        .frames = conv->src.n,
                        .kernel = conv->kernel,
                        .stride = conv->stride,
                        .pad = conv->pad,
                        .transposed = transposed};
    size_t pixels = (size_t)p.read.height * (size_t)p.read.width;
    p.in_place = flat && pixels % TILE_ROWS == 0;
    count_columns(&p);
    p.block = p.in_place ? pixels * BLOCK
                         : (size_t)p.read.height * (size_t)p.read.step * (size_t)p.columns * (size_t)p.frames * BLOCK;
    return p;
}

// A last tile reads beyond the last block, into rows that are dropped.
static size_t product_bytes(const struct product *p) {
    return p->in_place ? 0 : ((size_t)p->read.blocks * p->block + TILE) * sizeof(element);
}

static bool is_read(const struct product *p, int at) {
    return p->transposed || tap_reads(at, p->kernel, p->stride, p->pad);
}

// One phase of one row of a block of channels.
static void pack_columns(const struct product *p, const element *row, size_t frame, int phase, element *to) {
    for (int column = -p->margin; column < p->columns - p->margin; column++) {
        int x = column * p->read.step + phase;
        for (int n = 0; n < p->frames; n++, to += BLOCK)
            if (x < 0 || x >= p->read.width)
                memset(to, 0, BLOCK * sizeof *to);
            else
                memcpy(to, row + (size_t)n * frame + (size_t)x * BLOCK, BLOCK * sizeof *to);
    }
}

// One block of channels of every frame.
static void pack_block(const struct product *p, const element *value, int block, element *packed) {
    const struct side *s = &p->read;
    size_t plane = (size_t)s->height * (size_t)s->width * BLOCK, frame = (size_t)s->blocks * plane;
    size_t columns = (size_t)p->columns * (size_t)p->frames * BLOCK;
    element *to = packed + (size_t)block * p->block;
    for (int y = 0; y < s->height; y++)
        for (int phase = 0; phase < s->step; phase++, to += columns)
            if (is_read(p, y) && is_read(p, phase))
                pack_columns(p, value + (size_t)block * plane + (size_t)(y * s->width) * BLOCK, frame, phase, to);
}

// What one run reads: an offset in a block for each tap that meets the map.
struct run {
    int y, phase, rows;
    int taps;
    struct {
        int index;
        size_t first;
    } tap[MAX_TAPS];
};

// The row that a tap reads for row y written; -1: none.
static int tap_row(const struct product *p, int y, int ky) {
    int at = p->transposed ? y + p->pad - ky : y * p->stride + ky - p->pad;
    if (p->transposed && modulo(at, p->stride) != 0)
        return -1;
    int row = p->transposed ? floor_divide(at, p->stride) : at;
    return row < p->read.height ? row : -1;
}

static void find_run(const struct product *p, int y, int phase, struct run *run) {
    *run = (struct run){
        .y = y, .phase = phase, .rows = phase_columns(p->written.width, p->written.step, phase) * p->frames};
    for (int ky = 0; ky < p->kernel; ky++)
        for (int kx = 0; kx < p->kernel; kx++) {
            int row = tap_row(p, y, ky), read_phase, shift;
            if (row < 0 || !tap_columns(p, phase, kx, &read_phase, &shift))
                continue;
            int column = (row * p->read.step + read_phase) * p->columns + p->margin + shift;
            run->tap[run->taps].index = ky * p->kernel + kx;
            run->tap[run->taps++].first = (size_t)column * (size_t)p->frames * BLOCK;
        }
}

// Elements from the beginning of a tap's row to tile t.
ALWAYS_INLINE size_t tile_at(const struct product *p, int t) {
    if (!p->in_place)
        return (size_t)t * TILE;
    int tiles = p->read.width / TILE_ROWS; // of a frame
    return (size_t)(t / tiles * p->read.blocks) * p->block + (size_t)(t % tiles) * TILE;
}

ALWAYS_INLINE const element *weight_at(const struct product *p, int a, int r) {
    size_t pair = p->transposed ? (size_t)r * (size_t)p->written.blocks + (size_t)a
                                : (size_t)a * (size_t)p->read.blocks + (size_t)r;
    return p->weight + pair * (size_t)(p->kernel * p->kernel) * BLOCK * BLOCK;
}

// Two tiles of a run, or its last, for two blocks of channels, or the last.
struct quad {
    int a, t;
    bool wide, tall;
};

// Sums over blocks of channels first .. end - 1 read, added to what is there unless they are the first:
// [2 blocks][2 tiles][16][16].
ALWAYS_INLINE void multiply(const struct product *p, const struct run *run, struct quad q, int first, int end,
                            const bool wide, const bool tall, float *sums) {
    enum { ROW = BLOCK * sizeof(element), PAIR = 2 * BLOCK * sizeof(element), SUMS = BLOCK * sizeof(float) };
    if (first == 0) {
        tile_zero(0);
        tile_zero(1);
        tile_zero(2);
        tile_zero(3);
    } else {
        tile_load(0, sums, SUMS);
        tile_load(1, sums + TILE, SUMS);
        tile_load(2, sums + 2 * TILE, SUMS);
        tile_load(3, sums + 3 * TILE, SUMS);
    }
    for (int r = first; r < end; r++) {
        const element *from = p->from + (size_t)r * p->block, *low = weight_at(p, q.a, r),
                      *high = wide ? weight_at(p, q.a + 1, r) : NULL;
        for (int i = 0; i < run->taps; i++) {
            const element *at = from + run->tap[i].first;
            size_t w = (size_t)run->tap[i].index * BLOCK * BLOCK;
            tile_load(4, at + tile_at(p, q.t), ROW);
            tile_load(6, low + w, PAIR);
            tile_multiply(0, 4, 6);
            if (tall) {
                tile_load(5, at + tile_at(p, q.t + 1), ROW);
                tile_multiply(1, 5, 6);
            }
            if (wide) {
                tile_load(7, high + w, PAIR);
                tile_multiply(2, 4, 7);
            }
            if (wide && tall)
                tile_multiply(3, 5, 7);
        }
    }
    tile_store(0, sums, SUMS);
    tile_store(1, sums + TILE, SUMS);
    tile_store(2, sums + 2 * TILE, SUMS);
    tile_store(3, sums + 3 * TILE, SUMS);
}

static void multiply_quad(const struct product *p, const struct run *run, struct quad q, int first, int end,
                          float *sums) {
    if (q.wide && q.tall)
        multiply(p, run, q, first, end, true, true, sums);
    else if (q.wide)
        multiply(p, run, q, first, end, true, false, sums);
    else if (q.tall)
        multiply(p, run, q, first, end, false, true, sums);
    else
        multiply(p, run, q, first, end, false, false, sums);
}

// Tile t of a run, to block a of the value.
static void unpack(const struct product *p, const struct run *run, int a, int t, const float *sums) {
    const struct side *s = &p->written;
    const float *bias = p->bias ? p->bias + (size_t)a * BLOCK : NULL;
    for (int i = 0, q = t * TILE_ROWS; i < TILE_ROWS && q < run->rows; i++, q++) {
        int n = p->in_place ? q / s->width : q % p->frames;
        int x = p->in_place ? q % s->width : q / p->frames * s->step + run->phase;
        size_t plane = (size_t)(n * s->blocks + a) * (size_t)(s->height * s->width);
        const float *from = sums + (size_t)i * BLOCK;
        element *to = p->to + (plane + (size_t)(run->y * s->width + x)) * BLOCK;
#pragma omp simd
        for (int l = 0; l < BLOCK; l++) {
            float sum = from[l]; // NOLINT(clang-analyzer-core.uninitialized.Assign): tile_store has written it
            store(to + l, sum + (bias ? bias[l] : 0), p->accumulate);
        }
    }
}

static int pairs_of(const struct run *run) {
    return (run->rows + 2 * TILE_ROWS - 1) / (2 * TILE_ROWS);
}

// Up to TOGETHER pairs of tiles of a run, from pair `pair` on, for blocks a and a + 1.
static void write_pairs(const struct product *p, const struct run *run, int a, int pair) {
    float sums[TOGETHER][4 * TILE] __attribute__((aligned(64)));
    int tiles = (run->rows + TILE_ROWS - 1) / TILE_ROWS, part = PART_WEIGHTS / (run->taps ? run->taps : 1);
    int count = pairs_of(run) - pair < TOGETHER ? pairs_of(run) - pair : TOGETHER;
    struct quad quad[TOGETHER];
    for (int i = 0; i < count; i++) {
        int t = 2 * (pair + i);
        quad[i] = (struct quad){a, t, a + 1 < p->written.blocks, t + 1 < tiles};
    }
    for (int first = 0, end; first < p->read.blocks; first = end) {
        end = first + part < p->read.blocks ? first + part : p->read.blocks;
        for (int i = 0; i < count; i++)
            multiply_quad(p, run, quad[i], first, end, sums[i]);
    }
    for (int i = 0; i < count; i++)
        for (int b = 0; b <= quad[i].wide; b++)
            for (int k = 0; k <= quad[i].tall; k++)
                unpack(p, run, a + b, quad[i].t + k, sums[i] + (2 * b + k) * TILE);
}

static void run_product(struct product *p, const element *value, element *packed, int threads) {
    struct run longest;
    find_run(p, 0, 0, &longest);
    int most_pairs = pairs_of(&longest);
    p->from = p->in_place ? value : packed;
#pragma omp parallel num_threads(threads)
    {
        tiles_begin(DEPTH);
        if (!p->in_place) {
#pragma omp for schedule(static)
            for (int block = 0; block < p->read.blocks; block++)
                pack_block(p, value, block, packed);
        }
#pragma omp for schedule(static) collapse(3)
        for (int a = 0; a < p->written.blocks; a += 2)
            for (int i = 0; i < p->written.height * p->written.step; i++)
                for (int pair = 0; pair < most_pairs; pair += TOGETHER) {
                    struct run run;
                    find_run(p, i / p->written.step, i % p->written.step, &run);
                    if (pair < pairs_of(&run))
                        write_pairs(p, &run, a, pair);
                }
        tiles_end();
    }
}

static size_t scratch_bytes(const struct op_desc *d) {
    struct conv_shape conv = {d->in, d->out, d->kernel, d->stride, d->pad};
    struct product forward = product_of(&conv, false), gradient = product_of(&conv, true);
    size_t a = product_bytes(&forward), b = product_bytes(&gradient), c = KERNEL(conv_tiles_gradient_bytes)(&conv);
    a = a > b ? a : b;
    return a > c ? a : c;
}

static void forward(const struct conv_shape *conv, const float *src, const void *weight, const float *bias,
                    bool accumulate, float *dst, void *scratch, int threads) {
    struct product p = product_of(conv, false);
    p.weight = weight;
    p.bias = bias;
    p.accumulate = accumulate;
    p.to = elements_to(dst);
    run_product(&p, elements_of(src), scratch, threads);
}

static void data_grad(const struct conv_shape *conv, const float *ddst, const void *weight, bool accumulate,
                      float *dsrc, void *scratch, int threads) {
    struct product p = product_of(conv, true);
    p.weight = weight;
    p.accumulate = accumulate;
    p.to = elements_to(dsrc);
    run_product(&p, elements_of(ddst), scratch, threads);
}

const struct conv_kernels KERNEL(kernel_conv_tiles) = {forward, data_grad, KERNEL(conv_tiles_weight_grad),
                                                       scratch_bytes};
