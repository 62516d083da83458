// `gridfold status RUN_DIR`: where a running or stopped sweep stands, from its files alone.
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "orchestrator/plan.h"
#include "orchestrator/verbs.h"
#include "results/run_files.h"

enum state { WAITING, RUNNING, PAUSED, DONE, FAILED, DIVERGED };

struct standing {
    char trial[RUN_ID_SIZE], config[RUN_NAME_SIZE];
    int fold;
    enum state state;
    int epochs, of; // ended, and how many there will be; 0: not known
    double last_iou, best_iou;
    char host[64];
    int worker;
};

struct run_status {
    const char *folder;
    struct sweep *sweep;
    struct standing *trials;
    int count, capacity, waiting_rows;
    char last_event[32];
    bool alive; // a process holds the run's lock
};

static struct standing *trial_of(const struct run_status *r, const char *id) {
    for (int i = 0; i < r->count; i++)
        if (strcmp(r->trials[i].trial, id) == 0)
            return &r->trials[i];
    return NULL;
}

// The trial's standing, made when there is none; NULL: out of memory.
static struct standing *need_trial(struct run_status *r, const char *id, const char *config, int fold,
                                   struct error *err) {
    struct standing *t = trial_of(r, id);
    if (t)
        return t;
    if (r->count == r->capacity) {
        int capacity = 2 * r->capacity + 16;
        struct standing *larger = realloc(r->trials, (size_t)capacity * sizeof *larger);
        if (!larger) {
            (void)error_memory(err, "the trials");
            return NULL;
        }
        r->trials = larger;
        r->capacity = capacity;
    }
    t = &r->trials[r->count++];
    *t = (struct standing){.fold = fold, .last_iou = NAN, .best_iou = NAN, .worker = -1};
    snprintf(t->trial, sizeof t->trial, "%s", id);
    snprintf(t->config, sizeof t->config, "%s", config);
    return t;
}

// ---- files ----

static enum status run_path(const struct run_status *r, const char *name, char path[PATH_SIZE], bool *there,
                            struct error *err) {
    TRY(path_join(path, r->folder, name, err));
    *there = file_exists(path);
    return STATUS_OK;
}

static enum state state_of(const char *status) {
    return strcmp(status, "done") == 0       ? DONE
           : strcmp(status, "failed") == 0   ? FAILED
           : strcmp(status, "diverged") == 0 ? DIVERGED
                                             : PAUSED;
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
        struct standing *t = need_trial(r, rows[i].trial, rows[i].config, rows[i].fold, err);
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
    size_t count = 0;
    TRY(run_path(r, "epochs.csv", path, &there, err));
    if (!there)
        return STATUS_OK;
    TRY(epochs_read(path, &rows, &count, err));
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count; i++) {
        struct standing *t = need_trial(r, rows[i].trial, rows[i].config, rows[i].fold, err);
        if (!t) {
            status = err->status;
            break;
        }
        if (t->state == DONE || t->state == FAILED || t->state == DIVERGED)
            continue;
        t->state = PAUSED;
        t->epochs = rows[i].epoch + 1;
        t->last_iou = rows[i].val_iou;
        t->best_iou = fmax(t->best_iou, rows[i].val_iou); // fmax passes over NaN
    }
    free(rows);
    return status;
}

// What happens to a trial while no result is there.
static void take_event(struct run_status *r, const struct event_row *e) {
    struct standing *t = trial_of(r, e->trial);
    if (strcmp(e->event, "stopped") == 0 && !*e->trial)
        for (int i = 0; i < r->count; i++)
            if (r->trials[i].state == RUNNING)
                r->trials[i].state = PAUSED;
    if (!t || t->state == DONE || t->state == FAILED || t->state == DIVERGED)
        return;
    bool runs = strcmp(e->event, "assigned") == 0 || strcmp(e->event, "resumed") == 0 || strcmp(e->event, "epoch") == 0;
    bool pauses = strcmp(e->event, "lost") == 0 || strcmp(e->event, "stopped") == 0 || strcmp(e->event, "retried") == 0;
    if (runs) {
        t->state = RUNNING;
        t->worker = e->worker;
        snprintf(t->host, sizeof t->host, "%s", e->host);
    } else if (pauses) {
        t->state = t->epochs > 0 ? PAUSED : WAITING;
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
        if (r->trials[i].state == RUNNING)
            r->trials[i].state = r->trials[i].epochs > 0 ? PAUSED : WAITING;
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
            const struct standing *t = trial_of(r, plan->trials[i].id);
            outcomes[i].finished = t && t->state >= DONE;
            outcomes[i].best_iou = t && t->state == DONE ? t->best_iou : NAN;
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
        struct standing *t = need_trial(r, p->id, p->config, p->fold, err);
        if (!t) {
            status = err->status;
            break;
        }
        t->of = p->hp.epochs;
        t->fold = p->fold;
        snprintf(t->config, sizeof t->config, "%s", p->config);
    }
    count_waiting_rows(r, plan);
    plan_destroy(plan);
    return status;
}

// The dataset may be elsewhere by now: then what the files know is all there is to show.
static void read_plan(struct run_status *r) {
    struct error why;
    dataset *ds = NULL;
    enum status status = dataset_open(r->sweep->dataset, &ds, &why);
    if (status == STATUS_OK)
        status = take_plan(r, ds, &why);
    if (status != STATUS_OK)
        printf("not all of the plan is known: %s\n", why.message);
    dataset_close(ds);
}

// ---- output ----

static void print_trial(const struct standing *t) {
    char best[32] = "", last[32] = "", total[16] = "";
    if (!isnan(t->best_iou))
        snprintf(best, sizeof best, ", best %.2f %%", 100 * t->best_iou);
    if (!isnan(t->last_iou))
        snprintf(last, sizeof last, ", val IoU %.2f %%", 100 * t->last_iou);
    if (t->of > 0)
        snprintf(total, sizeof total, " of %d", t->of);
    printf("  %s  fold %d  %s: %d%s epochs%s%s", t->trial, t->fold, t->config, t->epochs, total, last, best);
    if (t->state == RUNNING && *t->host)
        printf(" (worker %d on %s)", t->worker, t->host);
    printf("\n");
}

static void print_state(const struct run_status *r, enum state state, const char *head) {
    bool first = true;
    for (int i = 0; i < r->count; i++) {
        if (r->trials[i].state != state)
            continue;
        if (first)
            printf("\n%s\n", head);
        first = false;
        print_trial(&r->trials[i]);
    }
}

static void print_status(const struct run_status *r) {
    int counts[DIVERGED + 1] = {0};
    const struct standing *best = NULL;
    for (int i = 0; i < r->count; i++) {
        const struct standing *t = &r->trials[i];
        counts[t->state]++;
        if (!isnan(t->best_iou) && (!best || t->best_iou > best->best_iou))
            best = t;
    }
    printf("%s in %s: %d trial%s: %d done, %d failed, %d diverged, %d running, %d stopped, %d waiting\n",
           r->sweep->name, r->folder, r->count, r->count == 1 ? "" : "s", counts[DONE], counts[FAILED],
           counts[DIVERGED], counts[RUNNING], counts[PAUSED], counts[WAITING]);
    if (r->waiting_rows > 0)
        printf("%d more rows wait for winners\n", r->waiting_rows);
    if (best)
        printf("best so far: %.2f %% by %s on fold %d (%s)\n", 100 * best->best_iou, best->config, best->fold,
               best->trial);
    bool open = r->waiting_rows > 0 || counts[RUNNING] + counts[PAUSED] + counts[WAITING] > 0;
    if (*r->last_event)
        printf("last event: %s; %s\n", r->last_event,
               r->alive ? "a process is at it"
               : open   ? "no process is at it: the same command goes on with it"
                        : "complete");
    print_state(r, RUNNING, "running");
    print_state(r, PAUSED, "stopped, to be gone on with");
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

enum status verb_status(int argc, char **argv, int *exit_code, struct error *err) {
    (void)exit_code;
    struct options o;
    TRY(options_parse(argc, argv, NULL, 0, &o, err));
    TRY(options_expect(&o, 1, "RUN_DIR", err));
    struct run_status r = {.folder = o.positional[0]};
    enum status status = read_run(&r, err);
    if (status == STATUS_OK)
        print_status(&r);
    sweep_destroy(r.sweep);
    free(r.trials);
    return status;
}
