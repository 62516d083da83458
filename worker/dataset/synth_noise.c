#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/dataset/synth.h"

enum { LATTICE = 64, PIXELS = SYNTH_MAX_HEIGHT * SYNTH_MAX_WIDTH };

float synth_deviate(struct rng *r) {
    uint32_t x = rng_u32(r);
    int sum = (int)(x & 255) + (int)(x >> 8 & 255) + (int)(x >> 16 & 255) + (int)(x >> 24);
    return (float)(sum - 510) * (1 / 147.8f); // four uniform bytes: mean 510, standard deviation 147.8
}

static float smooth(float t) {
    return t * t * (3 - 2 * t);
}

static void add_octave(struct rng *r, int height, int width, double cell, float strength, float *out) {
    float lattice[LATTICE * LATTICE];
    int rows = (int)((double)height / cell) + 2, columns = (int)((double)width / cell) + 2;
    for (int i = 0; i < rows * columns; i++)
        lattice[i] = synth_deviate(r);
    double shift_y = rng_uniform(r),
           shift_x = rng_uniform(r); // the lattice must not show at the same place in every field
    for (int y = 0; y < height; y++) {
        double fy = fmin((double)y / cell + shift_y, rows - 1.001);
        int iy = (int)fy;
        float ty = smooth((float)(fy - iy));
        for (int x = 0; x < width; x++) {
            double fx = fmin((double)x / cell + shift_x, columns - 1.001);
            int ix = (int)fx;
            float tx = smooth((float)(fx - ix));
            const float *a = lattice + iy * columns + ix, *b = a + columns;
            float top = a[0] + tx * (a[1] - a[0]), bottom = b[0] + tx * (b[1] - b[0]);
            out[y * width + x] += strength * (top + ty * (bottom - top));
        }
    }
}

static void standardize(float *field, int count) {
    double sum = 0, squares = 0;
    for (int i = 0; i < count; i++) {
        sum += (double)field[i];
        squares += (double)field[i] * (double)field[i];
    }
    double mean = sum / count, deviation = sqrt(fmax(squares / count - mean * mean, 1e-12));
    for (int i = 0; i < count; i++)
        field[i] = (float)(((double)field[i] - mean) / deviation);
}

void synth_noise(struct rng *r, int height, int width, double cell, int octaves, float *out) {
    memset(out, 0, (size_t)height * (size_t)width * sizeof *out);
    float strength = 1;
    for (int i = 0; i < octaves && cell >= 2; i++) {
        add_octave(r, height, width, cell, strength, out);
        cell /= 2;
        strength /= 2;
    }
    standardize(out, height * width);
}

static int compare_floats(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

float synth_threshold(const float *field, int height, int width, double share) {
    float sorted[PIXELS];
    int count = height * width, rank = (int)((1 - share) * count);
    memcpy(sorted, field, (size_t)count * sizeof *field);
    qsort(sorted, (size_t)count, sizeof *sorted, compare_floats);
    return sorted[rank < 0 ? 0 : rank >= count ? count - 1 : rank];
}

static void blur_line(float *p, int count, int stride, float a) {
    float before = p[0];
    for (int i = 0; i < count; i++) {
        float here = p[i * stride], after = p[(i + 1 < count ? i + 1 : i) * stride];
        p[i * stride] = here + a * (before + after - 2 * here);
        before = here;
    }
}

void synth_blur(float *field, int height, int width, float a) {
    for (int y = 0; y < height; y++)
        blur_line(field + y * width, width, 1, a);
    for (int x = 0; x < width; x++)
        blur_line(field + x, height, width, a);
}
