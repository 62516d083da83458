// The trainer on a small dataset: resume is exact to the byte, failures are results, checkpoints are what they say.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>
#include <sys/resource.h>
#include <unistd.h>

#include "model/base/file.h"
#include "model/base/safetensors.h"
#include "tests/model/support/backends.h"
#include "tests/worker/same_file.h"
#include "tests/worker/small_dataset.h"
#include "worker/checkpoint_writer.h"
#include "worker/evaluate.h"
#include "worker/free_memory.h"
#include "worker/pretrained.h"
#include "worker/trainer.h"
#include "worker/trial_folder.h"

static char folder[] = "/tmp/gridfold-trainer-XXXXXX";
static char dataset_file[PATH_SIZE];

static int set_up(void **state) {
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(dataset_file, sizeof dataset_file, "%s/small.safetensors", folder);
    small_dataset_write(dataset_file);
    return 0;
}

static int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *format, ...) {
    char command[4 * PATH_SIZE];
    va_list args;
    va_start(args, format);
    // Compiled twice, and clang-tidy 14 takes every va_list after the first for uninitialized.
    vsnprintf(command, sizeof command, format, args); // NOLINT(clang-analyzer-valist.Uninitialized)
    va_end(args);
    return system(command);
}

static int tear_down(void **state) {
    (void)state;
    return shell("rm -rf '%s'", folder);
}

static struct trial small_trial(const char *name) {
    struct trial t = {.hp = hyperparameters_default(),
                      .folds = 3,
                      .fold = 1,
                      .seed = 42,
                      .backend = "auto",
                      .threads = 1,
                      .checkpoint_seconds = 1e9};
    struct error err;
    t.hp.lr = 0.003;
    t.hp.optimizer = OPTIMIZER_ADAMW;
    t.hp.epochs = 3;
    t.hp.precision = (int)test_precision();
    t.hp.batch_size = 3; // four training samples: a last short batch of one
    t.hp.image_size = 32;
    t.hp.temporal_sampling = SAMPLING_ALL;
    t.hp.encoder_width = 4;
    t.hp.lstm_hidden_dim = 4;
    assert_int_equal(hyper_set(&t.hp, HYPER_decoder_channels, "8,8,4,4,4", &err), STATUS_OK);
    trial_id(&t.hp, t.folds, t.fold, t.seed, t.id);
    snprintf(t.dataset, sizeof t.dataset, "%s", dataset_file);
    snprintf(t.folder, sizeof t.folder, "%s/%s", folder, name);
    return t;
}

// What the hooks saw.
struct log {
    int epochs, replayed, steps, stop_after; // stop_after steps; 0: never
    int signs;                               // of life: steps and batches of validation
    const char *usurped;                     // the folder that another trainer claims in the middle
    struct epoch_metrics last;
};

static void on_epoch(void *context, const struct trial *trial, const struct epoch_metrics *m, bool replayed,
                     double seconds) {
    struct log *log = context;
    (void)trial;
    (void)seconds;
    assert_int_equal(m->epoch, log->epochs);
    log->epochs++;
    log->replayed += replayed;
    log->last = *m;
}

static bool on_stop(void *context) {
    struct log *log = context;
    log->steps++; // asked after every one
    return log->stop_after > 0 && log->steps >= log->stop_after;
}

static void on_alive(void *context) {
    ((struct log *)context)->signs++;
}

static struct trial_result run(trainer *t, const struct trial *trial, struct log *log) {
    struct trainer_hooks hooks = {log, on_epoch, on_stop, on_alive};
    struct trial_result result;
    struct error err = {STATUS_OK, ""};
    if (trainer_run(t, trial, &hooks, &result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return result;
}

static trainer *new_trainer(void) {
    trainer *t;
    struct error err;
    assert_int_equal(trainer_create(&t, &err), STATUS_OK);
    return t;
}

static void resume_is_exact_after_every_step(void **state) {
    (void)state;
    trainer *t = new_trainer();
    struct trial whole = small_trial("whole"), parts = small_trial("parts");
    struct log log = {0};
    struct trial_result expected = run(t, &whole, &log);
    assert_int_equal(expected.status, TRIAL_DONE);
    assert_int_equal(expected.epochs_run, 3);
    assert_int_equal(log.epochs, 3);
    assert_int_equal(log.steps, 6);
    assert_int_equal(log.signs, 9);
    struct trial_result result;
    int rounds = 0;
    do { // stopped after every single step, inside epochs and between them
        struct log part = {.stop_after = 1};
        trainer *fresh = new_trainer();
        result = run(fresh, &parts, &part);
        trainer_destroy(fresh);
        rounds++;
    } while (result.status == TRIAL_INTERRUPTED && rounds < 20);
    assert_int_equal(rounds, 7); // six stops, and a last run that only finishes the epoch
    assert_int_equal(result.status, TRIAL_DONE);
    assert_memory_equal(&result.best_iou, &expected.best_iou, sizeof result.best_iou);
    assert_memory_equal(&result.train_val_gap, &expected.train_val_gap, sizeof result.train_val_gap);
    assert_same_file(&whole, &parts, "best.safetensors");
    assert_same_file(&whole, &parts, "last.safetensors");
    trainer_destroy(t);
}

static bool has_file(const struct trial *trial, const char *name) {
    char path[PATH_SIZE + 64];
    snprintf(path, sizeof path, "%s/%s", trial->folder, name);
    return file_exists(path);
}

// As successive halving has it: the learning rates are those of the whole schedule, and nothing shows in the end.
static void a_pause_does_not_show(void **state) {
    (void)state;
    struct trial whole = small_trial("whole"), halted = small_trial("halted");
    trainer *t = new_trainer();
    for (int until = 1; until <= 3; until++) {
        struct log log = {0};
        halted.until = until;
        struct trial_result result = run(t, &halted, &log);
        assert_int_equal(result.status, until < 3 ? TRIAL_PAUSED : TRIAL_DONE);
        assert_int_equal(result.epochs_run, until);
        assert_int_equal(log.replayed, until - 1);
        assert_int_equal(log.steps, 2);
        assert_false(has_file(&halted, "owner")); // left in order
        assert_false(has_file(&halted, "last.previous.safetensors"));
        if (until == 2) { // told again to come to where it is
            struct log again = {0};
            halted.until = 1;
            result = run(t, &halted, &again);
            assert_int_equal(result.status, TRIAL_PAUSED);
            assert_int_equal(result.epochs_run, 2);
            assert_int_equal(again.steps, 0);
        }
    }
    assert_same_file(&whole, &halted, "best.safetensors");
    assert_same_file(&whole, &halted, "last.safetensors");
    trainer_destroy(t);
}

static void a_finished_trial_replays_its_epochs(void **state) {
    (void)state;
    trainer *t = new_trainer();
    struct trial trial = small_trial("whole");
    struct log log = {0};
    struct trial_result result = run(t, &trial, &log);
    assert_int_equal(result.status, TRIAL_DONE);
    assert_int_equal(log.replayed, 3);
    assert_int_equal(log.steps, 0);
    trainer_destroy(t);
}

static void a_damaged_checkpoint_starts_anew(void **state) {
    (void)state;
    trainer *t = new_trainer();
    struct trial whole = small_trial("whole"), damaged = small_trial("damaged");
    struct log log = {.stop_after = 2}, again = {0};
    assert_int_equal(run(t, &damaged, &log).status, TRIAL_INTERRUPTED);
    char path[PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/last.safetensors", damaged.folder);
    assert_int_equal(truncate(path, 5000), 0);
    assert_int_equal(run(t, &damaged, &again).status, TRIAL_DONE);
    assert_int_equal(again.replayed, 0);
    assert_same_file(&whole, &damaged, "best.safetensors");
    trainer_destroy(t);
}

static void flip_last_byte(const struct trial *trial, const char *name) {
    char path[PATH_SIZE + 64], *text;
    size_t size;
    struct error err;
    snprintf(path, sizeof path, "%s/%s", trial->folder, name);
    assert_int_equal(file_read(path, &text, &size, &err), STATUS_OK);
    text[size - 1] = (char)(text[size - 1] ^ 64);
    assert_int_equal(file_write(path, text, size, &err), STATUS_OK);
    free(text);
}

// Damage that leaves the file well-formed: found by its checksum. Stopped in the second epoch with a checkpoint after
// every step, so that `last` and the one before it are of this epoch.
static void damage_loses_one_checkpoint_at_most(void **state) {
    (void)state;
    static const struct {
        const char *files[2];
        int replayed;
    } cases[] = {{{"last.safetensors", NULL}, 1},
                 {{"last.safetensors", "last.previous.safetensors"}, 0},
                 {{"best.safetensors", NULL}, 0}};
    trainer *t = new_trainer();
    struct trial whole = small_trial("whole");
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        char name[16];
        snprintf(name, sizeof name, "flipped%zu", c);
        struct trial damaged = small_trial(name);
        damaged.checkpoint_seconds = 0;
        struct log log = {.stop_after = 4}, again = {0};
        assert_int_equal(run(t, &damaged, &log).status, TRIAL_INTERRUPTED);
        assert_true(has_file(&damaged, "last.previous.safetensors"));
        for (int i = 0; i < 2 && cases[c].files[i]; i++)
            flip_last_byte(&damaged, cases[c].files[i]);
        assert_int_equal(run(t, &damaged, &again).status, TRIAL_DONE);
        assert_int_equal(again.replayed, cases[c].replayed);
        assert_same_file(&whole, &damaged, "best.safetensors");
        assert_same_file(&whole, &damaged, "last.safetensors");
        assert_false(has_file(&damaged, "last.previous.safetensors"));
        assert_false(has_file(&damaged, "owner"));
    }
    trainer_destroy(t);
}

// A checkpoint after every step, written by the writer's thread where the backend can: the last ones are those of a
// trial without any, and the one before it is kept as it is where the trainer writes it itself.
static void checkpoints_beside_the_training_are_the_same(void **state) {
    (void)state;
    trainer *t = new_trainer();
    struct trial whole = small_trial("whole"), beside = small_trial("beside");
    struct log log = {.stop_after = 5}, again = {0};
    beside.checkpoint_seconds = 0;
    assert_int_equal(run(t, &beside, &log).status, TRIAL_INTERRUPTED);
    assert_true(has_file(&beside, "last.previous.safetensors"));
    assert_int_equal(run(t, &beside, &again).status, TRIAL_DONE);
    assert_int_equal(again.replayed, 2);
    assert_same_file(&whole, &beside, "best.safetensors");
    assert_same_file(&whole, &beside, "last.safetensors");
    trainer_destroy(t);
}

// Files may not grow from now on: as on a full disk, but for the words.
static void limit_files(void *context) {
    struct log *log = context;
    struct rlimit limit;
    if (++log->signs != 3)
        return;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void a_checkpoint_that_cannot_be_written_is_told(void **state) {
    (void)state;
    trainer *t = new_trainer();
    struct trial whole = small_trial("whole"), trial = small_trial("limited");
    struct log log = {0};
    struct trainer_hooks hooks = {&log, on_epoch, NULL, limit_files};
    struct trial_result result;
    struct rlimit limit;
    struct error err;
    trial.checkpoint_seconds = 0;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(trainer_run(t, &trial, &hooks, &result, &err), STATUS_IO);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_non_null(strstr(err.message, "cannot write "));
    assert_non_null(strstr(err.message, ".safetensors: File too large"));
    assert_int_equal(log.epochs, 1); // none after it
    assert_int_equal(run(t, &trial, &(struct log){0}).status, TRIAL_DONE);
    assert_same_file(&whole, &trial, "best.safetensors");
    assert_same_file(&whole, &trial, "last.safetensors");
    trainer_destroy(t);
}

// What another trainer would do in the middle of an epoch.
static void usurp(void *context) {
    struct error err;
    struct log *log = context;
    struct trial_folder other;
    if (++log->signs == 2)
        assert_int_equal(trial_folder_claim(log->usurped, &other, &err), STATUS_OK);
}

static void a_trial_that_has_been_handed_on_is_left_alone(void **state) {
    (void)state;
    trainer *t = new_trainer();
    struct trial whole = small_trial("whole"), trial = small_trial("usurped");
    struct log log = {.stop_after = 1}, again = {.usurped = trial.folder};
    assert_int_equal(run(t, &trial, &log).status, TRIAL_INTERRUPTED);
    struct trainer_hooks hooks = {&again, on_epoch, NULL, usurp};
    struct trial_result result;
    struct error err;
    assert_int_equal(shell("cp %s/last.safetensors %s/before", trial.folder, folder), 0);
    assert_int_equal(trainer_run(t, &trial, &hooks, &result, &err), STATUS_LOST);
    assert_non_null(strstr(err.message, "handed to another trainer: process "));
    assert_int_equal(shell("cmp %s/last.safetensors %s/before", trial.folder, folder), 0);
    assert_int_equal(run(t, &trial, &(struct log){0}).status, TRIAL_DONE);
    assert_same_file(&whole, &trial, "last.safetensors");
    assert_same_file(&whole, &trial, "best.safetensors");
    trainer_destroy(t);
}

static void failures_are_results(void **state) {
    (void)state;
    trainer *t = new_trainer();
    struct log log = {0};
    struct trial big = small_trial("big");
    big.hp.image_size = 64;
    struct trial_result result = run(t, &big, &log);
    assert_int_equal(result.status, TRIAL_FAILED);
    assert_non_null(strstr(result.error, "smaller than image-size 64"));
    assert_int_equal(result.best_epoch, -1);

    struct trial wild = small_trial("wild");
    wild.hp.lr = 1e3;
    wild.hp.optimizer = OPTIMIZER_SGD;
    wild.hp.clip_norm = 0;
    wild.hp.epochs = 50;
    result = run(t, &wild, &(struct log){0});
    assert_int_equal(result.status, TRIAL_DIVERGED);
    assert_true(result.error[0] != 0);

    struct trial other = small_trial("other"), whole = small_trial("whole");
    other.hp.lstm_hidden_dim = 8;
    assert_true(snprintf(other.hp.init_checkpoint, HYPER_TEXT_SIZE, "%.400s/best.safetensors", whole.folder) <
                HYPER_TEXT_SIZE);
    result = run(t, &other, &(struct log){0});
    assert_int_equal(result.status, TRIAL_FAILED);
    assert_non_null(strstr(result.error, "another architecture"));
    trainer_destroy(t);
}

static void a_checkpoint_evaluates_to_its_own_numbers(void **state) {
    (void)state;
    struct trial whole = small_trial("whole");
    struct log log = {0};
    trainer *t = new_trainer();
    struct trial_result trained = run(t, &whole, &log);
    trainer_destroy(t);
    char path[PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/best.safetensors", whole.folder);
    struct evaluate_config config = {.checkpoint = path,
                                     .dataset = dataset_file,
                                     .split = SPLIT_VAL,
                                     .backend = "auto",
                                     .threads = 1,
                                     .batch_size = 3,
                                     .fold = -1,
                                     .folds = -1,
                                     .seed = -1,
                                     .sampling = -1,
                                     .skip = -1,
                                     .image_size = -1};
    struct evaluate_result result;
    struct error err;
    assert_int_equal(evaluate_checkpoint(&config, &result, &err), STATUS_OK);
    assert_int_equal(result.samples, 2);
    // It computes in fp32, whatever the trial did: with bf16 a few pixels near zero fall on the other side.
    assert_true(fabs(pooled_iou(&result.all) - trained.best_iou) < (test_precision() == PRECISION_BF16 ? 0.05 : 1e-12));
    evaluate_result_free(&result);
    config.split = SPLIT_TEST;
    assert_int_equal(evaluate_checkpoint(&config, &result, &err), STATUS_OK);
    assert_int_equal(result.samples, SMALL_TEST_SAMPLES);
    evaluate_result_free(&result);
}

static void checkpoints_carry_what_pytorch_needs(void **state) {
    (void)state;
    struct trial whole = small_trial("whole");
    char path[PATH_SIZE + 32];
    safetensors *file;
    struct error err;
    snprintf(path, sizeof path, "%s/best.safetensors", whole.folder);
    assert_int_equal(safetensors_open(path, &file, &err), STATUS_OK);
    const struct safetensors_tensor *n = safetensors_find(file, "encoder.bn1.num_batches_tracked");
    assert_non_null(n);
    assert_int_equal(n->rank, 0);
    assert_int_equal(*(const int64_t *)n->data % 2, 0); // two steps an epoch
    assert_null(safetensors_find(file, "state/progress"));
    struct checkpoint_info info = {0};
    assert_int_equal(checkpoint_inspect(file, path, &info, &err), STATUS_OK);
    assert_int_equal(info.model.lstm_hidden, 4);
    assert_int_equal(info.model.lstm_layers, 2);
    assert_int_equal(info.model.decoder_channels[0], 8);
    assert_int_equal(info.model.upsample, UPSAMPLE_TRANSPOSED);
    assert_int_equal(info.sampling, SAMPLING_ALL);
    assert_true(info.has_normalization && info.normalization.std[3] > 0);
    assert_string_equal(info.band_names, "blue, green, red, nir");
    assert_string_equal(info.trial, whole.id);
    safetensors_close(file);
}

// A file with torchvision's keys and a 3-channel conv1, from a network of this project.
static void write_torchvision_file(const char *path, network *net) {
    struct error err;
    safetensors_writer *w;
    float *data[400];
    int used = 0;
    assert_int_equal(safetensors_writer_create(&w, &err), STATUS_OK);
    for (int i = 0; i < network_tensor_count(net); i++) {
        const struct network_tensor *t = network_tensor_at(net, i);
        if (strncmp(t->key, "encoder.", 8) != 0)
            continue;
        int64_t shape[4];
        memcpy(shape, t->shape, sizeof shape);
        data[used] = malloc(t->count * sizeof(float));
        network_read(net, ARENA_PARAM, i, data[used]);
        if (strcmp(t->key, "encoder.conv1.weight") == 0) {
            shape[1] = 3;
            for (int64_t k = 0; k < shape[0] * 3 * 49; k++)
                data[used][k] = (float)(k / 49 % 3 + 1); // red 1, green 2, blue 3
        }
        assert_int_equal(safetensors_add(w, t->key + 8, DTYPE_F32, t->rank, shape, data[used++], &err), STATUS_OK);
    }
    assert_int_equal(safetensors_write(w, path, &err), STATUS_OK);
    safetensors_writer_destroy(w);
    while (used > 0)
        free(data[--used]);
}

static void pretrained_rgb_goes_to_the_bands_of_its_colours(void **state) {
    (void)state;
    struct error err;
    backend *b;
    network *net;
    dataset *ds;
    char path[PATH_SIZE + 32];
    snprintf(path, sizeof path, "%s/resnet.safetensors", folder);
    struct lstm_unet_config config = {1, SMALL_STEPS,     SMALL_BANDS,      32,      4, 4,
                                      1, {4, 4, 4, 4, 4}, UPSAMPLE_NEAREST, SKIP_MAX};
    assert_int_equal(backend_create("reference", &(struct backend_config){.threads = 1}, &b, &err), STATUS_OK);
    assert_int_equal(network_create(b, &config, &net, &err), STATUS_OK);
    assert_int_equal(network_initialize(net, 1, &err), STATUS_OK);
    assert_int_equal(dataset_open(dataset_file, &ds, &err), STATUS_OK);
    write_torchvision_file(path, net);
    float weight[4 * SMALL_BANDS * 49];
    int conv1 = network_tensor_find(net, "encoder.conv1.weight");
    assert_int_equal(pretrained_load(path, ds, CONV1_BY_NAME, 42, net, &err), STATUS_OK);
    network_read(net, ARENA_PARAM, conv1, weight);
    assert_true(weight[0 * 49] == 3 && weight[1 * 49] == 2 && weight[2 * 49] == 1); // bands blue, green, red
    assert_true(weight[3 * 49] != 0 && fabsf(weight[3 * 49]) < 1);                  // nir: drawn
    assert_int_equal(pretrained_load(path, ds, CONV1_AS_PUBLISHED, 42, net, &err), STATUS_OK);
    network_read(net, ARENA_PARAM, conv1, weight);
    assert_true(weight[0 * 49] == 1 && weight[1 * 49] == 2 && weight[2 * 49] == 3);
    network_destroy(net);
    config.encoder_width = 8;
    assert_int_equal(network_create(b, &config, &net, &err), STATUS_OK);
    assert_int_equal(pretrained_load(path, ds, CONV1_BY_NAME, 42, net, &err), STATUS_MISMATCH);
    network_destroy(net);
    dataset_close(ds);
    backend_destroy(b);
}

static void a_precision_that_the_cpu_lacks_is_a_failure(void **state) {
    (void)state;
    struct trial trial = small_trial("coarse");
    trainer *t = new_trainer();
    struct trial_result result = run(t, &trial, &(struct log){0});
    assert_int_equal(result.status, TRIAL_FAILED);
    assert_non_null(strstr(result.error, "precision = bf16: this CPU"));
    assert_non_null(strstr(result.error, "take fp32"));
    assert_false(has_file(&trial, "last.safetensors"));
    trial.hp.precision = PRECISION_FP32;
    assert_int_equal(run(t, &trial, &(struct log){0}).status, TRIAL_DONE);
    trainer_destroy(t);
}

// ---- when checkpoints are written ----

// What the trainer is told, and what it then does; the linker puts the functions below in front of its calls.
static struct {
    bool instead; // of what is so
    struct checkpoint_wants wants;
    size_t free_memory;
    int beside, between; // checkpoints begun beside the steps, and written between them
} told;

// NOLINTBEGIN(bugprone-reserved-identifier): the linker's names

struct checkpoint_wants __real_checkpoint_wants(double since, double every);
struct checkpoint_wants __wrap_checkpoint_wants(double since, double every);
struct checkpoint_wants __wrap_checkpoint_wants(double since, double every) {
    return told.instead ? told.wants : __real_checkpoint_wants(since, every);
}

size_t __real_free_memory_bytes(void);
size_t __wrap_free_memory_bytes(void);
size_t __wrap_free_memory_bytes(void) {
    return told.instead ? told.free_memory : __real_free_memory_bytes();
}

enum status __real_checkpoint_writer_start(checkpoint_writer *w, const struct training_state *state, bool best,
                                           struct error *err);
enum status __wrap_checkpoint_writer_start(checkpoint_writer *w, const struct training_state *state, bool best,
                                           struct error *err);
enum status __wrap_checkpoint_writer_start(checkpoint_writer *w, const struct training_state *state, bool best,
                                           struct error *err) {
    told.beside++;
    return __real_checkpoint_writer_start(w, state, best, err);
}

enum status __real_checkpoint_write_files(const struct trial_folder *f, const struct checkpoint_context *context,
                                          const struct checkpoint_source *source, const struct training_state *state,
                                          bool best, struct error *err);
enum status __wrap_checkpoint_write_files(const struct trial_folder *f, const struct checkpoint_context *context,
                                          const struct checkpoint_source *source, const struct training_state *state,
                                          bool best, struct error *err);
enum status __wrap_checkpoint_write_files(const struct trial_folder *f, const struct checkpoint_context *context,
                                          const struct checkpoint_source *source, const struct training_state *state,
                                          bool best, struct error *err) {
    told.between++;
    return __real_checkpoint_write_files(f, context, source, state, best, err);
}

// NOLINTEND(bugprone-reserved-identifier)

static void checkpoints_are_written_when_they_are_due(void **state) {
    (void)state;
    enum { STEPS = 6, PLENTY = 1 << 30 };
    static const struct {
        struct checkpoint_wants wants;
        size_t free_memory;
        int beside, between; // the one at the end is among them
    } cases[] = {
        {{false, false, false}, PLENTY, 0, 1},  {{true, false, true}, PLENTY, 0, 1}, // nothing is due
        {{true, true, true}, PLENTY, STEPS, 1}, {{true, true, true}, 0, 0, STEPS + 1}, {{true, false, true}, 0, 0, 1},
    };
    trainer *t = new_trainer();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[16];
        snprintf(name, sizeof name, "due%zu", i);
        struct trial trial = small_trial(name);
        snprintf(trial.backend, sizeof trial.backend, "cpu");
        memset(&told, 0, sizeof told);
        told.instead = true;
        told.wants = cases[i].wants;
        told.free_memory = cases[i].free_memory;
        struct trial_result result = run(t, &trial, &(struct log){0});
        told.instead = false;
        assert_int_equal(result.status, TRIAL_DONE);
        if (told.beside != cases[i].beside || told.between != cases[i].between)
            fail_msg("case %zu: %d beside the steps, %d between them", i, told.beside, told.between);
    }
    trainer_destroy(t);
}

static bool has_precision(void) {
    struct error err;
    backend *b = NULL;
    const struct backend_config config = {.threads = 1, .precision = test_precision()};
    enum status status = backend_create("auto", &config, &b, &err);
    if (status != STATUS_OK)
        fprintf(stderr, "only the refusal is tested: %s\n", err.message);
    backend_destroy(b);
    return status == STATUS_OK;
}

int main(void) {
    const struct CMUnitTest refusal[] = {cmocka_unit_test(a_precision_that_the_cpu_lacks_is_a_failure)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resume_is_exact_after_every_step),
        cmocka_unit_test(a_finished_trial_replays_its_epochs),
        cmocka_unit_test(a_pause_does_not_show),
        cmocka_unit_test(a_damaged_checkpoint_starts_anew),
        cmocka_unit_test(damage_loses_one_checkpoint_at_most),
        cmocka_unit_test(checkpoints_beside_the_training_are_the_same),
        cmocka_unit_test(checkpoints_are_written_when_they_are_due),
        cmocka_unit_test(a_checkpoint_that_cannot_be_written_is_told),
        cmocka_unit_test(a_trial_that_has_been_handed_on_is_left_alone),
        cmocka_unit_test(failures_are_results),
        cmocka_unit_test(a_checkpoint_evaluates_to_its_own_numbers),
        cmocka_unit_test(checkpoints_carry_what_pytorch_needs),
        cmocka_unit_test(pretrained_rgb_goes_to_the_bands_of_its_colours),
    };
    if (!has_precision())
        return cmocka_run_group_tests(refusal, set_up, tear_down);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
