// The table that import prints: what each tile holds and misses.
#ifndef GRIDFOLD_WORKER_DATASET_QUALITY_H
#define GRIDFOLD_WORKER_DATASET_QUALITY_H

#include <stdio.h>

#include "worker/dataset/layout.h"

enum { QUALITY_GROUPS = 6 };

struct quality_row {
    const char *id;
    int height, width;
    double missing[QUALITY_GROUPS]; // by group of steps
    double positive, ignored;       // shares of the mask
    bool test;
};

// Image (steps, bands, height, width) and mask (height, width) of one tile into the shares of a row.
void quality_measure(const struct layout *layout, const float *image, const uint8_t *mask, struct quality_row *row);

// One line a tile and a summary.
void quality_print(FILE *out, const struct layout *layout, const struct quality_row *rows, int count);

#endif
