// The CSV files of a run, each by itself and beside the others.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "orchestrator/verify_parts.h"

// ---- files ----

// A file is read only when it is there, ends in a whole line and holds text.
static bool is_whole(struct verification *v, const char *path) {
    struct error why;
    char *text = NULL;
    size_t bytes = 0, lines = 1;
    bool whole = true;
    if (!file_exists(path)) {
        verify_finding(v, "%s is missing", path);
        return false;
    }
    if (file_read(path, &text, &bytes, &why) != STATUS_OK) {
        verify_finding(v, "%s", why.message);
        return false;
    }
    for (size_t i = 0; i < bytes; i++) {
        if (!text[i]) {
            verify_finding(v, "%s: line %zu holds bytes that are no text: the disk lost what was written", path, lines);
            whole = false;
            break;
        }
        lines += text[i] == '\n';
    }
    if (whole && (bytes == 0 || text[bytes - 1] != '\n'))
        verify_finding(v, bytes ? "%s: line %zu is torn: no newline ends it" : "%s: line %zu is missing: it is empty",
                       path, lines);
    free(text);
    return whole && bytes > 0; // readers leave a torn last line out
}

static bool path_of(struct verification *v, const char *name, char path[PATH_SIZE]) {
    struct error why;
    return path_join(path, v->folder, name, &why) == STATUS_OK && is_whole(v, path);
}

static void check_events(struct verification *v) {
    char path[PATH_SIZE];
    struct event_row *rows = NULL;
    size_t count = 0;
    struct error why;
    if (!path_of(v, "events.csv", path))
        return;
    if (events_read(path, &rows, &count, &why) != STATUS_OK) {
        verify_finding(v, "%s", why.message);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct tm time = {0};
        const char *end = strptime(rows[i].time, "%Y-%m-%dT%H:%M:%SZ", &time);
        if (!end || *end)
            verify_finding(v, "%s: row %zu: '%s' is no time", path, i + 1, rows[i].time);
    }
    free(rows);
}

static int compare_epochs(const void *a, const void *b) {
    const struct epoch_row *x = *(const struct epoch_row *const *)a, *y = *(const struct epoch_row *const *)b;
    int order = strcmp(x->trial, y->trial);
    return order ? order : (x->epoch > y->epoch) - (x->epoch < y->epoch);
}

enum status verify_read_tables(struct verification *v, struct error *err) {
    char path[PATH_SIZE];
    struct error why;
    // trials.csv first: a trial's epochs are on disk before its row.
    if (path_of(v, "trials.csv", path)) {
        v->trials_read = trials_read(path, &v->swept, &v->trials, &v->trial_count, &why) == STATUS_OK;
        if (!v->trials_read)
            verify_finding(v, "%s", why.message);
    }
    if (path_of(v, "epochs.csv", path)) {
        v->epochs_read = epochs_read(path, &v->own, &v->epochs, &v->epoch_count, &why) == STATUS_OK;
        if (!v->epochs_read)
            verify_finding(v, "%s", why.message);
    }
    check_events(v);
    v->by_trial = malloc((v->epoch_count + 1) * sizeof *v->by_trial);
    if (!v->by_trial)
        return error_memory(err, "epochs");
    for (size_t i = 0; i < v->epoch_count; i++)
        v->by_trial[i] = &v->epochs[i];
    qsort(v->by_trial, v->epoch_count, sizeof *v->by_trial, compare_epochs);
    v->result->epochs = (int)v->epoch_count;
    return STATUS_OK;
}

const struct epoch_row *const *verify_epochs_of(const struct verification *v, const char *trial, size_t *count) {
    size_t low = 0, high = v->epoch_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(v->by_trial[middle]->trial, trial) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (*count = 0; low + *count < v->epoch_count && strcmp(v->by_trial[low + *count]->trial, trial) == 0;)
        ++*count;
    return v->by_trial + low;
}

// ---- folds.csv ----

static void compare_folds(struct verification *v, const struct csv_table *t, const int *fold) {
    int count = dataset_count(v->ds);
    if ((size_t)count != t->rows) {
        verify_finding(v, "%s has %zu samples, the dataset %s has %d", t->path, t->rows, v->sweep->dataset, count);
        return;
    }
    for (int i = 0; i < count; i++) {
        const struct sample *s = dataset_sample(v->ds, i);
        char number[16], share[32];
        snprintf(number, sizeof number, "%d", fold[i]);
        csv_format_number(s->positive_share, share);
        const char *const wanted[4] = {s->id, change_level_name(s->level), share,
                                       fold[i] == FOLD_TEST ? "test" : number};
        for (int c = 0; c < 4; c++)
            if (strcmp(csv_table_cell(t, (size_t)i, c), wanted[c]) != 0) {
                verify_finding(v, "%s: line %zu: %s is '%s', the dataset and the seed give '%s'", t->path,
                               t->line[i + 1], t->cells[c], csv_table_cell(t, (size_t)i, c), wanted[c]);
                break;
            }
    }
}

static enum status check_folds(struct verification *v, const struct csv_table *t, struct error *err) {
    static const char *const columns[4] = {"sample", "change_level", "positive_share", "fold"};
    for (size_t c = 0; c < 4; c++)
        if (t->columns != 4 || strcmp(t->cells[c], columns[c]) != 0) {
            verify_finding(v, "%s: line 1 is not sample,change_level,positive_share,fold", t->path);
            return STATUS_OK;
        }
    if (!v->ds)
        return STATUS_OK;
    int *fold = malloc(((size_t)dataset_count(v->ds) + 1) * sizeof *fold);
    if (!fold)
        return error_memory(err, "folds");
    struct error why;
    if (folds_assign(v->ds, v->sweep->folds, v->sweep->seed, fold, &why) == STATUS_OK)
        compare_folds(v, t, fold);
    else
        verify_finding(v, "%s: %s", t->path, why.message);
    free(fold);
    return STATUS_OK;
}

enum status verify_folds(struct verification *v, struct error *err) {
    char path[PATH_SIZE];
    struct csv_table table;
    struct error why;
    if (v->sweep && v->sweep->program.kind != TRAINER_EMBEDDED)
        return STATUS_OK; // no dataset, no folds.csv
    if (!path_of(v, "folds.csv", path))
        return STATUS_OK;
    if (csv_table_read(path, &table, &why) != STATUS_OK) {
        verify_finding(v, "%s", why.message);
        return STATUS_OK;
    }
    enum status status = check_folds(v, &table, err);
    csv_table_free(&table);
    return status;
}

// ---- epochs.csv ----

static void check_shares(struct verification *v, const struct epoch_row *e) {
    const struct {
        const char *name;
        double value;
    } shares[] = {{"train_iou", e->train_iou}, {"train_f1", e->train_f1},           {"val_iou", e->val_iou},
                  {"val_f1", e->val_f1},       {"val_precision", e->val_precision}, {"val_recall", e->val_recall}};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        if (shares[i].value < 0 || shares[i].value > 1)
            verify_finding(v, "%s/epochs.csv: trial %s, epoch %d: %s is %g, not a share of 0 to 1", v->folder, e->trial,
                           e->epoch, shares[i].name, shares[i].value);
}

void verify_epochs(struct verification *v) {
    for (size_t i = 0; i < v->epoch_count; i++) {
        const struct epoch_row *e = v->by_trial[i], *before = i > 0 ? v->by_trial[i - 1] : NULL;
        bool first = !before || strcmp(before->trial, e->trial) != 0;
        bool counts_from_0 = !v->sweep || v->sweep->program.kind == TRAINER_EMBEDDED;
        int wanted = !first ? before->epoch + 1 : counts_from_0 ? 0 : e->epoch;
        if (!first && e->epoch == before->epoch)
            verify_finding(v, "%s/epochs.csv: trial %s: epoch %d stands there twice", v->folder, e->trial, e->epoch);
        else if (e->epoch != wanted)
            verify_finding(v, "%s/epochs.csv: trial %s: epoch %d is missing", v->folder, e->trial, wanted);
        if (!first && (e->fold != before->fold || strcmp(e->config, before->config) != 0))
            verify_finding(v, "%s/epochs.csv: trial %s: epoch %d is of %s on fold %d, the one before of %s on fold %d",
                           v->folder, e->trial, e->epoch, e->config, e->fold, before->config, before->fold);
        check_shares(v, e);
    }
}

// ---- trials.csv ----

static bool same(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

static void check_number(struct verification *v, const struct trial_row *row, const char *name, double there,
                         double wanted) {
    if (!same(there, wanted))
        verify_finding(v, "%s/trials.csv: trial %s: %s is %.17g, its epochs give %.17g", v->folder, row->trial, name,
                       there, wanted);
}

// The same of another program: the metric that decides, of which the first best finite value counts.
static void check_against_metric(struct verification *v, const struct trial_row *row,
                                 const struct epoch_row *const *epoch, size_t count) {
    const struct sweep_program *p = &v->sweep->program;
    double best = NAN, value = NAN;
    int best_epoch = -1;
    for (size_t i = 0; i < count; i++) {
        value = epoch_row_number(epoch[i], &v->own, p->metric);
        if (!isfinite(value) || (best_epoch >= 0 && program_score(p, value) <= program_score(p, best)))
            continue;
        best = value;
        best_epoch = epoch[i]->epoch;
    }
    check_number(v, row, "the best metric", row->best_iou, best);
    check_number(v, row, "best_epoch", row->best_epoch, best_epoch);
    check_number(v, row, "the final metric", row->final_iou, value);
}

// What the epochs say must be what the row says (SPEC: best is the first strictly highest validation IoU).
static void check_against_epochs(struct verification *v, const struct trial_row *row) {
    size_t count;
    const struct epoch_row *const *epoch = verify_epochs_of(v, row->trial, &count);
    if ((size_t)row->epochs_run != count) {
        verify_finding(v, "%s/trials.csv: trial %s ran %d epochs, epochs.csv has %zu of them", v->folder, row->trial,
                       row->epochs_run, count);
        return;
    }
    if (count == 0)
        return;
    if (v->sweep && v->sweep->program.kind != TRAINER_EMBEDDED) {
        check_against_metric(v, row, epoch, count);
        return;
    }
    const struct epoch_row *best = epoch[0], *last = epoch[count - 1];
    for (size_t i = 1; i < count; i++)
        if (epoch[i]->val_iou > best->val_iou)
            best = epoch[i];
    check_number(v, row, "best_iou", row->best_iou, best->val_iou);
    check_number(v, row, "best_f1", row->best_f1, best->val_f1);
    check_number(v, row, "best_epoch", row->best_epoch, best->epoch);
    check_number(v, row, "final_iou", row->final_iou, last->val_iou);
    check_number(v, row, "train_val_gap", row->train_val_gap, last->train_iou - last->val_iou);
    if (row->fold != last->fold)
        verify_finding(v, "%s/trials.csv: trial %s is of fold %d, its epochs of fold %d", v->folder, row->trial,
                       row->fold, last->fold);
}

static void check_identity(struct verification *v, const struct trial_row *row) {
    struct hyperparameters hp;
    char id[TRIAL_ID_SIZE];
    if (!v->sweep)
        return;
    if (!verify_hyperparameters(v, row, &hp)) {
        verify_finding(v, "%s/trials.csv: trial %s has a value that is none of its hyperparameter's", v->folder,
                       row->trial);
        return;
    }
    program_trial_id(&v->sweep->program, &hp, v->sweep->folds, row->fold, v->sweep->seed, id);
    bool embedded = v->sweep->program.kind == TRAINER_EMBEDDED;
    if (strcmp(id, row->trial) != 0)
        verify_finding(v, "%s/trials.csv: trial %s: its hyperparameters, fold and seed are those of trial %s",
                       v->folder, row->trial, id);
    else if (embedded && strcmp(row->status, "done") == 0 && row->epochs_run != hp.epochs)
        verify_finding(v, "%s/trials.csv: trial %s is done after %d of %d epochs", v->folder, row->trial,
                       row->epochs_run, hp.epochs);
}

static bool same_place(const struct trial_row *a, const struct trial_row *b) {
    return a->fold == b->fold && strcmp(a->trial, b->trial) == 0 && strcmp(a->grid, b->grid) == 0 &&
           strcmp(a->config, b->config) == 0;
}

static bool same_result(const struct trial_row *a, const struct trial_row *b) {
    return strcmp(a->status, b->status) == 0 && same(a->best_iou, b->best_iou) && same(a->best_f1, b->best_f1) &&
           same(a->final_iou, b->final_iou) && same(a->train_val_gap, b->train_val_gap) &&
           a->best_epoch == b->best_epoch && a->epochs_run == b->epochs_run && a->parameters == b->parameters;
}

static int by_trial(const void *a, const void *b) {
    const struct trial_row *x = *(const struct trial_row *const *)a, *y = *(const struct trial_row *const *)b;
    int order = strcmp(x->trial, y->trial);
    return order ? order : (x > y) - (x < y); // rows of one trial in the order of the file
}

static void check_repeat(struct verification *v, const struct trial_row *first, const struct trial_row *row) {
    if (same_place(first, row))
        verify_finding(v, "%s/trials.csv: trial %s stands twice in %s", v->folder, row->trial,
                       *row->grid ? row->grid : row->config);
    else if (!same_result(first, row))
        verify_finding(v, "%s/trials.csv: trial %s has two results", v->folder, row->trial);
}

// All rows of one trial against the first; where failed trials are tried again, a later row counts.
static void check_rows(struct verification *v, const struct trial_row *const *row, size_t count) {
    const struct trial_row *first = NULL;
    bool again = v->sweep && v->sweep->retry_failed;
    for (size_t i = 0; i < count; i++) {
        if (first)
            check_repeat(v, first, row[i]);
        else if (!again || strcmp(row[i]->status, "failed") != 0)
            first = row[i];
    }
    v->result->trials++;
}

static enum status check_repeats(struct verification *v, struct error *err) {
    const struct trial_row **row = malloc((v->trial_count + 1) * sizeof(const struct trial_row *));
    if (!row)
        return error_memory(err, "trials");
    for (size_t i = 0; i < v->trial_count; i++)
        row[i] = &v->trials[i];
    qsort(row, v->trial_count, sizeof(const struct trial_row *), by_trial);
    for (size_t first = 0, end; first < v->trial_count; first = end) {
        for (end = first + 1; end < v->trial_count && strcmp(row[first]->trial, row[end]->trial) == 0;)
            end++;
        check_rows(v, row + first, end - first);
    }
    free(row);
    return STATUS_OK;
}

enum status verify_trials(struct verification *v, struct error *err) {
    for (size_t i = 0; i < v->trial_count; i++) {
        const struct trial_row *row = &v->trials[i];
        bool ran = strcmp(row->status, "done") == 0 || strcmp(row->status, "diverged") == 0 ||
                   strcmp(row->status, "stopped") == 0;
        if (!ran && strcmp(row->status, "failed") != 0)
            verify_finding(v, "%s/trials.csv: trial %s: '%s' is no status", v->folder, row->trial, row->status);
        check_identity(v, row);
        if (ran && v->epochs_read)
            check_against_epochs(v, row);
    }
    return check_repeats(v, err);
}
