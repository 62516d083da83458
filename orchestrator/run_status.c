// Reading of a run's files into standings; see run_status.h.
#include "orchestrator/run_status.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "results/run_files.h"

struct trial_standing *run_status_find(const struct run_status *r, const char *id) {
    int at = r->count > 0 ? id_index_find(&r->index, r->trials[0].trial, sizeof *r->trials, id) : -1;
    return at >= 0 ? &r->trials[at] : NULL;
}

// The trial's standing, made when there is none; NULL: out of memory.
static struct trial_standing *need_trial(struct run_status *r, const char *id, const char *config, int fold,
                                         struct error *err) {
    struct trial_standing *t = run_status_find(r, id);
    if (t)
        return t;
    if (!r->trials || r->count == r->capacity) {
        int capacity = 2 * r->capacity + 16;
        struct trial_standing *larger = realloc(r->trials, (size_t)capacity * sizeof *larger);
        if (!larger) {
            (void)error_memory(err, "the trials");
            return NULL;
        }
        r->trials = larger;
        r->capacity = capacity;
    }
    t = &r->trials[r->count];
    *t = (struct trial_standing){.fold = fold, .last_iou = NAN, .best_iou = NAN, .worker = -1};
    snprintf(t->trial, sizeof t->trial, "%s", id);
    snprintf(t->config, sizeof t->config, "%.*s", RUN_NAME_SIZE - 1, config);
    if (id_index_add(&r->index, r->trials[0].trial, sizeof *r->trials, r->count, err) != STATUS_OK)
        return NULL;
    r->count++;
    return t;
}

// ---- files ----

static enum status run_path(const struct run_status *r, const char *name, char path[PATH_SIZE], bool *there,
                            struct error *err) {
    struct stat file;
    TRY(path_join(path, r->folder, name, err));
    *there = stat(path, &file) == 0 && file.st_size > 0; // an empty one has just been made
    return STATUS_OK;
}

static enum standing state_of(const char *status) {
    return strcmp(status, "done") == 0       ? STANDING_DONE
           : strcmp(status, "failed") == 0   ? STANDING_FAILED
           : strcmp(status, "diverged") == 0 ? STANDING_DIVERGED
                                             : STANDING_STOPPED;
}

static enum status read_trials(struct run_status *r, struct error *err) {
    char path[PATH_SIZE];
    bool there;
    struct swept_columns swept;
    struct trial_row *rows = NULL;
    size_t count = 0;
    TRY(run_path(r, "trials.csv", path, &there, err));
    if (!there)
        return STATUS_OK;
    TRY(trials_read(path, &swept, &rows, &count, err));
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        struct trial_standing *t = need_trial(r, rows[i].trial, rows[i].config, rows[i].fold, err);
        if (!t) {
            status = err->status;
            break;
        }
        t->state = state_of(rows[i].status);
        t->best_iou = rows[i].best_iou;
        t->last_iou = rows[i].final_iou;
        t->epochs = rows[i].epochs_run;
    }
    free(rows);
    return status;
}

static enum status read_epochs(struct run_status *r, struct error *err) {
    char path[PATH_SIZE];
    bool there;
    struct epoch_row *rows = NULL;
    struct metric_columns own;
    size_t count = 0;
    TRY(run_path(r, "epochs.csv", path, &there, err));
    if (!there)
        return STATUS_OK;
    TRY(epochs_read(path, &own, &rows, &count, err));
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count; i++) {
        struct trial_standing *t = need_trial(r, rows[i].trial, rows[i].config, rows[i].fold, err);
        if (!t) {
            status = err->status;
            break;
        }
        if (t->state >= STANDING_DONE)
            continue;
        t->state = STANDING_PAUSED;
        t->epochs = rows[i].epoch + 1;
        t->last_iou = epoch_row_number(&rows[i], &own, r->sweep->program.metric);
        if (program_is_better(&r->sweep->program, t->last_iou, t->best_iou))
            t->best_iou = t->last_iou;
    }
    free(rows);
    return status;
}

// What happens to a trial while no result is there.
static void take_event(struct run_status *r, const struct event_row *e) {
    struct trial_standing *t = run_status_find(r, e->trial);
    if (strcmp(e->event, "stopped") == 0 && !*e->trial)
        for (int i = 0; i < r->count; i++)
            if (r->trials[i].state == STANDING_RUNNING)
                r->trials[i].state = STANDING_PAUSED;
    if (!t || t->state >= STANDING_DONE)
        return;
    bool runs = strcmp(e->event, "assigned") == 0 || strcmp(e->event, "resumed") == 0 || strcmp(e->event, "epoch") == 0;
    bool pauses = strcmp(e->event, "lost") == 0 || strcmp(e->event, "stopped") == 0 ||
                  strcmp(e->event, "retried") == 0 || strcmp(e->event, "paused") == 0;
    if (runs) {
        t->state = STANDING_RUNNING;
        t->worker = e->worker;
        snprintf(t->host, sizeof t->host, "%s", e->host);
    } else if (pauses) {
        t->state = t->epochs > 0 ? STANDING_PAUSED : STANDING_WAITING;
    }
}

static enum status read_events(struct run_status *r, struct error *err) {
    char path[PATH_SIZE];
    bool there;
    struct event_row *rows = NULL;
    size_t count = 0;
    TRY(run_path(r, "events.csv", path, &there, err));
    if (!there)
        return STATUS_OK;
    TRY(events_read(path, &rows, &count, err));
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        if (*rows[i].trial && !need_trial(r, rows[i].trial, rows[i].detail, -1, err))
            status = err->status;
        else
            take_event(r, &rows[i]);
    }
    if (count > 0)
        snprintf(r->last_event, sizeof r->last_event, "%s", rows[count - 1].time);
    free(rows);
    return status;
}

// A run that was killed leaves trials that look as if they ran.
static enum status check_alive(struct run_status *r, struct error *err) {
    char path[PATH_SIZE];
    TRY(path_join(path, r->folder, "lock", err));
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        r->alive = flock(fd, LOCK_SH | LOCK_NB) != 0;
        close(fd);
    }
    for (int i = 0; i < r->count && !r->alive; i++)
        if (r->trials[i].state == STANDING_RUNNING)
            r->trials[i].state = r->trials[i].epochs > 0 ? STANDING_PAUSED : STANDING_WAITING;
    return STATUS_OK;
}

// ---- plan ----

static enum status resolve(const struct run_status *r, struct plan *plan, const dataset *ds, struct error *err) {
    for (int before = -1; before != plan->trial_count && !plan_is_complete(plan);) {
        before = plan->trial_count;
        struct plan_outcome *outcomes = calloc((size_t)plan->trial_count + 1, sizeof *outcomes);
        if (!outcomes)
            return error_memory(err, "outcomes");
        for (int i = 0; i < plan->trial_count; i++) {
            const struct trial_standing *t = run_status_find(r, plan->trials[i].id);
            outcomes[i].finished = t && t->state >= STANDING_DONE;
            outcomes[i].score = t && t->state == STANDING_DONE      ? program_score(&r->sweep->program, t->best_iou)
                                : t && t->state == STANDING_STOPPED ? -INFINITY
                                                                    : NAN;
        }
        int added;
        enum status status = plan_resolve(plan, ds, outcomes, &added, err);
        free(outcomes);
        TRY(status);
    }
    return STATUS_OK;
}

static void count_waiting_rows(struct run_status *r, const struct plan *plan) {
    for (int i = plan->grids_expanded; i < r->sweep->grid_count; i++)
        r->waiting_rows += plan_grid_rows(&r->sweep->grids[i]);
    for (int i = 0; i < r->sweep->config_count; i++)
        r->waiting_rows += plan->config_expanded[i] ? 0 : r->sweep->configs[i].run_count;
}

static enum status take_plan(struct run_status *r, const dataset *ds, struct error *err) {
    struct plan *plan;
    TRY(plan_create(r->sweep, ds, &plan, err));
    enum status status = resolve(r, plan, ds, err);
    for (int i = 0; i < plan->trial_count && status == STATUS_OK; i++) {
        const struct plan_trial *p = &plan->trials[i];
        struct trial_standing *t = need_trial(r, p->id, p->config, p->fold, err);
        if (!t) {
            status = err->status;
            break;
        }
        t->of = program_knows_epochs(&r->sweep->program) ? p->hp.epochs : 0;
        t->fold = p->fold;
        t->planned = true;
        if (p->withheld && t->state < STANDING_DONE)
            t->state = STANDING_CAPPED;
        snprintf(t->config, sizeof t->config, "%s", p->config);
    }
    if (plan->withheld == 0) // else it may be that none will come
        count_waiting_rows(r, plan);
    plan_destroy(plan);
    return status;
}

// The dataset may be elsewhere by now: then what the files know is all there is to show.
static void read_plan(struct run_status *r) {
    struct error why;
    dataset *ds = NULL;
    enum status status = STATUS_OK;
    if (r->sweep->program.kind == TRAINER_EMBEDDED)
        status = dataset_open(r->sweep->dataset, &ds, &why);
    if (status == STATUS_OK)
        status = take_plan(r, ds, &why);
    if (status != STATUS_OK)
        snprintf(r->plan_missing, sizeof r->plan_missing, "%s", why.message);
    dataset_close(ds);
}

static enum status read_run(struct run_status *r, struct error *err) {
    char path[PATH_SIZE];
    bool there;
    TRY(run_path(r, "sweep.ini", path, &there, err));
    if (!there)
        return error_set(err, STATUS_NOT_FOUND, "%s is no run folder: it has no sweep.ini; give the output of a sweep",
                         r->folder);
    TRY(sweep_parse_stored(path, &r->sweep, err));
    TRY(read_trials(r, err));
    TRY(read_epochs(r, err));
    TRY(read_events(r, err));
    TRY(check_alive(r, err));
    read_plan(r);
    return STATUS_OK;
}

enum status run_status_read(const char *folder, struct run_status *r, struct error *err) {
    *r = (struct run_status){.folder = folder};
    enum status status = read_run(r, err);
    if (status != STATUS_OK)
        run_status_free(r);
    return status;
}

void run_status_free(struct run_status *r) {
    sweep_destroy(r->sweep);
    id_index_free(&r->index);
    free(r->trials);
    *r = (struct run_status){0};
}

const char *standing_name(enum standing state) {
    static const char *const names[] = {"waiting", "running", "paused", "capped",
                                        "done",    "stopped", "failed", "diverged"};
    return names[state];
}

void run_status_count(const struct run_status *r, int counts[STANDING_STATES]) {
    memset(counts, 0, STANDING_STATES * sizeof *counts);
    for (int i = 0; i < r->count; i++)
        counts[r->trials[i].state]++;
}

bool run_status_is_complete(const struct run_status *r) {
    int counts[STANDING_STATES];
    run_status_count(r, counts);
    return r->waiting_rows == 0 && r->count > 0 &&
           counts[STANDING_RUNNING] + counts[STANDING_PAUSED] + counts[STANDING_WAITING] == 0;
}

const struct trial_standing *run_status_best(const struct run_status *r) {
    const struct trial_standing *best = NULL;
    for (int i = 0; i < r->count; i++) {
        const struct trial_standing *t = &r->trials[i];
        if (program_is_better(&r->sweep->program, t->best_iou, best ? best->best_iou : NAN))
            best = t;
    }
    return best;
}
