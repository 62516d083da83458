// GeoTIFF by rows, for images that do not fit into memory: the input and the outputs of `gridfold predict`.
//
// Without GDAL every function returns STATUS_UNSUPPORTED. One thread.
#ifndef GRIDFOLD_WORKER_DATASET_GEOTIFF_ROWS_H
#define GRIDFOLD_WORKER_DATASET_GEOTIFF_ROWS_H

#include <stdbool.h>
#include <stddef.h>

#include "model/base/status.h"

typedef struct raster_reader raster_reader;
NODISCARD enum status raster_reader_open(const char *path, raster_reader **reader, struct error *err);
void raster_reader_close(raster_reader *reader);
int raster_reader_bands(const raster_reader *reader);
int raster_reader_height(const raster_reader *reader);
int raster_reader_width(const raster_reader *reader);
// Rows first .. first+count-1 of every band into out[band * band_stride ..], nodata as NaN; band_stride in floats.
NODISCARD enum status raster_reader_rows(raster_reader *reader, int first, int count, float *out, size_t band_stride,
                                         struct error *err);

// One band, deflate-compressed, with the reader's size and georeference. The file takes its name at the commit alone.
typedef struct raster_writer raster_writer;
enum raster_kind {
    RASTER_FLOAT, // float32, nodata NaN
    RASTER_BYTE   // uint8, nodata 255
};
NODISCARD enum status raster_writer_create(const char *path, enum raster_kind kind, const raster_reader *like,
                                           raster_writer **writer, struct error *err);
// Rows in order; `data` holds floats or bytes, row by row.
NODISCARD enum status raster_writer_rows(raster_writer *writer, int first, int count, const void *data,
                                         struct error *err);
NODISCARD enum status raster_writer_commit(raster_writer *writer, struct error *err); // destroys the writer
void raster_writer_abandon(raster_writer *writer);                                    // and what it has written

#endif
