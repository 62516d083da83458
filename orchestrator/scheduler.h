// The scheduler: which worker trains which trial, and when a trial or the sweep has ended.
//
// Pure: a function from (state, event) to (state, actions), with no MPI, clock or file in it; the master, the
// in-process mode and the tests' simulator drive the same one. Trials and workers are numbers from 0. One thread.
//
// Rules: of the waiting trials one that has been started comes first, then the one with the most work, then the first
// of the plan. A lost trial waits again until max_attempts attempts in a row have brought no new epoch, then it is
// given up. A worker that is silent for too long is lost, and its trial with it; when it is heard again it is taken
// back, and a result that it brings counts if none is there yet: every trial gets exactly one.
#ifndef GRIDFOLD_ORCHESTRATOR_SCHEDULER_H
#define GRIDFOLD_ORCHESTRATOR_SCHEDULER_H

#include <stdbool.h>

#include "model/base/status.h"

struct scheduler_config {
    int workers;
    int max_attempts;      // losses without a new epoch between them until a trial is given up
    double worker_timeout; // seconds of silence until a worker is lost
    double empty_timeout;  // seconds without any worker until the sweep ends for want of them
};

struct scheduler_trial {
    double work;
    bool started;  // a checkpoint is there
    bool finished; // has its result from an earlier run
};

enum scheduler_event_kind {
    SCHEDULER_PLAN_COMPLETE,  // no trials will be added any more
    SCHEDULER_WORKER_IDLE,    // worker: has joined, or has nothing to do
    SCHEDULER_WORKER_HEARD,   // worker, trial (-1: none): a sign of life that says what it is doing
    SCHEDULER_WORKER_LEFT,    // worker: has said goodbye
    SCHEDULER_TRIAL_EPOCH,    // worker, trial, fresh
    SCHEDULER_TRIAL_FINISHED, // worker, trial: done, failed or diverged
    SCHEDULER_TRIAL_STOPPED,  // worker, trial: ended on request, to be resumed
    SCHEDULER_TRIAL_LOST,     // worker, trial: its trainer died
    SCHEDULER_STOP,           // no more assignments; running trials are to stop
    SCHEDULER_TICK,           // time passes
};

struct scheduler_event {
    enum scheduler_event_kind kind;
    int worker, trial;
    bool fresh; // an epoch that no attempt had brought before
    double now; // seconds, of any origin, never falling
};

enum scheduler_action_kind {
    SCHEDULER_ASSIGN,      // worker, trial, attempt (from 1)
    SCHEDULER_ACCEPT,      // trial: the result just reported is its result
    SCHEDULER_RETRY,       // trial, attempt: lost in this attempt, will be tried again
    SCHEDULER_GIVE_UP,     // trial, attempt: lost in its last attempt; its result is a failure
    SCHEDULER_STOP_WORKER, // worker: ask its trial to stop
    SCHEDULER_LOSE_WORKER, // worker: has been silent for too long
    SCHEDULER_FINISH,      // the sweep has ended: scheduler_ending says how. Comes once
};

struct scheduler_action {
    enum scheduler_action_kind kind;
    int worker, trial, attempt;
};

struct scheduler_actions {
    int count;
    const struct scheduler_action *at; // until the next call
};

enum scheduler_ending {
    SCHEDULER_RUNNING,
    SCHEDULER_ALL_DONE,  // every trial has its result
    SCHEDULER_STOPPED,   // on request
    SCHEDULER_NO_WORKERS // all have been lost or have left
};

typedef struct scheduler scheduler;

NODISCARD enum status scheduler_create(const struct scheduler_config *config, scheduler **s, struct error *err);
void scheduler_destroy(scheduler *s);

// Appends trials in plan order. They are assigned at the next event. STATUS_MEMORY.
NODISCARD enum status scheduler_add(scheduler *s, const struct scheduler_trial *trials, int count, struct error *err);

struct scheduler_actions scheduler_step(scheduler *s, const struct scheduler_event *event);

enum scheduler_ending scheduler_ending(const scheduler *s);
int scheduler_trial_count(const scheduler *s);
bool scheduler_trial_is_finished(const scheduler *s, int trial);
int scheduler_finished_count(const scheduler *s);
int scheduler_worker_trial(const scheduler *s, int worker); // -1: none, or not there
bool scheduler_worker_is_present(const scheduler *s, int worker);

#endif
