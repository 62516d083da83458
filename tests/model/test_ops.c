// Every operation of every backend against the reference backend, case by case, with one and with two threads, and
// twice: the second run must give the same bits. Then the arithmetic over arenas, the loss and the layouts. With
// GRIDFOLD_TEST_PRECISION the cases alone, on tf32 or bf16.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/model/support/backends.h"
#include "tests/model/support/op_runner.h"

enum { MAX_TESTS = 512 };

// Sums of a few thousand products in float32, against sums in float64.
#define SUMS  2e-5
#define EXACT 0.0
#define CLOSE 2e-6

#define FORWARD       (PASS_FORWARD)
#define NO_INPUT_GRAD (PASS_FORWARD | PASS_PARAM_GRAD)
#define NO_PARAM_GRAD (PASS_FORWARD | PASS_INPUT_GRAD)

#define CONV(n, ci, hw, co, k, s, p)                                                                                   \
    .kind = OP_CONV2D, .in = {n, ci, hw, hw}, .kernel = k, .stride = s, .pad = p,                                      \
    .out = {n, co, ((hw) + 2 * (p) - (k)) / (s) + 1, ((hw) + 2 * (p) - (k)) / (s) + 1}
#define UP_CONV(n, ci, hw, co)                                                                                         \
    .kind = OP_CONV_TRANSPOSE2D, .in = {n, ci, hw, hw}, .out = {n, co, 2 * (hw), 2 * (hw)}, .kernel = 2, .stride = 2,  \
    .bias = true
#define NORM(n, c, h, w)                                                                                               \
    .kind = OP_BATCHNORM, .in = {n, c, h, w}, .out = {n, c, h, w}, .epsilon = 1e-5f, .momentum = 0.1f
#define POOL(n, c, h, w)                                                                                               \
    .kind = OP_MAXPOOL2D, .in = {n, c, h, w}, .out = {n, c, ((h) + 1) / 2, ((w) + 1) / 2}, .kernel = 3, .stride = 2,   \
    .pad = 1
#define TEMPORAL(which, t, b, c, h, w) .kind = which, .in = {(t) * (b), c, h, w}, .out = {b, c, h, w}, .steps = t
#define CELL(n, c, h, w)               .kind = OP_LSTM_CELL, .in = {n, 4 * (c), h, w}, .out = {n, c, h, w}

static const struct op_case cases[] = {
    {.name = "conv 3x3", .desc = {CONV(2, 16, 8, 32, 3, 1, 1)}, .tolerance = SUMS},
    {.name = "conv 3x3, odd channels", .desc = {CONV(3, 5, 7, 17, 3, 1, 1)}, .tolerance = SUMS},
    {.name = "conv 3x3, 33 to 3 channels", .desc = {CONV(2, 33, 6, 3, 3, 1, 1)}, .tolerance = SUMS},
    {.name = "conv 3x3, bias", .desc = {CONV(2, 17, 5, 12, 3, 1, 1), .bias = true}, .tolerance = SUMS},
    {.name = "conv 3x3, stride 2", .desc = {CONV(2, 16, 8, 16, 3, 2, 1)}, .tolerance = SUMS},
    {.name = "conv 3x3, stride 2, odd", .desc = {CONV(2, 3, 7, 5, 3, 2, 1)}, .tolerance = SUMS},
    {.name = "conv 3x3 on 2x2", .desc = {CONV(7, 64, 2, 48, 3, 1, 1)}, .tolerance = SUMS},
    {.name = "conv 3x3 on 2x2, bias, odd channels",
     .desc = {CONV(7, 17, 2, 20, 3, 1, 1), .bias = true},
     .tolerance = SUMS},
    {.name = "conv 3x3 on 1x1", .desc = {CONV(5, 33, 1, 17, 3, 1, 1)}, .tolerance = SUMS},
    {.name = "conv 3x3, 4x4 to 2x2", .desc = {CONV(4, 32, 4, 32, 3, 2, 1)}, .tolerance = SUMS},
    {.name = "conv 3x3 on 2x2, one frame", .desc = {CONV(1, 16, 2, 16, 3, 1, 1)}, .tolerance = SUMS},
    {.name = "conv 3x3 on 2x2, 17 frames", .desc = {CONV(17, 40, 2, 32, 3, 1, 1), .bias = true}, .tolerance = SUMS},
    {.name = "conv 1x1, stride 2, 4x4 to 2x2",
     .desc = {CONV(5, 24, 4, 40, 1, 2, 0)},
     .tolerance = SUMS,
     .accumulate = true},
    {.name = "conv 3x3, stride 2, 2x2 to 1x1", .desc = {CONV(3, 5, 2, 6, 3, 2, 1)}, .tolerance = SUMS},
    {.name = "conv 3x3, stride 2, 3x3 to 2x2", .desc = {CONV(15, 5, 3, 6, 3, 2, 1)}, .tolerance = SUMS},
    {.name = "conv 3x3 on 1x3",
     .desc = {.kind = OP_CONV2D, .in = {3, 8, 1, 3}, .out = {3, 24, 1, 3}, .kernel = 3, .stride = 1, .pad = 1},
     .tolerance = SUMS,
     .accumulate = true},
    {.name = "conv 7x7, stride 2, 9 bands",
     .desc = {CONV(2, 9, 32, 16, 7, 2, 3), .passes = NO_INPUT_GRAD},
     .tolerance = SUMS},
    {.name = "conv 7x7, stride 2, 3 bands",
     .desc = {CONV(1, 3, 16, 4, 7, 2, 3), .passes = NO_INPUT_GRAD},
     .tolerance = SUMS},
    {.name = "conv 7x7, stride 2, 33 bands", .desc = {CONV(1, 33, 16, 8, 7, 2, 3)}, .tolerance = SUMS},
    {.name = "conv 1x1", .desc = {CONV(3, 32, 4, 64, 1, 1, 0)}, .tolerance = SUMS},
    {.name = "conv 1x1, odd channels", .desc = {CONV(3, 3, 5, 33, 1, 1, 0)}, .tolerance = SUMS},
    {.name = "conv 1x1, stride 2", .desc = {CONV(2, 16, 8, 32, 1, 2, 0)}, .tolerance = SUMS},
    {.name = "conv 1x1 on one pixel", .desc = {CONV(1, 5, 1, 3, 1, 1, 0)}, .tolerance = SUMS},
    {.name = "conv 3x3 to one logit", .desc = {CONV(2, 16, 16, 1, 3, 1, 1), .bias = true}, .tolerance = SUMS},
    {.name = "conv 5x5", .desc = {CONV(2, 8, 6, 8, 5, 1, 2)}, .tolerance = SUMS},
    {.name = "conv 5x5 on 2x2", .desc = {CONV(3, 16, 2, 8, 5, 1, 2), .bias = true}, .tolerance = SUMS},
    {.name = "conv that accumulates", .desc = {CONV(2, 17, 6, 16, 3, 1, 1), .accumulate = true}, .tolerance = SUMS},
    {.name = "conv that accumulates on 2x2",
     .desc = {CONV(4, 32, 2, 64, 3, 1, 1), .accumulate = true},
     .tolerance = SUMS},
    {.name = "conv, input gradient accumulates",
     .desc = {CONV(2, 17, 6, 16, 3, 1, 1)},
     .tolerance = SUMS,
     .accumulate = true},
    {.name = "conv 1x1, input gradient accumulates",
     .desc = {CONV(2, 16, 4, 33, 1, 1, 0)},
     .tolerance = SUMS,
     .accumulate = true},
    {.name = "conv 3x3, enough tiles for Winograd's algorithm",
     .desc = {CONV(6, 64, 8, 80, 3, 1, 1)},
     .tolerance = SUMS},
    {.name = "conv 3x3, Winograd's, odd sizes, bias, accumulates",
     .desc = {CONV(7, 65, 7, 70, 3, 1, 1), .bias = true},
     .tolerance = SUMS,
     .accumulate = true},
    {.name = "conv 3x3, Winograd's, 8x12, odd blocks, bias, accumulates",
     .desc = {.kind = OP_CONV2D,
              .in = {7, 65, 8, 12},
              .out = {7, 70, 8, 12},
              .kernel = 3,
              .stride = 1,
              .pad = 1,
              .bias = true,
              .accumulate = true},
     .tolerance = SUMS,
     .accumulate = true},
    {.name = "conv 3x3, Winograd's, that accumulates",
     .desc = {CONV(6, 64, 8, 72, 3, 1, 1), .accumulate = true},
     .tolerance = SUMS},
    {.name = "conv 3x3, Winograd's, 16x16", .desc = {CONV(2, 64, 16, 72, 3, 1, 1)}, .tolerance = SUMS},
    {.name = "conv 3x3, Winograd's on 4x4", .desc = {CONV(28, 64, 4, 64, 3, 1, 1)}, .tolerance = SUMS},
    {.name = "image, 7x7, stride 2", .desc = {CONV(3, 9, 32, 64, 7, 2, 3), .passes = NO_INPUT_GRAD}, .tolerance = SUMS},
    {.name = "image, 7x7, stride 2, odd sizes",
     .desc = {CONV(9, 5, 21, 33, 7, 2, 3), .passes = NO_INPUT_GRAD},
     .tolerance = SUMS},
    {.name = "image, 3x3, 12 bands",
     .desc = {CONV(2, 12, 19, 16, 3, 1, 1), .passes = NO_INPUT_GRAD},
     .tolerance = SUMS},
    {.name = "image, forward alone", .desc = {CONV(1, 3, 17, 40, 5, 2, 2), .passes = FORWARD}, .tolerance = SUMS},
    {.name = "conv 1x1 on 2x2", .desc = {CONV(15, 40, 2, 64, 1, 1, 0)}, .tolerance = SUMS},
    {.name = "conv, forward alone", .desc = {CONV(2, 16, 6, 16, 3, 1, 1), .passes = FORWARD}, .tolerance = SUMS},
    {.name = "conv, weight gradient alone",
     .desc = {CONV(12, 16, 2, 64, 3, 1, 1), .passes = PASS_PARAM_GRAD},
     .tolerance = SUMS},
    {.name = "recurrent conv in its batched op's layout",
     .desc = {CONV(4, 16, 2, 64, 3, 1, 1), .accumulate = true, .passes = NO_PARAM_GRAD},
     .tolerance = SUMS,
     .accumulate = true,
     .layout_frames = 24},
    {.name = "conv in another op's layout, odd",
     .desc = {CONV(1, 3, 3, 12, 3, 1, 1), .passes = NO_PARAM_GRAD},
     .tolerance = SUMS,
     .layout_frames = 6},
    {.name = "transposed conv", .desc = {UP_CONV(2, 32, 4, 16)}, .tolerance = SUMS},
    {.name = "transposed conv, odd channels", .desc = {UP_CONV(2, 17, 3, 5)}, .tolerance = SUMS},
    {.name = "transposed conv on one pixel", .desc = {UP_CONV(1, 3, 1, 33)}, .tolerance = SUMS},
    {.name = "transposed conv, input gradient accumulates",
     .desc = {UP_CONV(2, 8, 3, 8)},
     .tolerance = SUMS,
     .accumulate = true},
    {.name = "transposed conv, forward alone", .desc = {UP_CONV(2, 8, 3, 8), .passes = FORWARD}, .tolerance = SUMS},
    {.name = "batch norm", .desc = {NORM(3, 17, 5, 4)}, .tolerance = SUMS},
    {.name = "batch norm, relu", .desc = {NORM(3, 16, 5, 5), .relu = true}, .tolerance = SUMS},
    {.name = "batch norm, residual", .desc = {NORM(2, 33, 3, 3), .residual = true}, .tolerance = SUMS},
    {.name = "batch norm, residual and relu",
     .desc = {NORM(2, 5, 6, 6), .residual = true, .relu = true},
     .tolerance = SUMS},
    {.name = "batch norm, residual and relu, accumulating",
     .desc = {NORM(2, 16, 6, 6), .residual = true, .relu = true},
     .tolerance = SUMS,
     .accumulate = true},
    {.name = "batch norm on one pixel", .desc = {NORM(4, 3, 1, 1), .relu = true}, .tolerance = SUMS},
    {.name = "batch norm on 64x64", .desc = {NORM(2, 16, 64, 64), .relu = true}, .tolerance = SUMS},
    {.name = "batch norm, evaluation",
     .desc = {NORM(2, 17, 5, 5), .relu = true},
     .tolerance = CLOSE,
     .evaluation = true},
    {.name = "batch norm, evaluation, residual",
     .desc = {NORM(2, 16, 3, 3), .residual = true},
     .tolerance = CLOSE,
     .evaluation = true},
    {.name = "batch norm, not a number",
     .desc = {NORM(2, 5, 4, 4), .relu = true},
     .tolerance = SUMS,
     .evaluation = true,
     .poison = NAN},
    {.name = "max pooling", .desc = {POOL(2, 16, 8, 8)}, .tolerance = EXACT},
    {.name = "max pooling, ties", .desc = {POOL(2, 17, 7, 9)}, .tolerance = CLOSE, .ties = true},
    {.name = "max pooling, ties, accumulating",
     .desc = {POOL(1, 3, 6, 6)},
     .tolerance = CLOSE,
     .ties = true,
     .accumulate = true},
    {.name = "max pooling on one pixel", .desc = {POOL(3, 5, 1, 1)}, .tolerance = EXACT},
    {.name = "max pooling, not a number", .desc = {POOL(2, 3, 6, 6)}, .tolerance = CLOSE, .poison = NAN},
    {.name = "upsampling",
     .desc = {.kind = OP_UPSAMPLE2D, .in = {2, 17, 3, 2}, .out = {2, 17, 6, 4}},
     .tolerance = CLOSE},
    {.name = "upsampling, accumulating",
     .desc = {.kind = OP_UPSAMPLE2D, .in = {1, 3, 1, 1}, .out = {1, 3, 2, 2}},
     .tolerance = CLOSE,
     .accumulate = true},
    {.name = "temporal max", .desc = {TEMPORAL(OP_TEMPORAL_MAX, 7, 2, 33, 3, 3)}, .tolerance = EXACT},
    {.name = "temporal max, ties",
     .desc = {TEMPORAL(OP_TEMPORAL_MAX, 4, 3, 5, 4, 4)},
     .tolerance = EXACT,
     .ties = true},
    {.name = "temporal max, ties, accumulating",
     .desc = {TEMPORAL(OP_TEMPORAL_MAX, 4, 1, 16, 9, 9)},
     .tolerance = CLOSE,
     .ties = true,
     .accumulate = true},
    {.name = "temporal max, one step", .desc = {TEMPORAL(OP_TEMPORAL_MAX, 1, 2, 3, 1, 1)}, .tolerance = EXACT},
    {.name = "temporal max, not a number",
     .desc = {TEMPORAL(OP_TEMPORAL_MAX, 4, 1, 5, 3, 3)},
     .tolerance = EXACT,
     .poison = NAN},
    {.name = "temporal mean", .desc = {TEMPORAL(OP_TEMPORAL_MEAN, 7, 2, 17, 3, 3)}, .tolerance = CLOSE},
    {.name = "temporal mean, accumulating",
     .desc = {TEMPORAL(OP_TEMPORAL_MEAN, 3, 2, 16, 2, 2)},
     .tolerance = CLOSE,
     .accumulate = true},
    {.name = "lstm cell", .desc = {CELL(3, 16, 2, 2)}, .tolerance = CLOSE},
    {.name = "lstm cell, odd channels", .desc = {CELL(2, 3, 3, 2)}, .tolerance = CLOSE},
    {.name = "lstm cell, 17 channels", .desc = {CELL(2, 17, 1, 1)}, .tolerance = CLOSE, .no_cell_grad = true},
    {.name = "lstm cell, first step", .desc = {CELL(3, 8, 2, 2), .no_previous = true}, .tolerance = CLOSE},
    {.name = "lstm cell, accumulating", .desc = {CELL(2, 5, 2, 2)}, .tolerance = CLOSE, .accumulate = true},
};
enum { CASES = sizeof cases / sizeof *cases };

static backend *open_backend(const char *name, int threads) {
    struct error err;
    backend *b;
    bool reference = strcmp(name, "reference") == 0; // computes in float what the others round
    const struct backend_config config = {.threads = threads,
                                          .precision = reference ? PRECISION_FP32 : test_precision()};
    if (backend_create(name, &config, &b, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return b;
}

// TF32 rounds a product's operands to 10 bits of mantissa, bf16 every value to 7.
static double tolerance_of(const struct op_case *c) {
    bool convolution = c->desc.kind == OP_CONV2D || c->desc.kind == OP_CONV_TRANSPOSE2D;
    switch (test_precision()) {
    case PRECISION_TF32:
        return convolution ? 2e-3 : c->tolerance;
    case PRECISION_BF16:
        return 1e-2;
    default:
        return c->tolerance;
    }
}

static void compare(const char *what, const char *slot, size_t count, const float *actual, const float *expected,
                    double tolerance) {
    double largest = 1, worst = 0;
    size_t at = 0;
    for (size_t i = 0; i < count; i++)
        if (isfinite(expected[i]))
            largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < count; i++) {
        bool same = isnan(expected[i]) ? isnan(actual[i]) : expected[i] == actual[i];
        double difference = same ? 0 : fabs((double)actual[i] - (double)expected[i]) / largest;
        if (!(difference <= worst)) {
            worst = difference;
            at = i;
        }
    }
    if (!(worst <= tolerance))
        fail_msg("%s: %s: element %zu is %.9g, not %.9g (off by %.2g of the largest, at most %.2g)", what, slot, at,
                 (double)actual[at], (double)expected[at], worst, tolerance);
}

static void compare_results(const struct op_case *c, const struct op_result *actual, const struct op_result *expected,
                            double tolerance) {
    for (int i = 0; i < SLOTS; i++) {
        assert_int_equal(actual->count[i], expected->count[i]);
        compare(c->name, op_slot_names[i], actual->count[i], actual->values[i], expected->values[i], tolerance);
    }
}

struct backend_test {
    char backend[32], name[128];
    const struct op_case *c;
};

static void test_case(void **state) {
    const struct backend_test *t = *state;
    struct op_case c = *t->c;
    c.bf16 = test_precision() == PRECISION_BF16;
    backend *reference = open_backend("reference", 1);
    struct op_result expected;
    op_case_run(reference, &c, &expected);
    for (int threads = 1; threads <= (test_precision() == PRECISION_FP32 ? 2 : 1); threads++) {
        backend *b = open_backend(t->backend, threads);
        struct op_result first, second;
        op_case_run(b, &c, &first);
        op_case_run(b, &c, &second);
        compare_results(&c, &first, &expected, tolerance_of(&c));
        compare_results(&c, &second, &first, 0);
        op_result_free(&first);
        op_result_free(&second);
        backend_destroy(b);
    }
    op_result_free(&expected);
    backend_destroy(reference);
}

static void *device(backend *b, size_t bytes) {
    struct error err;
    void *memory = NULL;
    if (b->ops->alloc(b, bytes, &memory, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal((uintptr_t)memory % 64, 0);
    return memory;
}

static void test_activation_round_trip(void **state) {
    const struct backend_test *t = *state;
    backend *b = open_backend(t->backend, 2);
    const struct shape shapes[] = {{2, 3, 5, 4},  {1, 5, 1, 1},  {3, 17, 2, 2},
                                   {2, 33, 3, 3}, {1, 16, 4, 4}, {2, 9, 8, 8}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct shape s = shapes[i];
        size_t count = (size_t)s.n * (size_t)s.c * (size_t)s.h * (size_t)s.w, floats = b->ops->activation_floats(b, s);
        float *host = malloc(count * sizeof *host), *back = malloc(count * sizeof *back);
        float *value = device(b, floats * sizeof(float));
        op_fill((uint32_t)i, count, host);
        b->ops->fill(b, value, 0xff, floats * sizeof *value); // NaN
        b->ops->activation_import(b, s, host, value);
        b->ops->activation_export(b, s, value, back);
        assert_memory_equal(host, back, count * sizeof *host);
        double sum = 0;
        for (size_t j = 0; j < count; j++)
            sum += (double)host[j] * (double)host[j];
        assert_true(fabs(b->ops->sum_squares(b, floats, value) - sum) <= 1e-9 * sum); // zeros in the padding
        // A view of frames is an offset: frame n begins where n frames end.
        struct shape one = s, rest = s;
        one.n = 1;
        rest.n = s.n - 1;
        if (rest.n) {
            b->ops->activation_export(b, rest, value + b->ops->activation_floats(b, one), back);
            assert_memory_equal(host + count / (size_t)s.n, back, count / (size_t)s.n * (size_t)rest.n * sizeof *host);
        }
        b->ops->release(b, value);
        free(host);
        free(back);
    }
    backend_destroy(b);
}

// Exports these rows, and nothing behind them.
static void assert_rows(backend *b, const param_layout *layout, const float *param, int64_t first, int64_t rows,
                        const float *expected, size_t row) {
    size_t floats = (size_t)rows * row;
    float *host = malloc((floats + 1) * sizeof *host);
    assert_non_null(host);
    host[floats] = 42;
    b->ops->param_export(b, layout, param, first, rows, host);
    assert_memory_equal(host, expected, floats * sizeof *host);
    assert_true(host[floats] == 42);
    free(host);
}

static void test_param_round_trip(void **state) {
    const struct backend_test *t = *state;
    struct error err;
    backend *b = open_backend(t->backend, 1);
    const struct {
        struct op_desc desc;
        struct graph_param param;
    } params[] = {
        {{CONV(2, 5, 6, 17, 3, 1, 1)}, {.role = PARAM_CONV_WEIGHT, .rank = 4, .shape = {17, 5, 3, 3}, .count = 765}},
        {{CONV(2, 33, 6, 3, 1, 1, 0)}, {.role = PARAM_CONV_WEIGHT, .rank = 4, .shape = {3, 33, 1, 1}, .count = 99}},
        {{UP_CONV(2, 17, 3, 3)},
         {.role = PARAM_CONV_TRANSPOSE_WEIGHT, .rank = 4, .shape = {17, 3, 2, 2}, .count = 204}},
        {{NORM(2, 33, 3, 3)}, {.role = PARAM_VECTOR, .rank = 1, .shape = {33}, .count = 33}},
        // of several groups of rows, the last one not full
        {{CONV(2, 40, 6, 200, 3, 1, 1)},
         {.role = PARAM_CONV_WEIGHT, .rank = 4, .shape = {200, 40, 3, 3}, .count = 72000}},
        {{CONV(2, 64, 6, 256, 3, 1, 1)},
         {.role = PARAM_CONV_WEIGHT, .rank = 4, .shape = {256, 64, 3, 3}, .count = 147456}},
        {{UP_CONV(2, 320, 3, 33)},
         {.role = PARAM_CONV_TRANSPOSE_WEIGHT, .rank = 4, .shape = {320, 33, 2, 2}, .count = 42240}},
    };
    for (size_t i = 0; i < sizeof params / sizeof *params; i++) {
        param_layout *layout;
        struct op_desc desc = params[i].desc;
        desc.passes = PASS_FORWARD | PASS_INPUT_GRAD | PASS_PARAM_GRAD;
        if (b->ops->param_layout_create(b, &params[i].param, &desc, &layout, &err) != STATUS_OK)
            fail_msg("%s", err.message);
        size_t count = params[i].param.count, floats = b->ops->param_floats(layout);
        float *host = malloc(count * sizeof *host), *back = malloc(count * sizeof *back);
        float *param = device(b, floats * sizeof(float));
        op_fill((uint32_t)i, count, host);
        b->ops->fill(b, param, 0xff, floats * sizeof *param);
        b->ops->param_import(b, layout, host, param);
        int64_t rows = params[i].param.shape[0], group = b->ops->param_row_group(layout);
        b->ops->param_export(b, layout, param, 0, rows, back);
        assert_memory_equal(host, back, count * sizeof *host);
        assert_in_range(group, 1, rows > 16 ? rows + 15 : 16);
        for (int64_t first = 0; first < rows; first += group)
            assert_rows(b, layout, param, first, first + group < rows ? group : rows - first,
                        host + (size_t)first * (count / (size_t)rows), count / (size_t)rows);
        double sum = 0;
        for (size_t j = 0; j < count; j++)
            sum += (double)host[j] * (double)host[j];
        assert_true(fabs(b->ops->sum_squares(b, floats, param) - sum) <= 1e-9 * sum);
        b->ops->release(b, param);
        b->ops->param_layout_destroy(b, layout);
        free(host);
        free(back);
    }
    backend_destroy(b);
}

// Loss, gradient and counts on random logits; every seventh pixel is not to be counted.
static void test_focal_loss(void **state) {
    const struct backend_test *t = *state;
    struct error err;
    const struct shape s = {3, 1, 33, 5};
    enum { PIXELS = 3 * 33 * 5 };
    const struct focal_loss_config configs[] = {{0.25f, 2}, {0.5f, 0}, {0.75f, 1.5f}};
    float host[PIXELS], gradient[2][PIXELS];
    uint8_t mask[PIXELS];
    op_fill(0, PIXELS, host);
    for (int i = 0; i < PIXELS; i++) {
        host[i] *= i % 10 == 0 ? 40 : 4; // some saturate
        mask[i] = (uint8_t)(i % 7 == 3 ? 255 : i % 3 == 0);
    }
    for (size_t k = 0; k < sizeof configs / sizeof *configs; k++) {
        struct loss_sums sums[2], alone;
        for (int i = 0; i < 2; i++) {
            backend *b = open_backend(i ? t->backend : "reference", 2);
            size_t bytes = b->ops->activation_floats(b, s) * sizeof(float);
            float *logits = device(b, bytes), *dlogits = device(b, bytes);
            b->ops->fill(b, dlogits, 0xff, bytes);
            b->ops->activation_import(b, s, host, logits);
            assert_int_equal(b->ops->focal_loss(b, s, logits, mask, &configs[k], NULL, dlogits, &sums[i], &err),
                             STATUS_OK);
            assert_int_equal(b->ops->focal_loss(b, s, logits, mask, &configs[k], NULL, NULL, &alone, &err), STATUS_OK);
            assert_true(alone.loss == sums[i].loss && alone.tp == sums[i].tp);
            b->ops->activation_export(b, s, dlogits, gradient[i]);
            double sum = 0;
            for (int j = 0; j < PIXELS; j++)
                sum += (double)gradient[i][j] * (double)gradient[i][j];
            assert_true(fabs(b->ops->sum_squares(b, bytes / sizeof(float), dlogits) - sum) <= 1e-9 * sum);
            b->ops->release(b, logits);
            b->ops->release(b, dlogits);
            backend_destroy(b);
        }
        assert_true(fabs(sums[1].loss - sums[0].loss) <= 1e-6 * sums[0].loss);
        assert_true(sums[1].tp == sums[0].tp && sums[1].fp == sums[0].fp);
        assert_true(sums[1].fn == sums[0].fn && sums[1].tn == sums[0].tn);
        double largest = 0, worst = 0;
        for (int j = 0; j < PIXELS; j++) {
            largest = fmax(largest, fabs((double)gradient[0][j]));
            worst = fmax(worst, fabs((double)gradient[1][j] - (double)gradient[0][j]));
            assert_true(mask[j] != 255 || gradient[1][j] == 0);
        }
        assert_true(worst <= 2e-6 * largest);
    }
}

static void test_focal_loss_without_pixels(void **state) {
    const struct backend_test *t = *state;
    struct error err;
    backend *b = open_backend(t->backend, 1);
    const struct shape s = {1, 1, 2, 2};
    const uint8_t mask[] = {255, 255, 255, 255};
    const struct focal_loss_config config = {0.25f, 2};
    float *value = device(b, b->ops->activation_floats(b, s) * sizeof(float)), gradient[4];
    struct loss_sums sums;
    b->ops->activation_import(b, s, (const float[]){1, -1, NAN, 3}, value);
    assert_int_equal(b->ops->focal_loss(b, s, value, mask, &config, NULL, value, &sums, &err), STATUS_OK);
    b->ops->activation_export(b, s, value, gradient);
    for (int i = 0; i < 4; i++)
        assert_true(gradient[i] == 0);
    assert_true(sums.loss == 0 && sums.tp + sums.fp + sums.fn + sums.tn == 0);
    b->ops->release(b, value);
    backend_destroy(b);
}

enum { LENGTH = 5003, STEPS = 4 };

// Three vectors in backend memory, through the layout of a vector parameter.
struct vectors {
    backend *b;
    param_layout *layout;
    size_t floats;
    float *param, *grad, *moment1, *moment2;
};

static struct vectors vectors_create(backend *b) {
    struct error err;
    struct vectors v = {.b = b};
    struct graph_param param = {.key = "p", .role = PARAM_VECTOR, .rank = 1, .shape = {LENGTH}, .count = LENGTH};
    struct op_desc desc = {NORM(1, LENGTH, 1, 1), .passes = PASS_FORWARD};
    if (b->ops->param_layout_create(b, &param, &desc, &v.layout, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    v.floats = b->ops->param_floats(v.layout);
    v.param = device(b, v.floats * sizeof(float));
    v.grad = device(b, v.floats * sizeof(float));
    v.moment1 = device(b, v.floats * sizeof(float));
    v.moment2 = device(b, v.floats * sizeof(float));
    return v;
}

static void vectors_destroy(struct vectors *v) {
    v->b->ops->release(v->b, v->param);
    v->b->ops->release(v->b, v->grad);
    v->b->ops->release(v->b, v->moment1);
    v->b->ops->release(v->b, v->moment2);
    v->b->ops->param_layout_destroy(v->b, v->layout);
}

// The update rules again, in double.
static void adamw_step(const struct adamw_config *c, double g, double *m, double *v, double *p) {
    double beta1 = (double)c->beta1, beta2 = (double)c->beta2, lr = (double)c->lr;
    *p *= 1 - lr * (double)c->weight_decay;
    *m = beta1 * *m + (1 - beta1) * g;
    *v = beta2 * *v + (1 - beta2) * g * g;
    double bias1 = 1 - pow(beta1, (double)c->step), bias2 = 1 - pow(beta2, (double)c->step);
    *p -= lr / bias1 * *m / (sqrt(*v) / sqrt(bias2) + (double)c->epsilon);
}

static float clip_at(int k) {
    return k % 2 ? 1 : 0.3f;
}

static void optimizer_step(const struct vectors *v, bool adamw, int k, const struct optimizer_state *from,
                           const struct optimizer_state *to) {
    struct adamw_config config = {clip_at(k), 0.01f, 0.9f, 0.999f, 1e-8f, 0.05f, k};
    struct sgd_config sgd = {clip_at(k), 0.1f, 0.9f, 0.01f, k == 1};
    if (adamw)
        v->b->ops->adamw_step(v->b, v->floats, &config, v->grad, from, to);
    else
        v->b->ops->sgd_step(v->b, v->floats, &sgd, v->grad, from, to);
}

static void reserve(backend *b, size_t bytes, void **memory) {
    struct error err;
    if (b->ops->reserve(b, bytes, memory, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal((uintptr_t)*memory % 64, 0);
    memset(*memory, 0xff, bytes); // NaN: what stands there does not matter
}

// A step into other memory: the same bits as the step in place that follows it, and nothing changed where it read.
// Of some floats less than there are, whose number is no multiple of a vector's.
static void test_optimizer_elsewhere(const struct vectors *whole, bool adamw, int k) {
    backend *b = whole->b;
    if (!b->ops->reserve)
        return;
    struct vectors part = *whole, *v = &part;
    part.floats -= (size_t)k;
    size_t bytes = v->floats * sizeof(float);
    float *const kept[] = {v->param, v->moment1, v->moment2};
    void *before[3], *there[3];
    for (int i = 0; i < 3; i++) {
        reserve(b, bytes, &before[i]);
        reserve(b, bytes, &there[i]);
        memcpy(before[i], kept[i], bytes);
    }
    struct optimizer_state from = {v->param, v->moment1, v->moment2}, to = {there[0], there[1], there[2]};
    optimizer_step(v, adamw, k, &from, &to);
    for (int i = 0; i < 3; i++)
        assert_memory_equal(before[i], kept[i], bytes);
    optimizer_step(v, adamw, k, &from, &from);
    for (int i = 0; i < (adamw ? 3 : 2); i++)
        assert_memory_equal(there[i], kept[i], bytes);
    for (int i = 0; i < 3; i++) { // the step is taken once more by the caller
        memcpy(kept[i], before[i], bytes);
        b->ops->release(b, before[i]);
        b->ops->release(b, there[i]);
    }
}

static void test_optimizer(void **state, bool adamw) {
    const struct backend_test *t = *state;
    static float host[LENGTH], grad[LENGTH], after[LENGTH];
    static double p[LENGTH], m[LENGTH], s[LENGTH];
    backend *b = open_backend(t->backend, 2);
    struct vectors v = vectors_create(b);
    op_fill(0, LENGTH, host);
    b->ops->param_import(b, v.layout, host, v.param);
    for (int i = 0; i < LENGTH; i++) {
        p[i] = (double)host[i];
        m[i] = s[i] = 0;
    }
    for (int k = 1; k <= STEPS; k++) {
        struct adamw_config config = {1, 0.01f, 0.9f, 0.999f, 1e-8f, 0.05f, k};
        op_fill((uint32_t)k, LENGTH, grad);
        grad[k] = 0;
        b->ops->param_import(b, v.layout, grad, v.grad);
        struct optimizer_state all = {v.param, v.moment1, v.moment2};
        test_optimizer_elsewhere(&v, adamw, k);
        optimizer_step(&v, adamw, k, &all, &all);
        for (int i = 0; i < LENGTH; i++) {
            if (adamw) {
                adamw_step(&config, (double)clip_at(k) * (double)grad[i], &m[i], &s[i], &p[i]);
                continue;
            }
            double g = (double)clip_at(k) * (double)grad[i] + (double)0.01f * p[i];
            m[i] = k == 1 ? g : (double)0.9f * m[i] + g;
            p[i] -= (double)0.1f * m[i];
        }
    }
    b->ops->param_export(b, v.layout, v.param, 0, LENGTH, after);
    for (int i = 0; i < LENGTH; i++)
        if (!(fabs((double)after[i] - p[i]) <= 1e-6))
            fail_msg("element %d is %.9g, not %.9g", i, (double)after[i], p[i]);
    vectors_destroy(&v);
    backend_destroy(b);
}

static void test_adamw(void **state) {
    test_optimizer(state, true);
}

static void test_sgd(void **state) {
    test_optimizer(state, false);
}

static void test_arena(void **state) {
    const struct backend_test *t = *state;
    static float host[LENGTH], after[LENGTH];
    backend *b = open_backend(t->backend, 2);
    struct vectors v = vectors_create(b);
    op_fill(1, LENGTH, host);
    double sum = 0;
    for (int i = 0; i < LENGTH; i++)
        sum += (double)host[i] * (double)host[i];
    b->ops->param_import(b, v.layout, host, v.param);
    double squares = b->ops->sum_squares(b, v.floats, v.param);
    assert_true(fabs(squares - sum) <= 1e-7 * sum);
    assert_true(b->ops->sum_squares(b, v.floats, v.param) == squares);
    b->ops->copy(b, v.grad, v.param, v.floats * sizeof(float));
    b->ops->param_export(b, v.layout, v.grad, 0, LENGTH, after);
    assert_memory_equal(after, host, sizeof host);
    b->ops->fill(b, v.grad, 0x41, v.floats * sizeof *v.grad);
    b->ops->param_export(b, v.layout, v.grad, 0, LENGTH, after);
    for (int i = 0; i < 4 * LENGTH; i++)
        assert_int_equal(((const unsigned char *)after)[i], 0x41);
    host[LENGTH - 1] = NAN; // divergence must be seen
    b->ops->param_import(b, v.layout, host, v.param);
    assert_true(isnan(b->ops->sum_squares(b, v.floats, v.param)));
    b->ops->fill(b, v.param, 0, v.floats * sizeof(float));
    assert_true(b->ops->sum_squares(b, v.floats, v.param) == 0);
    vectors_destroy(&v);
    backend_destroy(b);
}

static const struct {
    const char *name;
    void (*run)(void **state);
} plain_tests[] = {
    {"activations there and back", test_activation_round_trip},
    {"parameters there and back", test_param_round_trip},
    {"focal loss", test_focal_loss},
    {"focal loss without a pixel", test_focal_loss_without_pixels},
    {"adamw", test_adamw},
    {"sgd", test_sgd},
    {"arena arithmetic", test_arena},
};

static struct backend_test tests[MAX_TESTS];
static struct CMUnitTest units[MAX_TESTS];

static int add_test(int count, const char *backend_name, const char *name, const struct op_case *c,
                    void (*run)(void **state)) {
    struct backend_test *t = &tests[count];
    snprintf(t->backend, sizeof t->backend, "%s", backend_name);
    snprintf(t->name, sizeof t->name, "%s: %s", backend_name, name);
    t->c = c;
    units[count] = (struct CMUnitTest){.name = t->name, .test_func = run, .initial_state = t};
    return count + 1;
}

int main(void) {
    char names[256];
    int count = 0;
    test_backends(names, sizeof names);
    for (const char *name = strtok(names, ", "); name; name = strtok(NULL, ", ")) {
        for (size_t i = 0; i < CASES; i++)
            count = add_test(count, name, cases[i].name, &cases[i], test_case);
        for (size_t i = 0; test_precision() == PRECISION_FP32 && i < sizeof plain_tests / sizeof *plain_tests; i++)
            count = add_test(count, name, plain_tests[i].name, NULL, plain_tests[i].run);
    }
    return _cmocka_run_group_tests("operations", units, (size_t)count, NULL, NULL);
}
