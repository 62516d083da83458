#include "worker/dataset/geotiff_rows.h"

#include <cpl_conv.h>
#include <cpl_string.h>
#include <errno.h>
#include <fcntl.h>
#include <gdal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/base/file.h"
#include "worker/dataset/geotiff_internal.h"

// ---- reading ----

struct raster_reader {
    GDALDatasetH file;
    char path[PATH_SIZE];
    int bands, height, width;
};

// GDAL's cache takes a twentieth of the host's memory if it is let. Two rows of blocks in every band are all that
// reading by rows comes back to.
static void bound_cache(const raster_reader *r) {
    int block_width = 0, block_height = 0;
    GDALGetBlockSize(GDALGetRasterBand(r->file, 1), &block_width, &block_height);
    GIntBig bytes =
        2 * (GIntBig)r->bands * (r->width + block_width) * block_height * (GIntBig)sizeof(float) + (16 << 20);
    if (bytes < GDALGetCacheMax64())
        GDALSetCacheMax64(bytes);
}

enum status raster_reader_open(const char *path, raster_reader **out, struct error *err) {
    *out = NULL;
    if (!file_exists(path))
        return error_set(err, STATUS_NOT_FOUND, "cannot read %s: no such file", path);
    raster_reader *r = calloc(1, sizeof *r);
    if (!r)
        return error_memory(err, path);
    snprintf(r->path, sizeof r->path, "%s", path);
    struct gdal_report report;
    gdal_begin(&report);
    const char *const drivers[] = {"GTiff", NULL};
    r->file = GDALOpenEx(path, GDAL_OF_RASTER | GDAL_OF_READONLY | GDAL_OF_VERBOSE_ERROR, drivers, NULL, NULL);
    enum status status = r->file ? STATUS_OK : gdal_failed(&report, "read", path, err);
    if (r->file) {
        r->bands = GDALGetRasterCount(r->file);
        r->height = GDALGetRasterYSize(r->file);
        r->width = GDALGetRasterXSize(r->file);
        if (r->bands < 1)
            status = error_set(err, STATUS_FORMAT, "cannot read %s: it has no bands", path);
        else
            bound_cache(r);
    }
    gdal_end();
    if (status != STATUS_OK)
        raster_reader_close(r);
    else
        *out = r;
    return status;
}

void raster_reader_close(raster_reader *r) {
    if (!r)
        return;
    if (r->file)
        GDALClose(r->file);
    free(r);
}

int raster_reader_bands(const raster_reader *r) {
    return r->bands;
}

int raster_reader_height(const raster_reader *r) {
    return r->height;
}

int raster_reader_width(const raster_reader *r) {
    return r->width;
}

enum status raster_reader_rows(raster_reader *r, int first, int count, float *out, size_t band_stride,
                               struct error *err) {
    struct gdal_report report;
    enum status status = STATUS_OK;
    gdal_begin(&report);
    if (GDALDatasetRasterIOEx(r->file, GF_Read, 0, first, r->width, count, out, r->width, count, GDT_Float32, r->bands,
                              NULL, 0, 0, (GSpacing)band_stride * (GSpacing)sizeof *out, NULL) != CE_None)
        status = gdal_failed(&report, "read", r->path, err);
    for (int b = 0; b < r->bands && status == STATUS_OK; b++)
        gdal_mark_nodata(GDALGetRasterBand(r->file, b + 1), out + (size_t)b * band_stride,
                         (size_t)count * (size_t)r->width);
    gdal_end();
    return status;
}

// ---- writing ----

struct raster_writer {
    GDALDatasetH file;
    char path[PATH_SIZE], temporary[PATH_SIZE + 32];
    enum raster_kind kind;
    int width;
};

static void take_georeference(GDALDatasetH from, GDALDatasetH to) {
    double geotransform[6];
    const char *projection = GDALGetProjectionRef(from);
    if (projection && *projection)
        GDALSetProjection(to, projection);
    if (GDALGetGeoTransform(from, geotransform) == CE_None)
        GDALSetGeoTransform(to, geotransform);
}

static GDALDatasetH create_file(const raster_writer *w, const raster_reader *like) {
    char **options = NULL;
    options = CSLSetNameValue(options, "COMPRESS", "DEFLATE");
    options = CSLSetNameValue(options, "ZLEVEL", "1");
    options = CSLSetNameValue(options, "PREDICTOR", w->kind == RASTER_FLOAT ? "3" : "2");
    options = CSLSetNameValue(options, "BIGTIFF", "IF_SAFER");
    GDALDriverH driver = GDALGetDriverByName("GTiff");
    GDALDatasetH file = driver ? GDALCreate(driver, w->temporary, like->width, like->height, 1,
                                            w->kind == RASTER_FLOAT ? GDT_Float32 : GDT_Byte, options)
                               : NULL;
    CSLDestroy(options);
    if (file) {
        take_georeference(like->file, file);
        GDALSetRasterNoDataValue(GDALGetRasterBand(file, 1), w->kind == RASTER_FLOAT ? (double)__builtin_nan("") : 255);
    }
    return file;
}

enum status raster_writer_create(const char *path, enum raster_kind kind, const raster_reader *like,
                                 raster_writer **out, struct error *err) {
    *out = NULL;
    raster_writer *w = calloc(1, sizeof *w);
    if (!w)
        return error_memory(err, path);
    w->kind = kind;
    w->width = like->width;
    snprintf(w->path, sizeof w->path, "%s", path);
    snprintf(w->temporary, sizeof w->temporary, "%s.tmp-%ld", path, (long)getpid());
    struct gdal_report report;
    gdal_begin(&report);
    w->file = create_file(w, like);
    enum status status = w->file && !report.text[0] ? STATUS_OK : gdal_failed(&report, "write", path, err);
    gdal_end();
    if (status != STATUS_OK)
        raster_writer_abandon(w);
    else
        *out = w;
    return status;
}

enum status raster_writer_rows(raster_writer *w, int first, int count, const void *data, struct error *err) {
    struct gdal_report report;
    gdal_begin(&report);
    CPLErr e = GDALRasterIO(GDALGetRasterBand(w->file, 1), GF_Write, 0, first, w->width, count, (void *)data, w->width,
                            count, w->kind == RASTER_FLOAT ? GDT_Float32 : GDT_Byte, 0, 0);
    enum status status = e == CE_None && !report.text[0] ? STATUS_OK : gdal_failed(&report, "write", w->path, err);
    gdal_end();
    return status;
}

static enum status rename_whole(const raster_writer *w, struct error *err) {
    int fd = open(w->temporary, O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;
    int reason = errno;
    if (fd >= 0)
        close(fd);
    if (ok && rename(w->temporary, w->path) == 0)
        return STATUS_OK;
    return error_set(err, STATUS_IO, "cannot write %s: %s", w->path, strerror(ok ? errno : reason));
}

enum status raster_writer_commit(raster_writer *w, struct error *err) {
    struct gdal_report report;
    gdal_begin(&report);
    GDALClose(w->file); // the last strips are encoded here, so only the report tells of a failure
    w->file = NULL;
    enum status status = report.text[0] ? gdal_failed(&report, "write", w->path, err) : STATUS_OK;
    gdal_end();
    if (status == STATUS_OK)
        status = rename_whole(w, err);
    raster_writer_abandon(w);
    return status;
}

void raster_writer_abandon(raster_writer *w) {
    if (!w)
        return;
    struct gdal_report report;
    gdal_begin(&report);
    if (w->file)
        GDALClose(w->file);
    gdal_end();
    unlink(w->temporary); // gone already when it was renamed
    free(w);
}
