// Small dataset files for the tests of the dataset room.
#ifndef GRIDFOLD_TESTS_DATASET_FIXTURE_H
#define GRIDFOLD_TESTS_DATASET_FIXTURE_H

#include <stddef.h>
#include <stdint.h>

#include "worker/dataset/dataset.h"

struct fixture_tile {
    const char *id;
    int height, width;
    float *image;  // (steps, bands, height, width)
    uint8_t *mask; // (height, width)
};

// Fills a tile with values that tell where they come from: image[step][band][y][x] = 100000 step + 10000 band + 100 y +
// x, mask all 0.
struct fixture_tile fixture_tile_create(const char *id, int steps, int bands, int height, int width);
void fixture_tile_free(struct fixture_tile *tile);
// The first `share` of the mask's pixels become 1.
void fixture_tile_set_share(struct fixture_tile *tile, double share);

// Writes a dataset file and asserts that it worked. NULL metadata is left out.
void fixture_write(const char *path, const struct fixture_tile *tiles, int count, const char *bands, const char *steps,
                   const char *test);

// A path in a folder of this process's own; the folder is made at the first call and emptied by fixture_remove_folder.
const char *fixture_path(const char *name);
int fixture_remove_folder(void **state);

#endif
