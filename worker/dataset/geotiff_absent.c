// What stands behind geotiff.h in a build without GDAL.
#include "worker/dataset/geotiff.h"

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
