#include "simulation.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/base/rng.h"
#include "orchestrator/rungs.h"
#include "orchestrator/scheduler.h"

enum { MAX_ATTEMPTS = 3, QUARANTINE_AFTER = 3, REMEMBERED = 4, MAX_RUNS = 10000 };
static const double WORKER_TIMEOUT = 60, EMPTY_TIMEOUT = 60, TICK = 1, START_FAILURE = 2;

enum happening {
    JOIN,      // a worker's process has started
    BEAT,      // its next heartbeat is due
    ACT,       // its trainer comes to the end of an epoch, or of its life
    TO_MASTER, // a message arrives
    TO_WORKER,
    DEATH_TOLD, // the transport tells the master of one
    MASTER_TICK,
    MASTER_KILLED,
    MASTER_STOPPED,
};

enum word { HELLO, HEARTBEAT, EPOCH, RESULT, PAUSED, LOST, STOPPED, BYE, ASSIGN, STOP };

struct moment {
    double time;
    long order;
    enum happening what;
    int run, worker;
    unsigned token; // ACT: of the trainer's life that it belongs to
    enum word word;
    int trial, epoch;
    enum scheduler_loss loss;
};

enum fate { LIVES, CRASHES, RUNS_OUT_OF_MEMORY, IS_STOPPED };

struct worker {
    bool alive, bad;
    double speed;
    double cut_until;                  // nothing gets through until then
    double sent_until, received_until; // when the last message of each way arrives
    int trial, epoch;                  // what its trainer trains, and the epochs that it has; trial -1: none
    int until;                         // epochs that it is to train it to
    enum fate fate;
    double crash_epoch; // CRASHES: when
    double began;       // the step under way
    unsigned token;
    int next, next_until; // assignment that waits for the running trial to stop; -1
    bool next_stopped;
    // What the master knows, kept apart from the scheduler.
    bool present, quarantined, alone;
    bool failed;          // has lost a trial since its last new epoch
    int has;              // trial; -1
    double unusable_from; // while not present or in quarantine
};

struct trial {
    double seconds, memory, estimate;
    bool poison;
    int checkpoint; // epochs in last.safetensors
    int recorded;   // epochs in epochs.csv
    bool result;
    bool at_rest; // its trainer has left it in order
    bool paused;  // waits for its rung
    int outcome;
    int holder; // worker; -1
    int losses; // reported by workers in a row
    bool alone;
    int lost_count, lost[REMEMBERED]; // workers that have lost it in a row, and not by silence alone
    bool silent[REMEMBERED];
};

struct simulation {
    struct simulation_config config;
    struct simulation_report *report;
    struct rng rng;
    scheduler *s;
    struct worker *w;
    struct trial *t;
    double now, last_assignment, unusable;
    int run, unfinished;
    bool stopping, ended, calm;
    bool pausing;        // the step under way is of a trial that has come to its rung
    struct sweep *sweep; // what the rungs are computed from; NULL: none
    struct plan plan;
    rungs *rungs;
    struct moment *heap;
    long count, capacity, order;
};

__attribute__((format(printf, 2, 3))) static void violate(struct simulation *m, const char *format, ...) {
    if (m->report->violation[0])
        return;
    char text[200];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    snprintf(m->report->violation, sizeof m->report->violation, "run %d, %.3f s: %s", m->run, m->now, text);
}

// ---- time ----

static bool earlier(const struct moment *a, const struct moment *b) {
    return a->time != b->time ? a->time < b->time : a->order < b->order;
}

static void at(struct simulation *m, double time, struct moment what) {
    if (m->count == m->capacity) {
        m->capacity = 2 * m->capacity + 1024;
        m->heap = realloc(m->heap, (size_t)m->capacity * sizeof *m->heap);
        if (!m->heap)
            abort();
    }
    what.time = time;
    what.order = m->order++;
    what.run = m->run;
    long i = m->count++;
    for (; i > 0 && earlier(&what, &m->heap[(i - 1) / 2]); i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = what;
}

static struct moment take(struct simulation *m) {
    struct moment first = m->heap[0], last = m->heap[--m->count];
    long i = 0;
    for (long child; (child = 2 * i + 1) < m->count; i = child) {
        child += child + 1 < m->count && earlier(&m->heap[child + 1], &m->heap[child]);
        if (!earlier(&m->heap[child], &last))
            break;
        m->heap[i] = m->heap[child];
    }
    m->heap[i] = last;
    return first;
}

static bool chance(struct simulation *m, double probability) {
    return rng_uniform(&m->rng) < probability;
}

// Of what comes from outside: hosts, networks, users.
static bool mishap(struct simulation *m, double probability) {
    return !m->calm && chance(m, probability);
}

// ---- messages ----

static double arrival(struct simulation *m, const struct worker *w, double after) {
    double start = m->now > w->cut_until ? m->now : w->cut_until;
    double time = start + 0.001 + 0.05 * rng_uniform(&m->rng);
    return time > after ? time : after;
}

static void tell_master(struct simulation *m, int worker, struct moment what) {
    struct worker *w = &m->w[worker];
    what.what = TO_MASTER;
    what.worker = worker;
    w->sent_until = arrival(m, w, w->sent_until);
    at(m, w->sent_until, what);
}

// `until`: of an assignment.
static void tell_worker(struct simulation *m, int worker, enum word word, int trial, int until) {
    struct worker *w = &m->w[worker];
    w->received_until = arrival(m, w, w->received_until);
    at(m, w->received_until,
       (struct moment){.what = TO_WORKER, .worker = worker, .word = word, .trial = trial, .epoch = until});
}

// ---- a worker ----

static int host_of(const struct simulation *m, int worker) {
    return worker / m->config.workers_per_host;
}

static int device_of(const struct simulation *m, int worker) {
    int first = host_of(m, worker) * m->config.workers_per_host; // of the host; a device is named by its first worker
    return worker - (worker - first) % m->config.workers_per_device;
}

static void next_act(struct simulation *m, int worker, double seconds) {
    struct worker *w = &m->w[worker];
    w->began = m->now;
    at(m, m->now + seconds, (struct moment){.what = ACT, .worker = worker, .token = ++w->token});
}

static void next_epoch(struct simulation *m, int worker) {
    struct worker *w = &m->w[worker];
    double epoch = m->t[w->trial].seconds / m->config.epochs / w->speed;
    if (w->fate == CRASHES && w->crash_epoch < w->epoch + 1)
        next_act(m, worker, epoch * (w->crash_epoch - w->epoch));
    else
        next_act(m, worker, epoch);
}

static double memory_beside(const struct simulation *m, int worker) {
    double used = 0;
    for (int i = 0; i < m->config.ranks; i++)
        if (i != worker && device_of(m, i) == device_of(m, worker) && m->w[i].alive && m->w[i].trial >= 0)
            used += m->t[m->w[i].trial].memory;
    return used;
}

static void end_trial(struct simulation *m, int worker, enum word word, enum scheduler_loss loss);

// The trial has been trained as far as it was to be.
static void end_training(struct simulation *m, int worker) {
    const struct worker *w = &m->w[worker];
    bool whole = w->epoch == m->config.epochs;
    m->t[w->trial].at_rest = true;
    end_trial(m, worker, whole ? RESULT : PAUSED, 0);
}

static void start_trial(struct simulation *m, int worker, int trial, int until) {
    struct worker *w = &m->w[worker];
    struct trial *t = &m->t[trial];
    t->at_rest = false;
    w->trial = trial;
    w->until = until;
    w->epoch = t->checkpoint;
    w->fate = LIVES;
    if (m->config.hungry > 0 && memory_beside(m, worker) + t->memory > 1)
        w->fate = RUNS_OUT_OF_MEMORY;
    else if (t->poison || (w->bad && !m->calm) || chance(m, m->config.crash))
        w->fate = CRASHES;
    bool at_once = t->poison || (w->bad && !m->calm);
    w->crash_epoch = w->epoch + rng_uniform(&m->rng) * (m->config.epochs - w->epoch);
    if (w->epoch > 0) // the checkpoint's epochs are told again
        tell_master(m, worker, (struct moment){.word = EPOCH, .trial = trial, .epoch = w->epoch - 1});
    if (w->fate == RUNS_OUT_OF_MEMORY || (w->fate == CRASHES && at_once))
        next_act(m, worker, START_FAILURE);
    else if (w->epoch >= w->until) // all trained, but the word of it was lost
        end_training(m, worker);
    else
        next_epoch(m, worker);
}

static void stop_trial(struct simulation *m, int worker) {
    struct worker *w = &m->w[worker];
    if (w->trial < 0 || w->fate == IS_STOPPED)
        return;
    m->report->spent += m->now - w->began;
    w->fate = IS_STOPPED;
    next_act(m, worker, 3 * rng_uniform(&m->rng));
}

// The running trial has ended, with this word; an assignment that had to wait begins.
static void end_trial(struct simulation *m, int worker, enum word word, enum scheduler_loss loss) {
    struct worker *w = &m->w[worker];
    tell_master(m, worker, (struct moment){.word = word, .trial = w->trial, .epoch = w->epoch, .loss = loss});
    int next = w->next;
    w->trial = w->next = -1;
    if (next >= 0 && w->next_stopped)
        tell_master(m, worker, (struct moment){.word = STOPPED, .trial = next});
    else if (next >= 0)
        start_trial(m, worker, next, w->next_until);
    w->next_stopped = false;
}

static void die(struct simulation *m, int worker) {
    bool told = m->config.told > 0 && chance(m, m->config.told);
    m->report->cut += WORKER_TIMEOUT + TICK; // until it is missed
    m->w[worker].alive = false;
    if (told)
        at(m, m->now + 5 * rng_uniform(&m->rng),
           (struct moment){.what = DEATH_TOLD, .worker = worker, .token = m->w[worker].token});
    m->w[worker].trial = m->w[worker].next = -1;
}

static void cut_off(struct simulation *m, int worker, double seconds) {
    m->w[worker].cut_until = m->now + seconds;
    m->report->cut += seconds;
}

static void end_epoch(struct simulation *m, int worker) {
    struct worker *w = &m->w[worker];
    struct trial *t = &m->t[w->trial];
    if (++w->epoch > t->checkpoint)
        t->checkpoint = w->epoch;
    tell_master(m, worker, (struct moment){.word = EPOCH, .trial = w->trial, .epoch = w->epoch - 1});
    if (mishap(m, m->config.silence))
        cut_off(m, worker, 3 * WORKER_TIMEOUT * rng_uniform(&m->rng));
    if (mishap(m, m->config.death)) {
        die(m, worker);
    } else if (w->epoch >= w->until) {
        end_training(m, worker);
        if (w->trial < 0 && mishap(m, m->config.leaves)) {
            tell_master(m, worker, (struct moment){.word = BYE, .trial = -1});
            die(m, worker);
        }
    } else {
        next_epoch(m, worker);
    }
}

static void act(struct simulation *m, int worker) {
    struct worker *w = &m->w[worker];
    m->report->spent += m->now - w->began;
    switch (w->fate) {
    case IS_STOPPED:
        end_trial(m, worker, STOPPED, 0);
        break;
    case RUNS_OUT_OF_MEMORY:
        end_trial(m, worker, LOST, SCHEDULER_LOSS_MEMORY);
        break;
    case CRASHES:
        if (m->t[w->trial].poison || (w->bad && !m->calm) || w->crash_epoch < w->epoch + 1) {
            end_trial(m, worker, LOST, SCHEDULER_LOSS_TRAINER);
            break;
        }
        end_epoch(m, worker);
        break;
    case LIVES:
        end_epoch(m, worker);
        break;
    }
}

static void deliver(struct simulation *m, const struct moment *e) {
    struct worker *w = &m->w[e->worker];
    if (!w->alive)
        return;
    if (e->word == ASSIGN && w->trial < 0) {
        start_trial(m, e->worker, e->trial, e->epoch);
    } else if (e->word == ASSIGN) {
        w->next = e->trial;
        w->next_until = e->epoch;
        stop_trial(m, e->worker);
    } else {
        stop_trial(m, e->worker);
        w->next_stopped = w->next >= 0;
    }
}

// ---- rungs ----

// A grid of configurations on their folds, and a config for each trial that is left over.
static void set_up_rungs(struct simulation *m) {
    const struct simulation_config *c = &m->config;
    if (c->first_rung == 0)
        return;
    m->sweep = calloc(1, sizeof *m->sweep);
    m->rungs = rungs_create();
    m->plan = (struct plan){.sweep = m->sweep};
    m->plan.trials = calloc((size_t)c->trials + 1, sizeof *m->plan.trials);
    m->plan.rows = calloc((size_t)c->trials + 1, sizeof *m->plan.rows);
    if (!m->sweep || !m->rungs || !m->plan.trials || !m->plan.rows ||
        !(m->sweep->grids = calloc(1, sizeof *m->sweep->grids)))
        abort();
    m->sweep->first_rung = c->first_rung;
    m->sweep->reduction_factor = c->reduction_factor;
    m->sweep->base.epochs = c->epochs;
    int points = c->trials / c->folds;
    m->sweep->grids[0] = (struct sweep_grid){.points = points, .run_count = c->folds};
    m->plan.grids_expanded = points > 0;
    m->plan.trial_count = m->plan.row_count = c->trials;
    for (int i = 0; i < c->trials; i++) {
        bool left_over = i >= points * c->folds;
        m->plan.trials[i].hp.epochs = c->epochs;
        m->plan.rows[i] = (struct plan_row){
            .grid = left_over ? -1 : 0, .config = left_over ? 0 : -1, .point = i / c->folds, .trial = i};
    }
}

static void free_rungs(struct simulation *m) {
    if (m->sweep)
        free(m->sweep->grids);
    free(m->sweep);
    free(m->plan.trials);
    free(m->plan.rows);
    rungs_destroy(m->rungs);
}

static enum halving_state look_at_record(void *context, int trial, int epochs, double *score) {
    const struct simulation *m = context;
    const struct trial *t = &m->t[trial];
    struct rng rng = rng_stream(m->config.seed, 2, RNG_TEST, (uint32_t)trial, (uint32_t)epochs);
    *score = rng_below(&rng, 10) / 10.0;
    return t->recorded >= epochs ? HALVING_THERE : t->result ? HALVING_OUT : HALVING_PENDING;
}

static void update_rungs(struct simulation *m) {
    struct rungs_record record = {m, look_at_record};
    struct error err;
    if (m->rungs && rungs_update(m->rungs, &m->plan, &record, &err) != STATUS_OK)
        abort();
}

static int until(const struct simulation *m, int trial) {
    return m->rungs ? rungs_until(m->rungs, trial) : m->config.epochs;
}

static bool waits_at_rung(const struct simulation *m, int trial) {
    return until(m, trial) < m->config.epochs && m->t[trial].recorded >= until(m, trial);
}

// ---- the master, and the rules ----

static bool device_is_had_alone(const struct simulation *m, int worker) {
    for (int i = 0; i < m->config.ranks; i++)
        if (device_of(m, i) == device_of(m, worker) && m->w[i].alone && m->t[m->w[i].has].holder == i)
            return true;
    return false;
}

static int assigned_beside(const struct simulation *m, int worker) {
    int count = 0;
    for (int i = 0; i < m->config.ranks; i++)
        count += i != worker && device_of(m, i) == device_of(m, worker) && m->w[i].has >= 0;
    return count;
}

static bool has_lost_it(const struct simulation *m, const struct trial *t, int host) {
    for (int i = 0; i < t->lost_count; i++)
        if (host_of(m, t->lost[i]) == host)
            return true;
    return false;
}

static bool another_host_may_have_it(const struct simulation *m, int trial) {
    for (int i = 0; i < m->config.ranks; i++)
        if (m->w[i].present && !m->w[i].quarantined && !m->w[i].failed && !has_lost_it(m, &m->t[trial], host_of(m, i)))
            return true;
    return false;
}

static void note_loss(struct trial *t, int worker, bool silent) {
    if (t->lost_count == REMEMBERED) {
        memmove(t->lost, t->lost + 1, sizeof t->lost - sizeof *t->lost);
        memmove(t->silent, t->silent + 1, sizeof t->silent - sizeof *t->silent);
        t->lost_count--;
    }
    t->lost[t->lost_count] = worker;
    t->silent[t->lost_count++] = silent;
}

static void note_return(struct trial *t, int worker) {
    int i = t->lost_count - 1;
    while (i >= 0 && !(t->lost[i] == worker && t->silent[i]))
        i--;
    if (i < 0)
        return;
    t->lost_count--;
    memmove(t->lost + i, t->lost + i + 1, (size_t)(t->lost_count - i) * sizeof *t->lost);
    memmove(t->silent + i, t->silent + i + 1, (size_t)(t->lost_count - i) * sizeof *t->silent);
}

static void check_assignment(struct simulation *m, int worker, int trial) {
    const struct worker *w = &m->w[worker];
    const struct trial *t = &m->t[trial];
    if (m->stopping)
        violate(m, "assigned trial %d after the stop", trial);
    if (!w->present || w->quarantined || w->has >= 0)
        violate(m, "assigned trial %d to worker %d, which is %s", trial, worker,
                !w->present      ? "not there"
                : w->quarantined ? "in quarantine"
                                 : "busy");
    if (t->result || t->holder >= 0 || t->paused)
        violate(m, "assigned trial %d, which %s", trial,
                t->result   ? "has its result"
                : t->paused ? "waits for its rung"
                            : "is being trained");
    if (device_is_had_alone(m, worker) || (t->alone && assigned_beside(m, worker) > 0))
        violate(m, "assigned trial %d beside one that is to be alone on device %d", trial, device_of(m, worker));
    if (!t->alone && has_lost_it(m, t, host_of(m, worker)) && another_host_may_have_it(m, trial))
        violate(m, "assigned trial %d to host %d, which has lost it, though there is another", trial,
                host_of(m, worker));
}

static void note_usable(struct simulation *m, int worker, bool present, bool quarantined) {
    struct worker *w = &m->w[worker];
    bool was = w->present && !w->quarantined, is = present && !quarantined;
    if (!was && is)
        m->unusable += m->now - w->unusable_from;
    else if (was && !is)
        w->unusable_from = m->now;
    w->present = present;
    w->quarantined = quarantined;
}

// The worker no longer has its trial.
static void let_go(struct simulation *m, int worker) {
    struct worker *w = &m->w[worker];
    int trial = w->has;
    w->has = -1;
    w->alone = false;
    if (trial < 0 || m->t[trial].holder != worker)
        return;
    m->t[trial].holder = -1;
    for (int i = 0; i < m->config.ranks; i++)
        if (m->w[i].has == trial)
            m->t[trial].holder = i;
}

static void conclude(struct simulation *m, int trial, bool done) {
    struct trial *t = &m->t[trial];
    if (t->result)
        violate(m, "trial %d has a second result", trial);
    if (done && t->checkpoint < m->config.epochs)
        violate(m, "trial %d is done after %d epochs", trial, t->checkpoint);
    if (!done && t->losses > MAX_ATTEMPTS)
        violate(m, "trial %d was tried again after %d losses", trial, t->losses);
    t->result = true;
    t->outcome = done ? 0 : -1;
    t->holder = -1;
    m->unfinished--;
    m->report->done += done;
    m->report->given_up += !done;
}

static void pause_trial(struct simulation *m, int trial) {
    struct trial *t = &m->t[trial];
    if (t->result || t->paused)
        violate(m, "trial %d, which %s, has come to its rung", trial, t->result ? "has its result" : "is paused");
    if (t->recorded < until(m, trial))
        violate(m, "trial %d waits for its rung after %d epochs of %d", trial, t->recorded, until(m, trial));
    t->paused = true;
    t->holder = -1;
    m->report->paused++;
}

// `worker`: of the event; `silent`: it was taken for lost.
static void perform(struct simulation *m, const struct scheduler_action *a, int worker, bool silent) {
    struct trial *t = &m->t[a->trial >= 0 ? a->trial : 0]; // read by actions on a trial alone
    switch (a->kind) {
    case SCHEDULER_ASSIGN:
        check_assignment(m, a->worker, a->trial);
        m->report->assigned++;
        m->last_assignment = m->now;
        m->w[a->worker].has = a->trial;
        m->w[a->worker].alone = t->alone;
        t->holder = a->worker;
        tell_worker(m, a->worker, ASSIGN, a->trial, until(m, a->trial));
        break;
    case SCHEDULER_ACCEPT:
        if (m->pausing)
            pause_trial(m, a->trial);
        else
            conclude(m, a->trial, true);
        break;
    case SCHEDULER_RETRY:
    case SCHEDULER_GIVE_UP:
        m->report->lost++;
        note_loss(t, worker, silent);
        if (t->losses > MAX_ATTEMPTS)
            violate(m, "trial %d was lost %d times in a row", a->trial, t->losses);
        if (a->kind == SCHEDULER_GIVE_UP)
            conclude(m, a->trial, false);
        break;
    case SCHEDULER_RETRY_ALONE:
        m->report->retried_alone++;
        if (t->alone)
            violate(m, "trial %d is to be alone a second time", a->trial);
        t->alone = true;
        t->losses--;
        break;
    case SCHEDULER_STOP_WORKER:
        tell_worker(m, a->worker, STOP, -1, 0);
        break;
    case SCHEDULER_LOSE_WORKER:
        let_go(m, a->worker);
        note_usable(m, a->worker, false, m->w[a->worker].quarantined);
        break;
    case SCHEDULER_QUARANTINE:
    case SCHEDULER_READMIT:
        m->report->quarantined += a->kind == SCHEDULER_QUARANTINE;
        m->report->readmitted += a->kind == SCHEDULER_READMIT;
        note_usable(m, a->worker, m->w[a->worker].present, a->kind == SCHEDULER_QUARANTINE);
        break;
    case SCHEDULER_FINISH:
        if (m->ended)
            violate(m, "the sweep ended twice");
        m->ended = true;
        break;
    }
}

static double real_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// Whether a worker that may be used has nothing to do though a trial waits that any worker may have.
static void check_that_all_work(struct simulation *m) {
    bool idle = false, waiting = false;
    for (int i = 0; i < m->config.ranks; i++)
        idle = idle || (m->w[i].present && !m->w[i].quarantined && m->w[i].has < 0);
    for (int i = 0; i < m->config.trials && idle; i++)
        waiting = waiting || (!m->t[i].result && !m->t[i].paused && m->t[i].holder < 0 && m->t[i].lost_count == 0);
    if (idle && waiting)
        violate(m, "a worker is idle while a trial waits");
}

static void step(struct simulation *m, struct scheduler_event event) {
    event.now = m->now;
    m->pausing = event.kind == SCHEDULER_TRIAL_PAUSED;
    double began = real_seconds();
    struct scheduler_actions actions = scheduler_step(m->s, &event);
    m->report->scheduler_seconds += real_seconds() - began;
    m->report->events++;
    int lost = event.worker; // whose silence a retry follows
    for (int i = 0; i < actions.count; i++) {
        if (actions.at[i].kind == SCHEDULER_LOSE_WORKER)
            lost = actions.at[i].worker;
        perform(m, &actions.at[i], lost, event.kind == SCHEDULER_TICK || event.kind == SCHEDULER_WORKER_DEAD);
    }
    if (m->config.hungry <= 0 && m->report->events % 4096 == 0 && !m->stopping && !m->ended)
        check_that_all_work(m);
}

// What waits at a rung and is decided by now.
static void follow_rungs(struct simulation *m) {
    if (!m->rungs)
        return;
    update_rungs(m);
    for (int i = 0; i < m->config.trials && !m->ended; i++) {
        struct trial *t = &m->t[i];
        bool stopped = rungs_has_stopped(m->rungs, i);
        if (!t->paused || (!stopped && waits_at_rung(m, i)))
            continue;
        t->paused = false;
        if (stopped) {
            t->result = true;
            t->outcome = until(m, i);
            m->unfinished--;
            m->report->stopped++;
        }
        step(m,
             (struct scheduler_event){.kind = stopped ? SCHEDULER_TRIAL_CLOSED : SCHEDULER_TRIAL_PROMOTED, .trial = i});
    }
}

// A worker that the master had lost, or thought idle, says that it trains this.
static void take_notice(struct simulation *m, int worker, int trial) {
    struct worker *w = &m->w[worker];
    if (trial < 0 || w->has >= 0)
        return;
    struct trial *t = &m->t[trial];
    w->has = trial;
    if (t->holder >= 0 || t->result || t->paused)
        return;
    t->holder = worker;
    note_return(t, worker);
}

static void receive(struct simulation *m, const struct moment *e) {
    static const enum scheduler_event_kind kinds[] = {
        [HELLO] = SCHEDULER_WORKER_IDLE,     [HEARTBEAT] = SCHEDULER_WORKER_HEARD, [EPOCH] = SCHEDULER_TRIAL_EPOCH,
        [RESULT] = SCHEDULER_TRIAL_FINISHED, [LOST] = SCHEDULER_TRIAL_LOST,        [STOPPED] = SCHEDULER_TRIAL_STOPPED,
        [PAUSED] = SCHEDULER_TRIAL_PAUSED,   [BYE] = SCHEDULER_WORKER_LEFT};
    struct scheduler_event event = {.kind = kinds[e->word], .worker = e->worker, .trial = e->trial, .loss = e->loss};
    struct worker *w = &m->w[e->worker];
    struct trial *t = e->trial >= 0 ? &m->t[e->trial] : NULL;
    note_usable(m, e->worker, e->word != BYE, w->quarantined);
    if (e->word == HELLO)
        scheduler_place(m->s, e->worker, host_of(m, e->worker), device_of(m, e->worker));
    if (e->word == HEARTBEAT || e->word == EPOCH)
        take_notice(m, e->worker, e->trial);
    if (t && e->word == EPOCH && e->epoch >= t->recorded) {
        event.fresh = true;
        w->failed = false;
        t->recorded = e->epoch + 1;
        t->losses = t->lost_count = 0;
    }
    t = t && e->word == LOST && t->holder == e->worker ? t : NULL;
    bool ends = e->word == RESULT || e->word == PAUSED || e->word == LOST || e->word == STOPPED;
    if (e->word == BYE || (ends && w->has == e->trial))
        let_go(m, e->worker);
    if (e->word == PAUSED && e->epoch < until(m, e->trial))
        event.kind = SCHEDULER_TRIAL_STOPPED; // may be trained on by now, or is
    if (t && t->holder < 0 && !m->stopping)
        t->losses++;
    w->failed = (w->failed || e->word == LOST) && e->word != BYE;
    if (e->word == BYE)
        note_usable(m, e->worker, false, w->quarantined);
    step(m, event);
    if (ends || e->word == BYE)
        follow_rungs(m);
}

// ---- runs ----

static void start_worker(struct simulation *m, int worker) {
    struct worker *w = &m->w[worker];
    double speed = w->speed;
    bool bad = w->bad;
    unsigned token = w->token;
    *w = (struct worker){.alive = true,
                         .bad = bad,
                         .speed = speed,
                         .token = token + 1,
                         .trial = -1,
                         .next = -1,
                         .has = -1,
                         .unusable_from = m->now};
    double delay = rng_uniform(&m->rng) + (mishap(m, m->config.late) ? 300 * rng_uniform(&m->rng) : 0);
    at(m, m->now + delay, (struct moment){.what = JOIN, .worker = worker});
}

// The master of a new run knows what the CSV files hold, of which a last line may be torn.
static void start_run(struct simulation *m) {
    struct scheduler_config config = {.workers = m->config.ranks,
                                      .max_attempts = MAX_ATTEMPTS,
                                      .quarantine_after = QUARANTINE_AFTER,
                                      .worker_timeout = WORKER_TIMEOUT,
                                      .empty_timeout = EMPTY_TIMEOUT};
    struct error err;
    m->run++;
    m->report->runs++;
    m->stopping = m->ended = false;
    m->calm = m->run > 2 + m->config.restarts + m->config.stops;
    if (scheduler_create(&config, &m->s, &err) != STATUS_OK)
        abort();
    for (int i = 0; i < m->config.trials; i++) {
        struct trial *t = &m->t[i];
        if (!t->result && t->recorded > 0 && chance(m, 0.01))
            t->recorded--;
        t->holder = -1;
        t->losses = t->lost_count = 0;
        t->alone = false;
        t->estimate = t->seconds * exp(m->config.estimate_sigma * rng_normal(&m->rng));
    }
    update_rungs(m);
    for (int i = 0; i < m->config.trials; i++) {
        struct trial *t = &m->t[i];
        t->paused = !t->result && t->at_rest && waits_at_rung(m, i);
        struct scheduler_trial trial = {
            .work = t->estimate, .started = t->checkpoint > 0, .finished = t->result, .paused = t->paused};
        if (scheduler_add(m->s, &trial, 1, &err) != STATUS_OK)
            abort();
    }
    for (int i = 0; i < m->config.ranks; i++)
        start_worker(m, i);
    double length = m->report->total / m->config.ranks + m->report->longest;
    if (m->run <= m->config.restarts)
        at(m, m->now + length * rng_uniform(&m->rng), (struct moment){.what = MASTER_KILLED});
    else if (m->run <= m->config.restarts + m->config.stops)
        at(m, m->now + length * rng_uniform(&m->rng), (struct moment){.what = MASTER_STOPPED});
    at(m, m->now + TICK, (struct moment){.what = MASTER_TICK});
    step(m, (struct scheduler_event){.kind = SCHEDULER_PLAN_COMPLETE, .trial = -1});
    follow_rungs(m);
}

static void end_run(struct simulation *m) {
    for (int i = 0; i < m->config.ranks; i++)
        if (!m->w[i].present || m->w[i].quarantined)
            m->unusable += m->now - m->w[i].unusable_from;
    scheduler_destroy(m->s);
    m->s = NULL;
    m->count = 0; // messages under way go down with the ranks
}

static void happen(struct simulation *m, const struct moment *e) {
    struct worker *w = &m->w[e->worker];
    switch (e->what) {
    case JOIN:
        tell_master(m, e->worker, (struct moment){.word = HELLO, .trial = -1});
        at(m, m->now + m->config.heartbeat_seconds, (struct moment){.what = BEAT, .worker = e->worker});
        break;
    case BEAT:
        if (!w->alive)
            break;
        tell_master(m, e->worker, (struct moment){.word = HEARTBEAT, .trial = w->trial});
        at(m, m->now + m->config.heartbeat_seconds, (struct moment){.what = BEAT, .worker = e->worker});
        break;
    case ACT:
        if (w->alive && e->token == w->token)
            act(m, e->worker);
        break;
    case TO_MASTER:
        receive(m, e);
        break;
    case TO_WORKER:
        deliver(m, e);
        break;
    case DEATH_TOLD:
        if (!w->alive && e->token == w->token)
            step(m, (struct scheduler_event){.kind = SCHEDULER_WORKER_DEAD, .worker = e->worker, .trial = -1});
        break;
    case MASTER_TICK:
        step(m, (struct scheduler_event){.kind = SCHEDULER_TICK, .trial = -1});
        follow_rungs(m);
        at(m, m->now + TICK, (struct moment){.what = MASTER_TICK});
        break;
    case MASTER_KILLED:
        m->ended = true;
        break;
    case MASTER_STOPPED:
        m->stopping = true;
        step(m, (struct scheduler_event){.kind = SCHEDULER_STOP, .trial = -1});
        break;
    }
}

static void check_end(struct simulation *m) {
    if (m->unfinished > 0)
        violate(m, "%d trials have no result after %d runs", m->unfinished, m->run);
    for (int i = 0; i < m->config.trials; i++)
        if ((m->t[i].poison || m->t[i].memory > 1) && m->t[i].checkpoint > 0)
            violate(m, "trial %d, which cannot run, ran", i);
}

static void set_up(struct simulation *m) {
    const struct simulation_config *c = &m->config;
    for (int i = 0; i < c->trials; i++) {
        bool hungry = chance(m, c->hungry);
        double memory = hungry ? 0.6 + 0.45 * rng_uniform(&m->rng) : 0.5 / c->workers_per_device;
        double seconds = c->seconds * exp(c->sigma * rng_normal(&m->rng));
        m->t[i] = (struct trial){.seconds = seconds, .memory = memory, .poison = chance(m, c->poison), .holder = -1};
        m->report->hopeless += m->t[i].poison || memory > 1;
        m->report->total += seconds;
        m->report->longest = fmax(m->report->longest, seconds);
    }
    for (int i = 0; i < c->ranks; i++)
        m->w[i] = (struct worker){.speed = chance(m, c->stragglers) ? 0.25 : 1, .bad = chance(m, c->bad_workers)};
    for (int host = 0; host * c->workers_per_host < c->ranks; host++)
        for (int i = host * c->workers_per_host, bad = chance(m, c->bad_hosts); bad && i < c->ranks; i++)
            m->w[i].bad = m->w[i].bad || host_of(m, i) == host;
}

void simulate(const struct simulation_config *config, struct simulation_report *report) {
    *report = (struct simulation_report){0};
    struct simulation *m = calloc(1, sizeof *m);
    struct worker *w = calloc((size_t)config->ranks + 1, sizeof *w);
    struct trial *t = calloc((size_t)config->trials + 1, sizeof *t);
    if (!m || !w || !t)
        abort();
    *m = (struct simulation){.config = *config,
                             .report = report,
                             .rng = rng_stream(config->seed, 0, RNG_TEST, 0, 0),
                             .w = w,
                             .t = t,
                             .unfinished = config->trials};
    set_up(m);
    set_up_rungs(m);
    bool complete = false;
    double limit = 1e5 + 1000 * (report->longest + report->total);
    while (!complete && m->run < MAX_RUNS && !report->violation[0]) {
        start_run(m);
        while (!m->ended && m->count > 0 && !report->violation[0]) {
            struct moment e = take(m);
            m->now = e.time;
            happen(m, &e);
            if (m->now > limit)
                violate(m, "%d trials have no result by now", m->unfinished);
        }
        complete = scheduler_ending(m->s) == SCHEDULER_ALL_DONE;
        end_run(m);
    }
    check_end(m);
    report->makespan = m->now;
    report->tail = m->now - m->last_assignment;
    report->unusable = m->unusable;
    for (int i = 0; config->outcome && i < config->trials; i++)
        config->outcome[i] = t[i].outcome;
    free_rungs(m);
    free(m->heap);
    free(w);
    free(t);
    free(m);
}
