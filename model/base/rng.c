#include "model/base/rng.h"

#include <math.h>

static void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < RNG_ROUNDS; round++) {
        uint64_t p0 = (uint64_t)RNG_MULTIPLIER_0 * c0, p1 = (uint64_t)RNG_MULTIPLIER_1 * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += RNG_WEYL_0;
        k1 += RNG_WEYL_1;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

struct rng rng_stream(uint64_t seed, int fold, enum rng_purpose purpose, uint32_t epoch, uint32_t sample) {
    struct rng r = {.key = {(uint32_t)seed, (uint32_t)(seed >> 32)},
                    .counter = {0, ((uint32_t)purpose << 24) | ((uint32_t)fold & 0xFFFFFFu), epoch, sample},
                    .used = RNG_BLOCK};
    return r;
}

void rng_seek(struct rng *r, uint32_t block) {
    r->counter[0] = block;
    r->used = RNG_BLOCK;
}

uint32_t rng_u32(struct rng *r) {
    if (r->used == RNG_BLOCK) {
        philox(r->counter, r->key, r->block);
        r->counter[0]++;
        r->used = 0;
    }
    return r->block[r->used++];
}

double rng_uniform(struct rng *r) {
    uint64_t high = rng_u32(r) >> 5, low = rng_u32(r) >> 6;
    return (double)(high << 26 | low) * 0x1p-53;
}

uint32_t rng_below(struct rng *r, uint32_t n) {
    uint32_t excess = (uint32_t)(-n) % n; // 2^32 mod n: the first draws that would favour small results
    uint32_t x;
    do
        x = rng_u32(r);
    while (x < excess);
    return x % n;
}

double rng_normal(struct rng *r) {
    double u = 1 - rng_uniform(r), v = rng_uniform(r);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

void rng_shuffle(struct rng *r, int *a, size_t n) {
    for (size_t i = n; i > 1; i--) {
        size_t j = rng_below(r, (uint32_t)i);
        int swap = a[i - 1];
        a[i - 1] = a[j];
        a[j] = swap;
    }
}
