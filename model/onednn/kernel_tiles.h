// Tile registers (Intel AMX): a product of 16 x D by D x 16 numbers in bf16, added to 16 x 16 floats, by one
// instruction. Internal to kernel_tiles_*.c; the programmer's reference is Intel's Architecture Instruction Set
// Extensions, chapter 3.
//
// Tiles 0 .. 3 are sums, 4 and 5 left factors [16][D], 6 and 7 right factors [D / 2][16][2], in which two numbers that
// are summed over lie together. D is 16 or 32, for a thread and until its tiles_end. Numbers of tiles are written as
// literals. With KERNEL_TILES_EMULATED the same in plain C, for tests on processors without.
#ifndef GRIDFOLD_MODEL_ONEDNN_KERNEL_TILES_H
#define GRIDFOLD_MODEL_ONEDNN_KERNEL_TILES_H

#include "model/onednn/kernel_vec.h"

void KERNEL(conv_tiles_weight_grad)(const struct conv_shape *conv, const float *src, const float *ddst, float *dweight,
                                    void *scratch, int threads);
size_t KERNEL(conv_tiles_gradient_bytes)(const struct conv_shape *conv);

enum { TILE_ROWS = 16, TILE_DEPTH_MAX = 32, TILE_RIGHT = 6 };

// Rounds towards minus infinity.
ALWAYS_INLINE int floor_divide(int a, int b) {
    return a / b - (a % b < 0);
}

ALWAYS_INLINE int modulo(int a, int b) {
    return a - floor_divide(a, b) * b;
}

// Whether any tap of the forward pass reads this row, or this column, of the map (or all of the column's phase): with a
// stride beyond the kernel not all are.
ALWAYS_INLINE bool tap_reads(int at, int kernel, int stride, int pad) {
    return modulo(at + pad, stride) < kernel;
}

// A product of channels alone: the map may be taken as one row.
ALWAYS_INLINE bool is_pointwise(const struct conv_shape *conv) {
    return conv->kernel == 1 && conv->stride == 1 && conv->pad == 0;
}

struct tile_shapes { // as ldtilecfg reads it
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

ALWAYS_INLINE struct tile_shapes tile_shapes_of(int depth) {
    struct tile_shapes s = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        bool left = t == 4 || t == 5;
        s.rows[t] = (uint8_t)(t >= TILE_RIGHT ? depth / 2 : TILE_ROWS);
        s.row_bytes[t] = (uint16_t)(left ? depth * (int)sizeof(uint16_t) : 64);
    }
    return s;
}

#ifdef KERNEL_TILES_EMULATED

static _Thread_local struct {
    struct tile_shapes shapes;
    unsigned char bytes[8][TILE_ROWS * 64];
} tile_state;

static inline void tiles_begin(int depth) {
    tile_state.shapes = tile_shapes_of(depth);
}
static inline void tiles_end(void) {
    memset(&tile_state, 0xff, sizeof tile_state); // nobody may rely on what is left
}
static inline void tile_zero(int t) {
    memset(tile_state.bytes[t], 0, sizeof tile_state.bytes[t]);
}
static inline void tile_load(int t, const void *from, size_t stride) {
    for (int i = 0; i < tile_state.shapes.rows[t]; i++)
        memcpy(tile_state.bytes[t] + (size_t)i * 64, (const char *)from + (size_t)i * stride,
               tile_state.shapes.row_bytes[t]);
}
static inline void tile_store(int t, void *to, size_t stride) {
    for (int i = 0; i < tile_state.shapes.rows[t]; i++)
        memcpy((char *)to + (size_t)i * stride, tile_state.bytes[t] + (size_t)i * 64, tile_state.shapes.row_bytes[t]);
}
static inline void tile_multiply(int sums, int left, int right) {
    for (int i = 0; i < TILE_ROWS; i++)
        for (int o = 0; o < 16; o++) {
            float sum;
            char *at = (char *)tile_state.bytes[sums] + (size_t)(i * 64 + o * 4);
            memcpy(&sum, at, sizeof sum);
            for (int k = 0; k < tile_state.shapes.row_bytes[left] / (int)sizeof(uint16_t); k++) {
                uint16_t a, b;
                memcpy(&a, tile_state.bytes[left] + (size_t)(i * 64 + k * 2), sizeof a);
                memcpy(&b, tile_state.bytes[right] + (size_t)(k / 2 * 64 + o * 4 + k % 2 * 2), sizeof b);
                sum += bf16_to_float(a) * bf16_to_float(b);
            }
            memcpy(at, &sum, sizeof sum);
        }
}

#else

#include <immintrin.h>

static inline void tiles_begin(int depth) {
    struct tile_shapes shapes = tile_shapes_of(depth);
    __asm__ volatile("" ::"r"(&shapes) : "memory"); // GCC takes the next line to read 8 bytes of it
    _tile_loadconfig(&shapes);
}
static inline void tiles_end(void) {
    _tile_release();
}
#define tile_zero(t)                     _tile_zero(t)
#define tile_load(t, from, stride)       _tile_loadd(t, from, stride)
#define tile_store(t, to, stride)        _tile_stored(t, to, stride)
#define tile_multiply(sums, left, right) _tile_dpbf16ps(sums, left, right)

#endif

#endif
