// GeoTIFF trees into dataset files: values, masks of another size, nodata, ignore, dataset.ini, and every refusal.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <gdal.h>

#include "fixture.h"
#include "model/base/file.h"
#include "worker/dataset/geotiff.h"

#define INI "[dataset]\nbands = x, y\nsteps = 2017, 2024\n"
enum { HEIGHT = 6, WIDTH = 8, BANDS = 4, PIXELS = HEIGHT * WIDTH };

static char tree[256], out[256];

static void write_text(const char *name, const char *text) {
    char path[PATH_SIZE];
    struct error err = {0};
    assert_int_equal(path_join(path, tree, name, &err), STATUS_OK);
    assert_int_equal(file_write(path, text, strlen(text), &err), STATUS_OK);
}

// A file of the tree with `type` pixels and, where not NaN, a nodata value.
static void write_tiff(const char *name, int bands, int height, int width, const float *data, GDALDataType type,
                       double nodata) {
    char path[PATH_SIZE];
    struct error err = {0};
    assert_int_equal(path_join(path, tree, name, &err), STATUS_OK);
    GDALAllRegister();
    GDALDatasetH file = GDALCreate(GDALGetDriverByName("GTiff"), path, width, height, bands, type, NULL);
    assert_non_null(file);
    for (int b = 0; b < bands; b++) {
        GDALRasterBandH band = GDALGetRasterBand(file, b + 1);
        if (!isnan(nodata))
            assert_int_equal(GDALSetRasterNoDataValue(band, nodata), CE_None);
        assert_int_equal(GDALRasterIO(band, GF_Write, 0, 0, width, height, (float *)data + b * height * width, width,
                                      height, GDT_Float32, 0, 0),
                         CE_None);
    }
    GDALClose(file);
}

static void fill_image(float image[BANDS * PIXELS], float base) {
    for (int i = 0; i < BANDS * PIXELS; i++)
        image[i] = base + (float)i;
}

static void write_tile(const char *id, float base) {
    float image[BANDS * PIXELS], mask[PIXELS] = {0, 1};
    char name[128];
    fill_image(image, base);
    snprintf(name, sizeof name, "sentinel/%s_RGBNIRRSWIRQ_Mosaic.tif", id);
    write_tiff(name, BANDS, HEIGHT, WIDTH, image, GDT_Float32, NAN);
    snprintf(name, sizeof name, "masks/%s_mask.tif", id);
    write_tiff(name, 1, HEIGHT, WIDTH, mask, GDT_Byte, NAN);
}

// A tree with dataset.ini, and the tiles "b" and "a".
static int make_tree(void **state) {
    (void)state;
    struct error err = {0};
    char folder[PATH_SIZE];
    snprintf(tree, sizeof tree, "%s", fixture_path("tree"));
    snprintf(out, sizeof out, "%s", fixture_path("out.safetensors"));
    static const char *const folders[] = {"sentinel", "masks", "splits"};
    for (int i = 0; i < 3; i++)
        if (path_join(folder, tree, folders[i], &err) || file_make_directories(folder, &err))
            return -1;
    write_text("dataset.ini", INI);
    write_tile("b", 1000);
    write_tile("a", 0);
    return 0;
}

static dataset *import_ok(FILE *table) {
    dataset *ds = NULL;
    struct error err = {0};
    if (dataset_import(tree, out, table, &err) != STATUS_OK || dataset_open(out, &ds, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return ds;
}

static void refuse(enum status want, const char *needle, const char *second) {
    struct error err = {0};
    enum status status = dataset_import(tree, out, NULL, &err);
    if (status != want || !strstr(err.message, needle) || !strstr(err.message, second))
        fail_msg("got %s '%s', wanted '%s' and '%s'", status_text(status), err.message, needle, second);
    assert_null(strchr(err.message, '\n'));
    assert_false(file_exists(out));
}

static void a_tree_becomes_a_dataset(void **state) {
    (void)state;
    write_text("splits/test.txt", "  b \r\n\n");
    write_text("sentinel/notes.txt", "not a tile");
    dataset *ds = import_ok(NULL);
    float image[BANDS * PIXELS];
    assert_int_equal(dataset_count(ds), 2);
    assert_int_equal(dataset_bands(ds), 2);
    assert_int_equal(dataset_steps(ds), 2);
    for (int i = 0; i < 2; i++) {
        const struct sample *s = dataset_sample(ds, i);
        assert_string_equal(s->id, i ? "b" : "a");
        assert_int_equal(s->height, HEIGHT);
        assert_int_equal(s->width, WIDTH);
        assert_int_equal(s->test, i == 1);
        fill_image(image, i ? 1000 : 0);
        assert_memory_equal(s->image, image, sizeof image);
        for (int p = 0; p < PIXELS; p++)
            assert_int_equal(s->mask[p], p == 1);
    }
    dataset_close(ds);
}

static void the_quality_table_counts_what_is_missing(void **state) {
    (void)state;
    float image[BANDS * PIXELS];
    fill_image(image, 0);
    for (int i = 0; i < PIXELS / 2; i++) // a quarter of the values of 2017 and all of 2024
        image[i] = NAN;
    for (int i = 2 * PIXELS; i < 4 * PIXELS; i++)
        image[i] = NAN;
    write_tiff("sentinel/a_RGBNIRRSWIRQ_Mosaic.tif", BANDS, HEIGHT, WIDTH, image, GDT_Float32, NAN);
    char *text = NULL;
    size_t size;
    FILE *table = open_memstream(&text, &size);
    assert_non_null(table);
    dataset_close(import_ok(table));
    fclose(table);
    assert_non_null(strstr(text, "missing 2017"));
    assert_non_null(strstr(text, "25.0 %"));
    assert_non_null(strstr(text, "100.0 %"));
    assert_non_null(strstr(text, "2 samples: 2 for training and validation (2 low, 0 moderate, 0 high), 0 held out"));
    free(text);
}

static void masks_of_another_size_are_resampled(void **state) {
    (void)state;
    float mask[3 * 16]; // half as high, twice as wide
    for (int i = 0; i < 3 * 16; i++)
        mask[i] = (float)(i * 7 % 3 == 0);
    write_tiff("masks/a_mask.tif", 1, 3, 16, mask, GDT_Byte, NAN);
    dataset *ds = import_ok(NULL);
    const struct sample *s = dataset_sample(ds, 0);
    for (int y = 0; y < HEIGHT; y++)
        for (int x = 0; x < WIDTH; x++) // the centre of x is the border of 2x and 2x + 1, and belongs to the right one
            assert_int_equal(s->mask[y * WIDTH + x], mask[y / 2 * 16 + 2 * x + 1]);
    dataset_close(ds);
}

static void nodata_and_ignore_count_in_nothing(void **state) {
    (void)state;
    float image[BANDS * PIXELS], mask[PIXELS] = {0, 1, 99, 7, 5, -1};
    fill_image(image, 0);
    image[3] = -9999;
    image[4] = INFINITY;
    write_tiff("sentinel/a_RGBNIRRSWIRQ_Mosaic.tif", BANDS, HEIGHT, WIDTH, image, GDT_Float32, -9999);
    write_tiff("masks/a_mask.tif", 1, HEIGHT, WIDTH, mask, GDT_Int16, 99);
    write_text("dataset.ini", INI "ignore = 7\n");
    dataset *ds = import_ok(NULL);
    const struct sample *s = dataset_sample(ds, 0);
    assert_true(isnan(s->image[3]));
    assert_true(isnan(s->image[4]));
    assert_float_equal(s->image[5], 5, 0);
    const uint8_t want[] = {0, 1, MASK_IGNORE, MASK_IGNORE, 1, 0};
    assert_memory_equal(s->mask, want, sizeof want);
    assert_true(fabs(s->positive_share - 2.0 / (PIXELS - 2)) < 1e-12);
    dataset_close(ds);
}

static void the_default_layout_has_126_bands(void **state) {
    (void)state;
    char path[PATH_SIZE];
    struct error err = {0};
    assert_int_equal(path_join(path, tree, "dataset.ini", &err), STATUS_OK);
    assert_int_equal(unlink(path), 0);
    refuse(STATUS_INVALID, "a_RGBNIRRSWIRQ_Mosaic.tif has 4 bands", "wanted 126 = 14 steps x 9 bands");
}

static void refusals_name_the_file(void **state) {
    (void)state;
    const float two[2 * PIXELS] = {0};
    char path[PATH_SIZE];
    struct error err = {0};
    write_text("splits/test.txt", "a\n\nghost\n");
    refuse(STATUS_INVALID, "splits/test.txt, line 3", "'ghost'");
    write_text("splits/test.txt", "");
    write_text("dataset.ini", "[dataset]\nband = x\n");
    refuse(STATUS_INVALID, "dataset.ini, line 2", "'bands'");
    write_text("dataset.ini", INI);
    write_tiff("masks/a_mask.tif", 2, HEIGHT, WIDTH, two, GDT_Byte, NAN);
    refuse(STATUS_INVALID, "a_mask.tif has 2 bands", "a mask has 1");
    assert_int_equal(path_join(path, tree, "masks/a_mask.tif", &err), STATUS_OK);
    assert_int_equal(unlink(path), 0);
    refuse(STATUS_NOT_FOUND, "tile 'a' has no mask", "a_mask.tif is missing");
}

static void absent_folders_are_named(void **state) {
    (void)state;
    struct error err = {0};
    assert_int_equal(dataset_import("/nowhere", out, NULL, &err), STATUS_NOT_FOUND);
    assert_non_null(strstr(err.message, "/nowhere is not a folder"));
    char masks[PATH_SIZE];
    assert_int_equal(path_join(masks, tree, "masks", &err), STATUS_OK);
    assert_int_equal(dataset_import(masks, out, NULL, &err), STATUS_NOT_FOUND);
    assert_non_null(strstr(err.message, "sentinel"));
    assert_int_equal(dataset_import(tree, "/nowhere/out.safetensors", NULL, &err), STATUS_IO);
    assert_non_null(strstr(err.message, "/nowhere/out.safetensors"));
}

static void an_empty_tree_is_refused(void **state) {
    (void)state;
    char path[PATH_SIZE];
    struct error err = {0};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(path_join(path, tree,
                                   i ? "sentinel/b_RGBNIRRSWIRQ_Mosaic.tif" : "sentinel/a_RGBNIRRSWIRQ_Mosaic.tif",
                                   &err),
                         STATUS_OK);
        assert_int_equal(unlink(path), 0);
    }
    refuse(STATUS_NOT_FOUND, "sentinel holds no *_RGBNIRRSWIRQ_Mosaic.tif", "");
}

// Every length of a truncated file: one line from GDAL, nothing on stderr, nothing written.
static void truncated_files_are_refused(void **state) {
    (void)state;
    char path[PATH_SIZE], *whole;
    size_t bytes;
    struct error err = {0};
    assert_int_equal(path_join(path, tree, "sentinel/b_RGBNIRRSWIRQ_Mosaic.tif", &err), STATUS_OK);
    assert_int_equal(file_read(path, &whole, &bytes, &err), STATUS_OK);
    fflush(stderr);
    int kept = dup(STDERR_FILENO);
    FILE *captured = tmpfile();
    assert_non_null(captured);
    dup2(fileno(captured), STDERR_FILENO);
    const size_t lengths[] = {0, 4, 100, bytes / 2, bytes - 20};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        assert_int_equal(file_write(path, whole, lengths[i], &err), STATUS_OK);
        refuse(STATUS_FORMAT, "cannot read", "b_RGBNIRRSWIRQ_Mosaic.tif");
    }
    dup2(kept, STDERR_FILENO);
    close(kept);
    assert_int_equal(fseek(captured, 0, SEEK_END), 0);
    assert_int_equal(ftell(captured), 0);
    fclose(captured);
    free(whole);
}

static void rasters_keep_their_georeference(void **state) {
    (void)state;
    const char *path = fixture_path("raster.tif");
    struct error err = {0};
    float data[2 * PIXELS];
    for (int i = 0; i < 2 * PIXELS; i++)
        data[i] = i == 5 ? NAN : 0.25f * (float)i;
    struct raster geo = {.geotransform = {500000, 10, 0, 5300000, 0, -10}, .projection = (char *)""}, back;
    assert_int_equal(raster_write(path, 2, HEIGHT, WIDTH, data, &geo, &err), STATUS_OK);
    assert_int_equal(raster_read(path, &back, &err), STATUS_OK);
    assert_int_equal(back.bands, 2);
    assert_int_equal(back.height, HEIGHT);
    assert_int_equal(back.width, WIDTH);
    assert_memory_equal(back.geotransform, geo.geotransform, sizeof geo.geotransform);
    assert_string_equal(back.projection, "");
    for (int i = 0; i < 2 * PIXELS; i++)
        assert_true(i == 5 ? isnan(back.data[i]) : back.data[i] == data[i]);
    raster_free(&back);
    assert_int_equal(raster_write(path, 2, HEIGHT, WIDTH, data, NULL, &err), STATUS_OK);
    assert_int_equal(raster_read(path, &back, &err), STATUS_OK);
    const double identity[6] = {0, 1, 0, 0, 0, 1};
    assert_memory_equal(back.geotransform, identity, sizeof identity);
    raster_free(&back);
    assert_int_equal(raster_read("/nowhere/x.tif", &back, &err), STATUS_NOT_FOUND);
    assert_int_equal(raster_write("/nowhere/x.tif", 2, HEIGHT, WIDTH, data, NULL, &err), STATUS_IO);
}

#define ON_A_TREE(test) cmocka_unit_test_setup_teardown(test, make_tree, fixture_remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        ON_A_TREE(a_tree_becomes_a_dataset),
        ON_A_TREE(the_quality_table_counts_what_is_missing),
        ON_A_TREE(masks_of_another_size_are_resampled),
        ON_A_TREE(nodata_and_ignore_count_in_nothing),
        ON_A_TREE(the_default_layout_has_126_bands),
        ON_A_TREE(refusals_name_the_file),
        ON_A_TREE(absent_folders_are_named),
        ON_A_TREE(an_empty_tree_is_refused),
        ON_A_TREE(truncated_files_are_refused),
        ON_A_TREE(rasters_keep_their_georeference),
    };
    return cmocka_run_group_tests(tests, NULL, fixture_remove_folder);
}
