// GeoTIFF in and out, through GDAL: `gridfold import`, `gridfold synth`, and the rasters of `gridfold predict`.
//
// Without GDAL (GRIDFOLD_GDAL=OFF) every function here returns STATUS_UNSUPPORTED with a message that says so. One
// thread.
#ifndef GRIDFOLD_WORKER_DATASET_GEOTIFF_H
#define GRIDFOLD_WORKER_DATASET_GEOTIFF_H

#include <stdio.h>

#include "worker/dataset/dataset.h"

// One raster in memory: data (bands, height, width) float32, nodata already NaN.
struct raster {
    int bands, height, width;
    float *data;
    char *projection;       // WKT, "" when the file has none
    double geotransform[6]; // identity when the file has none
};
NODISCARD enum status raster_read(const char *path, struct raster *r, struct error *err);
void raster_free(struct raster *r);
// Float32 GeoTIFF, deflate-compressed, replaced by rename; geo may be NULL, else projection and geotransform are taken
// from it.
NODISCARD enum status raster_write(const char *path, int bands, int height, int width, const float *data,
                                   const struct raster *geo, struct error *err);

// 8-bit RGB (height, width, 3) as a PNG file, replaced by rename.
NODISCARD enum status raster_write_png(const char *path, int height, int width, const uint8_t *rgb, struct error *err);

// Reads the tree of SPEC (sentinel/, masks/, splits/test.txt, dataset.ini) and writes the dataset file; prints a
// quality table (size, missing share per quarter, change level) to `table` when it is not NULL.
NODISCARD enum status dataset_import(const char *tree, const char *out, FILE *table, struct error *err);

struct synth_config {
    int samples; // in all
    int test;    // of these held out
    uint64_t seed;
};
// Writes a synthetic dataset in the same layout, under its name only when it is whole. Same seed, same pixels. Replaces
// an older synthetic tree; STATUS_INVALID when `tree` holds anything else.
NODISCARD enum status dataset_synthesize(const char *tree, const struct synth_config *config, struct error *err);

#endif
