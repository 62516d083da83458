// Forward pass and input gradient of a convolution in bf16 by tile registers (kernel_tiles.h).
//
// A tile's 16 rows are 16 positions of a run: the columns of one row of the map written and the frames, frames
// innermost. What is read is packed as [block][row][phase][column][frame][channel] with columns of zeros on either
// side, so that whatever a tap meets are 16 neighbours again, the tap's shift away. A stride of s reads every s-th
// column: columns lie apart by their phase (the remainder). The input gradient exchanges the roles: it writes phase by
// phase. Taps that lie outside for all of a run's row are left out. A convolution of one tap and no stride reads frames
// of whole tiles where they are, without packing.
#include "model/onednn/kernel_tiles.h"

enum { DEPTH = BLOCK, TILE = TILE_ROWS * BLOCK, MAX_TAPS = KERNEL_TILES_SIDE * KERNEL_TILES_SIDE };

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

ALWAYS_INLINE int modulo(int a, int b) {
    return a - floor_divide(a, b) * b;
}

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

static struct product product_of(const struct conv_small *conv, bool transposed) {
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

// One block of channels of every frame.
static void pack_block(const struct product *p, const element *value, int block, element *packed) {
    const struct side *s = &p->read;
    element *to = packed + (size_t)block * p->block;
    for (int y = 0; y < s->height; y++)
        for (int phase = 0; phase < s->step; phase++)
            for (int column = -p->margin; column < p->columns - p->margin; column++) {
                int x = column * s->step + phase;
                for (int n = 0; n < p->frames; n++, to += BLOCK)
                    if (x < 0 || x >= s->width)
                        memset(to, 0, BLOCK * sizeof *to);
                    else
                        memcpy(to,
                               value + ((size_t)(n * s->blocks + block) * (size_t)(s->height * s->width) +
                                        (size_t)(y * s->width + x)) *
                                           BLOCK,
                               BLOCK * sizeof *to);
            }
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

// Sums of tiles t and, with `tall`, t + 1 of a run, for blocks a and, with `wide`, a + 1: [2 blocks][2 tiles][16][16].
ALWAYS_INLINE void multiply(const struct product *p, const struct run *run, int a, int t, const bool wide,
                            const bool tall, float *sums) {
    enum { ROW = BLOCK * sizeof(element), PAIR = 2 * BLOCK * sizeof(element), SUMS = BLOCK * sizeof(float) };
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    for (int r = 0; r < p->read.blocks; r++) {
        const element *from = p->from + (size_t)r * p->block, *first = weight_at(p, a, r),
                      *second = wide ? weight_at(p, a + 1, r) : NULL;
        for (int i = 0; i < run->taps; i++) {
            const element *at = from + run->tap[i].first;
            size_t w = (size_t)run->tap[i].index * BLOCK * BLOCK;
            tile_load(4, at + tile_at(p, t), ROW);
            tile_load(6, first + w, PAIR);
            tile_multiply(0, 4, 6);
            if (tall) {
                tile_load(5, at + tile_at(p, t + 1), ROW);
                tile_multiply(1, 5, 6);
            }
            if (wide) {
                tile_load(7, second + w, PAIR);
                tile_multiply(2, 4, 7);
            }
            if (wide && tall)
                tile_multiply(3, 5, 7);
        }
    }
    tile_store(0, sums, SUMS);
    if (tall)
        tile_store(1, sums + TILE, SUMS);
    if (wide)
        tile_store(2, sums + 2 * TILE, SUMS);
    if (wide && tall)
        tile_store(3, sums + 3 * TILE, SUMS);
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

static void write_run(const struct product *p, const struct run *run, int a) {
    float sums[4 * TILE] __attribute__((aligned(64)));
    int tiles = (run->rows + TILE_ROWS - 1) / TILE_ROWS;
    bool wide = a + 1 < p->written.blocks;
    for (int t = 0; t < tiles; t += 2) {
        bool tall = t + 1 < tiles;
        if (wide && tall)
            multiply(p, run, a, t, true, true, sums);
        else if (wide)
            multiply(p, run, a, t, true, false, sums);
        else if (tall)
            multiply(p, run, a, t, false, true, sums);
        else
            multiply(p, run, a, t, false, false, sums);
        for (int b = 0; b <= wide; b++)
            for (int k = 0; k <= tall; k++)
                unpack(p, run, a + b, t + k, sums + (2 * b + k) * TILE);
    }
}

static void run_product(struct product *p, const element *value, element *packed, int threads) {
    p->from = p->in_place ? value : packed;
#pragma omp parallel num_threads(threads)
    {
        tiles_begin(DEPTH);
        if (!p->in_place) {
#pragma omp for schedule(static)
            for (int block = 0; block < p->read.blocks; block++)
                pack_block(p, value, block, packed);
        }
#pragma omp for schedule(static) collapse(2)
        for (int a = 0; a < p->written.blocks; a += 2)
            for (int i = 0; i < p->written.height * p->written.step; i++) {
                struct run run;
                find_run(p, i / p->written.step, i % p->written.step, &run);
                write_run(p, &run, a);
            }
        tiles_end();
    }
}

static size_t scratch_bytes(const struct op_desc *d) {
    struct conv_small conv = {d->in, d->out, d->kernel, d->stride, d->pad};
    struct product forward = product_of(&conv, false), gradient = product_of(&conv, true);
    size_t a = product_bytes(&forward), b = product_bytes(&gradient), c = KERNEL(conv_tiles_gradient_bytes)(&conv);
    a = a > b ? a : b;
    return a > c ? a : c;
}

static void forward(const struct conv_small *conv, const float *src, const void *weight, const float *bias,
                    bool accumulate, float *dst, void *scratch, int threads) {
    struct product p = product_of(conv, false);
    p.weight = weight;
    p.bias = bias;
    p.accumulate = accumulate;
    p.to = elements_to(dst);
    run_product(&p, elements_of(src), scratch, threads);
}

static void data_grad(const struct conv_small *conv, const float *ddst, const void *weight, bool accumulate,
                      float *dsrc, void *scratch, int threads) {
    struct product p = product_of(conv, true);
    p.weight = weight;
    p.accumulate = accumulate;
    p.to = elements_to(dsrc);
    run_product(&p, elements_of(ddst), scratch, threads);
}

const struct conv_small_kernels KERNEL(kernel_conv_tiles) = {forward, data_grad, KERNEL(conv_tiles_weight_grad),
                                                             scratch_bytes};
