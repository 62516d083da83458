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

enum { RNG_BLOCK = 4 }; // words that one count gives; a uniform number takes 2, a normal one 4
// To the first word of a block, counted from 0: a stream may be drawn in pieces, in any order.
void rng_seek(struct rng *r, uint32_t block);

uint32_t rng_u32(struct rng *r);
double rng_uniform(struct rng *r);                 // [0, 1), 53 bits
uint32_t rng_below(struct rng *r, uint32_t n);     // 0 .. n-1 without bias; n >= 1
double rng_normal(struct rng *r);                  // N(0, 1), Box-Muller
void rng_shuffle(struct rng *r, int *a, size_t n); // Fisher-Yates

#endif
