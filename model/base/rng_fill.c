// Many numbers at once: several counters side by side in the lanes of a vector unit, with the vector logarithm and
// cosine of glibc where there are. Those are right to 4 ulp and not to the last bit; a number whose float would depend
// on that is drawn once more, one by one.
#include <math.h>

#include "model/base/rng.h"

enum { LANES = 64 };

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && defined(__OPTIMIZE__)
#define EACH_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#pragma omp declare simd notinbranch
double log(double);
#pragma omp declare simd notinbranch
double cos(double);
#else
#define EACH_PROCESSOR
#endif

// As philox() of rng.c for the counters first, first + 1, ...
EACH_PROCESSOR
static void draw_words(const struct rng *stream, uint32_t first, uint32_t words[RNG_BLOCK][LANES]) {
    uint32_t k0 = stream->key[0], k1 = stream->key[1];
    uint32_t *c0 = words[0], *c1 = words[1], *c2 = words[2], *c3 = words[3];
    for (int i = 0; i < LANES; i++) {
        c0[i] = first + (uint32_t)i;
        c1[i] = stream->counter[1];
        c2[i] = stream->counter[2];
        c3[i] = stream->counter[3];
    }
    for (int round = 0; round < RNG_ROUNDS; round++) {
#pragma omp simd
        for (int i = 0; i < LANES; i++) {
            uint64_t p0 = (uint64_t)RNG_MULTIPLIER_0 * c0[i], p1 = (uint64_t)RNG_MULTIPLIER_1 * c2[i];
            uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
            c1[i] = (uint32_t)p1;
            c3[i] = (uint32_t)p0;
            c0[i] = n0;
            c2[i] = n2;
        }
        k0 += RNG_WEYL_0;
        k1 += RNG_WEYL_1;
    }
}

// [0, 1): as rng_uniform of the two words. Both halves are whole numbers that a double holds.
static inline double unit(uint32_t high, uint32_t low) {
    return ((double)(int32_t)(high >> 5) * 0x1p26 + (double)(int32_t)(low >> 6)) * 0x1p-53;
}

// As rng_normal, and whether an error of 1e-14 in the radius' scale could make another float of it (or another zero).
EACH_PROCESSOR
static void make_normal(uint32_t words[RNG_BLOCK][LANES], double deviation, float *x, uint32_t *doubtful) {
#pragma omp simd
    for (int i = 0; i < LANES; i++) {
        double u = 1 - unit(words[0][i], words[1][i]), v = unit(words[2][i], words[3][i]);
        double r = sqrt(-2 * log(u)), y = r * cos(6.283185307179586 * v), error = 1e-14 * r;
        float low = (float)((y - error) * deviation), high = (float)((y + error) * deviation);
        x[i] = low;
        doubtful[i] = (uint32_t)(low != high) | (uint32_t)(low == 0);
    }
}

void rng_fill_normal(const struct rng *stream, uint32_t first, size_t n, double deviation, float *out) {
    uint32_t words[RNG_BLOCK][LANES], doubtful[LANES];
    float x[LANES];
    for (size_t at = 0; at < n; at += LANES) {
        uint32_t block = first + (uint32_t)at;
        draw_words(stream, block, words);
        make_normal(words, deviation, x, doubtful);
        for (size_t i = 0; i < LANES && at + i < n; i++) {
            struct rng one = *stream;
            if (doubtful[i]) {
                rng_seek(&one, block + (uint32_t)i);
                x[i] = (float)(rng_normal(&one) * deviation);
            }
            out[at + i] = x[i];
        }
    }
}

EACH_PROCESSOR
static void make_uniform(uint32_t words[RNG_BLOCK][LANES], double bound, float *x) {
    for (int i = 0; i < LANES; i++) {
        x[2 * i] = (float)((2 * unit(words[0][i], words[1][i]) - 1) * bound);
        x[2 * i + 1] = (float)((2 * unit(words[2][i], words[3][i]) - 1) * bound);
    }
}

void rng_fill_uniform(const struct rng *stream, uint32_t first, size_t n, double bound, float *out) {
    uint32_t words[RNG_BLOCK][LANES];
    float x[2 * LANES];
    for (size_t at = 0; at < n; at += 2 * LANES) {
        draw_words(stream, first + (uint32_t)(at / 2), words);
        make_uniform(words, bound, x);
        for (size_t i = 0; i < 2 * LANES && at + i < n; i++)
            out[at + i] = x[i];
    }
}
