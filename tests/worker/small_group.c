#include "tests/worker/small_group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <unistd.h>

#include "model/backend.h"
#include "model/base/file.h"
#include "tests/worker/small_dataset.h"
#include "worker/dataset/dataset.h"
#include "worker/group.h"
#include "worker/trainer_process.h"

static char folder[] = "/tmp/gridfold-group-XXXXXX";
static char dataset_file[PATH_SIZE], log_file[PATH_SIZE];
static const char *backend_name = "auto";

bool small_group_answers(int argc, char **argv, int *code) {
    if (argc < 2 || strcmp(argv[1], "trainer") != 0)
        return false;
    bool member = argc > 2 && strcmp(argv[2], "member") == 0;
    *code = member ? trainer_process_run_member(TRAINER_PROCESS_FD) : trainer_process_run(TRAINER_PROCESS_FD);
    return true;
}

int small_group_set_up(void **state) {
    (void)state;
    if (getenv("GRIDFOLD_TEST_BACKENDS"))
        backend_name = getenv("GRIDFOLD_TEST_BACKENDS");
    assert_non_null(mkdtemp(folder));
    snprintf(dataset_file, sizeof dataset_file, "%s/small.safetensors", folder);
    snprintf(log_file, sizeof log_file, "%s/log", folder);
    small_dataset_write(dataset_file);
    return 0;
}

int small_group_tear_down(void **state) {
    (void)state;
    char command[sizeof folder + 16];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

const char *small_group_log(void) {
    return log_file;
}

const char *small_group_backend(void) {
    return backend_name;
}

struct trial small_group_trial(const char *name, int members) {
    struct trial t = {.hp = hyperparameters_default(),
                      .folds = 3,
                      .fold = 1,
                      .seed = 42,
                      .threads = 1,
                      .checkpoint_seconds = 1e9,
                      .members = members,
                      .sync_batchnorm = true};
    struct error err;
    t.hp.lr = 0.0003; // AdamW takes steps of that size where a gradient is rounding alone
    t.hp.optimizer = OPTIMIZER_ADAMW;
    t.hp.epochs = 3;
    t.hp.batch_size = 3; // a last batch of one: for other members there is nothing in it
    t.hp.image_size = 32;
    t.hp.temporal_sampling = SAMPLING_ALL;
    t.hp.encoder_width = 4;
    t.hp.lstm_hidden_dim = 4;
    assert_int_equal(hyper_set(&t.hp, HYPER_decoder_channels, "8,8,4,4,4", &err), STATUS_OK);
    trial_id(&t.hp, t.folds, t.fold, t.seed, t.id);
    snprintf(t.backend, sizeof t.backend, "%s", backend_name);
    snprintf(t.dataset, sizeof t.dataset, "%s", dataset_file);
    snprintf(t.folder, sizeof t.folder, "%s/%s", folder, name);
    return t;
}

static void on_epoch(void *context, const struct trial *trial, const struct epoch_metrics *m, bool replayed,
                     double seconds) {
    (void)trial, (void)replayed, (void)seconds;
    struct group_log *log = context;
    log->at[log->epochs++] = *m;
    if (log->after_epoch)
        log->after_epoch(m->epoch);
}

static bool on_stop(void *context) {
    struct group_log *log = context;
    log->steps++;
    return log->stop_after > 0 && log->steps >= log->stop_after;
}

enum status small_group_try(struct trial trial, struct group_log *log, struct trial_result *result, struct error *err) {
    struct trainer_hooks hooks = {.context = log, .epoch = on_epoch, .stop = on_stop};
    static struct message order;
    group *g = NULL;
    trainer *t;
    memset(&order, 0, sizeof order);
    order.kind = MESSAGE_ASSIGN;
    order.assign.trial = trial;
    snprintf(order.assign.log, sizeof order.assign.log, "%s", log_file);
    if (trial.members > 1) {
        TRY(group_start(&order.assign, &g, err));
        TRY(group_assign(g, &order, err));
        trial.together = group_collectives(g);
    }
    TRY(trainer_create(&t, err));
    enum status status = trainer_run(t, &trial, &hooks, result, err);
    group_destroy(g);
    trainer_destroy(t);
    return status;
}

struct message small_group_report(agent *a, const struct trial *trial, const char *log, bool stop) {
    static struct message order, report;
    struct error err;
    memset(&order, 0, sizeof order);
    order.kind = MESSAGE_ASSIGN;
    order.attempt = 1;
    order.assign.trial = *trial;
    snprintf(order.trial, sizeof order.trial, "%s", trial->id);
    snprintf(order.assign.log, sizeof order.assign.log, "%s", log);
    assert_int_equal(agent_assign(a, &order, &err), STATUS_OK);
    do {
        while (!agent_poll(a, &report))
            usleep(1000);
        if (stop && report.kind == MESSAGE_EPOCH)
            agent_stop(a);
    } while (report.kind == MESSAGE_EPOCH);
    return report;
}

struct trial_result small_group_run(struct trial trial, struct group_log *log) {
    struct trial_result result;
    struct error err = {0};
    if (small_group_try(trial, log, &result, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return result;
}
