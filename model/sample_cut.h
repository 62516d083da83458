// Where an image of a batch is cut out of its tile. Plain data, shared by the loader, which draws it, and by backends
// that cut batches themselves.
#ifndef GRIDFOLD_MODEL_SAMPLE_CUT_H
#define GRIDFOLD_MODEL_SAMPLE_CUT_H

#include <stdint.h>

// Pixel (i, j) of an S x S image comes from the tile's pixel (top + y, left + x), where (y, x) is (i, j) turned back by
// the quarter turns, then mirrored: for each turn (y, x) becomes (x, S - 1 - y); then y becomes S - 1 - y where
// flip_vertical, x becomes S - 1 - x where flip_horizontal.
struct sample_cut {
    int32_t sample;
    int32_t top, left;
    uint8_t flip_horizontal, flip_vertical;
    uint8_t quarter_turns; // counter-clockwise, after the flips; 0 .. 3
    uint8_t unused;
};

#endif
