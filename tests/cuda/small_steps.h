// What tests of steps on the CUDA backend begin with: settings of an optimizer, a network, samples that the device
// holds, and an epoch over all of them. What goes wrong fails the running test where nothing else is said.
#ifndef GRIDFOLD_TESTS_CUDA_SMALL_STEPS_H
#define GRIDFOLD_TESTS_CUDA_SMALL_STEPS_H

#include "model/network.h"

extern const struct optimizer_config adamw, sgd; // AdamW clips, SGD does not

void check(enum status status, const struct error *err);
network *new_network(backend *b, const struct lstm_unet_config *config, uint64_t seed); // initialised

// Tiles for two batches, one after the other.
enum {
    SMALL_BATCH = 2,
    TILES = 2 * SMALL_BATCH,
    TILE_STEPS = 2,
    TILE_BANDS = 3,
    TILE_SIZE = 32,
    TILE_PIXELS = TILE_SIZE * TILE_SIZE,
    TILE_FLOATS = TILE_STEPS * TILE_BANDS * TILE_PIXELS
};
struct tiles {
    float image[TILES * TILE_FLOATS];
    uint8_t mask[TILES * TILE_PIXELS];
};
enum status hold_tiles(network *net, const struct tiles *tiles, struct error *err);

struct tile_epoch {
    struct sample_cut cuts[TILES];
    struct step_result results[TILES];
};
struct network_stretch whole_epoch(struct tile_epoch *epoch); // the tiles as they are; the epoch is the caller's

#endif
