#include "orchestrator/scheduler.h"

#include <stdlib.h>

enum trial_state { WAITING, RUNNING, FINISHED };
enum worker_state { ABSENT, IDLE, BUSY, LOST };

struct trial_entry {
    double work;
    bool started;
    enum trial_state state;
    int attempts; // made so far
    int losses;   // since an attempt last brought a new epoch
    int worker;   // that counts as running it; -1: none
};

struct worker_entry {
    enum worker_state state;
    int trial; // BUSY: what it trains, though the trial may count as another's by now; -1: none
    double heard;
};

struct scheduler {
    struct scheduler_config config;
    struct trial_entry *trials;
    int trial_count, trial_capacity, finished;
    struct worker_entry *workers;
    struct scheduler_action *actions;
    int action_count, action_capacity;
    bool plan_complete, stopping, clock_started;
    double populated; // when there was last a worker
    enum scheduler_ending ending;
};

enum status scheduler_create(const struct scheduler_config *config, scheduler **out, struct error *err) {
    scheduler *s = calloc(1, sizeof *s);
    if (!s)
        return error_memory(err, "scheduler");
    s->config = *config;
    s->workers = calloc((size_t)config->workers + 1, sizeof *s->workers);
    if (!s->workers || scheduler_add(s, NULL, 0, err) != STATUS_OK) {
        scheduler_destroy(s);
        return error_memory(err, "scheduler");
    }
    for (int w = 0; w < config->workers; w++)
        s->workers[w].trial = -1;
    *out = s;
    return STATUS_OK;
}

void scheduler_destroy(scheduler *s) {
    if (!s)
        return;
    free(s->trials);
    free(s->workers);
    free(s->actions);
    free(s);
}

enum status scheduler_add(scheduler *s, const struct scheduler_trial *trials, int count, struct error *err) {
    int total = s->trial_count + count;
    if (total > s->trial_capacity) {
        struct trial_entry *grown = realloc(s->trials, (size_t)total * 2 * sizeof *grown);
        if (!grown)
            return error_memory(err, "scheduler");
        s->trials = grown;
        s->trial_capacity = total * 2;
    }
    // At most an assignment, a loss and a verdict for each worker, and the end, come from one event.
    int actions = 4 * s->config.workers + 4;
    if (actions > s->action_capacity) {
        struct scheduler_action *grown = realloc(s->actions, (size_t)actions * sizeof *grown);
        if (!grown)
            return error_memory(err, "scheduler");
        s->actions = grown;
        s->action_capacity = actions;
    }
    for (int i = 0; i < count; i++) {
        s->trials[s->trial_count++] = (struct trial_entry){
            .work = trials[i].work,
            .started = trials[i].started,
            .state = trials[i].finished ? FINISHED : WAITING,
            .worker = -1,
        };
        s->finished += trials[i].finished;
    }
    return STATUS_OK;
}

static void act(scheduler *s, enum scheduler_action_kind kind, int worker, int trial, int attempt) {
    if (s->action_count < s->action_capacity)
        s->actions[s->action_count++] =
            (struct scheduler_action){.kind = kind, .worker = worker, .trial = trial, .attempt = attempt};
}

static void set_idle(scheduler *s, int worker) {
    s->workers[worker].state = IDLE;
    s->workers[worker].trial = -1;
}

// The trial is no longer being trained by the worker that it counts for.
static void requeue(scheduler *s, int trial, bool counts) {
    struct trial_entry *t = &s->trials[trial];
    t->worker = -1;
    t->state = WAITING;
    if (!counts || s->stopping) {
        t->attempts--; // was not its fault, or will not be tried again now
    } else if (++t->losses >= s->config.max_attempts) {
        t->state = FINISHED;
        s->finished++;
        act(s, SCHEDULER_GIVE_UP, -1, trial, t->attempts);
    } else {
        act(s, SCHEDULER_RETRY, -1, trial, t->attempts);
    }
}

static bool holds(const scheduler *s, int worker, int trial) {
    return trial >= 0 && s->trials[trial].state == RUNNING && s->trials[trial].worker == worker;
}

static void worker_gone(scheduler *s, int worker, enum worker_state state) {
    int trial = s->workers[worker].trial;
    s->workers[worker].state = state;
    s->workers[worker].trial = -1;
    if (holds(s, worker, trial))
        requeue(s, trial, state == LOST);
}

// A worker says that it has nothing to do, or trains `trial`.
static void worker_heard(scheduler *s, int worker, int trial) {
    struct worker_entry *w = &s->workers[worker];
    if (w->state != LOST && w->state != ABSENT)
        return; // it may not have read its assignment yet: what it says of its trial is no news
    if (trial < 0 || s->trials[trial].state == FINISHED) {
        if (trial < 0)
            set_idle(s, worker);
        return; // with a trial that is finished: idle when it says so
    }
    w->state = BUSY;
    w->trial = trial;
    if (s->stopping)
        act(s, SCHEDULER_STOP_WORKER, worker, trial, 0);
    if (s->trials[trial].state == WAITING) {
        s->trials[trial].state = RUNNING;
        s->trials[trial].worker = worker;
        s->trials[trial].attempts += s->trials[trial].attempts == 0;
        s->trials[trial].losses -= s->trials[trial].losses > 0; // it was not lost after all
    }
}

static void trial_ended(scheduler *s, const struct scheduler_event *e) {
    struct trial_entry *t = &s->trials[e->trial];
    bool held = holds(s, e->worker, e->trial);
    set_idle(s, e->worker);
    if (e->kind == SCHEDULER_TRIAL_FINISHED) {
        if (t->state == FINISHED)
            return; // another worker was faster
        t->state = FINISHED;
        t->worker = -1;
        s->finished++;
        act(s, SCHEDULER_ACCEPT, e->worker, e->trial, t->attempts);
        for (int w = 0; w < s->config.workers; w++) // it was taken for lost, and is being trained anew
            if (s->workers[w].state == BUSY && s->workers[w].trial == e->trial)
                act(s, SCHEDULER_STOP_WORKER, w, e->trial, 0);
    } else if (held) {
        t->started = t->started || e->kind == SCHEDULER_TRIAL_STOPPED;
        requeue(s, e->trial, e->kind == SCHEDULER_TRIAL_LOST);
    }
}

static void stop(scheduler *s) {
    if (s->stopping)
        return;
    s->stopping = true;
    for (int w = 0; w < s->config.workers; w++)
        if (s->workers[w].state == BUSY)
            act(s, SCHEDULER_STOP_WORKER, w, s->workers[w].trial, 0);
}

static void tick(scheduler *s, double now) {
    for (int w = 0; w < s->config.workers; w++) {
        struct worker_entry *worker = &s->workers[w];
        if ((worker->state == IDLE || worker->state == BUSY) && now - worker->heard > s->config.worker_timeout) {
            act(s, SCHEDULER_LOSE_WORKER, w, worker->trial, 0);
            worker_gone(s, w, LOST);
        }
    }
}

static bool before(const struct trial_entry *a, const struct trial_entry *b) {
    if (a->started != b->started)
        return a->started;
    return a->work > b->work;
}

static int best_waiting(const scheduler *s) {
    int best = -1;
    for (int i = 0; i < s->trial_count; i++)
        if (s->trials[i].state == WAITING && (best < 0 || before(&s->trials[i], &s->trials[best])))
            best = i;
    return best;
}

static void dispatch(scheduler *s) {
    for (int w = 0; w < s->config.workers && !s->stopping; w++) {
        if (s->workers[w].state != IDLE)
            continue;
        int best = best_waiting(s);
        if (best < 0)
            return;
        struct trial_entry *t = &s->trials[best];
        t->state = RUNNING;
        t->worker = w;
        t->attempts++;
        s->workers[w].state = BUSY;
        s->workers[w].trial = best;
        act(s, SCHEDULER_ASSIGN, w, best, t->attempts);
    }
}

static int count_workers(const scheduler *s, enum worker_state state) {
    int count = 0;
    for (int w = 0; w < s->config.workers; w++)
        count += s->workers[w].state == state;
    return count;
}

static void check_end(scheduler *s, double now) {
    int busy = count_workers(s, BUSY), idle = count_workers(s, IDLE);
    if (!s->clock_started || busy + idle > 0)
        s->populated = now;
    s->clock_started = true;
    if (s->ending != SCHEDULER_RUNNING)
        return;
    if (s->plan_complete && s->finished == s->trial_count)
        s->ending = SCHEDULER_ALL_DONE;
    else if (s->stopping && busy == 0)
        s->ending = SCHEDULER_STOPPED;
    else if (now - s->populated > s->config.empty_timeout)
        s->ending = SCHEDULER_NO_WORKERS;
    else
        return;
    act(s, SCHEDULER_FINISH, -1, -1, 0);
}

static bool event_is_valid(const scheduler *s, const struct scheduler_event *e) {
    bool of_worker = e->kind >= SCHEDULER_WORKER_IDLE && e->kind <= SCHEDULER_TRIAL_LOST;
    bool of_trial = e->kind >= SCHEDULER_TRIAL_EPOCH && e->kind <= SCHEDULER_TRIAL_LOST;
    if (of_worker && (e->worker < 0 || e->worker >= s->config.workers))
        return false;
    return e->trial < s->trial_count && !(of_trial && e->trial < 0);
}

static void handle(scheduler *s, const struct scheduler_event *e) {
    bool of_worker = e->kind >= SCHEDULER_WORKER_IDLE && e->kind <= SCHEDULER_TRIAL_LOST;
    if (of_worker)
        s->workers[e->worker].heard = e->now;
    switch (e->kind) {
    case SCHEDULER_PLAN_COMPLETE:
        s->plan_complete = true;
        break;
    case SCHEDULER_WORKER_IDLE:
        if (s->workers[e->worker].state != BUSY)
            set_idle(s, e->worker);
        break;
    case SCHEDULER_WORKER_HEARD:
        worker_heard(s, e->worker, e->trial);
        break;
    case SCHEDULER_WORKER_LEFT:
        worker_gone(s, e->worker, ABSENT);
        break;
    case SCHEDULER_TRIAL_EPOCH:
        worker_heard(s, e->worker, e->trial);
        s->trials[e->trial].started = true;
        if (e->fresh)
            s->trials[e->trial].losses = 0;
        break;
    case SCHEDULER_TRIAL_FINISHED:
    case SCHEDULER_TRIAL_STOPPED:
    case SCHEDULER_TRIAL_LOST:
        trial_ended(s, e);
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
    if (s->ending == SCHEDULER_RUNNING)
        dispatch(s);
    check_end(s, e->now);
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

int scheduler_finished_count(const scheduler *s) {
    return s->finished;
}

int scheduler_worker_trial(const scheduler *s, int worker) {
    return s->workers[worker].trial;
}

bool scheduler_worker_is_present(const scheduler *s, int worker) {
    return s->workers[worker].state == IDLE || s->workers[worker].state == BUSY;
}
