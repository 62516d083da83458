// One trainer's trials one after the other: what it keeps from trial to trial (backend, network, programs, cuDNN's
// plans, samples, the group's communicator) leaves no trace in the next one, whatever that one changes. Each trial
// leaves the bytes that a trainer of its own leaves.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/backend.h"
#include "tests/worker/same_file.h"
#include "tests/worker/small_group.h"

static void numbers(struct trial *t) {
    t->hp.adam_beta1 = 0.8;
    t->hp.adam_beta2 = 0.99;
    t->hp.adam_epsilon = 1e-6;
    t->hp.weight_decay = 0.01;
    t->hp.clip_norm = 0.1;
    t->hp.focal_alpha = 0.5;
    t->hp.focal_gamma = 1;
}

static void fold(struct trial *t) {
    t->fold = 2;
}

static void batch_of_four(struct trial *t) {
    t->hp.batch_size = 4;
}

static void batch_of_two(struct trial *t) {
    t->hp.batch_size = 2;
}

static void statistics_apart(struct trial *t) {
    t->hp.batch_size = 4;
    t->sync_batchnorm = false;
}

static void sgd(struct trial *t) {
    t->hp.optimizer = OPTIMIZER_SGD;
}

static void bf16(struct trial *t) {
    t->hp.precision = PRECISION_BF16;
}

static void on_the_host(struct trial *t) {
    snprintf(t->backend, sizeof t->backend, "reference");
}

static void wider(struct trial *t) {
    t->hp.lstm_hidden_dim = 12;
}

// The largest share of a batch is the same from `batch` to `again`: the network stays, and its group changes.
static const struct {
    const char *name;
    int members;
    void (*change)(struct trial *t); // NULL: nothing
} trials[] = {
    {"first", 2, NULL},          {"numbers", 2, numbers},
    {"fold", 2, fold},           {"batch", 2, batch_of_four},
    {"three", 3, batch_of_four}, {"alone", 1, batch_of_two},
    {"again", 2, batch_of_four}, {"apart", 2, statistics_apart},
    {"together", 2, NULL},       {"sgd", 2, sgd},
    {"bf16", 2, bf16},           {"host", 1, on_the_host},
    {"float", 2, NULL},          {"wider", 2, wider},
};
enum { TRIALS = sizeof trials / sizeof *trials, COMMUNICATORS = 5 };

static struct trial make_trial(int i, const char *life) {
    char name[64];
    snprintf(name, sizeof name, "%s-%s", trials[i].name, life);
    struct trial t = small_group_trial(name, trials[i].members);
    t.hp.epochs = 2;
    if (trials[i].change)
        trials[i].change(&t);
    trial_id(&t.hp, t.folds, t.fold, t.seed, t.id);
    return t;
}

static agent *new_agent(void) {
    struct error err;
    agent *a;
    assert_int_equal(agent_create(&(struct agent_config){0}, &a, &err), STATUS_OK);
    return a;
}

static void run(agent *a, const struct trial *t) {
    struct message report = small_group_report(a, t, small_group_log(), false);
    if (report.kind != MESSAGE_RESULT || report.result.status != TRIAL_DONE)
        fail_msg("%s: kind %d, %s%s", t->folder, (int)report.kind, report.reason, report.result.error);
}

// A communicator stays as long as the members and their backends do: here are four occasions for another one.
static void no_trial_leaves_a_trace_in_the_next(void **state) {
    (void)state;
    char refused[64];
    agent *row = new_agent();
    long pid = 0;
    snprintf(refused, sizeof refused, "0:ncclGetUniqueId:%d", COMMUNICATORS + 1);
    setenv("STANDIN_NCCL_REFUSE", refused, 1);
    for (int i = 0; i < TRIALS; i++) {
        struct trial in_a_row = make_trial(i, "row");
        run(row, &in_a_row);
        assert_true(pid == 0 || pid == agent_pid(row)); // one process
        pid = agent_pid(row);
    }
    agent_destroy(row);
    for (int i = 0; i < TRIALS; i++) {
        struct trial in_a_row = make_trial(i, "row"), by_itself = make_trial(i, "own");
        agent *own = new_agent();
        run(own, &by_itself);
        agent_destroy(own);
        assert_same_file(&in_a_row, &by_itself, "best.safetensors");
        assert_same_file(&in_a_row, &by_itself, "last.safetensors");
    }
    unsetenv("STANDIN_NCCL_REFUSE");
}

// All members stop where the first one is told to, and are ready for the next trial.
static void a_stopped_trial_leaves_none(void **state) {
    (void)state;
    struct trial stopped = make_trial(0, "stopped"), next = make_trial(1, "next"), own = make_trial(1, "own");
    struct error err;
    agent *a;
    assert_int_equal(agent_create(&(struct agent_config){.hang_seconds = 30}, &a, &err), STATUS_OK);
    stopped.hp.epochs = 1000;
    struct message report = small_group_report(a, &stopped, small_group_log(), true);
    if (report.kind != MESSAGE_RESULT || report.result.status != TRIAL_INTERRUPTED)
        fail_msg("kind %d, %s%s", (int)report.kind, report.reason, report.result.error);
    long pid = agent_pid(a);
    run(a, &next);
    assert_true(pid == agent_pid(a));
    agent_destroy(a);
    assert_same_file(&next, &own, "last.safetensors"); // of the test before
}

int main(int argc, char **argv) {
    int code;
    if (small_group_answers(argc, argv, &code))
        return code;
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_trial_leaves_a_trace_in_the_next),
                                       cmocka_unit_test(a_stopped_trial_leaves_none)};
    return cmocka_run_group_tests(tests, small_group_set_up, small_group_tear_down);
}
