// The scheduler: which worker trains which trial, and when a trial or the sweep has ended.
//
// Pure: a function from (state, event) to (state, actions), with no MPI, clock or file in it; the master, the
// in-process mode and the simulator (tests, bench) drive the same one. Trials, workers, hosts and devices are numbers
// from 0. One thread. An event costs O(log trials); a loss, a quarantine and a vacated device cost O(workers).
//
// Order: of the waiting trials one that has been started comes first, then the one with the most work, then the first
// of the plan. Idle workers are served in the order of their numbers.
//
// Losses: a lost trial waits again, until max_attempts losses in a row have brought no new epoch; then it is given up.
// It goes to a worker against which nothing is held, on a host that has not lost it; where there is none, to such a
// worker that has not lost it; then to any on another host, to any other, to any. It waits for that worker to be free:
// so one bad place never uses up its attempts.
//
// Quarantine: a worker that has lost `quarantine_after` different trials in a row, no epoch of its own between them,
// is given no more work; so is a host, when every worker there (two at least) has lost its last trial and the host has
// lost that many. A trial that is lost in another place as well, one that has brought epochs and against which nothing
// is held, counts against nobody: it is at fault itself, and a quarantine that rested on it is lifted. When all workers
// are in quarantine the sweep ends, to be gone on with; the last one only comes there when a trial has got its result,
// so that a sweep whose last trials all fail does end, in so many runs.
//
// Device memory: a trial that ran out of it while another was on the same device is tried again alone: the device is
// vacated first, and takes nothing else until that trial is off it. This does not count as a loss; a second time does.
//
// A worker that is silent for too long is lost, and its trial with it; when it is heard again it is taken back, and a
// result that it brings counts if none is there yet: every trial gets exactly one.
#ifndef GRIDFOLD_ORCHESTRATOR_SCHEDULER_H
#define GRIDFOLD_ORCHESTRATOR_SCHEDULER_H

#include <stdbool.h>

#include "model/base/status.h"

struct scheduler_config {
    int workers;
    int max_attempts;      // losses without a new epoch between them until a trial is given up
    int quarantine_after;  // different trials that a worker loses in a row until it gets no more; 0: never
    double worker_timeout; // seconds of silence until a worker is lost
    double empty_timeout;  // seconds without a worker that may be used until the sweep ends for want of them
};

struct scheduler_trial {
    double work;
    bool started;  // a checkpoint is there
    bool finished; // has its result from an earlier run, or is not to be trained
    bool paused;   // waits for SCHEDULER_TRIAL_PROMOTED
};

enum scheduler_event_kind {
    SCHEDULER_PLAN_COMPLETE,  // no trials will be added any more
    SCHEDULER_TRIAL_PROMOTED, // trial: paused before, is to be trained on
    SCHEDULER_TRIAL_CLOSED,   // trial: paused before, has its result without more training
    SCHEDULER_WORKER_IDLE,    // worker: has joined, or has nothing to do
    SCHEDULER_WORKER_HEARD,   // worker, trial (-1: none): a sign of life that says what it is doing
    SCHEDULER_WORKER_LEFT,    // worker: has said goodbye
    SCHEDULER_WORKER_DEAD,    // worker: is known to be dead, which need not be learned from its silence
    SCHEDULER_TRIAL_EPOCH,    // worker, trial, fresh
    SCHEDULER_TRIAL_FINISHED, // worker, trial: done, failed or diverged
    SCHEDULER_TRIAL_PAUSED,   // worker, trial: has come to the epoch that it was to be trained to
    SCHEDULER_TRIAL_STOPPED,  // worker, trial: ended on request, to be resumed
    SCHEDULER_TRIAL_LOST,     // worker, trial, loss: its trainer died
    SCHEDULER_HOLD,           // no more assignments; running trials go on to their end
    SCHEDULER_STOP,           // no more assignments; running trials are to stop
    SCHEDULER_TICK,           // time passes
};

enum scheduler_loss {
    SCHEDULER_LOSS_TRAINER,  // crashed, hung, could not be started
    SCHEDULER_LOSS_MEMORY,   // the device's memory ran out
    SCHEDULER_LOSS_SILENT,   // the worker fell silent: says nothing of its trainers
    SCHEDULER_LOSS_INNOCENT, // ended from outside: counts against nobody
};

struct scheduler_event {
    enum scheduler_event_kind kind;
    int worker, trial;
    bool fresh; // an epoch that no attempt had brought before
    enum scheduler_loss loss;
    double now; // seconds, of any origin, never falling
};

enum scheduler_action_kind {
    SCHEDULER_ASSIGN,      // worker, trial, attempt (from 1)
    SCHEDULER_ACCEPT,      // worker, trial: the result, or the pause, just reported is the trial's
    SCHEDULER_RETRY,       // trial, attempt: lost in this attempt, will be tried again
    SCHEDULER_RETRY_ALONE, // trial, attempt: the same, with a device to itself
    SCHEDULER_GIVE_UP,     // trial, attempt: lost in its last attempt; its result is a failure
    SCHEDULER_STOP_WORKER, // worker: ask its trial to stop
    SCHEDULER_LOSE_WORKER, // worker: is dead, or has been silent for too long
    SCHEDULER_QUARANTINE,  // worker: gets no more work
    SCHEDULER_READMIT,     // worker: its quarantine is lifted
    SCHEDULER_FINISH,      // the sweep has ended: scheduler_ending says how. Comes once
};

struct scheduler_action {
    enum scheduler_action_kind kind;
    int worker, trial, attempt;
    bool alone; // SCHEDULER_ASSIGN: the device is vacant, for this trial's sake
};

struct scheduler_actions {
    int count;
    const struct scheduler_action *at; // until the next call
};

enum scheduler_ending {
    SCHEDULER_RUNNING,
    SCHEDULER_ALL_DONE,    // every trial has its result
    SCHEDULER_STOPPED,     // on request
    SCHEDULER_NO_WORKERS,  // all have been lost or have left
    SCHEDULER_QUARANTINED, // those that are there are in quarantine
};

typedef struct scheduler scheduler;

NODISCARD enum status scheduler_create(const struct scheduler_config *config, scheduler **s, struct error *err);
void scheduler_destroy(scheduler *s);

// Where a worker runs: numbers below the number of workers. Without this all stand on host 0 and device 0.
void scheduler_place(scheduler *s, int worker, int host, int device);

// Appends trials in plan order. They are assigned at the next event. STATUS_MEMORY.
NODISCARD enum status scheduler_add(scheduler *s, const struct scheduler_trial *trials, int count, struct error *err);

struct scheduler_actions scheduler_step(scheduler *s, const struct scheduler_event *event);

enum scheduler_ending scheduler_ending(const scheduler *s);
int scheduler_trial_count(const scheduler *s);
bool scheduler_trial_is_finished(const scheduler *s, int trial);
bool scheduler_trial_is_paused(const scheduler *s, int trial);
int scheduler_finished_count(const scheduler *s);
int scheduler_worker_trial(const scheduler *s, int worker); // -1: none, or not there
bool scheduler_worker_is_present(const scheduler *s, int worker);
bool scheduler_worker_is_quarantined(const scheduler *s, int worker);

#endif
