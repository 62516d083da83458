// Encoding of GeoTIFF, for raster_write and the synthetic dataset.
#ifndef GRIDFOLD_WORKER_DATASET_GEOTIFF_WRITE_H
#define GRIDFOLD_WORKER_DATASET_GEOTIFF_WRITE_H

#include <stdbool.h>

#include "model/base/status.h"

struct geotiff_image {
    int bands, height, width;
    const float *data;          // (bands, height, width)
    bool byte;                  // stored as uint8 instead of float32
    const char *projection;     // WKT, or NULL
    const double *geotransform; // 6 numbers, or NULL
    const char *const *names;   // band descriptions, or NULL
};

// Writes `path` as a deflate-compressed GeoTIFF, replaced by rename.
NODISCARD enum status geotiff_write(const char *path, const struct geotiff_image *image, struct error *err);

// WKT of a coordinate system by its EPSG code; the caller's, to free().
NODISCARD enum status geotiff_projection(int epsg, char **wkt, struct error *err);

#endif
