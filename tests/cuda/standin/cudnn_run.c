// What the stand-in's engines compute, by loops over NHWC, sums in double. An engine that gridfold must not take fills
// its result with NaN; one on tensor cores rounds float operands to TF32.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cudnn_internal.h"

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

// To the nearest with `dropped` bits of mantissa less, ties to even; NaN stays NaN.
static float rounded(float value, int dropped) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (isnan(value))
        return value;
    bits += ((uint32_t)1 << (dropped - 1)) - 1 + (bits >> dropped & 1);
    return from_bits(bits >> dropped << dropped);
}

static float load(const void *tensor, bool bf16, int64_t i) {
    return bf16 ? from_bits((uint32_t)((const uint16_t *)tensor)[i] << 16) : ((const float *)tensor)[i];
}

static void store(void *tensor, bool bf16, int64_t i, float value) {
    uint32_t bits;
    if (!bf16) {
        ((float *)tensor)[i] = value;
        return;
    }
    value = rounded(value, 16);
    memcpy(&bits, &value, sizeof bits);
    ((uint16_t *)tensor)[i] = isnan(value) ? 0x7fff : (uint16_t)(bits >> 16);
}

static int64_t elements(const int64_t d[4]) {
    return d[0] * d[1] * d[2] * d[3];
}

static void *checked(void *memory) {
    if (!memory) {
        fputs("stand-in for cuDNN: out of memory\n", stderr);
        abort();
    }
    return memory;
}

static float *operand(const struct convolution_run *r, int which, const int64_t dims[4]) {
    float *values = checked(malloc((size_t)elements(dims) * sizeof *values));
    bool tf32 = !r->graph.bf16 && r->engine.note == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    for (int64_t i = 0; i < elements(dims); i++) {
        float value = load(r->pointers[which], r->graph.bf16, i);
        values[i] = tf32 ? rounded(value, 13) : value;
    }
    return values;
}

// Calls for every tap that meets the map: output pixel, input pixel, tap.
struct taps {
    const struct convolution_graph *g;
    const float *x, *w, *y;
    double *sum;
};
typedef void tap_function(const struct taps *t, int64_t y_pixel, int64_t x_pixel, int64_t tap);

static void each_tap(const struct taps *t, tap_function *function) {
    const struct convolution_graph *g = t->g;
    for (int64_t n = 0; n < g->y[0]; n++)
        for (int64_t p = 0; p < g->y[2]; p++)
            for (int64_t q = 0; q < g->y[3]; q++)
                for (int64_t r = 0; r < g->w[2]; r++)
                    for (int64_t s = 0; s < g->w[3]; s++) {
                        int64_t h = p * g->stride + r - g->pad, v = q * g->stride + s - g->pad;
                        if (h >= 0 && h < g->x[2] && v >= 0 && v < g->x[3])
                            function(t, (n * g->y[2] + p) * g->y[3] + q, (n * g->x[2] + h) * g->x[3] + v,
                                     r * g->w[3] + s);
                    }
}

static void forward_tap(const struct taps *t, int64_t y_pixel, int64_t x_pixel, int64_t tap) {
    const int64_t inputs = t->g->x[1], outputs = t->g->y[1], taps = t->g->w[2] * t->g->w[3];
    for (int64_t k = 0; k < outputs; k++) {
        const float *x = t->x + x_pixel * inputs, *w = t->w + (k * taps + tap) * inputs;
        double sum = 0;
        for (int64_t c = 0; c < inputs; c++)
            sum += (double)x[c] * w[c];
        t->sum[y_pixel * outputs + k] += sum;
    }
}

static void data_tap(const struct taps *t, int64_t y_pixel, int64_t x_pixel, int64_t tap) {
    const int64_t inputs = t->g->x[1], outputs = t->g->y[1], taps = t->g->w[2] * t->g->w[3];
    for (int64_t k = 0; k < outputs; k++) {
        const float *w = t->w + (k * taps + tap) * inputs;
        double y = t->y[y_pixel * outputs + k], *sum = t->sum + x_pixel * inputs;
        for (int64_t c = 0; c < inputs; c++)
            sum[c] += y * w[c];
    }
}

static void weights_tap(const struct taps *t, int64_t y_pixel, int64_t x_pixel, int64_t tap) {
    const int64_t inputs = t->g->x[1], outputs = t->g->y[1], taps = t->g->w[2] * t->g->w[3];
    for (int64_t k = 0; k < outputs; k++) {
        const float *x = t->x + x_pixel * inputs;
        double y = t->y[y_pixel * outputs + k], *sum = t->sum + (k * taps + tap) * inputs;
        for (int64_t c = 0; c < inputs; c++)
            sum[c] += y * x[c];
    }
}

static void write_result(const struct convolution_run *r, int result, const int64_t dims[4], const double *sum) {
    const struct convolution_graph *g = &r->graph;
    bool trap = r->engine.compiled || (r->engine.note >= 0 && r->engine.note != CUDNN_NUMERICAL_NOTE_TENSOR_CORE);
    for (int64_t i = 0; i < elements(dims); i++) {
        float value = (float)(g->alpha * sum[i]);
        if (g->beta != 0)
            value += g->beta * load(r->pointers[result], g->bf16, i);
        if (g->bias)
            value += ((const float *)r->pointers[3])[i % dims[1]];
        store(r->pointers[result], g->bf16, i, trap ? NAN : value);
    }
}

void convolution_run(const void *context) {
    static tap_function *const functions[] = {forward_tap, data_tap, weights_tap};
    static const int results[] = {2, 0, 1};
    struct convolution_run run, *r = &run;
    memcpy(r, context, sizeof run); // the copy in a graph need not be aligned
    const struct convolution_graph *g = &r->graph;
    const int64_t *const shapes[] = {g->x, g->w, g->y};
    const int result = results[g->pass];
    float *operands[3] = {NULL, NULL, NULL};
    for (int i = 0; i < 3; i++)
        if (i != result)
            operands[i] = operand(r, i, shapes[i]);
    if (r->engine.workspace > 0)
        memset(r->workspace, 0xff, (size_t)r->engine.workspace);
    double *sum = checked(calloc((size_t)elements(shapes[result]), sizeof *sum));
    each_tap(&(struct taps){g, operands[0], operands[1], operands[2], sum}, functions[g->pass]);
    write_result(r, result, shapes[result], sum);
    free(sum);
    for (int i = 0; i < 3; i++)
        free(operands[i]);
}
