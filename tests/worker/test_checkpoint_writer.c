// Checkpoints beside the training: written once the network has taken the step that leaves its state, and not before.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <time.h>
#include <unistd.h>

#include "tests/worker/small_dataset.h"
#include "worker/checkpoint_writer.h"

enum {
    EPOCHS = 4,
    BATCH = 2,
    SIDE = 32,
    FLOATS = BATCH * SMALL_STEPS * SMALL_BANDS * SIDE * SIDE,
    PIXELS = BATCH * SIDE * SIDE
};

static const struct lstm_unet_config narrow = {.batch = BATCH,
                                               .steps = SMALL_STEPS,
                                               .bands = SMALL_BANDS,
                                               .image_size = SIDE,
                                               .encoder_width = 2,
                                               .lstm_hidden = 3,
                                               .lstm_layers = 1,
                                               .decoder_channels = {6, 5, 4, 3, 2}};
static struct lstm_unet_config model; // of the test under way
static const struct optimizer_config adamw = {.kind = OPTIMIZER_ADAMW,
                                              .beta1 = 0.9f,
                                              .beta2 = 0.999f,
                                              .epsilon = 1e-8f,
                                              .weight_decay = 5e-4f,
                                              .clip_norm = 1,
                                              .focal = {0.25f, 2}};

struct fixture {
    char path[64];
    dataset *ds;
    backend *b;
    network *net;
    struct trial trial;
    struct normalization normalization;
    struct trial_folder folder;
    struct checkpoint_context context;
    struct epoch_metrics *history;
    struct training_state state;
    checkpoint_writer *writer;
    float image[FLOATS];
    uint8_t mask[PIXELS];
};

static void check(enum status status, const struct error *err) {
    if (status != STATUS_OK)
        fail_msg("%s", err->message);
}

static network *new_network(backend *b, uint64_t seed) {
    struct error err;
    network *net;
    check(network_create(b, &model, &net, &err), &err);
    check(network_initialize(net, seed, &err), &err);
    return net;
}

static void fill_trial(struct fixture *f) {
    f->history = calloc(EPOCHS, sizeof *f->history);
    assert_non_null(f->history);
    f->trial = (struct trial){.hp = hyperparameters_default(), .folds = 3, .fold = 1, .seed = 42, .backend = "auto"};
    f->trial.hp.optimizer = OPTIMIZER_ADAMW;
    trial_id(&f->trial.hp, f->trial.folds, f->trial.fold, f->trial.seed, f->trial.id);
    f->normalization.bands = SMALL_BANDS;
    for (int i = 0; i < SMALL_BANDS; i++)
        f->normalization.std[i] = 1;
    f->context = (struct checkpoint_context){&f->trial, &model, f->ds, &f->normalization, 2};
    f->state = (struct training_state){.epoch = 1, .step = 1, .history_count = 1, .history = f->history};
}

static int set_up_model(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    struct error err;
    char file[PATH_SIZE], trial[PATH_SIZE];
    strcpy(f->path, "/tmp/gridfold-writer-XXXXXX");
    assert_non_null(mkdtemp(f->path));
    snprintf(file, sizeof file, "%s/small.safetensors", f->path);
    snprintf(trial, sizeof trial, "%s/trial", f->path);
    small_dataset_write(file);
    check(dataset_open(file, &f->ds, &err), &err);
    check(backend_create("cpu", &(struct backend_config){.threads = 2}, &f->b, &err), &err);
    f->net = new_network(f->b, 1);
    fill_trial(f);
    check(trial_folder_claim(trial, &f->folder, &err), &err);
    check(checkpoint_writer_create(&f->folder, &f->context, f->net, &f->writer, &err), &err);
    for (int i = 0; i < FLOATS; i++)
        f->image[i] = (float)(i % 13) - 6;
    for (int i = 0; i < PIXELS; i++)
        f->mask[i] = i % SIDE < 10;
    *state = f;
    return 0;
}

static int set_up(void **state) {
    model = narrow;
    return set_up_model(state);
}

// Tensors of several megabytes, which are written in pieces.
static int set_up_wide(void **state) {
    model = narrow;
    model.encoder_width = 16;
    model.lstm_hidden = 72;
    return set_up_model(state);
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    char command[128];
    checkpoint_writer_destroy(f->writer);
    network_destroy(f->net);
    backend_destroy(f->b);
    dataset_close(f->ds);
    snprintf(command, sizeof command, "rm -r %s", f->path);
    free(f->history);
    free(f);
    return system(command);
}

static void step(struct fixture *f) {
    struct step_result result;
    struct error err;
    check(network_train_step(f->net, BATCH, f->image, f->mask, &adamw, 0.01, &result, &err), &err);
}

static void prepare(struct fixture *f) {
    struct error err;
    bool ready;
    const struct checkpoint_wants at_once = {true, true, true};
    check(checkpoint_writer_prepare(f->writer, &at_once, &ready, &err), &err);
    assert_true(ready);
}

// All tensors of an arena, one after the other. The caller frees it.
static float *read_all(const network *net, enum network_arena arena, size_t *floats) {
    *floats = 0;
    for (int i = 0; i < network_tensor_count(net); i++)
        *floats += network_tensor_at(net, i)->count;
    float *all = calloc(*floats + 1, sizeof *all), *next = all;
    assert_non_null(all);
    for (int i = 0; i < network_tensor_count(net); next += network_tensor_at(net, i++)->count)
        if (arena == ARENA_PARAM || !network_tensor_at(net, i)->buffer)
            network_read((network *)net, arena, i, next);
    return all;
}

struct saved {
    float *params, *moments;
    size_t floats;
};

static struct saved save(const network *net) {
    struct saved s;
    s.params = read_all(net, ARENA_PARAM, &s.floats);
    s.moments = read_all(net, ARENA_MOMENT2, &s.floats);
    return s;
}

static bool same(struct saved a, struct saved b) {
    size_t bytes = a.floats * sizeof(float);
    return a.floats == b.floats && memcmp(a.params, b.params, bytes) == 0 && memcmp(a.moments, b.moments, bytes) == 0;
}

static void saved_free(struct saved s) {
    free(s.params);
    free(s.moments);
}

// What a resume takes from last.safetensors.
static void assert_resumes_as(struct fixture *f, struct saved expected) {
    struct training_state state = {.history = calloc(EPOCHS, sizeof *state.history)};
    struct error err;
    network *net = new_network(f->b, 7);
    f->trial.hp.epochs = EPOCHS;
    check(checkpoint_resume(f->folder.last, &f->trial, net, &state, &err), &err);
    struct saved found = save(net);
    assert_true(same(found, expected));
    assert_int_equal(state.epoch, 1);
    assert_int_equal(state.step, 1);
    saved_free(found);
    free(state.history);
    network_destroy(net);
}

static bool is_there(const char *path) {
    return access(path, F_OK) == 0;
}

static void nothing_is_written_before_the_step_that_leaves_the_state(void **state) {
    struct fixture *f = *state;
    struct error err;
    step(f);
    check(network_snapshot(f->net, &err), &err);
    prepare(f);
    struct saved before = save(f->net);
    check(checkpoint_writer_start(f->writer, &f->state, true, &err), &err);
    for (int i = 0; i < 20; i++) { // it would take some milliseconds
        check(checkpoint_writer_check(f->writer, &err), &err);
        nanosleep(&(struct timespec){0, 10000000}, NULL);
    }
    assert_false(is_there(f->folder.best));
    assert_false(is_there(f->folder.last));
    step(f);
    struct saved after = save(f->net);
    assert_false(same(before, after));
    check(checkpoint_writer_check(f->writer, &err), &err);
    check(checkpoint_writer_drain(f->writer, &err), &err);
    assert_true(is_there(f->folder.best));
    assert_resumes_as(f, before);
    saved_free(before);
    saved_free(after);
}

static void large_tensors_are_written_whole(void **state) {
    struct fixture *f = *state;
    struct error err;
    int cut = 0;
    for (int i = 0; i < network_tensor_count(f->net); i++)
        cut += network_piece_rows(f->net, i) < network_tensor_at(f->net, i)->shape[0];
    assert_true(cut > 0);
    step(f);
    prepare(f);
    struct saved before = save(f->net);
    check(checkpoint_writer_start(f->writer, &f->state, false, &err), &err);
    step(f);
    check(checkpoint_writer_check(f->writer, &err), &err);
    check(checkpoint_writer_drain(f->writer, &err), &err);
    assert_resumes_as(f, before);
    saved_free(before);
}

static void without_a_step_it_is_written_when_all_must_be_on_disk(void **state) {
    struct fixture *f = *state;
    struct error err;
    step(f);
    prepare(f);
    struct saved before = save(f->net);
    check(checkpoint_writer_start(f->writer, &f->state, false, &err), &err);
    check(checkpoint_writer_drain(f->writer, &err), &err);
    assert_resumes_as(f, before);
    step(f); // in place again
    bool ready;
    const struct checkpoint_wants memory = {true, false, false};
    check(checkpoint_writer_prepare(f->writer, &memory, &ready, &err), &err);
    assert_true(ready); // the memory was kept
    saved_free(before);
    before = save(f->net);
    check(checkpoint_writer_start(f->writer, &f->state, false, &err), &err);
    step(f);
    check(checkpoint_writer_drain(f->writer, &err), &err);
    assert_resumes_as(f, before);
    saved_free(before);
}

static void a_writer_ends_with_memory_made_or_a_state_kept(void **state) {
    struct fixture *f = *state;
    struct error err;
    prepare(f);
    check(checkpoint_writer_drain(f->writer, &err), &err);
    assert_false(is_there(f->folder.last));
    step(f);
    prepare(f);
    check(checkpoint_writer_start(f->writer, &f->state, false, &err), &err);
    checkpoint_writer_destroy(f->writer);
    f->writer = NULL;
    assert_true(is_there(f->folder.last));
}

static void memory_is_made_ahead(void **state) {
    (void)state;
    const struct {
        double since, every;
        struct checkpoint_wants wants;
    } cases[] = {
        {0, 0, {true, true, true}},        {0, 60, {false, false, false}},   {29.9, 60, {false, false, false}},
        {30, 60, {true, false, false}},    {59.9, 60, {true, false, false}}, {60, 60, {true, true, false}},
        {119, 60, {true, true, false}},    {1e3, 60, {true, true, false}},   {539, 600, {false, false, false}},
        {540, 600, {true, false, false}},  {600, 600, {true, true, false}},  {1200, 600, {true, true, false}},
        {1e6, 1e9, {false, false, false}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct checkpoint_wants w = checkpoint_wants(cases[i].since, cases[i].every), e = cases[i].wants;
        if (w.memory != e.memory || w.start != e.start || w.wait != e.wait)
            fail_msg("%g s of %g s: memory %d, start %d, wait %d", cases[i].since, cases[i].every, w.memory, w.start,
                     w.wait);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_written_before_the_step_that_leaves_the_state, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_step_it_is_written_when_all_must_be_on_disk, set_up, tear_down),
        cmocka_unit_test_setup_teardown(large_tensors_are_written_whole, set_up_wide, tear_down),
        cmocka_unit_test_setup_teardown(a_writer_ends_with_memory_made_or_a_state_kept, set_up, tear_down),
        cmocka_unit_test(memory_is_made_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
