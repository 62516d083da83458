// A small trial, and one life of the group that trains it.
#ifndef GRIDFOLD_TESTS_WORKER_SMALL_GROUP_H
#define GRIDFOLD_TESTS_WORKER_SMALL_GROUP_H

#include "worker/agent.h"
#include "worker/trainer.h"

// The test's main asks first: true where this process is a trainer, or another member of a group, that a test has
// started. It has then led its life, and `*code` is what main returns.
bool small_group_answers(int argc, char **argv, int *code);

int small_group_set_up(void **state); // a folder with a dataset; the backend of GRIDFOLD_TEST_BACKENDS, or auto
int small_group_tear_down(void **state);
const char *small_group_backend(void);
const char *small_group_log(void); // the other members' words

// Four training samples. `name` is its folder's.
struct trial small_group_trial(const char *name, int members);

struct group_log {
    int epochs, steps, stop_after; // stop_after steps; 0: never
    struct epoch_metrics at[8];
    void (*after_epoch)(int epoch); // NULL: nothing
};

enum status small_group_try(struct trial trial, struct group_log *log, struct trial_result *result, struct error *err);
struct trial_result small_group_run(struct trial trial, struct group_log *log); // fails the test where that fails

// The last report of a trial that an agent's trainer runs; it may be the next one of many. `log`: "" for none; `stop`:
// it is told to stop after its first epoch.
struct message small_group_report(agent *a, const struct trial *trial, const char *log, bool stop);

#endif
