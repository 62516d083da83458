// Convolutions by tile registers (model/onednn/kernel_tiles.h) beside plain loops, with the registers in plain C and,
// where the processor has them, for real. Values are small whole numbers, so that sums are exact in any order and
// results are compared bit by bit.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/bf16.h"
#include "model/onednn/kernels.h"

extern const struct conv_kernels kernel_conv_tiles_emulated;

enum { BLOCK = 16, NOT_A_NUMBER = 0xff };

struct geometry {
    int frames, in_channels, in_height, in_width, out_channels, kernel, stride, pad;
};

static const struct geometry cases[] = {
    {28, 32, 2, 2, 48, 3, 1, 1}, // the small maps, an odd number of blocks
    {4, 16, 2, 2, 16, 3, 1, 1},   {1, 16, 1, 1, 16, 3, 1, 1},  {28, 16, 4, 4, 32, 3, 1, 1}, {5, 40, 4, 4, 9, 3, 1, 1},
    {3, 16, 16, 16, 16, 3, 1, 1}, {2, 33, 5, 3, 17, 3, 1, 1},  {28, 32, 2, 2, 32, 1, 1, 0}, // packed, one tap
    {28, 48, 4, 4, 64, 1, 1, 0},                                                            // in place
    {3, 16, 8, 8, 16, 1, 1, 0},   {17, 32, 4, 3, 16, 1, 1, 0}, {28, 32, 4, 4, 64, 1, 2, 0}, // a stride
    {4, 16, 5, 7, 16, 1, 2, 0},   {28, 32, 4, 4, 32, 3, 2, 1}, {3, 16, 9, 6, 32, 3, 2, 1},  {2, 9, 16, 16, 16, 7, 2, 3},
    {2, 16, 7, 7, 16, 5, 3, 2},   {2, 16, 6, 6, 16, 2, 2, 0},  {2, 16, 5, 5, 16, 3, 1, 0},  {1, 16, 4, 4, 16, 7, 1, 3},
    {3, 16, 3, 3, 16, 1, 1, 1},   {2, 16, 8, 8, 16, 3, 3, 0},
};

static int blocks(int channels) {
    return (channels + BLOCK - 1) / BLOCK;
}

static uint32_t state_of_draw = 1;
static int draw(int from, int to) {
    state_of_draw = state_of_draw * 1664525u + 1013904223u;
    return from + (int)((state_of_draw >> 8) % (uint32_t)(to - from + 1));
}

static void *room(size_t bytes) {
    void *memory = NULL;
    assert_int_equal(posix_memalign(&memory, 64, bytes ? bytes : 1), 0);
    memset(memory, NOT_A_NUMBER, bytes);
    return memory;
}

// A value as plain numbers, [N][C][H][W], and as the kernels hold it.
struct value {
    struct shape shape;
    float *plain;
    uint16_t *blocked;
    size_t blocked_bytes;
};

static size_t plain_at(struct shape s, int n, int c, int y, int x) {
    return ((size_t)(n * s.c + c) * (size_t)s.h + (size_t)y) * (size_t)s.w + (size_t)x;
}

static size_t blocked_at(struct shape s, int n, int c, int y, int x) {
    size_t plane = (size_t)n * (size_t)blocks(s.c) + (size_t)(c / BLOCK);
    return ((plane * (size_t)s.h + (size_t)y) * (size_t)s.w + (size_t)x) * BLOCK + (size_t)(c % BLOCK);
}

static void to_blocked(struct value *v) {
    struct shape s = v->shape;
    memset(v->blocked, 0, v->blocked_bytes);
    for (int n = 0; n < s.n; n++)
        for (int c = 0; c < s.c; c++)
            for (int y = 0; y < s.h; y++)
                for (int x = 0; x < s.w; x++)
                    v->blocked[blocked_at(s, n, c, y, x)] = bf16_from_float(v->plain[plain_at(s, n, c, y, x)]);
}

static struct value value_of(struct shape s) {
    struct value v = {.shape = s};
    size_t count = (size_t)s.n * (size_t)s.c * (size_t)s.h * (size_t)s.w;
    v.blocked_bytes = (size_t)s.n * (size_t)blocks(s.c) * BLOCK * (size_t)s.h * (size_t)s.w * sizeof *v.blocked;
    v.plain = room(count * sizeof *v.plain);
    v.blocked = room(v.blocked_bytes);
    for (size_t i = 0; i < count; i++)
        v.plain[i] = (float)draw(-3, 3);
    to_blocked(&v);
    return v;
}

static void value_free(struct value *v) {
    free(v->plain);
    free(v->blocked);
}

struct convolution {
    struct conv_shape conv;
    float *weight;                  // [Co][Ci][k][k]
    uint16_t *forward, *transposed; // as the two passes read it
    float bias[256];
};

static size_t weight_at(const struct convolution *c, int o, int i, int ky, int kx) {
    int k = c->conv.kernel;
    return (((size_t)o * (size_t)c->conv.src.c + (size_t)i) * (size_t)k + (size_t)ky) * (size_t)k + (size_t)kx;
}

// [Co / b][Ci / b][k][k][b][b], from its beginning to the two blocks' matrix.
static size_t matrix_at(const struct convolution *c, int o, int i, int ky, int kx) {
    int k = c->conv.kernel;
    size_t pair = (size_t)(o / BLOCK) * (size_t)blocks(c->conv.src.c) + (size_t)(i / BLOCK);
    return (pair * (size_t)(k * k) + (size_t)(ky * k + kx)) * BLOCK * BLOCK;
}

static size_t weight_elements(const struct convolution *c) {
    return (size_t)blocks(c->conv.dst.c) * (size_t)blocks(c->conv.src.c) * (size_t)(c->conv.kernel * c->conv.kernel) *
           BLOCK * BLOCK;
}

static struct convolution convolution_of(const struct geometry *g) {
    int height = (g->in_height + 2 * g->pad - g->kernel) / g->stride + 1,
        width = (g->in_width + 2 * g->pad - g->kernel) / g->stride + 1;
    struct convolution c = {.conv = {.src = {g->frames, g->in_channels, g->in_height, g->in_width},
                                     .dst = {g->frames, g->out_channels, height, width},
                                     .kernel = g->kernel,
                                     .stride = g->stride,
                                     .pad = g->pad}};
    size_t bytes = weight_elements(&c) * sizeof(uint16_t);
    c.weight = room(weight_elements(&c) * sizeof(float));
    c.forward = room(bytes);
    c.transposed = room(bytes);
    memset(c.forward, 0, bytes);
    memset(c.transposed, 0, bytes);
    for (int o = 0; o < g->out_channels; o++) {
        c.bias[o] = (float)draw(-5, 5);
        for (int i = 0; i < g->in_channels; i++)
            for (int ky = 0; ky < g->kernel; ky++)
                for (int kx = 0; kx < g->kernel; kx++) {
                    float w = (float)draw(-2, 2);
                    size_t at = matrix_at(&c, o, i, ky, kx);
                    int a = o % BLOCK, b = i % BLOCK;
                    c.weight[weight_at(&c, o, i, ky, kx)] = w;
                    c.forward[at + (size_t)(b / 2 * 2 * BLOCK + a * 2 + b % 2)] = bf16_from_float(w);
                    c.transposed[at + (size_t)(a / 2 * 2 * BLOCK + b * 2 + a % 2)] = bf16_from_float(w);
                }
    }
    return c;
}

static void convolution_free(struct convolution *c) {
    free(c->weight);
    free(c->forward);
    free(c->transposed);
}

// Calls `add` for every pair of an input and an output that a tap joins.
typedef void adder(const struct convolution *c, struct value *x, struct value *y, float *dweight, size_t from,
                   size_t to, size_t w);
static void for_pairs(const struct convolution *c, struct value *x, struct value *y, float *dweight, adder *add) {
    const struct conv_shape *v = &c->conv;
    for (int n = 0; n < v->src.n; n++)
        for (int o = 0; o < v->dst.c; o++)
            for (int oy = 0; oy < v->dst.h; oy++)
                for (int ox = 0; ox < v->dst.w; ox++)
                    for (int ky = 0; ky < v->kernel; ky++)
                        for (int kx = 0; kx < v->kernel; kx++) {
                            int iy = oy * v->stride + ky - v->pad, ix = ox * v->stride + kx - v->pad;
                            if (iy < 0 || iy >= v->src.h || ix < 0 || ix >= v->src.w)
                                continue;
                            for (int i = 0; i < v->src.c; i++)
                                add(c, x, y, dweight, plain_at(v->src, n, i, iy, ix), plain_at(v->dst, n, o, oy, ox),
                                    weight_at(c, o, i, ky, kx));
                        }
}

static void add_forward(const struct convolution *c, struct value *x, struct value *y, float *dweight, size_t from,
                        size_t to, size_t w) {
    (void)dweight;
    y->plain[to] += x->plain[from] * c->weight[w];
}

static void add_data(const struct convolution *c, struct value *x, struct value *y, float *dweight, size_t from,
                     size_t to, size_t w) {
    (void)dweight;
    x->plain[from] += y->plain[to] * c->weight[w];
}

static void add_weight(const struct convolution *c, struct value *x, struct value *y, float *dweight, size_t from,
                       size_t to, size_t w) {
    (void)c;
    dweight[w] += x->plain[from] * y->plain[to];
}

static void clear(struct value *v) {
    size_t count = (size_t)v->shape.n * (size_t)v->shape.c * (size_t)v->shape.h * (size_t)v->shape.w;
    for (size_t i = 0; i < count; i++)
        v->plain[i] = 0;
}

static void compare_value(const char *what, struct value *expected, const uint16_t *actual) {
    to_blocked(expected);
    for (size_t i = 0; i < expected->blocked_bytes / sizeof *actual; i++)
        if (actual[i] != expected->blocked[i] && (actual[i] | expected->blocked[i]) << 1 & 0xffff) // zero has two signs
            fail_msg("%s: element %zu is %g, not %g", what, i, (double)bf16_to_float(actual[i]),
                     (double)bf16_to_float(expected->blocked[i]));
}

static size_t scratch_bytes(const struct conv_kernels *kernels, const struct convolution *c) {
    struct op_desc d = {.kind = OP_CONV2D,
                        .in = c->conv.src,
                        .out = c->conv.dst,
                        .kernel = c->conv.kernel,
                        .stride = c->conv.stride,
                        .pad = c->conv.pad};
    return kernels->scratch_bytes(&d);
}

static void add_bias(const struct convolution *c, struct value *y) {
    struct shape s = y->shape;
    for (int n = 0; n < s.n; n++)
        for (int o = 0; o < s.c; o++)
            for (int j = 0; j < s.h * s.w; j++)
                y->plain[plain_at(s, n, o, 0, 0) + (size_t)j] += c->bias[o];
}

static void test_forward(const struct conv_kernels *kernels, const struct convolution *c, bool with_bias,
                         bool accumulate, int threads) {
    struct value x = value_of(c->conv.src), y = value_of(c->conv.dst);
    uint16_t *actual = room(y.blocked_bytes);
    void *scratch = room(scratch_bytes(kernels, c));
    memcpy(actual, y.blocked, y.blocked_bytes);
    if (!accumulate) {
        memset(actual, NOT_A_NUMBER, y.blocked_bytes);
        clear(&y);
    }
    kernels->forward(&c->conv, (const float *)(void *)x.blocked, c->forward, with_bias ? c->bias : NULL, accumulate,
                     (float *)(void *)actual, scratch, threads);
    for_pairs(c, &x, &y, NULL, add_forward);
    if (with_bias)
        add_bias(c, &y);
    compare_value("forward", &y, actual);
    free(scratch);
    free(actual);
    value_free(&x);
    value_free(&y);
}

static void test_data(const struct conv_kernels *kernels, const struct convolution *c, bool accumulate, int threads) {
    struct value x = value_of(c->conv.src), y = value_of(c->conv.dst);
    uint16_t *actual = room(x.blocked_bytes);
    void *scratch = room(scratch_bytes(kernels, c));
    memcpy(actual, x.blocked, x.blocked_bytes);
    if (!accumulate) {
        memset(actual, NOT_A_NUMBER, x.blocked_bytes);
        clear(&x);
    }
    kernels->data_grad(&c->conv, (const float *)(void *)y.blocked, c->transposed, accumulate, (float *)(void *)actual,
                       scratch, threads);
    for_pairs(c, &x, &y, NULL, add_data);
    compare_value("input gradient", &x, actual);
    free(scratch);
    free(actual);
    value_free(&x);
    value_free(&y);
}

static void test_weight(const struct conv_kernels *kernels, const struct convolution *c, int threads) {
    struct value x = value_of(c->conv.src), y = value_of(c->conv.dst);
    size_t elements = weight_elements(c);
    float *actual = room(elements * sizeof *actual), *expected = room(elements * sizeof *expected);
    void *scratch = room(scratch_bytes(kernels, c));
    kernels->weight_grad(&c->conv, (const float *)(void *)x.blocked, (const float *)(void *)y.blocked, actual, scratch,
                         threads);
    for (size_t i = 0; i < elements; i++)
        expected[i] = 0;
    for_pairs(c, &x, &y, expected, add_weight);
    double sum = 0, wanted = 0; // the channels that pad a block are zeros
    for (size_t i = 0; i < elements; i++)
        sum += (double)actual[i] * (double)actual[i];
    for (int o = 0; o < c->conv.dst.c; o++)
        for (int i = 0; i < c->conv.src.c; i++)
            for (int tap = 0; tap < c->conv.kernel * c->conv.kernel; tap++) {
                int ky = tap / c->conv.kernel, kx = tap % c->conv.kernel;
                float e = expected[weight_at(c, o, i, ky, kx)],
                      a = actual[matrix_at(c, o, i, ky, kx) + (size_t)(i % BLOCK * BLOCK + o % BLOCK)];
                wanted += (double)e * (double)e;
                if (a != e)
                    fail_msg("weight gradient: %d, %d, tap %d is %g, not %g", o, i, tap, (double)a, (double)e);
            }
    assert_true(sum == wanted);
    free(scratch);
    free(actual);
    free(expected);
    value_free(&x);
    value_free(&y);
}

static void test_all(const struct conv_kernels *kernels) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct convolution c = convolution_of(&cases[i]);
        for (int threads = 1; threads <= 3; threads += 2) {
            print_message("case %zu, %d threads\n", i, threads);
            test_forward(kernels, &c, false, false, threads);
            test_forward(kernels, &c, true, true, threads);
            test_data(kernels, &c, false, threads);
            test_data(kernels, &c, true, threads);
            test_weight(kernels, &c, threads);
        }
        convolution_free(&c);
    }
}

static void in_plain_c(void **state) {
    (void)state;
    test_all(&kernel_conv_tiles_emulated);
}

// The backend asks the kernel for the registers; where it runs without them there is nothing to test.
static void for_real(void **state) {
    (void)state;
    const struct backend_config config = {.threads = 1, .precision = PRECISION_BF16};
    struct error err;
    backend *b;
    char text[256] = "no bf16";
    if (backend_create("onednn", &config, &b, &err) == STATUS_OK) {
        b->ops->describe(b, text, sizeof text);
        backend_destroy(b);
    }
    if (!strstr(text, "amx")) {
        print_message("no tile registers: %s\n", text);
        skip();
    }
#ifdef __x86_64__
    test_all(&kernel_conv_tiles_amx);
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_plain_c),
        cmocka_unit_test(for_real),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
