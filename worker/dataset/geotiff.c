#include "worker/dataset/geotiff.h"

#include <cpl_conv.h>
#include <cpl_error.h>
#include <cpl_string.h>
#include <cpl_vsi.h>
#include <gdal.h>
#include <ogr_srs_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/base/file.h"
#include "worker/dataset/geotiff_internal.h"
#include "worker/dataset/geotiff_write.h"

static void CPL_STDCALL take_report(CPLErr level, CPLErrorNum number, const char *text) {
    (void)number;
    struct gdal_report *report = CPLGetErrorHandlerUserData();
    if (level < CE_Failure || report->text[0])
        return;
    snprintf(report->text, sizeof report->text, "%s", text);
    for (char *p = report->text; *p; p++)
        if (*p == '\n' || *p == '\r')
            *p = ' ';
}

void gdal_begin(struct gdal_report *report) {
    report->text[0] = 0;
    CPLPushErrorHandlerEx(take_report, report);
    GDALAllRegister();
}

void gdal_end(void) {
    CPLPopErrorHandler();
}

enum status gdal_failed(const struct gdal_report *report, const char *what, const char *path, struct error *err) {
    return error_set(err, STATUS_FORMAT, "cannot %s %s: %s", what, path,
                     report->text[0] ? report->text : "GDAL gives no reason");
}

// ---- reading ----

void gdal_mark_nodata(void *band, float *data, size_t count) {
    int has_nodata = 0;
    float nodata = (float)GDALGetRasterNoDataValue(band, &has_nodata);
    if (!has_nodata)
        return;
    for (size_t i = 0; i < count; i++)
        if (data[i] == nodata)
            data[i] = __builtin_nanf("");
}

static enum status read_bands(GDALDatasetH file, const char *path, struct raster *r, const struct gdal_report *report,
                              struct error *err) {
    size_t pixels = (size_t)r->height * (size_t)r->width;
    r->data = malloc((size_t)r->bands * pixels * sizeof *r->data);
    if (!r->data)
        return error_memory(err, path);
    for (int b = 0; b < r->bands; b++) {
        GDALRasterBandH band = GDALGetRasterBand(file, b + 1);
        float *data = r->data + (size_t)b * pixels;
        if (GDALRasterIO(band, GF_Read, 0, 0, r->width, r->height, data, r->width, r->height, GDT_Float32, 0, 0) !=
            CE_None)
            return gdal_failed(report, "read", path, err);
        gdal_mark_nodata(band, data, pixels);
    }
    return STATUS_OK;
}

static enum status read_open(GDALDatasetH file, const char *path, struct raster *r, const struct gdal_report *report,
                             struct error *err) {
    r->bands = GDALGetRasterCount(file);
    r->height = GDALGetRasterYSize(file);
    r->width = GDALGetRasterXSize(file);
    if (r->bands < 1)
        return error_set(err, STATUS_FORMAT, "cannot read %s: it has no bands", path);
    const char *projection = GDALGetProjectionRef(file);
    r->projection = strdup(projection ? projection : "");
    if (!r->projection)
        return error_memory(err, path);
    if (GDALGetGeoTransform(file, r->geotransform) != CE_None)
        memcpy(r->geotransform, (const double[]){0, 1, 0, 0, 0, 1}, sizeof r->geotransform);
    return read_bands(file, path, r, report, err);
}

enum status raster_read(const char *path, struct raster *r, struct error *err) {
    *r = (struct raster){0};
    if (!file_exists(path))
        return error_set(err, STATUS_NOT_FOUND, "cannot read %s: no such file", path);
    struct gdal_report report;
    gdal_begin(&report);
    const char *const drivers[] = {"GTiff", NULL};
    GDALDatasetH file =
        GDALOpenEx(path, GDAL_OF_RASTER | GDAL_OF_READONLY | GDAL_OF_VERBOSE_ERROR, drivers, NULL, NULL);
    enum status status = file ? read_open(file, path, r, &report, err) : gdal_failed(&report, "read", path, err);
    if (file)
        GDALClose(file);
    gdal_end();
    if (status != STATUS_OK)
        raster_free(r);
    return status;
}

void raster_free(struct raster *r) {
    free(r->data);
    free(r->projection);
    *r = (struct raster){0};
}

// ---- writing ----

static bool fill(GDALDatasetH file, const struct geotiff_image *image) {
    size_t pixels = (size_t)image->height * (size_t)image->width;
    bool ok = true;
    if (image->projection && image->projection[0])
        ok = GDALSetProjection(file, image->projection) == CE_None;
    if (image->geotransform)
        ok = GDALSetGeoTransform(file, (double *)image->geotransform) == CE_None && ok;
    for (int b = 0; ok && b < image->bands; b++) {
        GDALRasterBandH band = GDALGetRasterBand(file, b + 1);
        float *data = (float *)image->data + (size_t)b * pixels; // GDAL's one signature for both directions
        if (image->names)
            GDALSetDescription(band, image->names[b]);
        ok = GDALRasterIO(band, GF_Write, 0, 0, image->width, image->height, data, image->width, image->height,
                          GDT_Float32, 0, 0) == CE_None;
    }
    return ok;
}

// The whole file in GDAL's memory file system, so that the rename on disk is ours.
static enum status encode(const char *memory, const char *path, const struct geotiff_image *image,
                          const struct gdal_report *report, struct error *err) {
    GDALDriverH driver = GDALGetDriverByName("GTiff");
    if (!driver)
        return error_set(err, STATUS_UNSUPPORTED, "cannot write %s: this GDAL has no GeoTIFF driver", path);
    char **options = NULL, rows[32];
    snprintf(rows, sizeof rows, "%d", image->height < 256 ? image->height : 256);
    options = CSLSetNameValue(options, "COMPRESS", "DEFLATE");
    options = CSLSetNameValue(options, "ZLEVEL", "1");
    options = CSLSetNameValue(options, "PREDICTOR", image->byte ? "2" : "3");
    options = CSLSetNameValue(options, "INTERLEAVE", "BAND");
    options = CSLSetNameValue(options, "BLOCKYSIZE", rows);
    options = CSLSetNameValue(options, "BIGTIFF", "IF_SAFER");
    GDALDatasetH file = GDALCreate(driver, memory, image->width, image->height, image->bands,
                                   image->byte ? GDT_Byte : GDT_Float32, options);
    CSLDestroy(options);
    if (!file)
        return gdal_failed(report, "write", path, err);
    bool ok = fill(file, image);
    GDALClose(file); // the last strips are encoded here, so only the report tells of a failure
    return ok && !report->text[0] ? STATUS_OK : gdal_failed(report, "write", path, err);
}

// What was encoded in GDAL's memory file system goes to disk by rename.
static enum status move_to_disk(const char *memory, const char *path, struct error *err) {
    vsi_l_offset bytes = 0;
    const void *data = VSIGetMemFileBuffer(memory, &bytes, 0);
    return file_write(path, data, (size_t)bytes, err);
}

enum status geotiff_write(const char *path, const struct geotiff_image *image, struct error *err) {
    char memory[64];
    snprintf(memory, sizeof memory, "/vsimem/gridfold-%ld.tif", (long)getpid());
    struct gdal_report report;
    gdal_begin(&report);
    enum status status = encode(memory, path, image, &report, err);
    if (status == STATUS_OK)
        status = move_to_disk(memory, path, err);
    VSIUnlink(memory);
    gdal_end();
    return status;
}

// GDAL's PNG driver only copies whole datasets: the pixels go to one in memory first.
static enum status encode_png(const char *memory, const char *path, int height, int width, const uint8_t *rgb,
                              const struct gdal_report *report, struct error *err) {
    GDALDriverH png = GDALGetDriverByName("PNG"), mem = GDALGetDriverByName("MEM");
    if (!png || !mem)
        return error_set(err, STATUS_UNSUPPORTED, "cannot write %s: this GDAL has no PNG driver", path);
    GDALDatasetH pixels = GDALCreate(mem, "", width, height, 3, GDT_Byte, NULL), file = NULL;
    if (pixels && GDALDatasetRasterIO(pixels, GF_Write, 0, 0, width, height, (void *)rgb, width, height, GDT_Byte, 3,
                                      NULL, 3, 3 * width, 1) == CE_None)
        file = GDALCreateCopy(png, memory, pixels, FALSE, NULL, NULL, NULL);
    if (file)
        GDALClose(file);
    if (pixels)
        GDALClose(pixels);
    return file && !report->text[0] ? STATUS_OK : gdal_failed(report, "write", path, err);
}

enum status raster_write_png(const char *path, int height, int width, const uint8_t *rgb, struct error *err) {
    char memory[64];
    snprintf(memory, sizeof memory, "/vsimem/gridfold-%ld.png", (long)getpid());
    struct gdal_report report;
    gdal_begin(&report);
    enum status status = encode_png(memory, path, height, width, rgb, &report, err);
    if (status == STATUS_OK)
        status = move_to_disk(memory, path, err);
    VSIUnlink(memory);
    gdal_end();
    return status;
}

enum status raster_write(const char *path, int bands, int height, int width, const float *data,
                         const struct raster *geo, struct error *err) {
    struct geotiff_image image = {.bands = bands, .height = height, .width = width, .data = data};
    if (geo) {
        image.projection = geo->projection;
        image.geotransform = geo->geotransform;
    }
    return geotiff_write(path, &image, err);
}

enum status geotiff_projection(int epsg, char **wkt, struct error *err) {
    struct gdal_report report;
    gdal_begin(&report);
    OGRSpatialReferenceH system = OSRNewSpatialReference(NULL);
    char *text = NULL;
    bool ok = system && OSRImportFromEPSG(system, epsg) == OGRERR_NONE && OSRExportToWkt(system, &text) == OGRERR_NONE;
    *wkt = ok ? strdup(text) : NULL;
    CPLFree(text);
    if (system)
        OSRDestroySpatialReference(system);
    gdal_end();
    if (!ok)
        return error_set(err, STATUS_UNSUPPORTED, "GDAL does not know EPSG:%d: %s", epsg, report.text);
    return *wkt ? STATUS_OK : error_memory(err, "projection");
}
