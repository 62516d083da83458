#include "orchestrator/run_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "orchestrator/epoch_order.h"
#include "orchestrator/run_manifest.h"

// What is known of one trial.
struct record {
    char id[TRIAL_ID_SIZE];
    bool finished;
    struct trial_result result;
    bool *epoch_there; // by epoch
    int epoch_capacity, epochs;
};

struct run_folder {
    const struct sweep *sweep;
    char path[PATH_SIZE];
    int lock;
    bool resumed;
    struct manifest manifest;
    struct swept_columns swept;
    csv_log *epochs, *trials, *events;
    struct record *records;
    int record_count, record_capacity;
    struct trial_row *old_rows; // of trials.csv when it was opened
    size_t old_row_count;
    bool *row_written; // by plan row
    int row_capacity;
};

// ---- opening ----

static enum status take_lock(run_folder *f, struct error *err) {
    char path[PATH_SIZE], holder[160] = "";
    TRY(path_join(path, f->path, "lock", err));
    f->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (f->lock < 0)
        return error_set(err, STATUS_IO, "cannot open %s: %s", path, strerror(errno));
    if (flock(f->lock, LOCK_EX | LOCK_NB) != 0) {
        int e = errno;
        ssize_t n = pread(f->lock, holder, sizeof holder - 1, 0);
        holder[n > 0 ? strcspn(holder, "\n") : 0] = 0;
        close(f->lock);
        f->lock = -1;
        if (e == EWOULDBLOCK)
            return error_set(err, STATUS_LOST, "%s is in use by another gridfold run (%s); wait for it, or stop it",
                             f->path, holder[0] ? holder : "unknown process");
        return error_set(err, STATUS_IO, "cannot lock %s: %s", path, strerror(e));
    }
    char host[64] = "";
    gethostname(host, sizeof host - 1);
    int length = snprintf(holder, sizeof holder, "process %ld on %s\n", (long)getpid(), host);
    if (ftruncate(f->lock, 0) != 0 || pwrite(f->lock, holder, (size_t)length, 0) != length)
        return error_set(err, STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    return STATUS_OK;
}

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
    f->lock = -1;
    for (int i = 0; i < sweep->swept_count && i < RUN_MAX_SWEPT; i++)
        hyper_column(sweep->swept[i], f->swept.name[f->swept.count++], sizeof f->swept.name[0]);
    enum status status;
    TRY_OR_FAIL(make_folders(f, err));
    TRY_OR_FAIL(take_lock(f, err));
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

void run_folder_close(run_folder *f) {
    if (!f)
        return;
    close_logs(f);
    csv_log_close(f->events);
    if (f->lock >= 0) {
        (void)!ftruncate(f->lock, 0);
        close(f->lock);
    }
    for (int i = 0; i < f->record_count; i++)
        free(f->records[i].epoch_there);
    free(f->records);
    free(f->old_rows);
    free(f->row_written);
    free(f);
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
    for (int i = 0; i < f->record_count; i++)
        if (strcmp(f->records[i].id, id) == 0)
            return &f->records[i];
    return NULL;
}

static struct record *need_record(run_folder *f, const char *id, struct error *err) {
    struct record *r = find_record(f, id);
    if (r)
        return r;
    if (f->record_count == f->record_capacity) {
        int capacity = 2 * f->record_capacity + 16;
        struct record *grown = realloc(f->records, (size_t)capacity * sizeof *grown);
        if (!grown) {
            error_memory(err, "trial records");
            return NULL;
        }
        f->records = grown;
        f->record_capacity = capacity;
    }
    r = &f->records[f->record_count++];
    *r = (struct record){0};
    snprintf(r->id, sizeof r->id, "%s", id);
    return r;
}

static enum status note_epoch(struct record *r, int epoch, bool *fresh, struct error *err) {
    if (epoch < 0 || epoch > 10000000)
        return error_set(err, STATUS_INVALID, "trial %s: epoch %d", r->id, epoch);
    if (epoch >= r->epoch_capacity) {
        int capacity = 2 * epoch + 64;
        bool *grown = realloc(r->epoch_there, (size_t)capacity * sizeof *grown);
        if (!grown)
            return error_memory(err, "epoch records");
        memset(grown + r->epoch_capacity, 0, (size_t)(capacity - r->epoch_capacity) * sizeof *grown);
        r->epoch_there = grown;
        r->epoch_capacity = capacity;
    }
    *fresh = !r->epoch_there[epoch];
    r->epoch_there[epoch] = true;
    r->epochs += *fresh;
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

static void row_of_result(const run_folder *f, const struct plan *plan, int row_index,
                          const struct trial_result *result, struct trial_row *row) {
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
    };
    snprintf(row->trial, sizeof row->trial, "%s", t->id);
    snprintf(row->grid, sizeof row->grid, "%s", p->grid >= 0 ? f->sweep->grids[p->grid].name : "");
    snprintf(row->config, sizeof row->config, "%s", p->label);
    for (int i = 0; i < f->swept.count; i++) {
        char value[HYPER_VALUE_SIZE];
        hyper_format(&t->hp, f->sweep->swept[i], value);
        snprintf(row->swept[i], sizeof row->swept[i], "%.*s", (int)sizeof row->swept[i] - 1, value);
    }
    snprintf(row->status, sizeof row->status, "%s", trial_status_name(result->status));
    snprintf(row->error, sizeof row->error, "%s", result->error);
    for (char *c = row->error; *c; c++) // one line, so that a reader of lines is not misled
        if (*c == '\n' || *c == '\r')
            *c = ' ';
}

// ---- loading ----

static enum status load_epochs(run_folder *f, const char *path, struct error *err) {
    struct epoch_row *rows;
    size_t count;
    TRY(epochs_read(path, &rows, &count, err));
    enum status status = STATUS_OK;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        bool fresh;
        struct record *r = need_record(f, rows[i].trial, err);
        status = r ? note_epoch(r, rows[i].epoch, &fresh, err) : STATUS_MEMORY;
    }
    free(rows);
    return status;
}

static enum status load_trials(run_folder *f, const char *path, struct error *err) {
    struct swept_columns swept;
    TRY(trials_read(path, &swept, &f->old_rows, &f->old_row_count, err));
    for (size_t i = 0; i < f->old_row_count; i++) {
        struct record *r = need_record(f, f->old_rows[i].trial, err);
        if (!r)
            return STATUS_MEMORY;
        result_of_row(&f->old_rows[i], &r->result);
        r->finished = r->result.status != TRIAL_STOPPED;
    }
    return STATUS_OK;
}

enum status run_folder_load(run_folder *f, const struct plan *plan, struct error *err) {
    char epochs[PATH_SIZE], trials[PATH_SIZE], events[PATH_SIZE];
    TRY(path_join(epochs, f->path, "epochs.csv", err));
    TRY(path_join(trials, f->path, "trials.csv", err));
    TRY(path_join(events, f->path, "events.csv", err));
    TRY(epochs_open(epochs, &f->epochs, err)); // cuts torn last lines off
    TRY(trials_open(trials, &f->swept, &f->trials, err));
    TRY(events_open(events, &f->events, err));
    TRY(load_epochs(f, epochs, err));
    TRY(load_trials(f, trials, err));
    return run_folder_write_rows(f, plan, err);
}

static bool row_is_old(const run_folder *f, const struct plan *plan, int row) {
    const struct plan_row *p = &plan->rows[row];
    const char *grid = p->grid >= 0 ? f->sweep->grids[p->grid].name : "";
    for (size_t i = 0; i < f->old_row_count; i++) {
        const struct trial_row *old = &f->old_rows[i];
        if (old->fold == p->fold && strcmp(old->trial, plan->trials[p->trial].id) == 0 &&
            strcmp(old->config, p->label) == 0 && strcmp(old->grid, grid) == 0)
            return true;
    }
    return false;
}

static struct trial_result refusal(const struct plan_trial *t) {
    struct trial_result r = {.status = TRIAL_FAILED,
                             .best_iou = NAN,
                             .best_f1 = NAN,
                             .final_iou = NAN,
                             .train_val_gap = NAN,
                             .best_epoch = -1,
                             .parameters = (int64_t)t->cost.parameters};
    snprintf(r.error, sizeof r.error, "%s", t->refused);
    return r;
}

static enum status refuse_trials(run_folder *f, const struct plan *plan, struct error *err) {
    for (int i = 0; i < plan->trial_count; i++) {
        const struct plan_trial *t = &plan->trials[i];
        if (!t->refused[0])
            continue;
        struct record *r = need_record(f, t->id, err);
        if (!r)
            return STATUS_MEMORY;
        if (!r->finished)
            r->result = refusal(t);
        r->finished = true;
    }
    return STATUS_OK;
}

enum status run_folder_write_rows(run_folder *f, const struct plan *plan, struct error *err) {
    TRY(refuse_trials(f, plan, err));
    if (plan->row_count > f->row_capacity) {
        int capacity = 2 * plan->row_count;
        bool *grown = realloc(f->row_written, (size_t)capacity * sizeof *grown);
        if (!grown)
            return error_memory(err, "trial rows");
        memset(grown + f->row_capacity, 0, (size_t)(capacity - f->row_capacity) * sizeof *grown);
        f->row_written = grown;
        f->row_capacity = capacity;
    }
    bool any = false;
    for (int i = 0; i < plan->row_count; i++) {
        const struct trial_result *result = run_folder_result(f, plan, plan->rows[i].trial);
        if (!result || f->row_written[i])
            continue;
        f->row_written[i] = true;
        if (row_is_old(f, plan, i))
            continue;
        struct trial_row row;
        row_of_result(f, plan, i, result, &row);
        TRY(trials_append(f->trials, &row, err));
        any = true;
    }
    return any ? csv_log_sync(f->trials, err) : STATUS_OK;
}

const struct trial_result *run_folder_result(const run_folder *f, const struct plan *plan, int trial) {
    const struct record *r = find_record(f, plan->trials[trial].id);
    return r && r->finished ? &r->result : NULL;
}

int run_folder_epochs(const run_folder *f, const struct plan *plan, int trial) {
    const struct record *r = find_record(f, plan->trials[trial].id);
    return r ? r->epochs : 0;
}

bool run_folder_has_checkpoint(const run_folder *f, const struct plan *plan, int trial) {
    char path[PATH_SIZE];
    int length = snprintf(path, sizeof path, "%s/trials/%s/last.safetensors", f->path, plan->trials[trial].id);
    return length < (int)sizeof path && file_exists(path);
}

// ---- adding ----

enum status run_folder_add_epoch(run_folder *f, const struct plan *plan, int trial, const struct epoch_metrics *m,
                                 bool *fresh, struct error *err) {
    const struct plan_trial *t = &plan->trials[trial];
    struct record *r = need_record(f, t->id, err);
    if (!r)
        return STATUS_MEMORY;
    bool is_fresh = false;
    TRY(note_epoch(r, m->epoch, &is_fresh, err));
    if (fresh)
        *fresh = is_fresh;
    if (!is_fresh)
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
    return epochs_append(f->epochs, &row, err);
}

enum status run_folder_add_result(run_folder *f, const struct plan *plan, int trial, const struct trial_result *result,
                                  struct error *err) {
    struct record *r = need_record(f, plan->trials[trial].id, err);
    if (!r)
        return STATUS_MEMORY;
    TRY(csv_log_sync(f->epochs, err));
    r->result = *result;
    r->finished = true;
    return run_folder_write_rows(f, plan, err);
}

enum status run_folder_add_event(run_folder *f, struct event_row *row, struct error *err) {
    manifest_time(row->time);
    return events_append(f->events, row, err);
}

// ---- final order ----

static enum status rewrite_trials(const run_folder *f, const struct plan *plan, struct error *err) {
    char path[PATH_SIZE];
    TRY(path_join(path, f->path, "trials.csv", err));
    struct trial_row *rows = malloc(((size_t)plan->row_count + 1) * sizeof *rows);
    if (!rows)
        return error_memory(err, path);
    size_t count = 0;
    for (int i = 0; i < plan->row_count; i++) {
        const struct trial_result *result = run_folder_result(f, plan, plan->rows[i].trial);
        if (result)
            row_of_result(f, plan, i, result, &rows[count++]);
    }
    enum status status = trials_write(path, &f->swept, rows, count, err);
    free(rows);
    return status;
}

enum status run_folder_finalize(run_folder *f, const struct plan *plan, struct error *err) {
    char path[PATH_SIZE];
    close_logs(f);
    TRY(path_join(path, f->path, "epochs.csv", err));
    TRY(epoch_order_rewrite(path, plan, err));
    return rewrite_trials(f, plan, err);
}
