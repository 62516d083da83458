#include "orchestrator/master.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/clock.h"
#include "orchestrator/master_workers.h"
#include "orchestrator/rungs.h"

static const double PING_SECONDS = 2, TICK_SECONDS = 0.1;
enum { QUARANTINE_AFTER = 3 }; // different trials that a worker loses in a row
// Rows that come within this time share one fdatasync.
static const double COMMIT_SECONDS = 0.005;
// Seeing whether a grid or a rung is decided takes longer the larger the plan is: at most this share of the time goes
// to each.
static const double GROW_SHARE = 0.02;

// A result that counts once it is on disk.
struct verdict {
    int worker, trial, attempt;
    double seconds;
};

struct master {
    struct master_config config;
    scheduler *scheduler;
    struct workers *workers;
    bool plan_dirty;         // an outcome is new: grids may be decided
    double grown, grow_cost; // when that was last seen to, and how long it took
    rungs *rungs;            // NULL: every trial is trained to its end
    bool rungs_dirty;        // a trial has come to a rung, or has its result
    double decided, decide_cost;
    struct verdict *verdicts; // not on disk yet
    int verdict_count, verdict_capacity;
    double uncommitted; // since when there are rows in memory; 0: there are none
    struct progress_totals totals;
    double *left; // by trial: its share of totals.work_left
    int left_count;
    bool plan_told; // the scheduler knows that the plan is complete
    bool open;      // workers get trials
    bool finished;
    bool stopping; // running trials have been asked to stop
    bool holding;  // no more are started, for want of time
    struct time_limit limit;
    int threads;
    double began, pinged, ticked;
    enum loss_cause lost_cause; // of the loss that is being handled
    char lost_reason[ERROR_MESSAGE_SIZE];
    bool told_dead;      // the transport has said so of the worker that is being lost
    enum status failure; // the first error: the sweep is stopped for it
    struct error failure_text;
    struct message heard;   // being handled
    struct message message; // scratch for sending
};

static void apply(struct master *m, struct scheduler_event event, const struct message *message);
static void commit(struct master *m);

static void fail(struct master *m, const struct error *err) {
    if (m->failure != STATUS_OK)
        return;
    m->failure = err->status;
    m->failure_text = *err;
}

static void check(struct master *m, enum status status, const struct error *err) {
    if (status != STATUS_OK)
        fail(m, err);
}

// ---- events.csv and progress ----

static void log_event(struct master *m, const char *event, int worker, int trial, int epoch, int attempt,
                      double seconds, const char *detail) {
    struct event_row row = {.epoch = epoch, .worker = -1, .attempt = attempt, .seconds = round(seconds * 1000) / 1000};
    snprintf(row.event, sizeof row.event, "%s", event);
    if (trial >= 0)
        snprintf(row.trial, sizeof row.trial, "%s", m->config.plan->trials[trial].id);
    if (worker >= 0) {
        row.worker = worker + m->config.transport->first_rank;
        snprintf(row.host, sizeof row.host, "%s", workers_hello(m->workers, worker)->host);
        workers_device_name(m->workers, worker, row.device, sizeof row.device);
    }
    snprintf(row.detail, sizeof row.detail, "%s", detail);
    struct error err;
    check(m, run_folder_add_event(m->config.folder, &row, &err), &err);
}

// How many epochs the trial is to be trained to, for all that is known.
static int until(const struct master *m, int trial) {
    return m->rungs ? rungs_until(m->rungs, trial) : m->config.plan->trials[trial].hp.epochs;
}

static double work_left(struct master *m, int trial) {
    const struct plan_trial *t = &m->config.plan->trials[trial];
    if (t->withheld || run_folder_result(m->config.folder, m->config.plan, trial))
        return 0;
    if (t->hp.epochs <= 0 || !program_knows_epochs(&m->config.sweep->program))
        return t->work; // how many epochs there will be is not known
    int done = run_folder_epochs(m->config.folder, m->config.plan, trial);
    return t->work * fmax(until(m, trial) - done, 0) / t->hp.epochs;
}

// One trial has an epoch or a result more.
static void update_totals(struct master *m, int trial) {
    double left = work_left(m, trial);
    m->totals.work_left = fmax(m->totals.work_left + left - m->left[trial], 0);
    m->left[trial] = left;
    progress_set_totals(m->config.progress, &m->totals);
}

static void count_result(struct master *m, const struct trial_result *result) {
    m->totals.finished++;
    m->totals.failed += result->status == TRIAL_FAILED || result->status == TRIAL_DIVERGED;
}

// The plan has grown: takes in the trials from m->left_count on.
static enum status add_totals(struct master *m, struct error *err) {
    const struct plan *plan = m->config.plan;
    double *left = realloc(m->left, ((size_t)plan->trial_count + 1) * sizeof *left);
    if (!left)
        return error_memory(err, "the master");
    m->left = left;
    m->totals.trials = plan->trial_count - plan->withheld;
    for (; m->left_count < plan->trial_count; m->left_count++) {
        const struct trial_result *r = run_folder_result(m->config.folder, plan, m->left_count);
        if (r && !plan->trials[m->left_count].withheld)
            count_result(m, r);
        m->totals.work_left += left[m->left_count] = work_left(m, m->left_count);
    }
    progress_set_totals(m->config.progress, &m->totals);
    return STATUS_OK;
}

// ---- the plan ----

static enum halving_state look_at_record(void *context, int trial, int epochs, double *score) {
    const struct master *m = context;
    const struct plan *plan = m->config.plan;
    if (run_folder_epochs(m->config.folder, plan, trial) >= epochs) {
        *score = program_score(&m->config.sweep->program, run_folder_best(m->config.folder, plan, trial, epochs));
        return HALVING_THERE;
    }
    // A program may end by itself before: it is compared by what it has.
    const struct trial_result *r = run_folder_result(m->config.folder, plan, trial);
    if (r && r->status == TRIAL_DONE) {
        *score = program_score(&m->config.sweep->program, r->best_iou);
        return HALVING_THERE;
    }
    return r ? HALVING_OUT : HALVING_PENDING;
}

static enum status update_rungs(struct master *m, struct error *err) {
    struct rungs_record record = {m, look_at_record};
    m->rungs_dirty = m->rungs != NULL;
    return m->rungs ? rungs_update(m->rungs, m->config.plan, &record, err) : STATUS_OK;
}

// Has come as far as it may for now.
static bool waits_at_rung(const struct master *m, int trial) {
    return m->rungs && until(m, trial) < m->config.plan->trials[trial].hp.epochs &&
           run_folder_epochs(m->config.folder, m->config.plan, trial) >= until(m, trial);
}

// Hands the scheduler the trials from `first` on.
static enum status add_trials(struct master *m, int first, struct error *err) {
    const struct plan *plan = m->config.plan;
    TRY(update_rungs(m, err));
    for (int i = first; i < plan->trial_count; i++) {
        struct scheduler_trial t = {
            .work = plan->trials[i].work,
            .started = run_folder_has_checkpoint(m->config.folder, plan, i),
            .finished = plan->trials[i].withheld || run_folder_result(m->config.folder, plan, i),
            // One whose trainer was killed at its rung is not in order, and begins once more.
            .paused = waits_at_rung(m, i) && run_folder_is_at_rest(m->config.folder, plan, i),
        };
        TRY(scheduler_add(m->scheduler, &t, 1, err));
    }
    return STATUS_OK;
}

static enum status resolve_once(struct master *m, int *added, struct error *err) {
    struct plan *plan = m->config.plan;
    struct plan_outcome *outcomes = calloc((size_t)plan->trial_count + 1, sizeof *outcomes);
    if (!outcomes)
        return error_memory(err, "outcomes");
    for (int i = 0; i < plan->trial_count; i++) {
        const struct trial_result *r = run_folder_result(m->config.folder, plan, i);
        outcomes[i].finished = r != NULL;
        outcomes[i].score = r && r->status == TRIAL_DONE      ? program_score(&m->config.sweep->program, r->best_iou)
                            : r && r->status == TRIAL_STOPPED ? -INFINITY
                                                              : NAN;
    }
    enum status status = plan_resolve(plan, m->config.ds, outcomes, added, err);
    free(outcomes);
    return status;
}

// Expands what outcomes decide by now.
static enum status grow_plan(struct master *m, struct error *err) {
    struct plan *plan = m->config.plan;
    m->plan_dirty = false;
    while (!plan_is_complete(plan)) {
        int first = plan->trial_count, added, expanded = plan->grids_expanded + plan->configs_expanded;
        TRY(resolve_once(m, &added, err));
        TRY(run_folder_write_rows(m->config.folder, plan, err));
        TRY(add_trials(m, first, err));
        if (plan->grids_expanded + plan->configs_expanded == expanded)
            break;
    }
    if (!plan_is_complete(plan) && plan->withheld == 0 && scheduler_finished_count(m->scheduler) == plan->trial_count)
        return error_set(err, STATUS_INTERNAL, "every trial has its result, but the plan is not complete");
    return add_totals(m, err);
}

// A large plan is not looked through after every result, but when all trials have theirs in any case.
static bool grow_is_due(const struct master *m) {
    if (!m->plan_dirty || m->failure != STATUS_OK)
        return false;
    return scheduler_finished_count(m->scheduler) == m->config.plan->trial_count ||
           (clock_seconds() - m->grown) * GROW_SHARE >= m->grow_cost;
}

// No trials will be added any more: all stand in it, or those that are left out would have to be run first.
static bool plan_is_settled(const struct master *m) {
    const struct plan *plan = m->config.plan;
    return plan_is_complete(plan) ||
           (plan->withheld > 0 && scheduler_finished_count(m->scheduler) == plan->trial_count);
}

static void grow_when_due(struct master *m) {
    struct error err;
    if (!grow_is_due(m))
        return;
    commit(m); // what decides a grid is on disk
    double began = clock_seconds();
    enum status status = m->failure == STATUS_OK ? grow_plan(m, &err) : STATUS_OK;
    m->grown = clock_seconds();
    m->grow_cost = m->grown - began;
    check(m, status, &err);
    if (m->failure != STATUS_OK)
        return;
    if (!m->plan_told && plan_is_settled(m)) {
        m->plan_told = true;
        apply(m, (struct scheduler_event){.kind = SCHEDULER_PLAN_COMPLETE, .trial = -1}, NULL);
    } else {
        apply(m, (struct scheduler_event){.kind = SCHEDULER_TICK, .trial = -1}, NULL);
    }
}

// ---- actions ----

static void fill_assign(struct master *m, int worker, int trial, int attempt) {
    const struct sweep *sweep = m->config.sweep;
    const struct plan_trial *p = &m->config.plan->trials[trial];
    const char *root = run_folder_path(m->config.folder);
    struct message *message = &m->message;
    memset(message, 0, sizeof *message);
    message->kind = MESSAGE_ASSIGN;
    message->attempt = attempt;
    snprintf(message->trial, sizeof message->trial, "%s", p->id);
    struct message_assign *a = &message->assign;
    a->trial = (struct trial){.hp = p->hp,
                              .folds = sweep->folds,
                              .fold = p->fold,
                              .seed = sweep->seed,
                              .threads = m->threads,
                              .until = m->rungs ? until(m, trial) : sweep->program.max_epochs,
                              .members = sweep->members,
                              .sync_batchnorm = sweep->sync_batchnorm,
                              .checkpoint_seconds = sweep->checkpoint_seconds};
    snprintf(a->trial.id, sizeof a->trial.id, "%s", p->id);
    if (m->config.ds)
        snprintf(a->trial.dataset, sizeof a->trial.dataset, "%s", dataset_path(m->config.ds));
    snprintf(a->trial.backend, sizeof a->trial.backend, "%s", sweep->backend);
    struct error err;
    char name[64];
    snprintf(name, sizeof name, "trials/%s", p->id);
    check(m, path_join(a->trial.folder, root, name, &err), &err);
    snprintf(name, sizeof name, "logs/trainer-%d.log", worker + m->config.transport->first_rank);
    check(m, path_join(a->log, root, name, &err), &err);
    a->hang_seconds = sweep->hang_seconds;
    workers_visible_gpus(m->workers, worker, sweep->members, a->gpus);
    a->crowded = workers_are_crowded(m->workers, worker, m->config.sweep->members, m->threads);
    struct program_place place = {a->trial.id, a->trial.folder, p->fold,       sweep->folds,
                                  m->threads,  sweep->seed,     a->trial.until};
    check(m, program_fill(&sweep->program, &p->hp, &place, &a->trial.program, &err), &err);
}

// Trainers that have nothing to do keep their device's memory for the next trial: they are ended where one trial is to
// have a device alone.
static void clear_device(struct master *m, int worker) {
    struct error err;
    for (int w = 0; w < m->config.transport->workers; w++) {
        if (w == worker || !workers_has_place(m->workers, w) ||
            workers_device(m->workers, w) != workers_device(m->workers, worker))
            continue;
        m->message = (struct message){.kind = MESSAGE_STOP};
        check(m, m->config.transport->send(m->config.transport->self, w, &m->message, &err), &err);
    }
}

static void assign(struct master *m, const struct scheduler_action *a) {
    if (a->alone)
        clear_device(m, a->worker);
    const struct plan_trial *p = &m->config.plan->trials[a->trial];
    struct error err;
    bool resumed = run_folder_has_checkpoint(m->config.folder, m->config.plan, a->trial); // before it can write one
    fill_assign(m, a->worker, a->trial, a->attempt);
    check(m, m->config.transport->send(m->config.transport->self, a->worker, &m->message, &err), &err);
    int epochs = run_folder_epochs(m->config.folder, m->config.plan, a->trial);
    workers_begin_trial(m->workers, a->worker);
    log_event(m, resumed ? "resumed" : "assigned", a->worker, a->trial, -1, a->attempt, 0, p->config);
    bool known = program_knows_epochs(&m->config.sweep->program);
    progress_trial_begins(m->config.progress, a->worker, p->config, p->fold, known ? until(m, a->trial) : 0,
                          resumed ? epochs : 0, a->attempt);
}

static bool remember(struct master *m, const struct verdict *v) {
    if (m->verdict_count == m->verdict_capacity) {
        int capacity = 2 * m->verdict_capacity + 64;
        struct verdict *grown = realloc(m->verdicts, (size_t)capacity * sizeof *grown);
        if (!grown)
            return false;
        m->verdicts = grown;
        m->verdict_capacity = capacity;
    }
    m->verdicts[m->verdict_count++] = *v;
    return true;
}

// A trial has its result; it is announced when it is on disk.
static void conclude(struct master *m, int worker, int trial, int attempt, const struct trial_result *result) {
    struct error err;
    check(m, run_folder_add_result(m->config.folder, m->config.plan, trial, result, &err), &err);
    struct verdict v = {worker, trial, attempt, worker >= 0 ? workers_trial_seconds(m->workers, worker) : 0};
    if (!remember(m, &v))
        check(m, error_memory(&err, "results"), &err);
    count_result(m, result);
    update_totals(m, trial);
    if (worker >= 0)
        progress_trial_leaves(m->config.progress, worker);
    m->plan_dirty = m->plan_dirty || !plan_is_complete(m->config.plan);
    m->rungs_dirty = m->rungs != NULL;
}

static void announce(struct master *m, const struct verdict *v) {
    const struct plan_trial *p = &m->config.plan->trials[v->trial];
    const struct trial_result *r = run_folder_result(m->config.folder, m->config.plan, v->trial);
    if (!r)
        return;
    const char *event = r->status == TRIAL_STOPPED ? "pruned" : trial_status_name(r->status);
    log_event(m, event, v->worker, v->trial, -1, v->attempt, v->seconds, r->error);
    if (v->worker >= 0 || r->status == TRIAL_STOPPED)
        progress_trial_done(m->config.progress, trial_status_name(r->status), p->config, p->fold, r->best_iou,
                            r->error);
}

// Puts what is in memory on disk. Results count from here on.
static void commit(struct master *m) {
    struct error err;
    check(m, run_folder_commit(m->config.folder, &err), &err);
    for (int i = 0; i < m->verdict_count && m->failure == STATUS_OK; i++)
        announce(m, &m->verdicts[i]);
    m->verdict_count = 0;
    m->uncommitted = 0;
}

static void commit_when_due(struct master *m) {
    if (!run_folder_has_uncommitted(m->config.folder))
        return;
    double now = clock_seconds();
    if (m->uncommitted <= 0)
        m->uncommitted = now;
    else if (now - m->uncommitted > COMMIT_SECONDS)
        commit(m);
}

// A disk that cannot be written and a trainer that cannot be started say nothing of the hyperparameters: the sweep
// stops and goes on when that has been seen to, instead of giving one trial after the other a row.
static bool is_the_machines_fault(enum loss_cause cause) {
    return cause == LOSS_WRITE || cause == LOSS_START;
}

static void give_up(struct master *m, int trial, int attempt) {
    const struct plan_trial *p = &m->config.plan->trials[trial];
    struct error err;
    if (is_the_machines_fault(m->lost_cause)) {
        check(m,
              error_set(&err, STATUS_IO,
                        "trial %s was lost %d times: %.800s; when that is mended, the same command goes on", p->id,
                        m->config.sweep->max_attempts, m->lost_reason),
              &err);
        return;
    }
    struct trial_result r = {.status = TRIAL_FAILED,
                             .best_iou = NAN,
                             .best_f1 = NAN,
                             .final_iou = NAN,
                             .train_val_gap = NAN,
                             .best_epoch = -1,
                             .epochs_run = run_folder_epochs(m->config.folder, m->config.plan, trial),
                             .parameters = (int64_t)p->cost.parameters};
    snprintf(r.error, sizeof r.error, "lost %d times without a new epoch; the last: %.900s",
             m->config.sweep->max_attempts, m->lost_reason);
    progress_note(m->config.progress, "failed %s  fold %d: %s", p->config, p->fold, r.error);
    conclude(m, -1, trial, attempt, &r);
}

static void quarantine(struct master *m, int worker, bool begins) {
    int rank = worker + m->config.transport->first_rank;
    const char *host = workers_hello(m->workers, worker)->host;
    log_event(m, begins ? "quarantined" : "readmitted", worker, -1, -1, 0, 0, begins ? m->lost_reason : "");
    if (begins)
        progress_note(m->config.progress,
                      "quarantined worker %d on %s: it gets no more trials, its trainers keep failing; the last: %s",
                      rank, host, m->lost_reason);
    else
        progress_note(m->config.progress, "readmitted worker %d on %s: its trials fail elsewhere too, or it got on",
                      rank, host);
}

static void accept_result(struct master *m, const struct scheduler_action *a, const struct trial_result *result) {
    if (result->status == TRIAL_PAUSED)
        m->rungs_dirty = true;
    else
        conclude(m, a->worker, a->trial, a->attempt, result);
}

static void describe_lost_worker(struct master *m, int worker) {
    const char *cause = loss_cause_name(LOSS_WORKER), *host = workers_hello(m->workers, worker)->host;
    int rank = worker + m->config.transport->first_rank;
    if (m->told_dead)
        snprintf(m->lost_reason, sizeof m->lost_reason, "%s: worker %d on %s has died", cause, rank, host);
    else
        snprintf(m->lost_reason, sizeof m->lost_reason, "%s: nothing heard of worker %d on %s for %.0f s", cause, rank,
                 host, m->config.worker_timeout);
}

static void perform(struct master *m, const struct scheduler_action *a, const struct message *message) {
    struct error err;
    switch (a->kind) {
    case SCHEDULER_ASSIGN:
        assign(m, a);
        break;
    case SCHEDULER_ACCEPT:
        accept_result(m, a, &message->result);
        break;
    case SCHEDULER_RETRY:
    case SCHEDULER_RETRY_ALONE:
        log_event(m, a->kind == SCHEDULER_RETRY ? "retried" : "alone", -1, a->trial, -1, a->attempt, 0, m->lost_reason);
        break;
    case SCHEDULER_GIVE_UP:
        give_up(m, a->trial, a->attempt);
        break;
    case SCHEDULER_STOP_WORKER:
        m->message = (struct message){.kind = MESSAGE_STOP};
        check(m, m->config.transport->send(m->config.transport->self, a->worker, &m->message, &err), &err);
        break;
    case SCHEDULER_LOSE_WORKER:
        m->lost_cause = LOSS_WORKER;
        describe_lost_worker(m, a->worker);
        log_event(m, "lost", a->worker, a->trial, -1, 0, 0, m->lost_reason);
        progress_trial_ends(m->config.progress, a->worker, "lost", m->lost_reason);
        break;
    case SCHEDULER_QUARANTINE:
    case SCHEDULER_READMIT:
        quarantine(m, a->worker, a->kind == SCHEDULER_QUARANTINE);
        break;
    case SCHEDULER_FINISH:
        m->finished = true;
        break;
    }
}

static void apply(struct master *m, struct scheduler_event event, const struct message *message) {
    event.now = clock_seconds();
    struct scheduler_actions actions = scheduler_step(m->scheduler, &event);
    for (int i = 0; i < actions.count; i++)
        perform(m, &actions.at[i], message);
}

// ---- rungs ----

static void stop_for_good(struct master *m, int trial) {
    struct trial_result r;
    run_folder_stopped_result(m->config.folder, m->config.plan, trial, &r);
    rungs_reason(m->rungs, trial, r.error, sizeof r.error);
    conclude(m, -1, trial, 0, &r);
    apply(m, (struct scheduler_event){.kind = SCHEDULER_TRIAL_CLOSED, .trial = trial}, NULL);
}

// What waits for a decision, and has it.
static void follow_rungs(struct master *m) {
    for (int i = 0; i < m->config.plan->trial_count && m->failure == STATUS_OK; i++) {
        if (!scheduler_trial_is_paused(m->scheduler, i))
            continue;
        if (rungs_has_stopped(m->rungs, i))
            stop_for_good(m, i);
        else if (!waits_at_rung(m, i))
            apply(m, (struct scheduler_event){.kind = SCHEDULER_TRIAL_PROMOTED, .trial = i}, NULL);
    }
}

static void decide_when_due(struct master *m) {
    struct error err;
    if (!m->rungs_dirty || m->failure != STATUS_OK || (clock_seconds() - m->decided) * GROW_SHARE < m->decide_cost)
        return;
    commit(m); // what decides a rung is on disk
    double began = clock_seconds();
    if (m->failure == STATUS_OK)
        check(m, update_rungs(m, &err), &err);
    m->rungs_dirty = false;
    if (m->failure == STATUS_OK)
        follow_rungs(m);
    m->decided = clock_seconds();
    m->decide_cost = m->decided - began;
}

// ---- messages ----

// Says that the master is there, and for how long it may be silent.
static void ping_worker(struct master *m, int worker) {
    struct error err;
    m->message = (struct message){.kind = MESSAGE_HEARTBEAT, .code = (int)ceil(m->config.sweep->master_timeout)};
    check(m, m->config.transport->send(m->config.transport->self, worker, &m->message, &err), &err);
}

// The worker is there to be used: somebody may have a place by that.
static void admit(struct master *m, int worker) {
    char why[512];
    if (workers_complaint(m->workers, worker, why, sizeof why))
        progress_note(m->config.progress, "%s", why);
    int first = workers_take_place(m->workers, worker, m->config.sweep->members);
    if (first >= 0 && workers_is_present(m->workers, first))
        apply(m, (struct scheduler_event){.kind = SCHEDULER_WORKER_IDLE, .worker = first, .trial = -1}, NULL);
}

// Answered at once: a worker that has never heard of the master waits for a quarter of an hour.
static void hello(struct master *m, int worker, const struct message *message) {
    ping_worker(m, worker);
    workers_join(m->workers, worker, &message->hello);
    scheduler_place(m->scheduler, worker, workers_host(m->workers, worker), workers_device(m->workers, worker));
    if (m->open)
        admit(m, worker);
}

// What a stop will take. `pause` 0: not known yet; `trained`: the trial has got to where it can be stopped.
static void learn_pace(struct master *m, int worker, int trial, double pause, bool trained) {
    time_limit_learn(&m->limit.pause, pause);
    if (trained && scheduler_worker_trial(m->scheduler, worker) == trial && workers_first_sign(m->workers, worker))
        time_limit_learn(&m->limit.startup, workers_trial_seconds(m->workers, worker));
}

static void epoch(struct master *m, int worker, int trial, const struct message *message) {
    const struct message_epoch *e = &message->epoch;
    struct error err;
    bool fresh = false;
    check(m, run_folder_add_epoch(m->config.folder, m->config.plan, trial, &e->metrics, &fresh, &err), &err);
    if (!e->replayed)
        learn_pace(m, worker, trial, m->limit.pause > 0 ? 0 : e->seconds, true);
    if (!e->replayed)
        log_event(m, "epoch", worker, trial, e->metrics.epoch, message->attempt, e->seconds, fresh ? "" : "again");
    if (fresh)
        update_totals(m, trial);
    apply(m, (struct scheduler_event){.kind = SCHEDULER_TRIAL_EPOCH, .worker = worker, .trial = trial, .fresh = fresh},
          message);
    if (scheduler_worker_trial(m->scheduler, worker) == trial)
        progress_trial_epoch(m->config.progress, worker, e->metrics.epoch + 1, e->metrics.val_iou, e->replayed);
}

// Trials that cannot write are not at fault: the sweep stops, so that it can go on where there is room again.
static void watch_disk(struct master *m, const char *reason) {
    static const int causes[] = {ENOSPC, EDQUOT, EROFS};
    struct error err;
    for (size_t i = 0; i < sizeof causes / sizeof *causes && m->failure == STATUS_OK; i++)
        if (strstr(reason, strerror(causes[i]))) {
            check(m, error_set(&err, STATUS_IO, "%s; make room, then the same command goes on", reason), &err);
            apply(m, (struct scheduler_event){.kind = SCHEDULER_STOP, .trial = -1}, NULL);
        }
}

// The trial has come to its rung; unless it may be trained on by now, or this is late news of an earlier one (and
// another worker trains it on).
static void paused(struct master *m, int worker, int trial, const struct message *message) {
    bool goes_on = message->result.epochs_run < until(m, trial);
    char detail[32];
    snprintf(detail, sizeof detail, "after %d epochs", message->result.epochs_run);
    log_event(m, "paused", worker, trial, -1, message->attempt, workers_trial_seconds(m->workers, worker), detail);
    progress_trial_leaves(m->config.progress, worker);
    struct scheduler_event event = {
        .kind = goes_on ? SCHEDULER_TRIAL_STOPPED : SCHEDULER_TRIAL_PAUSED, .worker = worker, .trial = trial};
    apply(m, event, message);
}

static void ended(struct master *m, int worker, int trial, const struct message *message) {
    struct scheduler_event event = {.kind = SCHEDULER_TRIAL_FINISHED, .worker = worker, .trial = trial};
    const char *word = "stopped";
    if (message->kind == MESSAGE_LOST) {
        event.kind = SCHEDULER_TRIAL_LOST;
        event.loss = message->cause == LOSS_MEMORY ? SCHEDULER_LOSS_MEMORY : SCHEDULER_LOSS_TRAINER;
        word = "lost";
        m->lost_cause = message->cause;
        snprintf(m->lost_reason, sizeof m->lost_reason, "%s: %.*s", loss_cause_name(message->cause),
                 (int)sizeof m->lost_reason - 32, message->reason);
        watch_disk(m, message->reason);
    } else if (message->kind == MESSAGE_STOPPED || message->result.status == TRIAL_INTERRUPTED) {
        event.kind = SCHEDULER_TRIAL_STOPPED;
    }
    if (message->kind == MESSAGE_RESULT && message->result.status == TRIAL_PAUSED) {
        paused(m, worker, trial, message);
        return;
    }
    if (event.kind != SCHEDULER_TRIAL_FINISHED) {
        const char *detail = message->kind == MESSAGE_LOST ? m->lost_reason : message->reason;
        log_event(m, word, worker, trial, -1, message->attempt, workers_trial_seconds(m->workers, worker), detail);
        progress_trial_ends(m->config.progress, worker, word, detail);
    }
    apply(m, event, message);
}

// Running trials are asked to checkpoint and to stop.
static void stop(struct master *m, const char *why) {
    if (m->stopping)
        return;
    m->stopping = true;
    progress_note(m->config.progress, "stopping%s: running trials are being checkpointed", why);
    apply(m, (struct scheduler_event){.kind = SCHEDULER_STOP, .trial = -1}, NULL);
}

static void bye(struct master *m, int worker, const struct message *message) {
    m->config.gone[worker] = true;
    workers_leave(m->workers, worker);
    apply(m, (struct scheduler_event){.kind = SCHEDULER_WORKER_LEFT, .worker = worker, .trial = -1}, message);
}

static void handle(struct master *m, int worker, const struct message *message) {
    int trial = message->trial[0] ? plan_find_trial(m->config.plan, message->trial) : -1;
    switch (message->kind) {
    case MESSAGE_HELLO:
        hello(m, worker, message);
        break;
    case MESSAGE_HEARTBEAT:
        learn_pace(m, worker, trial, message->heartbeat.pause, trial >= 0 && message->heartbeat.pause > 0);
        if (m->open && workers_has_place(m->workers, worker))
            apply(m, (struct scheduler_event){.kind = SCHEDULER_WORKER_HEARD, .worker = worker, .trial = trial},
                  message);
        break;
    case MESSAGE_EPOCH:
        if (trial >= 0)
            epoch(m, worker, trial, message);
        break;
    case MESSAGE_RESULT:
    case MESSAGE_LOST:
    case MESSAGE_STOPPED:
        if (trial >= 0)
            ended(m, worker, trial, message);
        break;
    case MESSAGE_STOP:
        stop(m, ", a rank was told to");
        break;
    case MESSAGE_BYE:
        bye(m, worker, message);
        break;
    default:
        break;
    }
}

// ---- the loop ----

// Trials are handed out when all workers are there, or have had their time: how many share a host decides the threads
// of each.
static void open_when_ready(struct master *m) {
    int joined = workers_joined(m->workers);
    bool waited = clock_seconds() - m->began > m->config.gather_seconds;
    if (m->open || joined == 0 || (joined < m->config.transport->workers && !waited))
        return;
    int recorded = run_folder_threads(m->config.folder);
    m->threads = m->config.sweep->threads > 0 ? m->config.sweep->threads
                 : recorded > 0               ? recorded
                                              : workers_fair_threads(m->workers, m->config.sweep->members);
    struct error err;
    check(m, workers_record(m->workers, m->config.folder, m->config.transport, m->threads, &err), &err);
    m->open = true;
    for (int w = 0; w < m->config.transport->workers; w++)
        if (workers_is_present(m->workers, w))
            admit(m, w);
}

static void ping(struct master *m) {
    if (m->config.alive)
        m->config.alive();
    for (int w = 0; w < m->config.transport->workers; w++)
        ping_worker(m, w);
}

static void watch_signals(struct master *m) {
    if (*m->config.stops > 0)
        stop(m, "");
}

static void watch_time_limit(struct master *m, double t) {
    if (t > time_limit_stop(&m->limit))
        stop(m, ", time is up");
    if (m->holding || m->stopping || t <= time_limit_last_start(&m->limit))
        return;
    m->holding = true;
    progress_note(m->config.progress, "time is nearly up: no more trials are started");
    apply(m, (struct scheduler_event){.kind = SCHEDULER_HOLD, .trial = -1}, NULL);
}

static void watch_deaths(struct master *m) {
    const struct transport *t = m->config.transport;
    for (int w = 0; t->is_dead && w < t->workers; w++) {
        m->told_dead = t->is_dead(t->self, w);
        if (m->told_dead)
            apply(m, (struct scheduler_event){.kind = SCHEDULER_WORKER_DEAD, .worker = w, .trial = -1}, NULL);
    }
    m->told_dead = false;
}

static void watch_clock(struct master *m) {
    double t = clock_seconds();
    struct error err;
    if (m->failure == STATUS_OK)
        check(m, run_folder_check(m->config.folder, t, &err), &err);
    watch_time_limit(m, t);
    if (m->failure != STATUS_OK)
        apply(m, (struct scheduler_event){.kind = SCHEDULER_STOP, .trial = -1}, NULL);
    else if (t - m->ticked > TICK_SECONDS)
        apply(m, (struct scheduler_event){.kind = SCHEDULER_TICK, .trial = -1}, NULL);
    else
        return;
    m->ticked = t;
    watch_deaths(m);
    if (t - m->pinged > PING_SECONDS) {
        m->pinged = t;
        ping(m);
    }
}

static void loop(struct master *m) {
    enum { MESSAGES_PER_LOOK = 1000 };
    struct idle idle = {0};
    int read = 0; // messages without a pause
    struct transport *t = m->config.transport;
    watch_time_limit(m, clock_seconds());
    while (!m->finished && *m->config.stops < 2) {
        int from;
        bool any = t->receive(t->self, &from, &m->heard);
        if (any)
            handle(m, from, &m->heard);
        open_when_ready(m);
        commit_when_due(m);
        decide_when_due(m);
        grow_when_due(m);
        watch_signals(m);
        // What has come during a stall is heard before anyone is taken for silent.
        read = any ? read + 1 : 0;
        if (!any || read % MESSAGES_PER_LOOK == 0)
            watch_clock(m);
        progress_tick(m->config.progress);
        if (any)
            idle_reset(&idle);
        else if (!m->finished)
            t->rest(t->self, &idle);
    }
    commit(m);
}

static void note_absent(struct master *m) {
    for (int w = 0; w < m->config.transport->workers; w++)
        m->config.absent[w] =
            !m->config.gone[w] && workers_has_place(m->workers, w) && !scheduler_worker_is_present(m->scheduler, w);
}

static void note_neighbours(struct master *m) {
    struct message_hello here;
    agent_describe_host(&here);
    for (int w = 0; m->config.neighbours && w < m->config.transport->workers; w++) {
        const struct message_hello *there = workers_hello(m->workers, w);
        m->config.neighbours[w] = strcmp(there->host, here.host) == 0 ? (long)there->pid : 0;
    }
}

// How another program uses a GPU is not known: the ranks share them without a limit, unless they are told one.
static struct gpu_rules gpu_rules(const struct master *m, const char *host) {
    const struct sweep *s = m->config.sweep;
    bool command = s->program.kind == TRAINER_COMMAND;
    return (struct gpu_rules){.use = command                 ? GPU_USE_ANY
                                     : sweep_may_use_cuda(s) ? GPU_USE_USABLE
                                                             : GPU_USE_NONE,
                              .per_gpu = command || s->trainers_per_gpu > 0 ? s->trainers_per_gpu : 1,
                              .master_host = m->config.transport->first_rank > 0 ? host : ""};
}

static enum status prepare(struct master *m, struct error *err) {
    struct scheduler_config config = {.workers = m->config.transport->workers,
                                      .quarantine_after = QUARANTINE_AFTER,
                                      .max_attempts = m->config.sweep->max_attempts,
                                      .worker_timeout = m->config.worker_timeout,
                                      .empty_timeout = m->config.worker_timeout};
    struct message_hello here;
    agent_describe_host(&here);
    struct gpu_rules gpus = gpu_rules(m, here.host);
    TRY(workers_create(m->config.transport->workers, &gpus, &m->workers, err));
    TRY(scheduler_create(&config, &m->scheduler, err));
    if (m->config.sweep->method == METHOD_ASHA && !(m->rungs = rungs_create()))
        return error_memory(err, "rungs");
    TRY(run_folder_load(m->config.folder, m->config.plan, err));
    TRY(add_trials(m, 0, err));
    TRY(add_totals(m, err));
    m->plan_dirty = true;
    return STATUS_OK;
}

enum status master_run(const struct master_config *config, enum scheduler_ending *ending, struct error *err) {
    struct master *m = calloc(1, sizeof *m);
    if (!m)
        return error_memory(err, "master");
    m->config = *config;
    m->began = m->pinged = clock_seconds();
    m->limit = (struct time_limit){.began = config->began, .end = config->end};
    if (m->config.worker_timeout <= 0)
        m->config.worker_timeout = m->config.sweep->worker_timeout;
    if (m->config.gather_seconds <= 0)
        m->config.gather_seconds = 15;
    enum status status = prepare(m, err);
    if (status == STATUS_OK) {
        loop(m);
        note_absent(m);
        note_neighbours(m);
        *ending = scheduler_ending(m->scheduler);
        if (*ending == SCHEDULER_RUNNING) // a second signal
            *ending = SCHEDULER_STOPPED;
        status = m->failure;
        if (status != STATUS_OK)
            *err = m->failure_text;
        else if (*ending == SCHEDULER_ALL_DONE)
            status = run_folder_finalize(m->config.folder, m->config.plan, err);
    }
    scheduler_destroy(m->scheduler);
    workers_destroy(m->workers);
    rungs_destroy(m->rungs);
    free(m->verdicts);
    free(m->left);
    free(m);
    return status;
}
