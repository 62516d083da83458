// The dataset file: what it holds, what is refused, temporal sampling, folds.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"
#include "model/base/safetensors.h"

static dataset *open_ok(const char *path) {
    dataset *ds = NULL;
    struct error err = {0};
    if (dataset_open(path, &ds, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return ds;
}

static void samples_come_by_id_with_their_level(void **state) {
    (void)state;
    const char *path = fixture_path("a.safetensors");
    struct fixture_tile tiles[4] = {fixture_tile_create("d", 2, 3, 10, 20), fixture_tile_create("b", 2, 3, 10, 10),
                                    fixture_tile_create("a", 2, 3, 10, 10), fixture_tile_create("c", 2, 3, 10, 10)};
    fixture_tile_set_share(&tiles[0], 0.05);
    fixture_tile_set_share(&tiles[1], 0.30);
    fixture_tile_set_share(&tiles[2], 0.04);
    fixture_tile_set_share(&tiles[3], 0.10);
    memset(tiles[3].mask + 10, MASK_IGNORE, 70); // 10 of 30 that count
    fixture_write(path, tiles, 4, "x, y, z", "2017, 2024", "b\nd");
    dataset *ds = open_ok(path);
    assert_int_equal(dataset_count(ds), 4);
    assert_int_equal(dataset_bands(ds), 3);
    assert_int_equal(dataset_steps(ds), 2);
    assert_int_equal(dataset_step(ds, 1).year, 2024);
    assert_int_equal(dataset_step(ds, 1).quarter, 0);
    assert_string_equal(dataset_band_name(ds, 1), "y");
    assert_int_equal(dataset_band_find(ds, "z"), 2);
    assert_int_equal(dataset_band_find(ds, "nir"), -1);
    assert_string_equal(dataset_path(ds), path);
    const char *ids[] = {"a", "b", "c", "d"};
    const double shares[] = {0.04, 0.30, 1 / 3.0, 0.05};
    const enum change_level levels[] = {CHANGE_LOW, CHANGE_HIGH, CHANGE_HIGH, CHANGE_MODERATE};
    for (int i = 0; i < 4; i++) {
        const struct sample *s = dataset_sample(ds, i);
        assert_string_equal(s->id, ids[i]);
        assert_true(fabs(s->positive_share - shares[i]) < 1e-12);
        assert_int_equal(s->level, levels[i]);
        assert_int_equal(s->test, i == 1 || i == 3);
    }
    const struct sample *d = dataset_sample(ds, 3);
    assert_int_equal(d->height, 10);
    assert_int_equal(d->width, 20);
    assert_memory_equal(d->image, tiles[0].image, 2 * 3 * 200 * sizeof(float));
    assert_string_equal(change_level_name(CHANGE_MODERATE), "moderate");
    dataset_close(ds);
    dataset_close(NULL);
    for (int i = 0; i < 4; i++)
        fixture_tile_free(&tiles[i]);
}

static void refuse(const char *path, const char *needle) {
    dataset *ds = NULL;
    struct error err = {0};
    enum status status = dataset_open(path, &ds, &err);
    if (status == STATUS_OK || !strstr(err.message, needle) || !strstr(err.message, path))
        fail_msg("got %s '%s', wanted '%s'", status_text(status), err.message, needle);
    assert_null(ds);
}

static void bad_metadata_is_refused(void **state) {
    (void)state;
    const char *path = fixture_path("bad.safetensors");
    struct fixture_tile t = fixture_tile_create("a", 2, 1, 4, 4);
    fixture_write(path, &t, 1, NULL, "2017, 2024", "");
    refuse(path, "'bands' is absent");
    fixture_write(path, &t, 1, "x", NULL, "");
    refuse(path, "'steps' is absent");
    fixture_write(path, &t, 1, "x", "2017, 2024", NULL);
    refuse(path, "'test' is absent");
    fixture_write(path, &t, 1, "x", "2017, 2024-Q5", "");
    refuse(path, "2024-Q5");
    fixture_write(path, &t, 1, "x", "2017, 2024", "a\nghost");
    refuse(path, "'ghost' is not in the file");
    fixture_write(path, &t, 0, "x", "2017, 2024", "");
    refuse(path, "no samples");
    t.mask[5] = 7;
    fixture_write(path, &t, 1, "x", "2017, 2024", "");
    refuse(path, "mask of 'a' holds 7");
    fixture_tile_free(&t);
}

struct tensor {
    const char *name;
    enum dtype dtype;
    int rank;
    int64_t shape[4];
};

static void refuse_tensors(const struct tensor *tensors, int count, const char *needle) {
    static const float zeros[256];
    const char *path = fixture_path("bad.safetensors");
    struct error err = {0};
    safetensors_writer *w;
    assert_int_equal(safetensors_writer_create(&w, &err), STATUS_OK);
    const char *const metadata[][2] = {
        {"format", "gridfold-dataset-1"}, {"bands", "x"}, {"steps", "2017, 2024"}, {"test", ""}};
    for (int i = 0; i < 4; i++)
        assert_int_equal(safetensors_add_metadata(w, metadata[i][0], metadata[i][1], &err), STATUS_OK);
    for (int i = 0; i < count; i++)
        assert_int_equal(
            safetensors_add(w, tensors[i].name, tensors[i].dtype, tensors[i].rank, tensors[i].shape, zeros, &err),
            STATUS_OK);
    assert_int_equal(safetensors_write(w, path, &err), STATUS_OK);
    safetensors_writer_destroy(w);
    refuse(path, needle);
}

static void bad_tensors_are_refused(void **state) {
    (void)state;
    const struct tensor image = {"a/image", DTYPE_F32, 4, {2, 1, 4, 4}}, mask = {"a/mask", DTYPE_U8, 2, {4, 4}};
    refuse_tensors((struct tensor[]){{"a/image", DTYPE_F64, 4, {2, 1, 4, 4}}, mask}, 2, "F64");
    refuse_tensors((struct tensor[]){{"a/image", DTYPE_F32, 4, {3, 1, 4, 4}}, mask}, 2, "(3, 1, 4, 4)");
    refuse_tensors((struct tensor[]){{"a/image", DTYPE_F32, 3, {2, 4, 4}}, mask}, 2, "not an image");
    refuse_tensors((struct tensor[]){{"a/image", DTYPE_F32, 4, {2, 1, 0, 4}}, mask}, 2, "not an image");
    refuse_tensors((struct tensor[]){image, {"a/mask", DTYPE_U8, 2, {4, 5}}}, 2, "(4, 5)");
    refuse_tensors((struct tensor[]){image, {"b/mask", DTYPE_U8, 2, {4, 4}}}, 2, "'a/mask' (U8 (4, 4)) is missing");
    refuse_tensors((struct tensor[]){image}, 1, "0 masks");
    refuse_tensors((struct tensor[]){image, mask, {"stray", DTYPE_U8, 1, {4}}}, 3, "'stray' belongs to no sample");
    refuse_tensors((struct tensor[]){image, mask, {"/image", DTYPE_U8, 1, {4}}}, 3, "belongs to no sample");
}

static void foreign_files_are_refused(void **state) {
    (void)state;
    const char *path = fixture_path("foreign.safetensors");
    struct error err = {0};
    safetensors_writer *w;
    assert_int_equal(safetensors_writer_create(&w, &err), STATUS_OK);
    assert_int_equal(safetensors_write(w, path, &err), STATUS_OK);
    safetensors_writer_destroy(w);
    refuse(path, "not a dataset file");
}

// ---- temporal sampling ----

static dataset *with_steps(const char *steps, int count) {
    const char *path = fixture_path("steps.safetensors");
    struct fixture_tile t = fixture_tile_create("a", count, 2, 5, 4);
    fixture_write(path, &t, 1, "x, y", steps, "");
    fixture_tile_free(&t);
    return open_ok(path);
}

static void expect_plan(const dataset *ds, enum temporal_sampling sampling, int steps, const int *first,
                        const int *second) {
    struct sampling_plan plan;
    struct error err = {0};
    assert_int_equal(sampling_plan_create(ds, sampling, &plan, &err), STATUS_OK);
    assert_int_equal(plan.steps, steps);
    for (int t = 0; t < steps; t++) {
        assert_int_equal(plan.first[t], first[t]);
        assert_int_equal(plan.second[t], second ? second[t] : -1);
    }
}

static void plans_follow_the_steps_of_the_file(void **state) {
    (void)state;
    dataset *ds = with_steps("2018-Q2, 2018-Q3, 2019-Q2, 2019-Q3", 4);
    expect_plan(ds, SAMPLING_ANNUAL, 2, (int[]){0, 2}, (int[]){1, 3});
    expect_plan(ds, SAMPLING_QUARTERLY, 4, (int[]){0, 1, 2, 3}, NULL);
    expect_plan(ds, SAMPLING_BI_TEMPORAL, 2, (int[]){0, 3}, NULL);
    expect_plan(ds, SAMPLING_ALL, 4, (int[]){0, 1, 2, 3}, NULL);
    dataset_close(ds);
    ds = with_steps("2018-Q1, 2018-Q2, 2018-Q3, 2018-Q4", 4);
    expect_plan(ds, SAMPLING_ANNUAL, 1, (int[]){1}, (int[]){2});
    expect_plan(ds, SAMPLING_QUARTERLY, 2, (int[]){1, 2}, NULL);
    dataset_close(ds);
    ds = with_steps("2017, 2024", 2);
    expect_plan(ds, SAMPLING_ANNUAL, 2, (int[]){0, 1}, NULL);
    expect_plan(ds, SAMPLING_BI_TEMPORAL, 2, (int[]){0, 1}, NULL);
    dataset_close(ds);
}

static void refuse_sampling(const char *steps, int count, enum temporal_sampling sampling) {
    dataset *ds = with_steps(steps, count);
    struct sampling_plan plan;
    struct error err = {0};
    assert_int_equal(sampling_plan_create(ds, sampling, &plan, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.message, steps));
    dataset_close(ds);
}

static void impossible_samplings_name_the_steps(void **state) {
    (void)state;
    refuse_sampling("2017, 2024", 2, SAMPLING_QUARTERLY);
    refuse_sampling("2018-Q1, 2018-Q4", 2, SAMPLING_QUARTERLY);
    refuse_sampling("2018-Q2, 2018-Q3, 2019-Q2", 3, SAMPLING_ANNUAL);
    refuse_sampling("2017", 1, SAMPLING_BI_TEMPORAL);
}

// One year, 2 bands of 10 x 10: `missing_a` and `missing_b` of the 200 values of each quarter missing; returns the
// sampled frame.
static void sample_year(int missing_a, int missing_b, float out[200]) {
    const char *path = fixture_path("year.safetensors");
    struct fixture_tile t = fixture_tile_create("a", 2, 2, 10, 10);
    for (int i = 0; i < 200; i++) {
        t.image[i] = i < missing_a ? NAN : (float)i;
        t.image[200 + i] = i >= 200 - missing_b ? NAN : (float)(1000 + i);
    }
    fixture_write(path, &t, 1, "x, y", "2018-Q2, 2018-Q3", "");
    fixture_tile_free(&t);
    dataset *ds = open_ok(path);
    struct sampling_plan plan;
    struct error err = {0};
    assert_int_equal(sampling_plan_create(ds, SAMPLING_ANNUAL, &plan, &err), STATUS_OK);
    sampling_apply(ds, &plan, 0, 0, out);
    dataset_close(ds);
}

// What sample_year must give: from the mean, from Q2 alone ('a') or from Q3 alone ('b').
static void expect_year(int missing_a, int missing_b, char from) {
    float out[200];
    sample_year(missing_a, missing_b, out);
    for (int i = 0; i < 200; i++) {
        bool gone_a = i < missing_a, gone_b = i >= 200 - missing_b;
        bool gone = from == 'a' ? gone_a : from == 'b' ? gone_b : gone_a || gone_b;
        float value = from == 'a' ? (float)i : from == 'b' ? (float)(1000 + i) : (float)(500 + i);
        if (gone ? !isnan(out[i]) : out[i] != value)
            fail_msg("missing %d and %d: value %d is %g", missing_a, missing_b, i, (double)out[i]);
    }
}

static void the_cleaner_quarter_stands_alone_past_the_thresholds(void **state) {
    (void)state;
    expect_year(0, 0, 'm');
    expect_year(20, 30, 'm');  // missing in either stays missing
    expect_year(101, 39, 'b'); // > 50 % against < 20 %
    expect_year(39, 101, 'a');
    expect_year(100, 39, 'm'); // 50 % is not more than 50 %
    expect_year(101, 40, 'm'); // 20 % is not less than 20 %
    expect_year(40, 101, 'm');
    expect_year(150, 150, 'm');
    expect_year(200, 0, 'b');
}

static void infinities_count_as_missing(void **state) {
    (void)state;
    const char *path = fixture_path("infinite.safetensors");
    struct fixture_tile t = fixture_tile_create("a", 1, 1, 2, 2);
    t.image[3] = INFINITY;
    fixture_write(path, &t, 1, "x", "2018", "");
    fixture_tile_free(&t);
    dataset *ds = open_ok(path);
    struct sampling_plan plan;
    struct error err = {0};
    float out[4];
    assert_int_equal(sampling_plan_create(ds, SAMPLING_ALL, &plan, &err), STATUS_OK);
    sampling_apply(ds, &plan, 0, 0, out);
    assert_float_equal(out[2], 100, 0);
    assert_true(isnan(out[3]));
    dataset_close(ds);
}

// ---- folds ----

// `low` + `moderate` + `high` train/validation samples and as many held out as `test`.
static dataset *with_levels(int low, int moderate, int high, int test) {
    const char *path = fixture_path("levels.safetensors");
    int count = low + moderate + high + test;
    struct fixture_tile *tiles = calloc((size_t)count, sizeof *tiles);
    char(*ids)[8] = calloc((size_t)count, sizeof *ids), held_out[512] = "";
    assert_non_null(tiles);
    assert_non_null(ids);
    for (int i = 0; i < count; i++) {
        snprintf(ids[i], sizeof ids[i], "t%03d", i * 37 % count % 1000); // ids in an order of their own
        tiles[i] = fixture_tile_create(ids[i], 1, 1, 10, 10);
        fixture_tile_set_share(&tiles[i], i < low ? 0 : i < low + moderate ? 0.1 : 0.5);
        if (i >= count - test)
            snprintf(held_out + strlen(held_out), sizeof held_out - strlen(held_out), "%s\n", ids[i]);
    }
    fixture_write(path, tiles, count, "x", "2018", held_out);
    for (int i = 0; i < count; i++)
        fixture_tile_free(&tiles[i]);
    free(tiles);
    free(ids);
    return open_ok(path);
}

static void count_folds(const dataset *ds, int folds, const int *fold, int counts[][CHANGE_LEVELS]) {
    memset(counts, 0, (size_t)folds * sizeof *counts);
    for (int i = 0; i < dataset_count(ds); i++) {
        const struct sample *s = dataset_sample(ds, i);
        if (s->test) {
            assert_int_equal(fold[i], FOLD_TEST);
            continue;
        }
        assert_in_range(fold[i], 0, folds - 1);
        counts[fold[i]][s->level]++;
    }
}

static void folds_of_the_report_hold_3_5_and_1(void **state) {
    (void)state;
    dataset *ds = with_levels(15, 25, 5, 8);
    struct error err = {0};
    int fold[53], again[53], other[53], counts[5][CHANGE_LEVELS];
    assert_int_equal(folds_assign(ds, 5, 42, fold, &err), STATUS_OK);
    count_folds(ds, 5, fold, counts);
    for (int k = 0; k < 5; k++) {
        assert_int_equal(counts[k][CHANGE_LOW], 3);
        assert_int_equal(counts[k][CHANGE_MODERATE], 5);
        assert_int_equal(counts[k][CHANGE_HIGH], 1);
    }
    assert_int_equal(folds_assign(ds, 5, 42, again, &err), STATUS_OK);
    assert_memory_equal(fold, again, sizeof fold);
    assert_int_equal(folds_assign(ds, 5, 43, other, &err), STATUS_OK);
    assert_memory_not_equal(fold, other, sizeof fold);
    dataset_close(ds);
}

static void uneven_levels_are_dealt_evenly(void **state) {
    (void)state;
    dataset *ds = with_levels(7, 11, 4, 3);
    struct error err = {0};
    int fold[25], counts[10][CHANGE_LEVELS];
    const int sizes[CHANGE_LEVELS] = {7, 11, 4};
    for (int folds = 1; folds <= 10; folds++) {
        assert_int_equal(folds_assign(ds, folds, 1, fold, &err), STATUS_OK);
        count_folds(ds, folds, fold, counts);
        for (int k = 0; k < folds; k++) {
            int size = 0;
            for (int level = 0; level < CHANGE_LEVELS; level++) {
                assert_in_range(counts[k][level], sizes[level] / folds, (sizes[level] + folds - 1) / folds);
                size += counts[k][level];
            }
            assert_in_range(size, 22 / folds, (22 + folds - 1) / folds);
        }
    }
    dataset_close(ds);
}

static void too_many_folds_are_refused(void **state) {
    (void)state;
    dataset *ds = with_levels(2, 1, 1, 4);
    struct error err = {0};
    int fold[8];
    assert_int_equal(folds_assign(ds, 4, 1, fold, &err), STATUS_OK);
    assert_int_equal(folds_assign(ds, 5, 1, fold, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "4 train/validation samples"));
    assert_int_equal(folds_assign(ds, 0, 1, fold, &err), STATUS_INVALID);
    dataset_close(ds);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_come_by_id_with_their_level),
        cmocka_unit_test(bad_metadata_is_refused),
        cmocka_unit_test(bad_tensors_are_refused),
        cmocka_unit_test(foreign_files_are_refused),
        cmocka_unit_test(plans_follow_the_steps_of_the_file),
        cmocka_unit_test(impossible_samplings_name_the_steps),
        cmocka_unit_test(the_cleaner_quarter_stands_alone_past_the_thresholds),
        cmocka_unit_test(infinities_count_as_missing),
        cmocka_unit_test(folds_of_the_report_hold_3_5_and_1),
        cmocka_unit_test(uneven_levels_are_dealt_evenly),
        cmocka_unit_test(too_many_folds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, fixture_remove_folder);
}
