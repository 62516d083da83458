// Batches: normalization against numbers worked out by hand, crops, augmentation, order, refusals.
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
#include "worker/dataset/loader.h"

static dataset *open_ok(const char *path) {
    dataset *ds = NULL;
    struct error err = {0};
    if (dataset_open(path, &ds, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return ds;
}

static loader *create_ok(const dataset *ds, const struct loader_config *config) {
    loader *l = NULL;
    struct error err = {0};
    if (loader_create(ds, config, &l, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return l;
}

// ---- normalization ----

// Three 2 x 1 tiles, two bands, one year of two quarters; fold sizes 1, so two of the three train.
static dataset *three_tiles(struct fixture_tile tiles[3]) {
    static const char *const ids[] = {"a", "b", "c"};
    //                             Q2 x, Q2 y, Q3 x, Q3 y; two pixels each
    const float values[3][8] = {{1, 3, 5, 5, 3, 5, 5, 5}, {10, NAN, 5, 5, 20, 7, 5, 5}, {-4, 0, 5, 5, -2, 2, 5, 5}};
    const char *path = fixture_path("three.safetensors");
    for (int i = 0; i < 3; i++) {
        tiles[i] = fixture_tile_create(ids[i], 2, 2, 2, 1);
        memcpy(tiles[i].image, values[i], sizeof values[i]);
    }
    fixture_write(path, tiles, 3, "x, y", "2018-Q2, 2018-Q3", "");
    for (int i = 0; i < 3; i++)
        fixture_tile_free(&tiles[i]);
    return open_ok(path);
}

// Annual means of x: a: 2, 4; b: 15, missing; c: -3, 1.
static const double annual[3][2] = {{2, 4}, {15, NAN}, {-3, 1}};

static void statistics_are_those_of_the_training_samples(void **state) {
    (void)state;
    struct fixture_tile tiles[3];
    dataset *ds = three_tiles(tiles);
    bool seen[3] = {false};
    for (int fold = 0; fold < 3; fold++) {
        loader *l = create_ok(
            ds,
            &(struct loader_config){.sampling = SAMPLING_ANNUAL, .image_size = 1, .folds = 3, .fold = fold, .seed = 1});
        int left_out = loader_sample_index(l, SPLIT_VAL, 0);
        seen[left_out] = true;
        double sum = 0, squares = 0, n = 0;
        for (int i = 0; i < 3; i++)
            for (int p = 0; p < 2; p++)
                if (i != left_out && !isnan(annual[i][p])) {
                    sum += annual[i][p];
                    squares += annual[i][p] * annual[i][p];
                    n++;
                }
        const struct normalization *norm = loader_normalization(l);
        assert_int_equal(norm->bands, 2);
        assert_true(fabs(norm->mean[0] - sum / n) < 1e-12);
        assert_true(fabs(norm->std[0] - sqrt(squares / n - sum / n * sum / n)) < 1e-12);
        assert_float_equal(norm->mean[1], 5, 0); // a band without spread
        assert_float_equal(norm->std[1], 1, 0);
        loader_destroy(l);
    }
    assert_true(seen[0] && seen[1] && seen[2]);
    dataset_close(ds);
}

static void missing_values_become_zero_after_normalization(void **state) {
    (void)state;
    const char *path = fixture_path("missing.safetensors");
    struct fixture_tile tiles[2];
    for (int i = 0; i < 2; i++) {
        tiles[i] = fixture_tile_create(i ? "b" : "a", 1, 1, 2, 2);
        memcpy(tiles[i].image, (const float[]){2, 6, NAN, 4}, 4 * sizeof(float));
        memcpy(tiles[i].mask, (const uint8_t[]){0, 1, MASK_IGNORE, 0}, 4);
    }
    fixture_write(path, tiles, 2, "x", "2018", "");
    dataset *ds = open_ok(path);
    loader *l =
        create_ok(ds, &(struct loader_config){.sampling = SAMPLING_ALL, .image_size = 2, .folds = 2, .seed = 1});
    float image[4];
    uint8_t mask[4];
    loader_eval_batch(l, SPLIT_VAL, 0, 1, image, mask);
    const float std = sqrtf(8.0f / 3); // of 2, 6, 4
    assert_float_equal(image[0], -2 / std, 1e-6);
    assert_float_equal(image[1], 2 / std, 1e-6);
    assert_float_equal(image[2], 0, 0);
    assert_float_equal(image[3], 0, 0);
    assert_memory_equal(mask, tiles[0].mask, 4);
    loader_destroy(l);
    struct normalization given = {.bands = 1, .mean = {1}, .std = {0.5}};
    l = create_ok(ds, &(struct loader_config){
                          .sampling = SAMPLING_ALL, .image_size = 2, .folds = 2, .seed = 1, .normalization = &given});
    loader_eval_batch(l, SPLIT_VAL, 0, 1, image, mask);
    assert_float_equal(image[1], 10, 1e-6);
    assert_float_equal(image[2], 0, 0);
    loader_destroy(l);
    given.bands = 2;
    struct error err = {0};
    assert_int_equal(
        loader_create(
            ds, &(struct loader_config){.sampling = SAMPLING_ALL, .image_size = 2, .folds = 2, .normalization = &given},
            &l, &err),
        STATUS_MISMATCH);
    dataset_close(ds);
    for (int i = 0; i < 2; i++)
        fixture_tile_free(&tiles[i]);
}

// ---- crops and augmentation ----

enum { TILES = 10, STEPS = 2, BANDS = 2, HEIGHT = 9, WIDTH = 11, SIZE = 6, PIXELS = SIZE * SIZE };
static const struct normalization identity = {.bands = BANDS, .mean = {0}, .std = {1, 1}};

// Ten tiles t0..t9, of which t9 is held out; pixels tell where they come from; the mask is the parity of y * 3 + x * 5
// over 2.
static uint8_t mask_at(int y, int x) {
    return (uint8_t)((y * 3 + x * 5) / 2 % 2);
}

static dataset *ten_tiles(void) {
    const char *path = fixture_path("ten.safetensors");
    struct fixture_tile tiles[TILES];
    static char ids[TILES][4];
    for (int i = 0; i < TILES; i++) {
        snprintf(ids[i], sizeof ids[i], "t%d", i % 10);
        tiles[i] = fixture_tile_create(ids[i], STEPS, BANDS, HEIGHT, WIDTH);
        for (int p = 0; p < STEPS * BANDS * HEIGHT * WIDTH; p++)
            tiles[i].image[p] += (float)(1000000 * i);
        for (int y = 0; y < HEIGHT; y++)
            for (int x = 0; x < WIDTH; x++)
                tiles[i].mask[y * WIDTH + x] = mask_at(y, x);
    }
    fixture_write(path, tiles, TILES, "x, y", "2017, 2024", "t9");
    for (int i = 0; i < TILES; i++)
        fixture_tile_free(&tiles[i]);
    return open_ok(path);
}

static struct loader_config config_of(bool augment, bool shuffle) {
    return (struct loader_config){.sampling = SAMPLING_ALL,
                                  .image_size = SIZE,
                                  .folds = 3,
                                  .fold = 1,
                                  .seed = 42,
                                  .augment = augment,
                                  .shuffle = shuffle,
                                  .normalization = &identity};
}

static int tile_of(const float *image) {
    return (int)image[0] / 1000000;
}

// The tile's row and column behind a pixel.
static void place_of(float value, int *y, int *x) {
    *y = (int)value % 10000 / 100;
    *x = (int)value % 100;
}

// Image and mask agree, and so do all timesteps and bands.
static void expect_aligned(const float *image, const uint8_t *mask) {
    for (int p = 0; p < PIXELS; p++) {
        int y, x;
        place_of(image[p], &y, &x);
        assert_int_equal(mask[p], mask_at(y, x));
        for (int t = 0; t < STEPS; t++)
            for (int c = 0; c < BANDS; c++)
                assert_float_equal(image[(t * BANDS + c) * PIXELS + p], image[p] + (float)(100000 * t + 10000 * c), 0);
    }
}

static void evaluation_cuts_the_centre_in_the_order_of_ids(void **state) {
    (void)state;
    dataset *ds = ten_tiles();
    struct loader_config config = config_of(true, true);
    loader *l = create_ok(ds, &config);
    static float image[TILES * STEPS * BANDS * PIXELS];
    static uint8_t mask[TILES * PIXELS];
    assert_int_equal(loader_steps(l), STEPS);
    assert_int_equal(loader_bands(l), BANDS);
    assert_int_equal(loader_count(l, SPLIT_TRAIN), 6);
    assert_int_equal(loader_count(l, SPLIT_VAL), 3);
    assert_int_equal(loader_count(l, SPLIT_TEST), 1);
    assert_int_equal(loader_sample_index(l, SPLIT_TEST, 0), 9);
    loader_eval_batch(l, SPLIT_VAL, 0, 3, image, mask);
    for (int i = 0; i < 3; i++) {
        const float *tile = image + i * STEPS * BANDS * PIXELS;
        assert_int_equal(tile_of(tile), loader_sample_index(l, SPLIT_VAL, i));
        expect_aligned(tile, mask + i * PIXELS);
        for (int p = 0; p < PIXELS; p++) {
            int y, x;
            place_of(tile[p], &y, &x);
            assert_int_equal(y, (HEIGHT - SIZE) / 2 + p / SIZE);
            assert_int_equal(x, (WIDTH - SIZE) / 2 + p % SIZE);
        }
    }
    loader_destroy(l);
    dataset_close(ds);
}

// Which of the eight symmetries of the square a batch image shows: 4 * (mirrored) + (the corner that came to the upper
// left), and its crop.
struct pose {
    int symmetry, top, left;
};

static struct pose pose_of(const float *image) {
    int y[4], x[4], top = HEIGHT, left = WIDTH;
    const int corners[4] = {0, SIZE - 1, PIXELS - SIZE, PIXELS - 1}; // upper left, upper right, lower left, lower right
    for (int i = 0; i < 4; i++) {
        place_of(image[corners[i]], &y[i], &x[i]);
        top = y[i] < top ? y[i] : top;
        left = x[i] < left ? x[i] : left;
    }
    for (int i = 0; i < 4; i++) {
        assert_in_range(y[i] - top, 0, SIZE - 1);
        assert_in_range(x[i] - left, 0, SIZE - 1);
    }
    int corner = 2 * (y[0] > top) + (x[0] > left), along_row = y[0] == y[1];
    return (struct pose){4 * along_row + corner, top, left};
}

static void augmentation_draws_crops_and_all_symmetries(void **state) {
    (void)state;
    dataset *ds = ten_tiles();
    struct loader_config config = config_of(true, false);
    loader *l = create_ok(ds, &config);
    static float image[6 * STEPS * BANDS * PIXELS], again[6 * STEPS * BANDS * PIXELS];
    static uint8_t mask[6 * PIXELS];
    int symmetries[8] = {0}, tops[HEIGHT - SIZE + 1] = {0}, lefts[WIDTH - SIZE + 1] = {0};
    enum { EPOCHS = 400 };
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        loader_train_batch(l, epoch, 0, 6, image, mask);
        for (int i = 0; i < 6; i++) {
            const float *tile = image + i * STEPS * BANDS * PIXELS;
            if (epoch < 20)
                expect_aligned(tile, mask + i * PIXELS);
            struct pose pose = pose_of(tile);
            assert_in_range(pose.top, 0, HEIGHT - SIZE);
            assert_in_range(pose.left, 0, WIDTH - SIZE);
            symmetries[pose.symmetry]++;
            tops[pose.top]++;
            lefts[pose.left]++;
        }
    }
    // Of 2400 draws a third is turned by 90 or 270 degrees, so that rows become columns (poses 0..3); the flips make
    // the four poses of either kind equally likely.
    const double expected[2] = {2400.0 / 3 / 4, 2400.0 * 2 / 3 / 4};
    for (int i = 0; i < 8; i++)
        assert_true(fabs(symmetries[i] - expected[i / 4]) < 5 * sqrt(expected[i / 4]));
    for (int i = 0; i <= HEIGHT - SIZE; i++)
        assert_true(abs(tops[i] - 600) < 5 * sqrt(600));
    for (int i = 0; i <= WIDTH - SIZE; i++)
        assert_true(abs(lefts[i] - 400) < 5 * sqrt(400));
    loader_train_batch(l, 3, 0, 6, image, mask);
    for (int i = 0; i < 6; i++) // the same samples in other batches: the same pixels
        loader_train_batch(l, 3, i, 1, again + i * STEPS * BANDS * PIXELS, mask);
    assert_memory_equal(image, again, sizeof image);
    loader_destroy(l);
    dataset_close(ds);
}

static void a_draw_depends_on_the_sample_not_on_its_place(void **state) {
    (void)state;
    dataset *ds = ten_tiles();
    struct loader_config config = config_of(true, false);
    loader *plain = create_ok(ds, &config);
    config.shuffle = true;
    loader *shuffled = create_ok(ds, &config);
    static float a[STEPS * BANDS * PIXELS], b[STEPS * BANDS * PIXELS];
    uint8_t mask[PIXELS];
    for (int i = 0; i < 6; i++)
        for (int j = 0; j < 6; j++) {
            loader_train_batch(plain, 7, i, 1, a, mask);
            loader_train_batch(shuffled, 7, j, 1, b, mask);
            if (tile_of(a) == tile_of(b))
                assert_memory_equal(a, b, sizeof a);
        }
    loader_destroy(plain);
    loader_destroy(shuffled);
    dataset_close(ds);
}

static void the_order_is_shuffled_by_epoch(void **state) {
    (void)state;
    dataset *ds = ten_tiles();
    struct loader_config config = config_of(false, true);
    loader *l = create_ok(ds, &config);
    static float image[6 * STEPS * BANDS * PIXELS];
    uint8_t mask[6 * PIXELS];
    int orders[2][6];
    for (int epoch = 0; epoch < 2; epoch++) {
        loader_train_batch(l, epoch, 0, 6, image, mask);
        unsigned seen = 0;
        for (int i = 0; i < 6; i++) {
            orders[epoch][i] = tile_of(image + i * STEPS * BANDS * PIXELS);
            seen |= 1u << orders[epoch][i];
        }
        unsigned wanted = 0;
        for (int i = 0; i < 6; i++)
            wanted |= 1u << loader_sample_index(l, SPLIT_TRAIN, i);
        assert_int_equal(seen, wanted);
    }
    assert_memory_not_equal(orders[0], orders[1], sizeof orders[0]);
    loader_destroy(l);
    config.shuffle = false;
    l = create_ok(ds, &config);
    loader_train_batch(l, 5, 0, 6, image, mask);
    for (int i = 0; i < 6; i++) { // by id, and the centre: augment is off
        const float *tile = image + i * STEPS * BANDS * PIXELS;
        assert_int_equal(tile_of(tile), loader_sample_index(l, SPLIT_TRAIN, i));
        struct pose pose = pose_of(tile);
        assert_int_equal(pose.symmetry, 4);
        assert_int_equal(pose.top, (HEIGHT - SIZE) / 2);
        assert_int_equal(pose.left, (WIDTH - SIZE) / 2);
    }
    loader_destroy(l);
    dataset_close(ds);
}

// ---- refusals ----

static void refuse(const dataset *ds, struct loader_config config, enum status want, const char *needle) {
    loader *l = NULL;
    struct error err = {0};
    enum status status = loader_create(ds, &config, &l, &err);
    if (status != want || !strstr(err.message, needle))
        fail_msg("got %s '%s', wanted '%s'", status_text(status), err.message, needle);
    assert_null(l);
}

static void impossible_loaders_are_refused(void **state) {
    (void)state;
    dataset *ds = ten_tiles();
    struct loader_config config = config_of(false, false);
    config.image_size = 10;
    refuse(ds, config, STATUS_INVALID, "tile 't0' is 9x11 pixels, smaller than image-size 10 (so are 10 of 10 tiles)");
    config.image_size = 0;
    refuse(ds, config, STATUS_INVALID, "image-size 0");
    config = config_of(false, false);
    config.fold = 3;
    refuse(ds, config, STATUS_INVALID, "fold 3");
    config.fold = -1;
    refuse(ds, config, STATUS_INVALID, "fold -1");
    config.fold = 0;
    config.folds = 1;
    refuse(ds, config, STATUS_INVALID, "no training samples");
    config.folds = 10;
    refuse(ds, config, STATUS_INVALID, "too few for 10 folds");
    config = config_of(false, false);
    config.sampling = SAMPLING_QUARTERLY;
    refuse(ds, config, STATUS_UNSUPPORTED, "2017, 2024");
    dataset_close(ds);
    loader_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics_are_those_of_the_training_samples),
        cmocka_unit_test(missing_values_become_zero_after_normalization),
        cmocka_unit_test(evaluation_cuts_the_centre_in_the_order_of_ids),
        cmocka_unit_test(augmentation_draws_crops_and_all_symmetries),
        cmocka_unit_test(a_draw_depends_on_the_sample_not_on_its_place),
        cmocka_unit_test(the_order_is_shuffled_by_epoch),
        cmocka_unit_test(impossible_loaders_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, fixture_remove_folder);
}
