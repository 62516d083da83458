// Recorded steps on the CUDA backend, over the stand-ins: the batches are the loader's to the byte, a stretch of steps
// is the steps that the host leads, to the bit; nothing allocates or waits in between; failures of the device come back
// as what they are. The order in which threads and blocks run changes nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "tests/cuda/small_steps.h"
#include "tests/cuda/standin/standin.h"
#include "tests/worker/small_dataset.h"
#include "worker/dataset/loader.h"

enum { BATCH = 3, SIZE = 32, PIXELS = SIZE * SIZE, FLOATS = SMALL_STEPS * SMALL_BANDS * PIXELS, EPOCHS = 3 };

static char path[] = "/tmp/gridfold-resident-XXXXXX";

struct fixture {
    dataset *ds;
    loader *l;
    backend *b;
    network *led, *held;             // the same parameters
    int batch, place[SMALL_SAMPLES]; // of each sample among those that are held
    struct sample_cut cuts[SMALL_SAMPLES];
    struct step_result results[SMALL_SAMPLES];
    float image[BATCH * FLOATS];
    uint8_t mask[BATCH * PIXELS];
};

static network *make_network(backend *b) {
    const struct lstm_unet_config config = {.batch = BATCH,
                                            .steps = SMALL_STEPS,
                                            .bands = SMALL_BANDS,
                                            .image_size = SIZE,
                                            .encoder_width = 2,
                                            .lstm_hidden = 3,
                                            .lstm_layers = 2,
                                            .decoder_channels = {6, 5, 4, 3, 2}};
    return new_network(b, &config, 1);
}

static struct resident_sample *samples_of(const loader *l) {
    struct resident_sample *samples = calloc(SMALL_SAMPLES, sizeof *samples);
    assert_non_null(samples);
    for (int i = 0; i < SMALL_SAMPLES; i++) {
        struct loaded_sample s = loader_sample(l, i);
        samples[i] = (struct resident_sample){s.image, s.mask, s.height, s.width};
    }
    return samples;
}

static struct resident_config resident_of(const struct resident_sample *samples) {
    return (struct resident_config){.steps = SMALL_STEPS,
                                    .bands = SMALL_BANDS,
                                    .image_size = SIZE,
                                    .batch = BATCH,
                                    .samples = SMALL_SAMPLES,
                                    .sample = samples};
}

static enum status hold(struct fixture *f, struct error *err) {
    struct resident_sample *all = samples_of(f->l), samples[SMALL_SAMPLES];
    for (int i = 0; i < SMALL_SAMPLES; i++)
        samples[f->place[i]] = all[i];
    free(all);
    struct resident_config config = resident_of(samples);
    return network_hold_samples(f->held, &config, err);
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct error err;
    assert_non_null(f);
    small_dataset_write(path);
    check(dataset_open(path, &f->ds, &err), &err);
    struct loader_config config = {.sampling = SAMPLING_ALL,
                                   .image_size = SIZE,
                                   .folds = 3,
                                   .fold = 1,
                                   .seed = 5,
                                   .augment = true,
                                   .shuffle = true};
    check(loader_create(f->ds, &config, &f->l, &err), &err);
    check(backend_create("cuda", &(struct backend_config){.threads = 1}, &f->b, &err), &err);
    f->led = make_network(f->b);
    f->held = make_network(f->b);
    f->batch = BATCH;
    for (int i = 0; i < SMALL_SAMPLES; i++)
        f->place[i] = i;
    check(hold(f, &err), &err);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    network_destroy(f->led);
    network_destroy(f->held);
    assert_int_equal(standin_graphs_alive(), 0);
    backend_destroy(f->b);
    loader_destroy(f->l);
    dataset_close(f->ds);
    free(f);
    standin_fail_launch(0);
    standin_set_devices(1);
    standin_set_memory((size_t)1 << 30);
    standin_set_reverse(false);
    return 0;
}

static void assert_same_arena(network *a, network *b, enum network_arena arena) {
    for (int i = 0; i < network_tensor_count(a); i++) {
        const struct network_tensor *t = network_tensor_at(a, i);
        float *x = calloc(t->count, sizeof *x), *y = calloc(t->count, sizeof *y);
        assert_true(x && y);
        if (!t->buffer || arena == ARENA_PARAM) {
            network_read(a, arena, i, x);
            network_read(b, arena, i, y);
        }
        if (memcmp(x, y, t->count * sizeof *x) != 0)
            fail_msg("%s differs in arena %d", t->key, (int)arena);
        free(x);
        free(y);
    }
}

static void assert_same_state(network *a, network *b) {
    for (int arena = ARENA_PARAM; arena <= ARENA_MOMENT2; arena++)
        assert_same_arena(a, b, (enum network_arena)arena);
}

static void assert_same_result(const struct step_result *a, const struct step_result *b) {
    assert_true(a->sums.loss == b->sums.loss && a->grad_norm == b->grad_norm);
    assert_true(a->sums.tp == b->sums.tp && a->sums.fp == b->sums.fp);
    assert_true(a->sums.fn == b->sums.fn && a->sums.tn == b->sums.tn);
}

// One epoch led by the host, in batches of f->batch; the results of its steps.
static int lead_epoch(struct fixture *f, int epoch, const struct optimizer_config *config, double lr,
                      struct step_result *results, enum status *status, struct error *err) {
    int count = loader_count(f->l, SPLIT_TRAIN), step = 0;
    *status = STATUS_OK;
    for (int first = 0; first < count && *status == STATUS_OK; first += f->batch) {
        int n = count - first < f->batch ? count - first : f->batch;
        loader_train_batch(f->l, epoch, first, n, f->image, f->mask);
        *status = network_train_step(f->led, n, f->image, f->mask, config, lr, &results[step], err);
        step += *status == STATUS_OK;
    }
    return step;
}

static int hold_epoch(struct fixture *f, int epoch, const struct optimizer_config *config, double lr,
                      enum status *status, struct error *err) {
    int count = loader_count(f->l, SPLIT_TRAIN), done;
    loader_train_cuts(f->l, epoch, 0, count, f->cuts);
    for (int i = 0; i < count; i++)
        f->cuts[i].sample = f->place[f->cuts[i].sample];
    struct network_stretch stretch = {f->cuts, count, f->batch, f->results, NULL, NULL};
    *status = network_train_stretch(f->held, &stretch, config, lr, &done, err);
    return done;
}

static void same_epoch(struct fixture *f, int epoch, const struct optimizer_config *config, double lr) {
    struct step_result led[SMALL_SAMPLES];
    struct error err;
    enum status status;
    int steps = lead_epoch(f, epoch, config, lr, led, &status, &err);
    check(status, &err);
    assert_int_equal(steps, (4 + f->batch - 1) / f->batch); // four samples, the last batch may be a short one
    assert_int_equal(hold_epoch(f, epoch, config, lr, &status, &err), steps);
    check(status, &err);
    for (int i = 0; i < steps; i++)
        assert_same_result(&led[i], &f->results[i]);
    assert_int_equal(network_steps_taken(f->led), network_steps_taken(f->held));
}

static void same_epochs(struct fixture *f, const struct optimizer_config *config) {
    for (int epoch = 0; epoch < EPOCHS; epoch++)
        same_epoch(f, epoch, config, 0.01 / (epoch + 1)); // a recorded step takes it from device memory
    assert_same_state(f->led, f->held);
}

static enum status evaluate(struct fixture *f, enum split split, const struct focal_loss_config *focal,
                            struct error *err) {
    int count = loader_count(f->l, split);
    loader_eval_cuts(f->l, split, 0, count, f->cuts);
    struct network_stretch stretch = {f->cuts, count, BATCH, f->results, NULL, NULL};
    return network_evaluate_stretch(f->held, &stretch, focal, err);
}

static void same_evaluation(struct fixture *f, enum split split, const struct focal_loss_config *focal) {
    struct error err;
    int count = loader_count(f->l, split);
    check(evaluate(f, split, focal, &err), &err);
    for (int first = 0, step = 0; first < count; first += BATCH, step++) {
        struct step_result led = {.grad_norm = 0};
        int n = count - first < BATCH ? count - first : BATCH;
        loader_eval_batch(f->l, split, first, n, f->image, f->mask);
        check(network_evaluate(f->led, n, f->image, f->mask, focal, NULL, &led.sums, &err), &err);
        assert_same_result(&led, &f->results[step]);
    }
}

static void adamw_steps_are_those_that_the_host_leads(void **state) {
    same_epochs(*state, &adamw);
}

static void sgd_steps_are_those_that_the_host_leads(void **state) {
    same_epochs(*state, &sgd);
}

// What a recording knows by heart is recorded anew when it has changed: one setting at a time, and back again.
static void a_change_of_the_optimizer_is_followed(void **state) {
    struct fixture *f = *state;
    struct optimizer_config changed[10];
    int count = 0, epoch = 0;
    for (int i = 0; i < 10; i++)
        changed[i] = i < 8 ? adamw : sgd;
    changed[count++].beta1 = 0.5f;
    changed[count++].beta2 = 0.9f;
    changed[count++].epsilon = 0.1f;
    changed[count++].weight_decay = 0.5f;
    changed[count++].clip_norm = 1e-3f;
    changed[count++].focal.alpha = 0.75f;
    changed[count++].focal.gamma = 0;
    changed[count++].kind = OPTIMIZER_SGD; // with AdamW's other settings
    changed[count++].momentum = 0.1f;
    changed[count++].weight_decay = 0.5f;
    for (int i = 0; i < count; i++) {
        same_epoch(f, epoch++, i < 8 ? &adamw : &sgd, 0.01);
        same_epoch(f, epoch++, &changed[i], 0.01);
        for (int arena = ARENA_PARAM; arena <= ARENA_MOMENT2; arena++)
            assert_same_arena(f->led, f->held, (enum network_arena)arena);
    }
}

// What has run once is recorded anew without being run by itself.
static void only_the_first_step_is_run_by_itself(void **state) {
    struct fixture *f = *state;
    struct optimizer_config changed = adamw;
    struct error err;
    enum status status;
    changed.beta1 = 0.5f;
    long launches[3] = {standin_counts_now().launches};
    for (int epoch = 0; epoch < 2; epoch++) {
        hold_epoch(f, epoch, epoch == 0 ? &adamw : &changed, 0.01, &status, &err);
        check(status, &err);
        launches[epoch + 1] = standin_counts_now().launches;
    }
    assert_int_equal(launches[1] - launches[0], 2 * (launches[2] - launches[1])); // run, recorded; recorded
    assert_null(network_unrecorded(f->held));
}

// A step that could not be recorded anew is not replayed as it was before.
static void a_failed_recording_leaves_none(void **state) {
    struct fixture *f = *state;
    struct error err;
    same_evaluation(f, SPLIT_VAL, &adamw.focal);
    const struct focal_loss_config changed = {0.5f, 1};
    standin_fail_capture();
    assert_int_equal(evaluate(f, SPLIT_VAL, &changed, &err), STATUS_INTERNAL);
    assert_non_null(strstr(err.message, "recording a step"));
    assert_null(network_unrecorded(f->held));
    same_evaluation(f, SPLIT_VAL, &changed);
}

// What a library does that cannot be recorded is done at every step anew: the same results, and a word for it.
static void what_cannot_be_recorded_is_run(void **state) {
    struct fixture *f = *state;
    standin_set_uncapturable(true);
    struct standin_counts before = standin_counts_now();
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        same_epoch(f, epoch, epoch < 2 ? &adamw : &sgd, 0.01);
        same_evaluation(f, SPLIT_VAL, &adamw.focal);
    }
    assert_same_state(f->led, f->held);
    assert_int_equal(standin_counts_now().graph_launches, before.graph_launches);
    assert_int_equal(standin_counts_now().captures, before.captures + 3); // whole and short batches, and the evaluation
    assert_non_null(network_unrecorded(f->held));
    assert_non_null(strstr(network_unrecorded(f->held), "CUDNN_STATUS_EXECUTION_FAILED"));
    standin_set_uncapturable(false);
}

static void too_long_a_stretch_is_refused(void **state) {
    struct fixture *f = *state;
    struct sample_cut cuts[SMALL_SAMPLES + 1] = {{0}};
    struct step_result results[SMALL_SAMPLES + 1];
    struct network_stretch stretch = {cuts, SMALL_SAMPLES + 1, BATCH, results, NULL, NULL};
    struct error err;
    int done;
    assert_int_equal(network_train_stretch(f->held, &stretch, &adamw, 0.01, &done, &err), STATUS_INVALID);
    assert_string_equal(err.message, "a stretch of 8 samples; at most 7");
    assert_int_equal(done, 0);
}

// Other samples, or the same ones elsewhere: the recordings of before know where the old ones lay.
static void other_samples_are_followed(void **state) {
    struct fixture *f = *state;
    struct error err;
    same_epoch(f, 0, &adamw, 0.01);
    for (int i = 0; i < SMALL_SAMPLES; i++)
        f->place[i] = SMALL_SAMPLES - 1 - i;
    check(hold(f, &err), &err);
    same_epoch(f, 1, &adamw, 0.01);
    assert_same_state(f->led, f->held);
}

// A batch that needs more memory moves what the smaller ones' recordings work in.
static void a_larger_batch_is_followed(void **state) {
    static const int batches[] = {1, 2, 1, 3, 2, 3, 1};
    struct fixture *f = *state;
    for (int i = 0; i < 7; i++) {
        f->batch = batches[i];
        same_epoch(f, i, &adamw, 0.01);
        assert_same_state(f->led, f->held);
    }
}

static void evaluation_is_that_which_the_host_leads(void **state) {
    for (int split = 0; split < SPLIT_COUNT; split++)
        for (int time = 0; time < 3; time++) // run, and replayed
            same_evaluation(*state, (enum split)split, &adamw.focal);
}

// From the second epoch on: one graph launch a step, one wait an epoch, no memory, no kernel launched by itself.
static void an_epoch_neither_allocates_nor_waits(void **state) {
    struct fixture *f = *state;
    struct error err;
    enum status status;
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        struct standin_counts before = standin_counts_now();
        hold_epoch(f, epoch, &adamw, 0.01, &status, &err);
        check(status, &err);
        check(evaluate(f, SPLIT_VAL, &adamw.focal, &err), &err);
        struct standin_counts after = standin_counts_now();
        if (epoch == 0) {
            assert_true(after.launches > before.launches); // run and recorded
            continue;
        }
        assert_int_equal(after.launches - before.launches, 0);
        assert_int_equal(after.allocations - before.allocations, 0);
        assert_int_equal(after.waits - before.waits, 2);
        assert_int_equal(after.graph_launches - before.graph_launches, 3);
    }
}

// Every flip and turn, from every corner of the tile, frame by frame.
static void cuts_are_the_loaders(void **state) {
    struct fixture *f = *state;
    const struct resident_ops *ops = f->b->ops->resident;
    struct resident_sample *samples = samples_of(f->l);
    struct resident_config config = resident_of(samples);
    const struct shape shape = {SMALL_STEPS * BATCH, SMALL_BANDS, SIZE, SIZE};
    struct error err;
    resident *r;
    void *value;
    bool turned = false, flipped = false;
    float *frames = malloc(BATCH * FLOATS * sizeof *frames);
    check(ops->create(f->b, &config, &r, &err), &err);
    check(f->b->ops->alloc(f->b, f->b->ops->activation_floats(f->b, shape) * sizeof(float), &value, &err), &err);
    for (int epoch = 0; epoch < 40; epoch++) {
        loader_train_cuts(f->l, epoch, 0, BATCH, f->cuts);
        loader_train_batch(f->l, epoch, 0, BATCH, f->image, f->mask);
        check(ops->begin(f->b, r, f->cuts, BATCH, 0, 0, &err), &err);
        check(ops->cut(f->b, r, &(struct resident_batch){BATCH, 0, BATCH}, value, &err), &err);
        f->b->ops->activation_export(f->b, shape, value, frames);
        for (int b = 0; b < BATCH; b++) {
            turned |= f->cuts[b].quarter_turns == 3;
            flipped |= f->cuts[b].flip_horizontal && f->cuts[b].flip_vertical;
            for (int t = 0; t < SMALL_STEPS; t++)
                assert_memory_equal(frames + (t * BATCH + b) * SMALL_BANDS * PIXELS,
                                    f->image + (b * SMALL_STEPS + t) * SMALL_BANDS * PIXELS,
                                    SMALL_BANDS * PIXELS * sizeof(float));
        }
    }
    assert_true(turned && flipped);
    f->b->ops->release(f->b, value);
    ops->destroy(f->b, r);
    free(frames);
    free(samples);
}

static void divergence_stops_where_it_stops_the_host(void **state) {
    struct fixture *f = *state;
    struct step_result led[SMALL_SAMPLES];
    struct error err, held_err;
    enum status status = STATUS_OK, held_status = STATUS_OK;
    struct optimizer_config wild = sgd;
    wild.momentum = 0;
    for (int epoch = 0; status == STATUS_OK && epoch < 40; epoch++) {
        int steps = lead_epoch(f, epoch, &wild, 1e18, led, &status, &err);
        assert_int_equal(hold_epoch(f, epoch, &wild, 1e18, &held_status, &held_err), steps);
        assert_int_equal(held_status, status);
    }
    assert_int_equal(status, STATUS_DIVERGED);
    assert_string_equal(held_err.message, err.message);
    assert_int_equal(network_steps_taken(f->led), network_steps_taken(f->held));
}

static void threads_in_reverse_make_no_difference(void **state) {
    struct fixture *f = *state;
    struct step_result led[SMALL_SAMPLES];
    struct error err;
    enum status status;
    for (int epoch = 0; epoch < EPOCHS; epoch++) {
        standin_set_reverse(false);
        int steps = lead_epoch(f, epoch, &adamw, 0.01, led, &status, &err);
        check(status, &err);
        standin_set_reverse(true);
        assert_int_equal(hold_epoch(f, epoch, &adamw, 0.01, &status, &err), steps);
        check(status, &err);
    }
    assert_same_state(f->led, f->held);
}

static void too_little_memory_is_said(void **state) {
    struct fixture *f = *state;
    struct error err;
    enum status status;
    standin_set_memory(1 << 16);
    hold_epoch(f, 0, &adamw, 0.01, &status, &err);
    assert_int_equal(status, STATUS_MEMORY);
    assert_non_null(strstr(err.message, "out of memory on CUDA device 0"));
    assert_int_equal(hold(f, &err), STATUS_MEMORY);
    standin_set_memory((size_t)1 << 30); // and is over when there is enough again
    check(hold(f, &err), &err);
    hold_epoch(f, 0, &adamw, 0.01, &status, &err);
    check(status, &err);
}

static void a_failed_launch_is_said(void **state) {
    struct fixture *f = *state;
    struct error err;
    enum status status;
    standin_fail_launch(20);
    hold_epoch(f, 0, &adamw, 0.01, &status, &err);
    assert_int_equal(status, STATUS_INTERNAL);
    assert_non_null(strstr(err.message, "an illegal memory access was encountered (cudaErrorIllegalAddress)"));
}

static void a_failed_optimizer_step_is_said(void **state) {
    struct fixture *f = *state;
    struct step_result results[SMALL_SAMPLES];
    struct error err;
    enum status status;
    lead_epoch(f, 0, &adamw, 0.01, results, &status, &err);
    check(status, &err);
    struct standin_counts before = standin_counts_now();
    lead_epoch(f, 1, &adamw, 0.01, results, &status, &err);
    check(status, &err);
    standin_fail_launch((int)(standin_counts_now().launches - before.launches)); // AdamW's of the last step
    assert_int_equal(lead_epoch(f, 2, &adamw, 0.01, results, &status, &err), 1);
    assert_int_equal(status, STATUS_INTERNAL);
    assert_non_null(strstr(err.message, "AdamW step"));
}

static void without_a_device(void **state) {
    (void)state;
    struct error err;
    backend *b;
    standin_set_devices(0);
    assert_int_equal(backend_create("cuda", &(struct backend_config){.threads = 1}, &b, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.message, "no CUDA device"));
    check(backend_create("auto", &(struct backend_config){.threads = 1}, &b, &err), &err);
    assert_string_equal(b->ops->name, "reference");
    backend_destroy(b);
    standin_set_devices(1);
    struct backend_config config = {.threads = 1, .device = 1};
    assert_int_equal(backend_create("cuda", &config, &b, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "there is no device 1"));
}

#define RESIDENT_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        RESIDENT_TEST(adamw_steps_are_those_that_the_host_leads),
        RESIDENT_TEST(sgd_steps_are_those_that_the_host_leads),
        RESIDENT_TEST(a_change_of_the_optimizer_is_followed),
        RESIDENT_TEST(only_the_first_step_is_run_by_itself),
        RESIDENT_TEST(a_failed_recording_leaves_none),
        RESIDENT_TEST(what_cannot_be_recorded_is_run),
        RESIDENT_TEST(too_long_a_stretch_is_refused),
        RESIDENT_TEST(other_samples_are_followed),
        RESIDENT_TEST(a_larger_batch_is_followed),
        RESIDENT_TEST(evaluation_is_that_which_the_host_leads),
        RESIDENT_TEST(an_epoch_neither_allocates_nor_waits),
        RESIDENT_TEST(cuts_are_the_loaders),
        RESIDENT_TEST(divergence_stops_where_it_stops_the_host),
        RESIDENT_TEST(threads_in_reverse_make_no_difference),
        RESIDENT_TEST(too_little_memory_is_said),
        RESIDENT_TEST(a_failed_launch_is_said),
        RESIDENT_TEST(a_failed_optimizer_step_is_said),
        cmocka_unit_test(without_a_device),
    };
    int file = mkstemp(path);
    if (file < 0)
        return 1;
    close(file);
    int failures = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failures;
}
