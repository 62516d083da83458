// What `plan` says that a trial takes of a GPU's memory, beside what the CUDA backend asks CUDA's stand-in for: whole
// trials, with every allocation of theirs. Bound: 1 %. cuDNN's
// workspace (the stand-in's engines want next to none) and the context are left out on both sides.
// The full-size model is made and not run.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "model/device_memory.h"
#include "model/network_private.h"
#include "tests/cuda/standin/standin.h"
#include "tests/worker/small_dataset.h"
#include "worker/dataset/dataset.h"
#include "worker/trainer.h"
#include "worker/trial_model.h"

static char folder[] = "/tmp/gridfold-memory-XXXXXX";
static char dataset_file[PATH_SIZE];

static const struct device_samples small_samples = {.count = SMALL_SAMPLES,
                                                    .pixels = (size_t)SMALL_SAMPLES * SMALL_HEIGHT * SMALL_WIDTH};

static const char *const precisions[] = {"fp32", "tf32", "bf16"};

static int set_up(void **state) {
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(dataset_file, sizeof dataset_file, "%s/small.safetensors", folder);
    small_dataset_write(dataset_file);
    return 0;
}

static int tear_down(void **state) {
    char command[PATH_SIZE];
    (void)state;
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static size_t predict(const struct lstm_unet_config *config, enum optimizer_kind optimizer, enum precision precision,
                      const struct device_samples *samples) {
    struct device_memory m;
    struct error err;
    if (device_memory_estimate(config, optimizer, precision, samples, &m, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return m.arenas + m.activations + m.samples;
}

static void expect_close(const char *what, size_t predicted, size_t taken) {
    double ratio = (double)predicted / (double)taken;
    print_message("%s: %.3f MiB taken, %.3f said (%+.2f %%)\n", what, (double)taken / (1 << 20),
                  (double)predicted / (1 << 20), 100 * (ratio - 1));
    if (!(ratio > 0.99 && ratio < 1.01))
        fail_msg("%s: %zu bytes taken, %zu said", what, taken, predicted);
}

// ---- whole trials ----

struct variant {
    int hidden, width, batch, epochs;
    enum optimizer_kind optimizer;
    enum precision precision;
    enum temporal_sampling sampling; // two steps or, of the same dataset, as many
    int layers;
    bool nearest;
};

static void ignore_epoch(void *context, const struct trial *trial, const struct epoch_metrics *m, bool replayed,
                         double seconds) {
    (void)context, (void)trial, (void)m, (void)replayed, (void)seconds;
}

static bool go_on(void *context) {
    (void)context;
    return false;
}

static void no_sign(void *context) {
    (void)context;
}

static struct trial trial_of(const struct variant *v, int number) {
    struct trial t = {.hp = hyperparameters_default(),
                      .folds = 3,
                      .fold = 1,
                      .seed = 42,
                      .members = 1,
                      .backend = "cuda",
                      .threads = 1,
                      .checkpoint_seconds = 1e9};
    struct error err;
    t.hp.optimizer = v->optimizer;
    t.hp.precision = v->precision;
    t.hp.epochs = v->epochs;
    t.hp.batch_size = v->batch;
    t.hp.image_size = 32;
    t.hp.temporal_sampling = v->sampling;
    t.hp.encoder_width = v->width;
    t.hp.lstm_hidden_dim = v->hidden;
    t.hp.lstm_layers = v->layers;
    t.hp.decoder_upsample = v->nearest ? UPSAMPLE_NEAREST : UPSAMPLE_TRANSPOSED;
    assert_int_equal(hyper_set(&t.hp, HYPER_decoder_channels, "12,8,4,4,4", &err), STATUS_OK);
    trial_id(&t.hp, t.folds, t.fold, t.seed, t.id);
    snprintf(t.dataset, sizeof t.dataset, "%s", dataset_file);
    snprintf(t.folder, sizeof t.folder, "%s/%d", folder, number);
    return t;
}

static size_t train(const struct trial *trial) {
    struct trainer_hooks hooks = {NULL, ignore_epoch, go_on, no_sign};
    struct trial_result result;
    struct error err;
    trainer *t;
    (void)standin_peak_memory();
    assert_int_equal(trainer_create(&t, &err), STATUS_OK);
    if (trainer_run(t, trial, &hooks, &result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_int_equal(result.status, TRIAL_DONE);
    trainer_destroy(t);
    return standin_peak_memory();
}

static void trials_take_what_plan_says(void **state) {
    (void)state;
    static const struct variant variants[] = {
        {8, 8, 3, 1, OPTIMIZER_ADAMW, PRECISION_FP32, SAMPLING_ALL, 1, false},
        {48, 8, 3, 1, OPTIMIZER_SGD, PRECISION_FP32, SAMPLING_ALL, 2, true},
        {20, 8, 1, 1, OPTIMIZER_ADAMW, PRECISION_TF32, SAMPLING_ALL, 2, false},
        {24, 16, 4, 1, OPTIMIZER_ADAMW, PRECISION_BF16, SAMPLING_BI_TEMPORAL, 2, false},
        {64, 4, 2, 1, OPTIMIZER_SGD, PRECISION_BF16, SAMPLING_ALL, 1, true},
    };
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        const struct variant *v = &variants[i];
        struct trial t = trial_of(v, (int)i);
        struct lstm_unet_config config = trial_model(&t.hp, SMALL_STEPS, SMALL_BANDS);
        char what[128];
        snprintf(what, sizeof what, "hidden %d, width %d, batch %d, %s, %s", v->hidden, v->width, v->batch,
                 precisions[v->precision], v->optimizer == OPTIMIZER_SGD ? "SGD" : "AdamW");
        expect_close(what, predict(&config, v->optimizer, v->precision, &small_samples), train(&t));
    }
}

// ---- full size ----

// Everything that training allocates, but the samples: the programs of a whole and of a short batch are compiled, and
// nothing is run.
static size_t make(const struct lstm_unet_config *config, enum optimizer_kind optimizer, enum precision precision) {
    struct backend_config b_config = {.threads = 1, .precision = precision};
    struct compiled *c;
    struct error err;
    backend *b = NULL;
    network *net = NULL;
    standin_set_memory((size_t)1 << 40);
    standin_set_hollow(true);
    (void)standin_peak_memory();
    enum status status = backend_create("cuda", &b_config, &b, &err);
    if (status == STATUS_OK)
        status = network_create(b, config, &net, &err);
    for (int arena = ARENA_GRAD; arena <= ARENA_MOMENT2 && status == STATUS_OK; arena++)
        if (arena != ARENA_MOMENT2 || optimizer == OPTIMIZER_ADAMW)
            status = network_ensure_arena(net, (enum network_arena)arena, &err);
    for (int batch = config->batch; batch > 0 && status == STATUS_OK; batch -= config->batch - 1) {
        status = network_find_program(net, (struct resident_batch){batch, 0, batch}, true, &c, &err);
        if (status == STATUS_OK)
            status = network_find_program(net, (struct resident_batch){batch, 0, batch}, false, &c, &err);
    }
    if (status == STATUS_OK)
        status = network_snapshot(net, &err);
    if (status != STATUS_OK)
        fail_msg("%s", err.message);
    network_destroy(net);
    backend_destroy(b);
    standin_set_hollow(false);
    return standin_peak_memory();
}

static void full_size_models_take_what_plan_says(void **state) {
    (void)state;
    static const struct {
        int hidden, batch, steps;
        enum optimizer_kind optimizer;
        enum precision precision;
        enum decoder_upsample upsample;
    } models[] = {
        {256, 4, 7, OPTIMIZER_ADAMW, PRECISION_BF16, UPSAMPLE_TRANSPOSED},
        {256, 4, 7, OPTIMIZER_ADAMW, PRECISION_FP32, UPSAMPLE_TRANSPOSED},
        {256, 4, 2, OPTIMIZER_SGD, PRECISION_TF32, UPSAMPLE_NEAREST},
        {256, 16, 7, OPTIMIZER_SGD, PRECISION_BF16, UPSAMPLE_NEAREST},
        {512, 4, 14, OPTIMIZER_ADAMW, PRECISION_BF16, UPSAMPLE_TRANSPOSED},
        {1024, 2, 7, OPTIMIZER_ADAMW, PRECISION_BF16, UPSAMPLE_NEAREST},
        {1024, 4, 7, OPTIMIZER_ADAMW, PRECISION_FP32, UPSAMPLE_TRANSPOSED},
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        struct hyperparameters hp = hyperparameters_default();
        hp.lstm_hidden_dim = models[i].hidden;
        hp.batch_size = models[i].batch;
        hp.decoder_upsample = models[i].upsample;
        struct lstm_unet_config config = trial_model(&hp, models[i].steps, 9);
        static const struct device_samples none = {0, 0};
        char what[128];
        snprintf(what, sizeof what, "full size, hidden %d, batch %d, T %d, %s", models[i].hidden, models[i].batch,
                 models[i].steps, precisions[models[i].precision]);
        expect_close(what, predict(&config, models[i].optimizer, models[i].precision, &none),
                     make(&config, models[i].optimizer, models[i].precision));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(trials_take_what_plan_says),
                                       cmocka_unit_test(full_size_models_take_what_plan_says)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
