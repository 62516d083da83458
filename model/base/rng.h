// Counted randomness: every draw is a pure function of (seed, fold, purpose, epoch, sample, draw index).
//
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011): no state to save in a
// checkpoint, and a trial's numbers depend on nothing but its own hyperparameters. Any thread; a stream is owned by its
// caller.
#ifndef GRIDFOLD_MODEL_BASE_RNG_H
#define GRIDFOLD_MODEL_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

enum rng_purpose { RNG_SHUFFLE = 1, RNG_AUGMENT, RNG_INIT, RNG_FOLDS, RNG_SYNTH, RNG_SEARCH, RNG_TEST };

struct rng {
    uint32_t key[2], counter[4];
    uint32_t block[4]; // the numbers of the current counter
    int used;          // how many of block[] are spent
};

// A stream of its own for every combination of arguments; `sample` may be any 32-bit index (a parameter's hash, a
// sample's number).
struct rng rng_stream(uint64_t seed, int fold, enum rng_purpose purpose, uint32_t epoch, uint32_t sample);

// Philox4x32-10, for rng.c and rng_fill.c.
enum { RNG_ROUNDS = 10 };
#define RNG_MULTIPLIER_0 0xD2511F53u
#define RNG_MULTIPLIER_1 0xCD9E8D57u
#define RNG_WEYL_0       0x9E3779B9u
#define RNG_WEYL_1       0xBB67AE85u

enum { RNG_BLOCK = 4 }; // words that one count gives; a uniform number takes 2, a normal one 4
// To the first word of a block, counted from 0: a stream may be drawn in pieces, in any order.
void rng_seek(struct rng *r, uint32_t block);

uint32_t rng_u32(struct rng *r);
double rng_uniform(struct rng *r);             // [0, 1), 53 bits
uint32_t rng_below(struct rng *r, uint32_t n); // 0 .. n-1 without bias; n >= 1
double rng_normal(struct rng *r);              // N(0, 1), Box-Muller
// n numbers from the stream's block `first` on, with the bits that one call a number would give: rng_normal times
// deviation; (2 rng_uniform - 1) times bound.
void rng_fill_normal(const struct rng *stream, uint32_t first, size_t n, double deviation, float *out);
void rng_fill_uniform(const struct rng *stream, uint32_t first, size_t n, double bound, float *out);
void rng_shuffle(struct rng *r, int *a, size_t n); // Fisher-Yates

#endif
