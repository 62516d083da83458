// Predictions of rasters against the evaluation of the same pixels, and against windows predicted one by one.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/base/rng.h"
#include "tests/worker/small_dataset.h"
#include "worker/dataset/geotiff.h"
#include "worker/evaluate.h"
#include "worker/predict.h"
#include "worker/score.h"
#include "worker/trainer.h"

enum { SIDE = 32, FRAMES = SMALL_STEPS * SMALL_BANDS };
static char folder[] = "/tmp/gridfold-predict-XXXXXX";
static char dataset_file[PATH_SIZE], layout_file[PATH_SIZE], best[2][PATH_SIZE];
static struct error err;

static const char *path_of(const char *name) {
    static char paths[64][PATH_SIZE]; // each name is kept: a caller may hold it for as long as it likes
    int i = 0;
    for (; i < 63 && *paths[i] && strcmp(strrchr(paths[i], '/') + 1, name) != 0; i++) {
    }
    char *path = paths[i];
    snprintf(path, PATH_SIZE, "%s/%s", folder, name);
    return path;
}

static void ok(enum status status) {
    if (status != STATUS_OK)
        fail_msg("%s", err.message);
}

static void ignore_epoch(void *context, const struct trial *trial, const struct epoch_metrics *m, bool replayed,
                         double seconds) {
    (void)context, (void)trial, (void)m, (void)replayed, (void)seconds;
}

static void train_one(int fold, char path[PATH_SIZE]) {
    struct trial t = {.hp = hyperparameters_default(),
                      .folds = 3,
                      .fold = fold,
                      .seed = 42,
                      .backend = "auto",
                      .threads = 1,
                      .checkpoint_seconds = 1e9};
    struct trial_result result;
    struct trainer_hooks hooks = {.epoch = ignore_epoch};
    trainer *worker = NULL;
    t.hp.optimizer = OPTIMIZER_ADAMW;
    t.hp.epochs = 2;
    t.hp.image_size = SIDE;
    t.hp.temporal_sampling = SAMPLING_ALL;
    t.hp.encoder_width = 4;
    t.hp.lstm_hidden_dim = 4;
    ok(hyper_set(&t.hp, HYPER_decoder_channels, "8,8,4,4,4", &err));
    trial_id(&t.hp, t.folds, t.fold, t.seed, t.id);
    snprintf(t.dataset, sizeof t.dataset, "%s", dataset_file);
    snprintf(t.folder, sizeof t.folder, "%s/fold%d", folder, fold);
    ok(trainer_create(&worker, &err));
    ok(trainer_run(worker, &t, &hooks, &result, &err));
    assert_int_equal(result.status, TRIAL_DONE);
    trainer_destroy(worker);
    snprintf(path, PATH_SIZE, "%.900s/best.safetensors", t.folder);
}

static int set_up(void **state) {
    (void)state;
    static const char layout[] = "[dataset]\nbands = blue, green, red, nir\nsteps = 2018, 2024\n";
    assert_non_null(mkdtemp(folder));
    snprintf(dataset_file, sizeof dataset_file, "%s/small.safetensors", folder);
    snprintf(layout_file, sizeof layout_file, "%s/dataset.ini", folder);
    small_dataset_write(dataset_file);
    ok(file_write(layout_file, layout, strlen(layout), &err));
    train_one(0, best[0]);
    train_one(1, best[1]);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    char command[PATH_SIZE];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static struct predict_config config_of(const char *const *checkpoints, int count, const char *in, const char *out) {
    return (struct predict_config){.checkpoints = checkpoints,
                                   .checkpoint_count = count,
                                   .input = in,
                                   .output = out,
                                   .threshold = 0.5,
                                   .dataset_ini = layout_file,
                                   .backend = "auto",
                                   .threads = 1,
                                   .batch_size = 3,
                                   .overlap = 50,
                                   .sampling = -1,
                                   .skip = -1,
                                   .image_size = -1};
}

static struct raster predict(const struct predict_config *config, struct predict_result *result) {
    struct raster r;
    ok(predict_raster(config, result, &err));
    ok(raster_read(config->output, &r, &err));
    return r;
}

// The held-out sample's centre crop as a GeoTIFF, and its logits and mask as the evaluation has them.
static struct evaluate_result evaluate_crop(const char *checkpoint, const char *tif) {
    struct evaluate_config config = {.checkpoint = checkpoint,
                                     .dataset = dataset_file,
                                     .split = SPLIT_TEST,
                                     .backend = "auto",
                                     .threads = 1,
                                     .batch_size = 1,
                                     .fold = -1,
                                     .folds = -1,
                                     .seed = -1,
                                     .sampling = -1,
                                     .skip = -1,
                                     .image_size = -1};
    struct evaluate_result r;
    dataset *ds;
    float crop[FRAMES * SIDE * SIDE];
    ok(evaluate_checkpoint(&config, &r, &err));
    ok(dataset_open(dataset_file, &ds, &err));
    const struct sample *s = dataset_sample(ds, r.sample[0]);
    int top = (s->height - SIDE) / 2, left = (s->width - SIDE) / 2;
    for (int f = 0; f < FRAMES; f++)
        for (int y = 0; y < SIDE; y++)
            memcpy(crop + (f * SIDE + y) * SIDE,
                   s->image + ((size_t)f * (size_t)s->height + (size_t)(top + y)) * (size_t)s->width + (size_t)left,
                   SIDE * sizeof *crop);
    dataset_close(ds);
    ok(raster_write(tif, FRAMES, SIDE, SIDE, crop, NULL, &err));
    return r;
}

static void one_window_is_the_evaluation(void **state) {
    (void)state;
    const char *checkpoints[2] = {best[0], best[1]}, *tif = path_of("crop.tif");
    struct evaluate_result a = evaluate_crop(best[0], tif), b = evaluate_crop(best[1], tif);
    struct predict_config config = config_of(checkpoints, 1, tif, path_of("one.tif"));
    struct predict_result result;
    config.logits = true;
    struct raster r = predict(&config, &result);
    assert_int_equal(result.windows, 1);
    for (int i = 0; i < SIDE * SIDE; i++)
        assert_true(fabs((double)r.data[i] - (double)a.logits[i]) < 1e-6 * (1 + fabs((double)a.logits[i])));
    raster_free(&r);
    // Two of them: the mean of the probabilities, and the mask and picture of it.
    config = config_of(checkpoints, 2, tif, path_of("two.tif"));
    config.mask = path_of("two-mask.tif");
    config.threshold = 0.45;
    config.picture = path_of("two.png");
    r = predict(&config, &result);
    struct raster mask;
    ok(raster_read(config.mask, &mask, &err));
    assert_true(file_exists(config.picture));
    bool both[2] = {false, false};
    for (int i = 0; i < SIDE * SIDE; i++) {
        double wanted = (probability_of_logit(a.logits[i]) + probability_of_logit(b.logits[i])) / 2;
        assert_true(fabs((double)r.data[i] - wanted) < 1e-6);
        if (fabs(wanted - 0.45) > 1e-6)
            assert_true(mask.data[i] == (wanted > 0.45 ? 1 : 0));
        both[wanted > 0.45] = true;
    }
    assert_true(both[0] || both[1]);
    raster_free(&r);
    raster_free(&mask);
    evaluate_result_free(&a);
    evaluate_result_free(&b);
}

// ---- large rasters ----

enum { HEIGHT = 119, WIDTH = 150 }; // no multiple of half a window

static float *draw_scene(void) {
    size_t pixels = (size_t)HEIGHT * WIDTH;
    float *scene = malloc(FRAMES * pixels * sizeof *scene);
    struct rng r = rng_stream(9, 0, RNG_TEST, 0, 0);
    for (size_t i = 0; i < FRAMES * pixels; i++) {
        size_t at = i % pixels, y = at / WIDTH, x = at % WIDTH;
        bool built = i / pixels >= SMALL_BANDS && y > 40 && y < 70 && x > 60 && x < 100;
        scene[i] = (float)(1000 + 200 * rng_normal(&r)) + (built ? 900.0f : 0.0f);
        if (rng_below(&r, 50) == 0 || (y < 40 && x < 45)) // single values, and a corner that has none
            scene[i] = NAN;
    }
    return scene;
}

static int starts_along(int length, int stride, int *start) {
    int count = 0;
    for (int at = 0; at + SIDE < length; at += stride)
        start[count++] = at;
    start[count++] = length - SIDE;
    return count;
}

// Every window as a raster of its own, from the last to the first, blended in floating point.
static double *blend_by_hand(const float *scene, int stride) {
    static float window[FRAMES * SIDE * SIDE];
    const char *checkpoints[1] = {best[0]};
    double *sum = calloc((size_t)HEIGHT * WIDTH, sizeof *sum), *weight = calloc((size_t)HEIGHT * WIDTH, sizeof *weight);
    int ys[32], xs[32], rows = starts_along(HEIGHT, stride, ys), columns = starts_along(WIDTH, stride, xs);
    for (int w = rows * columns - 1; w >= 0; w--) {
        int top = ys[w / columns], left = xs[w % columns];
        for (int f = 0; f < FRAMES; f++)
            for (int y = 0; y < SIDE; y++)
                memcpy(window + (f * SIDE + y) * SIDE, scene + ((size_t)f * HEIGHT + (size_t)(top + y)) * WIDTH + left,
                       SIDE * sizeof *window);
        struct predict_config config = config_of(checkpoints, 1, path_of("window.tif"), path_of("window-out.tif"));
        struct predict_result result;
        ok(raster_write(config.input, FRAMES, SIDE, SIDE, window, NULL, &err));
        struct raster r = predict(&config, &result);
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                double wy = fmin(y + 1, SIDE - y), wx = fmin(x + 1, SIDE - x);
                size_t at = (size_t)(top + y) * WIDTH + (size_t)(left + x);
                if (!isnan(r.data[y * SIDE + x])) {
                    sum[at] += wy * wx * (double)r.data[y * SIDE + x];
                    weight[at] += wy * wx;
                }
            }
        raster_free(&r);
    }
    for (size_t i = 0; i < (size_t)HEIGHT * WIDTH; i++)
        sum[i] /= weight[i]; // 0 / 0: never predicted
    free(weight);
    return sum;
}

static void many_windows(void **state) {
    (void)state;
    const char *checkpoints[1] = {best[0]}, *tif = path_of("scene.tif");
    float *scene = draw_scene();
    struct raster geo = {.projection = (char *)"", .geotransform = {500000, 10, 0, 6000000, 0, -10}};
    ok(raster_write(tif, FRAMES, HEIGHT, WIDTH, scene, &geo, &err));
    struct predict_config config = config_of(checkpoints, 1, tif, path_of("scene-out.tif"));
    struct predict_result result;
    config.mask = path_of("scene-mask.tif");
    struct raster r = predict(&config, &result), mask;
    ok(raster_read(config.mask, &mask, &err));
    int starts[16];
    assert_int_equal(result.windows, starts_along(HEIGHT, SIDE / 2, starts) * starts_along(WIDTH, SIDE / 2, starts));
    assert_int_equal(result.missing, 40 * 45);
    assert_memory_equal(r.geotransform, geo.geotransform, sizeof geo.geotransform);
    double *wanted = blend_by_hand(scene, SIDE / 2);
    for (size_t i = 0; i < (size_t)HEIGHT * WIDTH; i++) {
        bool missing = i / WIDTH < 40 && i % WIDTH < 45;
        assert_true(missing == (bool)isnan(r.data[i]));
        assert_true(missing == (bool)isnan(mask.data[i])); // its nodata value
        if (!missing && !(fabs((double)r.data[i] - wanted[i]) < 1e-5))
            fail_msg("pixel %zu: %.9g, not %.9g", i, (double)r.data[i], wanted[i]);
    }
    // However many windows go together: other kernels may round otherwise, and nothing else differs.
    static const int batches[] = {1, 2, 7, 100};
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        config.output = path_of("scene-again.tif");
        config.mask = NULL;
        config.batch_size = batches[b];
        struct raster again = predict(&config, &result);
        for (size_t i = 0; i < (size_t)HEIGHT * WIDTH; i++)
            assert_true(isnan(r.data[i]) || fabs((double)r.data[i] - (double)again.data[i]) < 1e-5);
        raster_free(&again);
    }
    free(wanted);
    free(scene);
    raster_free(&mask);
    raster_free(&r);
}

static void other_overlaps(void **state) {
    (void)state;
    static const struct { int percent, stride; } overlaps[] = {{0, 32}, {25, 24}, {75, 8}};
    const char *checkpoints[1] = {best[0]}, *tif = path_of("scene.tif");
    float *scene = draw_scene();
    ok(raster_write(tif, FRAMES, HEIGHT, WIDTH, scene, NULL, &err));
    for (size_t o = 0; o < sizeof overlaps / sizeof *overlaps; o++) {
        struct predict_config config = config_of(checkpoints, 1, tif, path_of("scene-out.tif"));
        struct predict_result result;
        int starts[32];
        config.overlap = overlaps[o].percent;
        struct raster r = predict(&config, &result);
        assert_int_equal(result.windows, starts_along(HEIGHT, overlaps[o].stride, starts) *
                                             starts_along(WIDTH, overlaps[o].stride, starts));
        double *wanted = blend_by_hand(scene, overlaps[o].stride);
        for (size_t i = 0; i < (size_t)HEIGHT * WIDTH; i++)
            if (!isnan(r.data[i]) && !(fabs((double)r.data[i] - wanted[i]) < 1e-5))
                fail_msg("%d %%, pixel %zu: %.9g, not %.9g", config.overlap, i, (double)r.data[i], wanted[i]);
        free(wanted);
        raster_free(&r);
    }
    free(scene);
}

static void refusals(void **state) {
    (void)state;
    const char *checkpoints[1] = {best[0]};
    static float small[FRAMES * 31 * 40];
    struct predict_result result;
    struct predict_config config = config_of(checkpoints, 1, path_of("small.tif"), path_of("none.tif"));
    ok(raster_write(config.input, FRAMES, 31, 40, small, NULL, &err));
    assert_int_equal(predict_raster(&config, &result, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "31 x 40 pixels; at least 32 x 32"));
    ok(raster_write(config.input, FRAMES - 1, 31, 40, small, NULL, &err));
    assert_int_equal(predict_raster(&config, &result, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "has 7 bands; 2 timesteps of 4 bands make 8"));
    ok(raster_write(config.input, FRAMES, 32, 32, small, NULL, &err));
    config.truth = path_of("truth.tif");
    config.picture = path_of("none.png");
    ok(raster_write(config.truth, 1, 31, 40, small, NULL, &err));
    assert_int_equal(predict_raster(&config, &result, &err), STATUS_MISMATCH);
    config.truth = path_of("nowhere.tif");
    assert_int_equal(predict_raster(&config, &result, &err), STATUS_NOT_FOUND);
    assert_false(file_exists(config.output));
    assert_false(file_exists(config.picture));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_window_is_the_evaluation),
        cmocka_unit_test(many_windows),
        cmocka_unit_test(other_overlaps),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
