#include "orchestrator/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "orchestrator/epoch_order.h"
#include "orchestrator/run_lock.h"
#include "orchestrator/run_manifest.h"

// What a rung asks of an epoch.
struct epoch_score {
    double iou, f1, gap;
};

// What is known of one trial. There may be a hundred thousand of them.
struct record {
    char id[TRIAL_ID_SIZE];
    bool finished;
    enum trial_status status;
    double best_iou, best_f1, final_iou, train_val_gap;
    int best_epoch, epochs_run;
    int64_t parameters;
    char *error;               // NULL: ""
    bool *epoch_there;         // by epoch
    struct epoch_score *score; // by epoch; NULL: not kept
    int epoch_capacity, epochs;
    int old_row; // its last row in old_rows; -1: none
};

// A row of trials.csv that was there when the file was opened.
struct old_row {
    char *grid, *config;
    int fold;
    int next; // of the same trial; -1: none
};

struct run_folder {
    const struct sweep *sweep;
    char path[PATH_SIZE];
    run_lock *lock;
    bool resumed;
    struct manifest manifest;
    struct swept_columns swept;
    csv_log *epochs, *trials, *events;
    struct metric_columns own; // of epochs.csv
    struct record *records;
    int record_count, record_capacity;
    struct id_index index;     // of records
    struct trial_result shown; // what run_folder_result last returned
    struct old_row *old_rows;
    int old_row_count;
    struct row_link *links; // by plan row
    int *first_row;         // of a trial of the plan, in links; -1: none
    int linked_rows, linked_trials, link_capacity, trial_capacity;
    bool rows_wait, results_wait; // rows that are not in the files yet; results among them
};

// The rows of one trial, in plan order.
struct row_link {
    int next; // -1: none
    bool written;
};

// ---- opening ----

static enum status make_folders(run_folder *f, struct error *err) {
    TRY(file_make_directories(f->sweep->output, err));
    char *absolute = realpath(f->sweep->output, NULL);
    bool fits = absolute && snprintf(f->path, sizeof f->path, "%s", absolute) < (int)sizeof f->path;
    free(absolute);
    if (!fits)
        return error_set(err, STATUS_IO, "cannot resolve %s", f->sweep->output);
    char path[PATH_SIZE];
    TRY(path_join(path, f->path, "trials", err));
    TRY(file_make_directories(path, err));
    TRY(path_join(path, f->path, "logs", err));
    return file_make_directories(path, err);
}

static bool same_file(const char *a, const char *b) {
    struct error err;
    char *x = NULL, *y = NULL;
    size_t m, n;
    bool same = file_read(a, &x, &m, &err) == STATUS_OK && file_read(b, &y, &n, &err) == STATUS_OK && m == n &&
                memcmp(x, y, m) == 0;
    free(x);
    free(y);
    return same;
}

static enum status write_fold_rows(const char *path, const struct sweep *sweep, const dataset *ds, struct error *err) {
    int count = dataset_count(ds);
    int *fold = malloc((size_t)(count + 1) * sizeof *fold);
    struct fold_row *rows = malloc((size_t)(count + 1) * sizeof *rows);
    enum status status = fold && rows ? STATUS_OK : error_memory(err, path);
    if (status == STATUS_OK)
        status = folds_assign(ds, sweep->folds, sweep->seed, fold, err);
    for (int i = 0; i < count && status == STATUS_OK; i++) {
        const struct sample *s = dataset_sample(ds, i);
        rows[i] = (struct fold_row){s->id, change_level_name(s->level), s->positive_share, fold[i]};
    }
    if (status == STATUS_OK)
        status = folds_write(path, rows, (size_t)count, err);
    free(fold);
    free(rows);
    return status;
}

// Another dataset under the same name would give other folds, or other shares of change: results must not be mixed.
static enum status write_folds(const run_folder *f, const dataset *ds, struct error *err) {
    char path[PATH_SIZE], fresh[PATH_SIZE];
    TRY(path_join(path, f->path, "folds.csv", err));
    TRY(path_join(fresh, f->path, "folds.csv.new", err));
    if (!ds) // a program that knows of no dataset
        return STATUS_OK;
    if (!file_exists(path))
        return write_fold_rows(path, f->sweep, ds, err);
    TRY(write_fold_rows(fresh, f->sweep, ds, err));
    bool same = same_file(path, fresh);
    unlink(fresh);
    if (!same)
        return error_set(err, STATUS_MISMATCH,
                         "the dataset %s has changed since the sweep in %s was started (its folds are others); choose "
                         "another output folder",
                         f->sweep->dataset, f->path);
    return STATUS_OK;
}

enum status run_folder_open(const struct sweep *sweep, const dataset *ds, run_folder **out, struct error *err) {
    run_folder *f = calloc(1, sizeof *f);
    if (!f)
        return error_memory(err, "run folder");
    f->sweep = sweep;
    for (int i = 0; i < sweep->swept_count && i < RUN_MAX_SWEPT; i++)
        program_hyper_column(&sweep->program, sweep->swept[i], f->swept.name[f->swept.count++],
                             sizeof f->swept.name[0]);
    swept_set_metric(&f->swept, sweep->program.metric);
    program_metric_columns(&sweep->program, &f->own);
    enum status status;
    TRY_OR_FAIL(make_folders(f, err));
    TRY_OR_FAIL(run_lock_take(f->path, &f->lock, err));
    file_remove_temporaries(f->path); // of runs that were killed
    TRY_OR_FAIL(manifest_check_sweep(f->path, sweep, &f->resumed, err));
    TRY_OR_FAIL(manifest_read(f->path, &f->manifest, err));
    TRY_OR_FAIL(write_folds(f, ds, err));
    *out = f;
    return STATUS_OK;
fail:
    run_folder_close(f);
    return status;
}

static void close_logs(run_folder *f) {
    csv_log_close(f->epochs);
    csv_log_close(f->trials);
    f->epochs = f->trials = NULL;
}

static void forget_old_rows(run_folder *f) {
    for (int i = 0; i < f->old_row_count; i++) {
        free(f->old_rows[i].grid);
        free(f->old_rows[i].config);
    }
    free(f->old_rows);
    f->old_rows = NULL;
    f->old_row_count = 0;
}

void run_folder_close(run_folder *f) {
    if (!f)
        return;
    close_logs(f);
    csv_log_close(f->events);
    run_lock_release(f->lock);
    for (int i = 0; i < f->record_count; i++) {
        free(f->records[i].epoch_there);
        free(f->records[i].score);
        free(f->records[i].error);
    }
    free(f->records);
    id_index_free(&f->index);
    forget_old_rows(f);
    free(f->links);
    free(f->first_row);
    free(f);
}

enum status run_folder_check(run_folder *f, double now, struct error *err) {
    enum status status = run_lock_check(f->lock, now, err);
    if (status != STATUS_OK) {
        csv_log_give_up(f->epochs, err);
        csv_log_give_up(f->trials, err);
        csv_log_give_up(f->events, err);
    }
    return status;
}

const char *run_folder_path(const run_folder *f) {
    return f->path;
}

bool run_folder_is_resumed(const run_folder *f) {
    return f->resumed;
}

int run_folder_threads(const run_folder *f) {
    return f->manifest.threads;
}

enum status run_folder_add_start(run_folder *f, const struct run_folder_start *start, struct error *err) {
    TRY(manifest_add_start(f->path, f->sweep, &f->manifest, start, err));
    f->manifest.starts++;
    return STATUS_OK;
}

// ---- records ----

static struct record *find_record(const run_folder *f, const char *id) {
    int at = f->record_count > 0 ? id_index_find(&f->index, f->records[0].id, sizeof *f->records, id) : -1;
    return at >= 0 ? &f->records[at] : NULL;
}

static struct record *need_record(run_folder *f, const char *id, struct error *err) {
    struct record *r = find_record(f, id);
    if (r)
        return r;
    if (!f->records || f->record_count == f->record_capacity) {
        int capacity = 2 * f->record_capacity + 16;
        struct record *grown = realloc(f->records, (size_t)capacity * sizeof *grown);
        if (!grown) {
            error_memory(err, "trial records");
            return NULL;
        }
        f->records = grown;
        f->record_capacity = capacity;
    }
    r = &f->records[f->record_count];
    *r = (struct record){.old_row = -1};
    snprintf(r->id, sizeof r->id, "%s", id);
    if (id_index_add(&f->index, f->records[0].id, sizeof *f->records, f->record_count, err) != STATUS_OK)
        return NULL;
    f->record_count++;
    return r;
}

// `score` NULL: is not kept.
static enum status note_epoch(struct record *r, int epoch, const struct epoch_score *score, bool *fresh,
                              struct error *err) {
    if (epoch < 0 || epoch > 10000000)
        return error_set(err, STATUS_INVALID, "trial %s: epoch %d", r->id, epoch);
    if (epoch >= r->epoch_capacity) {
        int capacity = 2 * epoch + 64;
        bool *grown = realloc(r->epoch_there, (size_t)capacity * sizeof *grown);
        r->epoch_there = grown ? grown : r->epoch_there;
        struct epoch_score *scores = score ? realloc(r->score, (size_t)capacity * sizeof *scores) : NULL;
        r->score = scores ? scores : r->score;
        if (!grown || (score && !scores))
            return error_memory(err, "epoch records");
        memset(grown + r->epoch_capacity, 0, (size_t)(capacity - r->epoch_capacity) * sizeof *grown);
        r->epoch_capacity = capacity;
    }
    *fresh = !r->epoch_there[epoch];
    if (score && *fresh)
        r->score[epoch] = *score;
    r->epoch_there[epoch] = true;
    r->epochs += *fresh;
    return STATUS_OK;
}

static enum status set_result(struct record *r, const struct trial_result *result, struct error *err) {
    free(r->error);
    r->error = *result->error ? strdup(result->error) : NULL;
    if (*result->error && !r->error)
        return error_memory(err, "trial records");
    r->status = result->status;
    r->best_iou = result->best_iou;
    r->best_f1 = result->best_f1;
    r->final_iou = result->final_iou;
    r->train_val_gap = result->train_val_gap;
    r->best_epoch = result->best_epoch;
    r->epochs_run = result->epochs_run;
    r->parameters = result->parameters;
    r->finished = true;
    return STATUS_OK;
}

static void result_of_row(const struct trial_row *row, struct trial_result *result) {
    *result = (struct trial_result){
        .best_iou = row->best_iou,
        .best_f1 = row->best_f1,
        .final_iou = row->final_iou,
        .train_val_gap = row->train_val_gap,
        .best_epoch = row->best_epoch,
        .epochs_run = row->epochs_run,
        .parameters = row->parameters,
    };
    for (int s = TRIAL_DONE; s <= TRIAL_STOPPED; s++)
        if (strcmp(row->status, trial_status_name((enum trial_status)s)) == 0)
            result->status = (enum trial_status)s;
    snprintf(result->error, sizeof result->error, "%s", row->error);
}

// The texts that a row points to.
struct row_texts {
    char swept[RUN_MAX_SWEPT][HYPER_VALUE_SIZE], error[RUN_TEXT_SIZE];
};

static void row_of_result(const run_folder *f, const struct plan *plan, int row_index,
                          const struct trial_result *result, struct row_texts *texts, struct trial_row *row) {
    const struct plan_row *p = &plan->rows[row_index];
    const struct plan_trial *t = &plan->trials[p->trial];
    *row = (struct trial_row){
        .fold = p->fold,
        .swept_count = f->swept.count,
        .best_iou = result->best_iou,
        .best_f1 = result->best_f1,
        .final_iou = result->final_iou,
        .train_val_gap = result->train_val_gap,
        .best_epoch = result->best_epoch,
        .epochs_run = result->epochs_run,
        .parameters = result->parameters,
        .error = texts->error,
    };
    snprintf(row->trial, sizeof row->trial, "%s", t->id);
    snprintf(row->grid, sizeof row->grid, "%s", p->grid >= 0 ? f->sweep->grids[p->grid].name : "");
    snprintf(row->config, sizeof row->config, "%s", p->label);
    for (int i = 0; i < f->swept.count; i++) {
        hyper_format(&t->hp, f->sweep->swept[i], texts->swept[i]);
        row->swept[i] = texts->swept[i];
    }
    snprintf(row->status, sizeof row->status, "%s", trial_status_name(result->status));
    snprintf(texts->error, sizeof texts->error, "%s", result->error);
    for (char *c = texts->error; *c; c++) // one line, so that a reader of lines is not misled
        if (*c == '\n' || *c == '\r')
            *c = ' ';
}

// ---- loading ----

static bool keeps_scores(const run_folder *f) {
    return f->sweep->method == METHOD_ASHA;
}

static struct epoch_score score_of_row(const run_folder *f, const struct metric_columns *own,
                                       const struct epoch_row *row) {
    if (f->sweep->program.kind == TRAINER_EMBEDDED)
        return (struct epoch_score){row->val_iou, row->val_f1, row->train_iou - row->val_iou};
    return (struct epoch_score){epoch_row_number(row, own, f->sweep->program.metric), NAN, NAN};
}

static enum status load_epochs(run_folder *f, const char *path, struct error *err) {
    struct metric_columns own;
    struct epoch_row *rows;
    size_t count;
    TRY(epochs_read(path, &own, &rows, &count, err));
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        bool fresh;
        struct record *r = need_record(f, rows[i].trial, err);
        struct epoch_score score = score_of_row(f, &own, &rows[i]);
        status = r ? note_epoch(r, rows[i].epoch, keeps_scores(f) ? &score : NULL, &fresh, err) : STATUS_MEMORY;
    }
    free(rows);
    return status;
}

static enum status keep_old_row(run_folder *f, struct record *r, const struct trial_row *row, struct error *err) {
    struct old_row *old = &f->old_rows[f->old_row_count];
    *old = (struct old_row){strdup(row->grid), strdup(row->config), row->fold, r->old_row};
    r->old_row = f->old_row_count++;
    return old->grid && old->config ? STATUS_OK : error_memory(err, "trials.csv");
}

static enum status load_rows(run_folder *f, const struct trial_row *rows, size_t count, struct error *err) {
    struct trial_result result;
    f->old_rows = calloc(count + 1, sizeof *f->old_rows);
    if (!f->old_rows)
        return error_memory(err, "trials.csv");
    for (size_t i = 0; i < count; i++) {
        struct record *r = need_record(f, rows[i].trial, err);
        if (!r)
            return STATUS_MEMORY;
        result_of_row(&rows[i], &result);
        TRY(set_result(r, &result, err));
        TRY(keep_old_row(f, r, &rows[i], err));
    }
    return STATUS_OK;
}

static enum status load_trials(run_folder *f, const char *path, struct error *err) {
    struct swept_columns swept;
    struct trial_row *rows;
    size_t count;
    TRY(trials_read(path, &swept, &rows, &count, err));
    enum status status = load_rows(f, rows, count, err);
    free(rows);
    return status;
}

enum status run_folder_load(run_folder *f, const struct plan *plan, struct error *err) {
    char epochs[PATH_SIZE], trials[PATH_SIZE], events[PATH_SIZE];
    TRY(path_join(epochs, f->path, "epochs.csv", err));
    TRY(path_join(trials, f->path, "trials.csv", err));
    TRY(path_join(events, f->path, "events.csv", err));
    TRY(epochs_open(epochs, &f->own, &f->epochs, err)); // cuts torn last lines off
    TRY(trials_open(trials, &f->swept, &f->trials, err));
    TRY(events_open(events, &f->events, err));
    TRY(load_epochs(f, epochs, err));
    TRY(load_trials(f, trials, err));
    TRY(run_folder_write_rows(f, plan, err));
    return run_folder_commit(f, err);
}

static bool row_is_old(const run_folder *f, const struct plan *plan, int row) {
    const struct plan_row *p = &plan->rows[row];
    const char *grid = p->grid >= 0 ? f->sweep->grids[p->grid].name : "";
    const struct record *r = find_record(f, plan->trials[p->trial].id);
    for (int i = r ? r->old_row : -1; i >= 0; i = f->old_rows[i].next) {
        const struct old_row *old = &f->old_rows[i];
        if (old->fold == p->fold && strcmp(old->config, p->label) == 0 && strcmp(old->grid, grid) == 0)
            return true;
    }
    return false;
}

// An earlier run has given it up, and this one is to try it again: its row makes way for another.
static void reopen_trial(const run_folder *f, const struct plan_trial *t) {
    struct record *r = find_record(f, t->id);
    if (!f->sweep->retry_failed || *t->refused || !r || !r->finished || r->status != TRIAL_FAILED)
        return;
    r->finished = false;
    r->old_row = -1;
}

// Of a trial that has no epoch.
static struct trial_result empty_result(const struct plan_trial *t, enum trial_status status) {
    return (struct trial_result){.status = status,
                                 .best_iou = NAN,
                                 .best_f1 = NAN,
                                 .final_iou = NAN,
                                 .train_val_gap = NAN,
                                 .best_epoch = -1,
                                 .parameters = (int64_t)t->cost.parameters};
}

static struct trial_result refusal(const struct plan_trial *t) {
    struct trial_result r = empty_result(t, TRIAL_FAILED);
    snprintf(r.error, sizeof r.error, "%s", t->refused);
    return r;
}

static enum status refuse_trial(run_folder *f, const struct plan_trial *t, struct error *err) {
    if (!t->refused[0])
        return STATUS_OK;
    struct record *r = need_record(f, t->id, err);
    if (!r)
        return STATUS_MEMORY;
    struct trial_result result = refusal(t);
    return r->finished ? STATUS_OK : set_result(r, &result, err);
}

static bool reserve(void **array, int needed, int *capacity, size_t size) {
    if (needed <= *capacity)
        return true;
    void *grown = realloc(*array, (size_t)needed * 2 * size);
    if (!grown)
        return false;
    *array = grown;
    *capacity = needed * 2;
    return true;
}

// The plan has grown: which rows belong to which trial.
static enum status link_rows(run_folder *f, const struct plan *plan, struct error *err) {
    void *links = f->links, *first = f->first_row;
    bool fits = reserve(&links, plan->row_count + 1, &f->link_capacity, sizeof *f->links);
    f->links = links;
    fits = fits && reserve(&first, plan->trial_count + 1, &f->trial_capacity, sizeof *f->first_row);
    f->first_row = first;
    if (!fits)
        return error_memory(err, "trial rows");
    for (; f->linked_trials < plan->trial_count; f->linked_trials++) {
        f->first_row[f->linked_trials] = -1;
        reopen_trial(f, &plan->trials[f->linked_trials]);
        TRY(refuse_trial(f, &plan->trials[f->linked_trials], err));
    }
    for (; f->linked_rows < plan->row_count; f->linked_rows++) {
        int trial = plan->rows[f->linked_rows].trial, *end = &f->first_row[trial];
        while (*end >= 0)
            end = &f->links[*end].next;
        *end = f->linked_rows;
        f->links[f->linked_rows] = (struct row_link){.next = -1};
    }
    return STATUS_OK;
}

// Appends the rows of a finished trial that are not there yet.
static enum status write_rows_of(run_folder *f, const struct plan *plan, int trial, struct error *err) {
    const struct trial_result *result = run_folder_result(f, plan, trial);
    for (int i = f->first_row[trial]; i >= 0 && result; i = f->links[i].next) {
        if (f->links[i].written)
            continue;
        f->links[i].written = true;
        if (row_is_old(f, plan, i))
            continue;
        struct trial_row row;
        struct row_texts texts;
        row_of_result(f, plan, i, result, &texts, &row);
        TRY(trials_append(f->trials, &row, err));
        f->results_wait = true;
    }
    return STATUS_OK;
}

enum status run_folder_write_rows(run_folder *f, const struct plan *plan, struct error *err) {
    TRY(link_rows(f, plan, err));
    for (int i = 0; i < plan->trial_count; i++)
        TRY(write_rows_of(f, plan, i, err));
    return STATUS_OK;
}

bool run_folder_has_uncommitted(const run_folder *f) {
    return f->rows_wait || f->results_wait;
}

static enum status commit(run_folder *f, bool results, struct error *err) {
    if (!results) {
        TRY(csv_log_flush(f->epochs, err));
    } else { // the epochs of a result are on disk before its rows
        TRY(csv_log_sync(f->epochs, err));
        TRY(csv_log_sync(f->trials, err));
    }
    return csv_log_flush(f->events, err);
}

enum status run_folder_commit(run_folder *f, struct error *err) {
    bool results = f->results_wait;
    f->rows_wait = f->results_wait = false;
    enum status status = commit(f, results, err);
    if (status != STATUS_OK) // a result without its epochs must not get there later
        csv_log_give_up(f->trials, err);
    return status;
}

const struct trial_result *run_folder_result(run_folder *f, const struct plan *plan, int trial) {
    const struct record *r = find_record(f, plan->trials[trial].id);
    if (!r || !r->finished)
        return NULL;
    f->shown = (struct trial_result){.status = r->status,
                                     .best_iou = r->best_iou,
                                     .best_f1 = r->best_f1,
                                     .final_iou = r->final_iou,
                                     .train_val_gap = r->train_val_gap,
                                     .best_epoch = r->best_epoch,
                                     .epochs_run = r->epochs_run,
                                     .parameters = r->parameters};
    snprintf(f->shown.error, sizeof f->shown.error, "%s", r->error ? r->error : "");
    return &f->shown;
}

int run_folder_epochs(const run_folder *f, const struct plan *plan, int trial) {
    const struct record *r = find_record(f, plan->trials[trial].id);
    return r ? r->epochs : 0;
}

double run_folder_best(const run_folder *f, const struct plan *plan, int trial, int epochs) {
    const struct record *r = find_record(f, plan->trials[trial].id);
    double best = NAN;
    int seen = 0;
    for (int i = 0; r && r->score && i < r->epoch_capacity && seen < epochs; i++) {
        seen += r->epoch_there[i];
        if (r->epoch_there[i] && program_is_better(&f->sweep->program, r->score[i].iou, best))
            best = r->score[i].iou;
    }
    return seen == epochs ? best : NAN;
}

void run_folder_stopped_result(const run_folder *f, const struct plan *plan, int trial, struct trial_result *result) {
    const struct plan_trial *t = &plan->trials[trial];
    const struct record *r = find_record(f, t->id);
    *result = empty_result(t, TRIAL_STOPPED);
    for (int i = 0; r && r->score && i < r->epoch_capacity; i++) { // a program may count from 1
        const struct epoch_score *e = &r->score[i];
        if (!r->epoch_there[i])
            continue;
        if (program_is_better(&f->sweep->program, e->iou, result->best_iou)) {
            result->best_iou = e->iou;
            result->best_f1 = e->f1;
            result->best_epoch = i;
        }
        result->final_iou = e->iou;
        result->train_val_gap = e->gap;
        result->epochs_run++;
    }
}

bool run_folder_is_at_rest(const run_folder *f, const struct plan *plan, int trial) {
    char path[PATH_SIZE];
    int length = snprintf(path, sizeof path, "%s/trials/%s/owner", f->path, plan->trials[trial].id);
    // Of a command that begins anew nothing is needed.
    bool there = f->sweep->program.kind == TRAINER_COMMAND || run_folder_has_checkpoint(f, plan, trial);
    return there && length < (int)sizeof path && !file_exists(path);
}

bool run_folder_has_checkpoint(const run_folder *f, const struct plan *plan, int trial) {
    static const char *const names[] = {
        [TRAINER_EMBEDDED] = "last.safetensors", [TRAINER_COMMAND] = "epochs.csv", [TRAINER_NONE] = NULL};
    const char *name = names[f->sweep->program.kind];
    char path[PATH_SIZE];
    if (!name)
        return false;
    int length = snprintf(path, sizeof path, "%s/trials/%s/%s", f->path, plan->trials[trial].id, name);
    return length < (int)sizeof path && file_exists(path);
}

// ---- adding ----

// The metrics of another program in place of the embedded trainer's.
static void take_values(const run_folder *f, const struct epoch_metrics *m, struct epoch_row *row) {
    const struct sweep_program *p = &f->sweep->program;
    struct epoch_row whole;
    epoch_row_empty(&whole);
    memcpy(whole.trial, row->trial, sizeof whole.trial);
    memcpy(whole.config, row->config, sizeof whole.config);
    whole.fold = row->fold;
    whole.epoch = row->epoch;
    for (int i = 0; i < p->metric_count && i < m->value_count; i++) {
        double *value = epoch_row_value(&whole, &f->own, p->metrics[i]);
        if (value)
            *value = m->values[i];
    }
    *row = whole;
}

enum status run_folder_add_epoch(run_folder *f, const struct plan *plan, int trial, const struct epoch_metrics *m,
                                 bool *fresh, struct error *err) {
    const struct plan_trial *t = &plan->trials[trial];
    struct record *r = need_record(f, t->id, err);
    if (!r)
        return STATUS_MEMORY;
    bool is_fresh = false;
    struct epoch_score score = {m->val_iou, m->val_f1, m->train_iou - m->val_iou};
    TRY(note_epoch(r, m->epoch, keeps_scores(f) ? &score : NULL, &is_fresh, err));
    if (fresh)
        *fresh = is_fresh;
    // Another program that was started anew tells its epochs anew; they take the place of the old ones, unless these
    // have decided a rung.
    if (!is_fresh && (m->value_count == 0 || keeps_scores(f)))
        return STATUS_OK;
    struct epoch_row row = {
        .fold = t->fold,
        .epoch = m->epoch,
        .lr = m->lr,
        .train_loss = m->train_loss,
        .train_iou = m->train_iou,
        .train_f1 = m->train_f1,
        .val_loss = m->val_loss,
        .val_iou = m->val_iou,
        .val_f1 = m->val_f1,
        .val_precision = m->val_precision,
        .val_recall = m->val_recall,
        .grad_norm = m->grad_norm,
    };
    snprintf(row.trial, sizeof row.trial, "%s", t->id);
    snprintf(row.config, sizeof row.config, "%s", t->config);
    if (m->value_count > 0)
        take_values(f, m, &row);
    f->rows_wait = true;
    return epochs_append(f->epochs, &row, err);
}

enum status run_folder_add_result(run_folder *f, const struct plan *plan, int trial, const struct trial_result *result,
                                  struct error *err) {
    struct record *r = need_record(f, plan->trials[trial].id, err);
    if (!r)
        return STATUS_MEMORY;
    TRY(set_result(r, result, err));
    return write_rows_of(f, plan, trial, err);
}

enum status run_folder_add_event(run_folder *f, struct event_row *row, struct error *err) {
    manifest_time(row->time);
    f->rows_wait = true;
    return events_append(f->events, row, err);
}

// ---- final order ----

static enum status add_rows(run_folder *f, const struct plan *plan, csv_writer *w, struct error *err) {
    for (int i = 0; i < plan->row_count; i++) {
        const struct trial_result *result = run_folder_result(f, plan, plan->rows[i].trial);
        struct trial_row row;
        struct row_texts texts;
        if (!result)
            continue;
        row_of_result(f, plan, i, result, &texts, &row);
        TRY(trials_rewrite_row(w, &f->swept, &row, err));
    }
    return STATUS_OK;
}

static enum status rewrite_trials(run_folder *f, const struct plan *plan, struct error *err) {
    char path[PATH_SIZE];
    csv_writer *w = NULL;
    TRY(path_join(path, f->path, "trials.csv", err));
    enum status status = trials_rewrite(path, &f->swept, &w, err);
    if (status == STATUS_OK)
        status = add_rows(f, plan, w, err);
    if (status == STATUS_OK)
        return csv_writer_commit(w, err);
    csv_writer_abandon(w);
    return status;
}

enum status run_folder_finalize(run_folder *f, const struct plan *plan, struct error *err) {
    char path[PATH_SIZE];
    TRY(run_folder_commit(f, err));
    close_logs(f);
    TRY(path_join(path, f->path, "epochs.csv", err));
    TRY(epoch_order_rewrite(path, plan, err));
    return rewrite_trials(f, plan, err);
}
