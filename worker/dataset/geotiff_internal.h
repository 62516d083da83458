// What the GDAL files of this folder share: its error reports.
#ifndef GRIDFOLD_WORKER_DATASET_GEOTIFF_INTERNAL_H
#define GRIDFOLD_WORKER_DATASET_GEOTIFF_INTERNAL_H

#include <stddef.h>

#include "model/base/status.h"

// GDAL reports through a callback: the first failure's text is kept, nothing is printed.
struct gdal_report {
    char text[512];
};

// Every call of GDAL stands between these two.
void gdal_begin(struct gdal_report *report);
void gdal_end(void);
enum status gdal_failed(const struct gdal_report *report, const char *what, const char *path, struct error *err);

// The nodata value of a band (GDALRasterBandH) becomes NaN in what was read from it.
void gdal_mark_nodata(void *band, float *data, size_t count);

#endif
