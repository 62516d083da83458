// A trainer that trains nothing: worker/trainer.h by formulas, with every way of going wrong that a test may ask for.
//
// The environment says how: FAKE_TRAINER = broken (from the start), segv, exit3, full (the disk), hang (deaf to stop),
// error, memory, alloc (a library's last words), fail, diverge, babble (no message), hungry (wants the whole
// memory of its GPU, where FAKE_DEVICES is the folder of the GPUs' locks); with "-once" at the end the first
// run of a trial alone. FAKE_TRAINER_TRIAL: only trials whose lr has this text. FAKE_STEP_MS: how long an epoch takes.
// last.safetensors holds the number of epochs done.
#include "fake_trainer.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "worker/trainer.h"

struct trainer {
    int runs;
};

const char *trial_status_name(enum trial_status status) {
    static const char *const names[] = {"done", "failed", "diverged", "stopped", "interrupted", "paused"};
    return names[status];
}

enum status trainer_create(trainer **t, struct error *err) {
    *t = calloc(1, sizeof **t);
    return *t ? STATUS_OK : error_memory(err, "trainer");
}

void trainer_destroy(trainer *t) {
    free(t);
}

struct epoch_metrics fake_metrics(const struct trial *trial, int epoch) {
    double x = trial->hp.lr * 100 + trial->fold / 7.0 + epoch / 13.0 + (double)trial->seed / 1e3;
    struct epoch_metrics m = {.epoch = epoch, .lr = trial->hp.lr * (1 - epoch / 1e3), .train_loss = 1 / (1 + x)};
    m.train_iou = 0.5 + 0.4 * sin(x);
    m.train_f1 = m.train_iou / 1.1;
    m.val_loss = epoch == 1 ? NAN : 1.0 / 3 + x;
    m.val_iou = 0.5 + 0.3 * sin(2 * x);
    m.val_f1 = m.val_iou / 1.2;
    m.val_precision = m.val_iou / 1.3;
    m.val_recall = m.val_iou / 1.4;
    m.grad_norm = exp(x);
    return m;
}

static void write_number(const char *folder, const char *name, int value) {
    char path[PATH_SIZE], text[16];
    struct error err;
    snprintf(text, sizeof text, "%d\n", value);
    if (file_make_directories(folder, &err) != STATUS_OK || path_join(path, folder, name, &err) != STATUS_OK ||
        file_write(path, text, strlen(text), &err) != STATUS_OK)
        fprintf(stderr, "fake trainer: %s\n", err.message);
}

static int read_number(const char *folder, const char *name) {
    char path[PATH_SIZE], *text;
    struct error err;
    if (path_join(path, folder, name, &err) != STATUS_OK || file_read(path, &text, NULL, &err) != STATUS_OK)
        return 0;
    int value = (int)strtol(text, NULL, 10);
    free(text);
    return value;
}

// Whether the environment wants `what` of this trial now.
static bool wanted(const struct trial *trial, const char *what) {
    const char *how = getenv("FAKE_TRAINER"), *which = getenv("FAKE_TRAINER_TRIAL");
    if (!how || strncmp(how, what, strlen(what)) != 0)
        return false;
    char lr[HYPER_VALUE_SIZE];
    hyper_format(&trial->hp, HYPER_lr, lr);
    if (which && strcmp(which, lr) != 0)
        return false;
    if (!strstr(how, "-once"))
        return true;
    int times = read_number(trial->folder, "misbehaved");
    write_number(trial->folder, "misbehaved", times + 1);
    return times == 0;
}

static void misbehave(const struct trial *trial) {
    if (wanted(trial, "segv")) {
        fprintf(stderr, "an odd step\nabout to fault: \xff\n");
        signal(SIGSEGV, SIG_DFL); // a sanitizer would make an exit code of it
        raise(SIGSEGV);
    }
    if (wanted(trial, "exit3")) {
        fprintf(stderr, "giving up\n");
        _exit(3);
    }
    if (wanted(trial, "full")) {
        fprintf(stderr, "cannot write last.safetensors: %s\n", strerror(ENOSPC));
        _exit(1);
    }
    if (wanted(trial, "alloc")) {
        fprintf(stderr, "libgomp: Out of memory allocating 400 bytes\n");
        _exit(1);
    }
    if (wanted(trial, "babble") && write(3, "\xff\xff\xff\xff babble", 11) > 0)
        pause();
    if (wanted(trial, "hang")) {
        signal(SIGTERM, SIG_IGN);
        for (;;)
            pause();
    }
}

static void rest(void) {
    const char *ms = getenv("FAKE_STEP_MS");
    long wait = ms ? strtol(ms, NULL, 10) : 0;
    struct timespec t = {wait / 1000, wait % 1000 * 1000000};
    nanosleep(&t, NULL);
}

// What the environment must not hold in a trainer.
static bool environment_is_clean(void) {
    for (char **e = environ; *e; e++)
        if (strncmp(*e, "OMPI_", 5) == 0 || strncmp(*e, "PMIX_", 5) == 0)
            return false;
    return getenv("OMP_NUM_THREADS") != NULL;
}

// A GPU's memory is a lock. A trainer process that has trained holds a part of it until it ends, as real ones do; a
// hungry trial takes all. What comes too late waits a little: the memory of a process that was killed takes its time.
static bool fits_on_device(const struct trial *trial) {
    static int fd = -1;
    const char *folder = getenv("FAKE_DEVICES"), *gpu = getenv("CUDA_VISIBLE_DEVICES");
    char path[PATH_SIZE];
    if (!folder || !gpu)
        return true;
    snprintf(path, sizeof path, "%s/gpu-%s", folder, gpu);
    if (fd < 0)
        fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    bool hungry = wanted(trial, "hungry");
    for (int i = 0; i < (hungry ? 30 : 500); i++) {
        static const struct timespec pause = {.tv_nsec = 10000000};
        if (flock(fd, (hungry ? LOCK_EX : LOCK_SH) | LOCK_NB) == 0)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

static void fill_result(const struct trial *trial, int epochs, struct trial_result *r) {
    *r = (struct trial_result){
        .status = TRIAL_DONE, .best_iou = -1, .best_epoch = -1, .epochs_run = epochs, .parameters = 42};
    for (int e = 0; e < epochs; e++) {
        struct epoch_metrics m = fake_metrics(trial, e);
        if (m.val_iou > r->best_iou) {
            r->best_iou = m.val_iou;
            r->best_f1 = m.val_f1;
            r->best_epoch = e;
        }
        r->final_iou = m.val_iou;
        r->train_val_gap = m.train_iou - m.val_iou;
    }
}

enum status trainer_run(trainer *t, const struct trial *trial, const struct trainer_hooks *hooks,
                        struct trial_result *result, struct error *err) {
    int done = read_number(trial->folder, "last.safetensors");
    file_remove_temporaries(trial->folder);
    if (wanted(trial, "broken")) {
        fprintf(stderr, "no such device\n");
        _exit(4);
    }
    t->runs++;
    if (!environment_is_clean())
        return error_set(err, STATUS_INTERNAL, "the launcher's variables are in the trainer's environment");
    if (!fits_on_device(trial))
        return error_memory(err, "out of memory on the device");
    int until = trial->until > 0 && trial->until < trial->hp.epochs ? trial->until : trial->hp.epochs;
    until = until > done ? until : done;
    for (int e = 0; e < until; e++) {
        struct epoch_metrics m = fake_metrics(trial, e);
        if (e >= done) {
            rest();
            if (e == trial->hp.epochs / 2)
                misbehave(trial);
            write_number(trial->folder, "last.safetensors", e + 1);
        }
        hooks->epoch(hooks->context, trial, &m, e < done, 0.001);
        hooks->alive(hooks->context);
        if (e >= done && hooks->stop(hooks->context)) {
            fill_result(trial, e + 1, result);
            result->status = TRIAL_INTERRUPTED;
            return STATUS_OK;
        }
    }
    if (wanted(trial, "error"))
        return error_set(err, STATUS_IO, "cannot write the checkpoint");
    if (wanted(trial, "memory"))
        return error_memory(err, "activations on the device");
    fill_result(trial, until, result);
    if (until < trial->hp.epochs) {
        result->status = TRIAL_PAUSED;
        return STATUS_OK;
    }
    if (wanted(trial, "fail") || wanted(trial, "diverge")) {
        result->status = wanted(trial, "fail") ? TRIAL_FAILED : TRIAL_DIVERGED;
        snprintf(result->error, sizeof result->error, "as asked, \"quoted\",\nin two lines");
        result->best_iou = result->best_f1 = result->final_iou = result->train_val_gap = NAN;
        result->best_epoch = -1;
    }
    return STATUS_OK;
}
