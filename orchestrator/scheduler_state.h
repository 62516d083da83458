// The scheduler's state, shared by its files: scheduler.c (events), scheduler_workers.c (who is there, and may be
// used), scheduler_queue.c (what waits), scheduler_dispatch.c (who gets what), scheduler_quarantine.c (whose fault).
#ifndef GRIDFOLD_ORCHESTRATOR_SCHEDULER_STATE_H
#define GRIDFOLD_ORCHESTRATOR_SCHEDULER_STATE_H

#include <stdint.h>

#include "orchestrator/scheduler.h"

enum { NONE = -1, REMEMBERED_LOSSES = 4 };

enum trial_state { WAITING, RUNNING, PAUSED, FINISHED };
enum worker_state { ABSENT, IDLE, BUSY, LOST };

// Trials wait in one of three queues. Only those that nothing bad has happened to are many, and only there is the best
// one good for any worker.
enum queue { QUEUE_PLAIN, QUEUE_RETRIED, QUEUE_ALONE, QUEUE_COUNT };

// A worker or host: how many different trials it has lost since it last brought an epoch. Charges of an older
// generation are void.
struct suspect {
    int charges;
    uint32_t generation;
    bool proven; // has brought an epoch
};

// One loss of a trial, and the charges that rest on it.
struct loss {
    int worker;
    bool silent; // nothing but silence: void when the worker is heard with the trial again
    bool charges_worker, charges_host;
    uint32_t worker_generation, host_generation;
};

struct trial_entry {
    double work;
    enum trial_state state;
    bool started;
    bool alone;   // has run out of device memory beside others
    bool crowded; // another trial was on its device when it began
    int attempts; // made so far
    int losses;   // since an attempt last brought a new epoch
    int worker;   // that counts as running it; NONE
    int runners;  // workers that do run it
    enum queue queue;
    int place;      // in that queue
    int device;     // kept free for it, or had by it alone; NONE
    uint32_t begun; // its number among the trials of its device
    int lost_count; // the last losses since it last got on
    struct loss lost[REMEMBERED_LOSSES];
    bool acquits_worker, acquits_host; // has been lost where others get on: it is at fault itself
};

struct worker_entry {
    enum worker_state state;
    int trial; // BUSY: what it trains, though the trial may count as another's by now; NONE
    int host, device;
    double heard;
    int older, newer; // neighbours in the list by `heard`; NONE
    bool quarantined;
    bool usable; // there, and not in quarantine
    bool clean;  // usable, and nothing is held against it
    struct suspect suspect;
};

struct host_entry {
    int usable, clean; // workers
    struct suspect suspect;
};

struct device_entry {
    int usable, busy; // workers
    uint32_t begun;   // trials so far
    int reserved_for; // trial; NONE
};

struct trial_queue {
    int *at; // a binary heap of trials; as long as there are trials
    int count;
};

struct scheduler {
    struct scheduler_config config;
    struct trial_entry *trials;
    int trial_count, trial_capacity, finished;
    struct trial_queue queues[QUEUE_COUNT];
    struct worker_entry *workers;
    struct host_entry *hosts;
    struct device_entry *devices;
    uint64_t *ready; // a bit a worker: idle, usable, on a device that is not reserved
    int present, busy, usable, usable_hosts, clean, clean_hosts;
    int oldest, newest; // present workers by when they were last heard
    struct scheduler_action *actions;
    int action_count, action_capacity;
    bool plan_complete, holding, stopping, clock_started;
    bool concluded;   // a trial has got its result in this run
    double populated; // when there was last a worker that may be used
    enum scheduler_ending ending;
};

void scheduler_act(scheduler *s, enum scheduler_action_kind kind, int worker, int trial, int attempt);

// ---- workers ----

// Changes what a worker does; `trial` counts for BUSY.
void worker_set(scheduler *s, int worker, enum worker_state state, int trial);
void worker_heard_at(scheduler *s, int worker, double now);
// Takes account of a changed quarantine, suspicion or reservation.
void worker_update(scheduler *s, int worker);
static inline bool worker_is_present(const struct worker_entry *w) {
    return w->state == IDLE || w->state == BUSY;
}

// ---- queues ----

// Puts a waiting trial into the queue that its entry belongs in; it must not stand in one.
void queue_push(scheduler *s, int trial);
void queue_remove(scheduler *s, int trial);
// Whether a is to be trained before b.
bool queue_before(const scheduler *s, int a, int b);

// ---- dispatch ----

void dispatch(scheduler *s);
// The trial no longer needs a device to itself.
void device_release(scheduler *s, int trial);

// ---- quarantine ----

// The trial's last loss was its trainer's failure.
void blame(scheduler *s, int trial);
// The worker has brought a new epoch of the trial.
void clear_of_blame(scheduler *s, int trial, int worker);
// The worker starts anew.
void forget_blame(scheduler *s, int worker);

#endif
