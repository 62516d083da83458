#include "orchestrator/scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "orchestrator/scheduler_state.h"

// ---- memory ----

enum status scheduler_create(const struct scheduler_config *config, scheduler **out, struct error *err) {
    scheduler *s = calloc(1, sizeof *s);
    if (!s)
        return error_memory(err, "scheduler");
    size_t workers = (size_t)config->workers + 1;
    s->config = *config;
    s->oldest = s->newest = NONE;
    s->workers = calloc(workers, sizeof *s->workers);
    s->hosts = calloc(workers, sizeof *s->hosts);
    s->devices = calloc(workers, sizeof *s->devices);
    s->ready = calloc(workers / 64 + 1, sizeof *s->ready);
    // At most an assignment, a loss with its verdict and a quarantine for each worker, and the end, come from one
    // event.
    s->action_capacity = 4 * config->workers + 8;
    s->actions = calloc((size_t)s->action_capacity, sizeof *s->actions);
    if (!s->workers || !s->hosts || !s->devices || !s->ready || !s->actions) {
        scheduler_destroy(s);
        return error_memory(err, "scheduler");
    }
    for (int i = 0; i < config->workers; i++) {
        s->workers[i].trial = s->workers[i].older = s->workers[i].newer = NONE;
        s->devices[i].reserved_for = NONE;
    }
    *out = s;
    return STATUS_OK;
}

void scheduler_destroy(scheduler *s) {
    if (!s)
        return;
    for (int q = 0; q < QUEUE_COUNT; q++)
        free(s->queues[q].at);
    free(s->trials);
    free(s->workers);
    free(s->hosts);
    free(s->devices);
    free(s->ready);
    free(s->actions);
    free(s);
}

static bool grow(void **array, size_t count, size_t size) {
    void *grown = realloc(*array, count * size);
    if (grown)
        *array = grown;
    return grown != NULL;
}

static enum status reserve(scheduler *s, int count, struct error *err) {
    if (count <= s->trial_capacity)
        return STATUS_OK;
    int capacity = 2 * count;
    void *trials = s->trials;
    bool grown = grow(&trials, (size_t)capacity, sizeof *s->trials);
    s->trials = trials;
    for (int q = 0; q < QUEUE_COUNT && grown; q++) {
        void *at = s->queues[q].at;
        grown = grow(&at, (size_t)capacity, sizeof *s->queues[q].at);
        s->queues[q].at = at;
    }
    if (!grown)
        return error_memory(err, "scheduler");
    s->trial_capacity = capacity;
    return STATUS_OK;
}

enum status scheduler_add(scheduler *s, const struct scheduler_trial *trials, int count, struct error *err) {
    TRY(reserve(s, s->trial_count + count, err));
    for (int i = 0; i < count; i++) {
        int trial = s->trial_count++;
        s->trials[trial] = (struct trial_entry){
            .work = trials[i].work,
            .started = trials[i].started,
            .state = trials[i].finished ? FINISHED
                     : trials[i].paused ? PAUSED
                                        : WAITING,
            .worker = NONE,
            .device = NONE,
        };
        s->finished += trials[i].finished;
        if (s->trials[trial].state == WAITING)
            queue_push(s, trial);
    }
    return STATUS_OK;
}

void scheduler_act(scheduler *s, enum scheduler_action_kind kind, int worker, int trial, int attempt) {
    if (s->action_count < s->action_capacity)
        s->actions[s->action_count++] =
            (struct scheduler_action){.kind = kind, .worker = worker, .trial = trial, .attempt = attempt};
}

// ---- trials ----

// Takes a trial out of its queue, or from its worker, for good or for another state.
static void withdraw(scheduler *s, int trial) {
    struct trial_entry *t = &s->trials[trial];
    if (t->state == WAITING)
        queue_remove(s, trial);
    t->worker = NONE;
    device_release(s, trial);
}

static void set_waiting(scheduler *s, int trial) {
    s->trials[trial].state = WAITING;
    queue_push(s, trial);
}

static void set_finished(scheduler *s, int trial) {
    s->trials[trial].state = FINISHED;
    s->finished++;
    s->concluded = true;
}

// The oldest makes way.
static void remember_loss(struct trial_entry *t, int worker, bool silent) {
    if (t->lost_count == REMEMBERED_LOSSES)
        memmove(t->lost, t->lost + 1, (size_t)--t->lost_count * sizeof *t->lost);
    t->lost[t->lost_count++] = (struct loss){.worker = worker, .silent = silent};
}

// What looked like a loss was silence.
static void forget_loss(struct trial_entry *t, int worker) {
    for (int i = t->lost_count - 1; i >= 0; i--) {
        if (t->lost[i].worker != worker || !t->lost[i].silent)
            continue;
        memmove(t->lost + i, t->lost + i + 1, (size_t)(--t->lost_count - i) * sizeof *t->lost);
        t->losses--;
        return;
    }
}

// The attempt was lost, for this reason. Whether its device had been its own is asked first: the answer decides what
// the loss means.
static void judge_loss(scheduler *s, int trial, int worker, enum scheduler_loss loss) {
    struct trial_entry *t = &s->trials[trial];
    bool crowded = t->crowded || s->devices[s->workers[worker].device].begun != t->begun;
    if (loss == SCHEDULER_LOSS_MEMORY && crowded && !t->alone) {
        t->alone = true;
        scheduler_act(s, SCHEDULER_RETRY_ALONE, NONE, trial, t->attempts);
        set_waiting(s, trial);
        return;
    }
    remember_loss(t, worker, loss == SCHEDULER_LOSS_SILENT);
    if (loss == SCHEDULER_LOSS_TRAINER)
        blame(s, trial);
    if (++t->losses >= s->config.max_attempts) {
        set_finished(s, trial);
        scheduler_act(s, SCHEDULER_GIVE_UP, NONE, trial, t->attempts);
    } else {
        scheduler_act(s, SCHEDULER_RETRY, NONE, trial, t->attempts);
        set_waiting(s, trial);
    }
}

// Another worker that trains the trial, since it was taken for lost and came back; NONE.
static int find_runner(const scheduler *s, int trial) {
    for (int w = 0; s->trials[trial].runners > 0 && w < s->config.workers; w++)
        if (s->workers[w].state == BUSY && s->workers[w].trial == trial)
            return w;
    return NONE;
}

// The trial is no longer being trained by the worker that it counts for.
static void requeue(scheduler *s, int trial, int worker, enum scheduler_loss loss) {
    struct trial_entry *t = &s->trials[trial];
    withdraw(s, trial);
    t->worker = find_runner(s, trial);
    if (t->worker != NONE)
        return;
    if (loss == SCHEDULER_LOSS_INNOCENT || s->stopping) {
        t->attempts--; // was not its fault, or will not be tried again now
        set_waiting(s, trial);
    } else {
        judge_loss(s, trial, worker, loss);
    }
}

static bool holds(const scheduler *s, int worker, int trial) {
    return trial >= 0 && s->trials[trial].state == RUNNING && s->trials[trial].worker == worker;
}

static void worker_gone(scheduler *s, int worker, enum worker_state state) {
    int trial = s->workers[worker].trial;
    worker_set(s, worker, state, NONE);
    if (holds(s, worker, trial))
        requeue(s, trial, worker, state == LOST ? SCHEDULER_LOSS_SILENT : SCHEDULER_LOSS_INNOCENT);
}

// A worker that was lost trains a trial that waits: it was not lost after all.
static void take_back(scheduler *s, int worker, int trial) {
    struct trial_entry *t = &s->trials[trial];
    withdraw(s, trial);
    t->state = RUNNING;
    t->worker = worker;
    t->attempts += t->attempts == 0;
    forget_loss(t, worker);
    t->crowded = true; // for all that is known
}

// A worker says that it has nothing to do, or trains `trial`. While it counts as busy this is no news: it may not have
// read its assignment yet, and will follow it when it has.
static void worker_heard(scheduler *s, int worker, int trial) {
    const struct worker_entry *w = &s->workers[worker];
    if (w->state == BUSY)
        return;
    if (trial < 0) {
        worker_set(s, worker, IDLE, NONE);
        return;
    }
    enum trial_state state = s->trials[trial].state;
    worker_set(s, worker, BUSY, trial);
    if (s->stopping || state == FINISHED || state == PAUSED)
        scheduler_act(s, SCHEDULER_STOP_WORKER, worker, trial, 0);
    if (state == WAITING)
        take_back(s, worker, trial);
}

static void trial_epoch(scheduler *s, const struct scheduler_event *e) {
    worker_heard(s, e->worker, e->trial);
    struct trial_entry *t = &s->trials[e->trial];
    bool waits = t->state == WAITING; // told late, by a worker that has another by now: its place in the queue changes
    if (waits)
        queue_remove(s, e->trial);
    t->started = true;
    if (e->fresh) {
        t->losses = t->lost_count = 0;
        clear_of_blame(s, e->trial, e->worker);
    }
    if (waits)
        queue_push(s, e->trial);
}

// The first word of a trial's end, or of its pause, counts.
static void accept(scheduler *s, const struct scheduler_event *e) {
    struct trial_entry *t = &s->trials[e->trial];
    if (t->state == FINISHED || t->state == PAUSED)
        return; // another worker was faster
    withdraw(s, e->trial);
    if (e->kind == SCHEDULER_TRIAL_FINISHED) {
        set_finished(s, e->trial);
    } else {
        t->state = PAUSED;
        t->started = true;
    }
    scheduler_act(s, SCHEDULER_ACCEPT, e->worker, e->trial, t->attempts);
    for (int w = 0; t->runners > 0 && w < s->config.workers; w++) // it was taken for lost, and is being trained anew
        if (s->workers[w].state == BUSY && s->workers[w].trial == e->trial)
            scheduler_act(s, SCHEDULER_STOP_WORKER, w, e->trial, 0);
}

static void trial_ended(scheduler *s, const struct scheduler_event *e) {
    bool held = holds(s, e->worker, e->trial), stopped = e->kind == SCHEDULER_TRIAL_STOPPED;
    const struct worker_entry *w = &s->workers[e->worker];
    if (w->state != BUSY || w->trial == e->trial) // else it has an assignment to come to
        worker_set(s, e->worker, IDLE, NONE);
    if (e->kind == SCHEDULER_TRIAL_FINISHED || e->kind == SCHEDULER_TRIAL_PAUSED) {
        accept(s, e);
    } else if (held) {
        s->trials[e->trial].started = s->trials[e->trial].started || stopped;
        requeue(s, e->trial, e->worker, stopped ? SCHEDULER_LOSS_INNOCENT : e->loss);
    }
}

static void go_on(scheduler *s, const struct scheduler_event *e) {
    if (s->trials[e->trial].state != PAUSED)
        return;
    if (e->kind == SCHEDULER_TRIAL_PROMOTED) {
        s->trials[e->trial].attempts = 0; // they count anew
        set_waiting(s, e->trial);
    } else {
        set_finished(s, e->trial);
    }
}

// ---- the sweep ----

static void stop(scheduler *s) {
    if (s->stopping)
        return;
    s->stopping = true;
    for (int w = 0; w < s->config.workers; w++)
        if (s->workers[w].state == BUSY)
            scheduler_act(s, SCHEDULER_STOP_WORKER, w, s->workers[w].trial, 0);
}

static void lose(scheduler *s, int worker) {
    if (!worker_is_present(&s->workers[worker]))
        return;
    scheduler_act(s, SCHEDULER_LOSE_WORKER, worker, s->workers[worker].trial, 0);
    worker_gone(s, worker, LOST);
}

static void tick(scheduler *s, double now) {
    while (s->oldest != NONE && now - s->workers[s->oldest].heard > s->config.worker_timeout)
        lose(s, s->oldest);
}

static enum scheduler_ending ending_now(scheduler *s, double now) {
    bool populated = s->usable > 0 || s->busy > 0;
    if (!s->clock_started || populated)
        s->populated = now;
    s->clock_started = true;
    if (s->plan_complete && s->finished == s->trial_count)
        return SCHEDULER_ALL_DONE;
    if ((s->holding || s->stopping) && s->busy == 0)
        return SCHEDULER_STOPPED;
    // Where workers are missing, one that can be used may still come.
    bool waited = now - s->populated > s->config.empty_timeout;
    if (populated || !(waited || s->present == s->config.workers))
        return SCHEDULER_RUNNING;
    return s->present > 0 ? SCHEDULER_QUARANTINED : SCHEDULER_NO_WORKERS;
}

static bool is_of_worker(enum scheduler_event_kind kind) {
    return kind >= SCHEDULER_WORKER_IDLE && kind <= SCHEDULER_TRIAL_LOST;
}

static bool needs_trial(enum scheduler_event_kind kind) {
    return kind == SCHEDULER_TRIAL_PROMOTED || kind == SCHEDULER_TRIAL_CLOSED ||
           (kind >= SCHEDULER_TRIAL_EPOCH && kind <= SCHEDULER_TRIAL_LOST);
}

static bool event_is_valid(const scheduler *s, const struct scheduler_event *e) {
    if (is_of_worker(e->kind) && (e->worker < 0 || e->worker >= s->config.workers))
        return false;
    return e->trial < s->trial_count && !(needs_trial(e->kind) && e->trial < 0);
}

static void handle(scheduler *s, const struct scheduler_event *e) {
    if (is_of_worker(e->kind))
        worker_heard_at(s, e->worker, e->now);
    switch (e->kind) {
    case SCHEDULER_PLAN_COMPLETE:
        s->plan_complete = true;
        break;
    case SCHEDULER_TRIAL_PROMOTED:
    case SCHEDULER_TRIAL_CLOSED:
        go_on(s, e);
        break;
    case SCHEDULER_WORKER_IDLE:
        if (s->workers[e->worker].state != BUSY)
            worker_set(s, e->worker, IDLE, NONE);
        break;
    case SCHEDULER_WORKER_HEARD:
        worker_heard(s, e->worker, e->trial);
        break;
    case SCHEDULER_WORKER_LEFT:
        worker_gone(s, e->worker, ABSENT);
        forget_blame(s, e->worker);
        break;
    case SCHEDULER_WORKER_DEAD:
        lose(s, e->worker);
        break;
    case SCHEDULER_TRIAL_EPOCH:
        trial_epoch(s, e);
        break;
    case SCHEDULER_TRIAL_FINISHED:
    case SCHEDULER_TRIAL_PAUSED:
    case SCHEDULER_TRIAL_STOPPED:
    case SCHEDULER_TRIAL_LOST:
        trial_ended(s, e);
        break;
    case SCHEDULER_HOLD:
        s->holding = true;
        break;
    case SCHEDULER_STOP:
        stop(s);
        break;
    case SCHEDULER_TICK:
        tick(s, e->now);
        break;
    }
}

struct scheduler_actions scheduler_step(scheduler *s, const struct scheduler_event *e) {
    s->action_count = 0;
    if (event_is_valid(s, e))
        handle(s, e);
    if (s->ending == SCHEDULER_RUNNING && !s->holding && !s->stopping)
        dispatch(s);
    if (s->ending == SCHEDULER_RUNNING) {
        s->ending = ending_now(s, e->now);
        if (s->ending != SCHEDULER_RUNNING)
            scheduler_act(s, SCHEDULER_FINISH, NONE, NONE, 0);
    }
    return (struct scheduler_actions){.count = s->action_count, .at = s->actions};
}

enum scheduler_ending scheduler_ending(const scheduler *s) {
    return s->ending;
}

int scheduler_trial_count(const scheduler *s) {
    return s->trial_count;
}

bool scheduler_trial_is_finished(const scheduler *s, int trial) {
    return s->trials[trial].state == FINISHED;
}

bool scheduler_trial_is_paused(const scheduler *s, int trial) {
    return s->trials[trial].state == PAUSED;
}

int scheduler_finished_count(const scheduler *s) {
    return s->finished;
}

int scheduler_worker_trial(const scheduler *s, int worker) {
    return s->workers[worker].trial;
}

bool scheduler_worker_is_present(const scheduler *s, int worker) {
    return worker_is_present(&s->workers[worker]);
}

bool scheduler_worker_is_quarantined(const scheduler *s, int worker) {
    return s->workers[worker].quarantined;
}
