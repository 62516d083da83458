// What stands behind geotiff.h in a build without GDAL.
#include "worker/dataset/geotiff.h"
#include "worker/dataset/geotiff_rows.h"

static enum status absent(struct error *err) {
    return error_set(err, STATUS_UNSUPPORTED,
                     "this gridfold was built without GDAL and handles no GeoTIFF: build with -DGRIDFOLD_GDAL=ON");
}

enum status raster_read(const char *path, struct raster *r, struct error *err) {
    (void)path;
    *r = (struct raster){0};
    return absent(err);
}

void raster_free(struct raster *r) {
    (void)r;
}

enum status raster_write(const char *path, int bands, int height, int width, const float *data,
                         const struct raster *geo, struct error *err) {
    (void)path, (void)bands, (void)height, (void)width, (void)data, (void)geo;
    return absent(err);
}

enum status raster_write_png(const char *path, int height, int width, const uint8_t *rgb, struct error *err) {
    (void)path, (void)height, (void)width, (void)rgb;
    return absent(err);
}

enum status dataset_import(const char *tree, const char *out, FILE *table, struct error *err) {
    (void)tree, (void)out, (void)table;
    return absent(err);
}

enum status dataset_synthesize(const char *tree, const struct synth_config *config, struct error *err) {
    (void)tree, (void)config;
    return absent(err);
}

enum status raster_reader_open(const char *path, raster_reader **reader, struct error *err) {
    (void)path;
    *reader = NULL;
    return absent(err);
}

void raster_reader_close(raster_reader *reader) {
    (void)reader;
}

int raster_reader_bands(const raster_reader *reader) {
    (void)reader;
    return 0;
}

int raster_reader_height(const raster_reader *reader) {
    (void)reader;
    return 0;
}

int raster_reader_width(const raster_reader *reader) {
    (void)reader;
    return 0;
}

enum status raster_reader_rows(raster_reader *reader, int first, int count, float *out, size_t band_stride,
                               struct error *err) {
    (void)reader, (void)first, (void)count, (void)out, (void)band_stride;
    return absent(err);
}

enum status raster_writer_create(const char *path, enum raster_kind kind, const raster_reader *like,
                                 raster_writer **writer, struct error *err) {
    (void)path, (void)kind, (void)like;
    *writer = NULL;
    return absent(err);
}

enum status raster_writer_rows(raster_writer *writer, int first, int count, const void *data, struct error *err) {
    (void)writer, (void)first, (void)count, (void)data;
    return absent(err);
}

enum status raster_writer_commit(raster_writer *writer, struct error *err) {
    (void)writer;
    return absent(err);
}

void raster_writer_abandon(raster_writer *writer) {
    (void)writer;
}
