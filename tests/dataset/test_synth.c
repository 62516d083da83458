// The synthetic dataset: deterministic, in the layout and the mix of change levels of the report, with land-take that
// loses its green.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <gdal.h>

#include "fixture.h"
#include "model/base/file.h"
#include "worker/dataset/geotiff.h"
#include "worker/dataset/loader.h"
#include "worker/dataset/synth.h"

enum { SAMPLES = 12, TEST = 3, STEPS = 14, BANDS = 9, RED = 2, NIR = 6 };

static void synthesize(const char *tree, int samples, int test, uint64_t seed) {
    struct error err = {0};
    struct synth_config config = {samples, test, seed};
    if (dataset_synthesize(tree, &config, &err) != STATUS_OK)
        fail_msg("%s", err.message);
}

static dataset *shared; // twelve tiles, imported

static int make_shared(void **state) {
    (void)state;
    struct error err = {0};
    char tree[256], out[256];
    snprintf(tree, sizeof tree, "%s", fixture_path("tree"));
    snprintf(out, sizeof out, "%s", fixture_path("out.safetensors"));
    synthesize(tree, SAMPLES, TEST, 42);
    if (dataset_import(tree, out, NULL, &err) != STATUS_OK || dataset_open(out, &shared, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return 0;
}

static int drop_shared(void **state) {
    dataset_close(shared);
    return fixture_remove_folder(state);
}

static void levels_and_sizes_are_those_of_the_report(void **state) {
    (void)state;
    int levels[2][CHANGE_LEVELS] = {{0}};
    assert_int_equal(dataset_count(shared), SAMPLES);
    assert_int_equal(dataset_steps(shared), STEPS);
    assert_int_equal(dataset_bands(shared), BANDS);
    for (int i = 0; i < SAMPLES; i++) {
        const struct sample *s = dataset_sample(shared, i);
        levels[s->test][s->level]++;
        assert_in_range(s->height, 65, 66);
        assert_in_range(s->width, 65, 92);
    }
    const int want[2][CHANGE_LEVELS] = {{3, 5, 1}, {1, 2, 0}};
    assert_memory_equal(levels, want, sizeof want);
}

static double ndvi(const struct sample *s, int step, int pixel) {
    size_t pixels = (size_t)s->height * (size_t)s->width;
    const float *x = s->image + (size_t)step * BANDS * pixels + (size_t)pixel;
    double red = (double)x[RED * pixels], nir = (double)x[NIR * pixels];
    return (nir - red) / (nir + red);
}

static void land_take_loses_its_green_and_nothing_else_does(void **state) {
    (void)state;
    double fall[2] = {0};
    int count[2] = {0}, bare[2] = {0};
    for (int i = 0; i < SAMPLES; i++) {
        const struct sample *s = dataset_sample(shared, i);
        for (int p = 0; p < s->height * s->width; p++) {
            double d = ndvi(s, 1, p) - ndvi(s, STEPS - 1, p);
            if (isnan(d))
                continue;
            fall[s->mask[p]] += d;
            count[s->mask[p]]++;
            bare[s->mask[p]] += d > 0.25;
        }
    }
    assert_true(fall[1] / count[1] > 0.10);
    assert_true(fabs(fall[0] / count[0]) < 0.10);
    // Hard: some land-take keeps its green, and some of the rest falls as far as land-take.
    assert_true(bare[1] < 0.9 * count[1]);
    assert_true(bare[0] > 0.02 * count[0]);
}

static void values_are_plausible_and_clouds_are_missing(void **state) {
    (void)state;
    double missing[2] = {0};
    int mostly_missing = 0;
    for (int i = 0; i < SAMPLES; i++) {
        const struct sample *s = dataset_sample(shared, i);
        int values = BANDS * s->height * s->width;
        for (int t = 0; t < STEPS; t++) {
            int gone = 0;
            for (int k = 0; k < values; k++) {
                float x = s->image[t * values + k];
                if (isnan(x))
                    gone++;
                else
                    assert_true(x >= 1 && x <= 10000 && x == rintf(x));
            }
            missing[t % 2] += (double)gone / values;
            mostly_missing += gone > values / 2;
        }
    }
    assert_true(missing[0] > missing[1]); // Q2 is the cloudier quarter
    assert_true(mostly_missing > 0);
}

static void the_loader_takes_it_at_64_pixels(void **state) {
    (void)state;
    loader *l;
    struct error err = {0};
    struct loader_config config = {
        .sampling = SAMPLING_ANNUAL, .image_size = 64, .folds = 3, .seed = 42, .augment = true, .shuffle = true};
    assert_int_equal(loader_create(shared, &config, &l, &err), STATUS_OK);
    assert_int_equal(loader_steps(l), 7);
    float *image = malloc(7 * BANDS * 64 * 64 * sizeof *image);
    uint8_t *mask = malloc(64 * 64);
    loader_train_batch(l, 0, 0, 1, image, mask);
    for (int i = 0; i < 7 * BANDS * 64 * 64; i++)
        assert_true(isfinite(image[i]) && fabsf(image[i]) < 30);
    free(image);
    free(mask);
    loader_destroy(l);
}

static void files_say_where_and_what_they_are(void **state) {
    (void)state;
    struct error err = {0};
    struct raster r;
    char path[PATH_SIZE];
    assert_int_equal(path_join(path, fixture_path("tree"), "sentinel/synth_011_RGBNIRRSWIRQ_Mosaic.tif", &err), 0);
    assert_int_equal(raster_read(path, &r, &err), STATUS_OK);
    assert_non_null(strstr(r.projection, "UTM zone 33N"));
    assert_float_equal(r.geotransform[1], 10, 0);
    assert_float_equal(r.geotransform[0], 401000, 0);
    raster_free(&r);
    GDALDatasetH file = GDALOpen(path, GA_ReadOnly);
    assert_string_equal(GDALGetDescription(GDALGetRasterBand(file, 1)), "2018_Q2_blue");
    assert_string_equal(GDALGetDescription(GDALGetRasterBand(file, 126)), "2024_Q3_swir2");
    GDALClose(file);
    assert_int_equal(path_join(path, fixture_path("tree"), "masks/synth_011_mask.tif", &err), 0);
    file = GDALOpen(path, GA_ReadOnly);
    assert_int_equal(GDALGetRasterDataType(GDALGetRasterBand(file, 1)), GDT_Byte);
    GDALClose(file);
}

static void expect_same_file(const char *a, const char *b, const char *name, bool same) {
    char path[PATH_SIZE], *text[2];
    size_t bytes[2];
    struct error err = {0};
    assert_int_equal(path_join(path, a, name, &err), STATUS_OK);
    assert_int_equal(file_read(path, &text[0], &bytes[0], &err), STATUS_OK);
    assert_int_equal(path_join(path, b, name, &err), STATUS_OK);
    assert_int_equal(file_read(path, &text[1], &bytes[1], &err), STATUS_OK);
    assert_int_equal(bytes[0] == bytes[1] && memcmp(text[0], text[1], bytes[0]) == 0, same);
    free(text[0]);
    free(text[1]);
}

static void the_seed_decides_every_byte(void **state) {
    (void)state;
    char a[256], b[256], c[256];
    snprintf(a, sizeof a, "%s", fixture_path("a"));
    snprintf(b, sizeof b, "%s", fixture_path("b/")); // a trailing slash changes nothing
    snprintf(c, sizeof c, "%s", fixture_path("c"));
    synthesize(a, 2, 1, 7);
    synthesize(b, 2, 1, 7);
    synthesize(c, 2, 1, 8);
    const char *image = "sentinel/synth_001_RGBNIRRSWIRQ_Mosaic.tif";
    expect_same_file(a, b, image, true);
    expect_same_file(a, c, image, false);
    expect_same_file(a, b, "masks/synth_000_mask.tif", true);
    expect_same_file(a, b, "splits/test.txt", true);
}

static void every_level_is_met_whatever_the_seed(void **state) {
    (void)state;
    struct error err = {0};
    int unchanged = 0;
    for (int i = 0; i < 45; i++) {
        struct scene s;
        enum change_level level = (enum change_level)(i % CHANGE_LEVELS);
        assert_int_equal(scene_create(&s, (uint64_t)i * 1000003, i, 65 + i % 2, 65 + i % 28, level, &err), STATUS_OK);
        double share = mask_positive_share(s.mask, (size_t)s.height * (size_t)s.width);
        assert_int_equal(change_level_of(share), level);
        unchanged += share == 0;
        scene_free(&s);
    }
    assert_in_range(unchanged, 1, 8); // of 15 low tiles: some without any, most with something
}

static void refuse(const char *tree, int samples, int test, enum status want, const char *needle) {
    struct error err = {0};
    struct synth_config config = {samples, test, 1};
    enum status status = dataset_synthesize(tree, &config, &err);
    if (status != want || !strstr(err.message, needle))
        fail_msg("got %s '%s', wanted '%s'", status_text(status), err.message, needle);
}

static void impossible_requests_leave_nothing_behind(void **state) {
    (void)state;
    char tree[256];
    snprintf(tree, sizeof tree, "%s", fixture_path("none"));
    refuse(tree, 0, 0, STATUS_INVALID, "samples = 0");
    refuse(tree, 100001, 0, STATUS_INVALID, "samples = 100001");
    refuse(tree, 4, 4, STATUS_INVALID, "test = 4");
    refuse(tree, 4, -1, STATUS_INVALID, "test = -1");
    assert_false(file_exists(tree));
    refuse("", 2, 1, STATUS_INVALID, "no path");
    refuse("/proc/nowhere", 2, 1, STATUS_IO, "/proc/nowhere");
}

static void only_synthetic_trees_are_replaced(void **state) {
    (void)state;
    char tree[256], other[512];
    struct error err = {0};
    snprintf(tree, sizeof tree, "%s", fixture_path("again"));
    synthesize(tree, 3, 1, 1);
    synthesize(tree, 2, 1, 1);
    snprintf(other, sizeof other, "%s/masks/synth_001_mask.tif", tree);
    assert_true(file_exists(other));
    snprintf(other, sizeof other, "%s/masks/synth_002_mask.tif", tree); // of the older tree
    assert_false(file_exists(other));
    static const char *const foreign[] = {"masks/mine_mask.tif", "sentinel/mine.tif", "dataset.ini"};
    for (int i = 0; i < 3; i++) {
        snprintf(other, sizeof other, "%s/%s", tree, foreign[i]);
        assert_int_equal(file_write(other, "x", 1, &err), STATUS_OK);
        refuse(tree, 2, 1, STATUS_INVALID, "holds something else than a synthetic dataset");
        assert_int_equal(remove(other), 0);
    }
    snprintf(other, sizeof other, "%s/splits/test.txt", tree);
    refuse(other, 2, 1, STATUS_INVALID, "holds something else"); // a file, not a folder
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_and_sizes_are_those_of_the_report),
        cmocka_unit_test(land_take_loses_its_green_and_nothing_else_does),
        cmocka_unit_test(values_are_plausible_and_clouds_are_missing),
        cmocka_unit_test(the_loader_takes_it_at_64_pixels),
        cmocka_unit_test(files_say_where_and_what_they_are),
        cmocka_unit_test(the_seed_decides_every_byte),
        cmocka_unit_test(every_level_is_met_whatever_the_seed),
        cmocka_unit_test(impossible_requests_leave_nothing_behind),
        cmocka_unit_test(only_synthetic_trees_are_replaced),
    };
    return cmocka_run_group_tests(tests, make_shared, drop_shared);
}
