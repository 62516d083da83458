#include "results/fold_series.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/statistics.h"

bool fold_is_done(const struct fold_result *fold) {
    return strcmp(fold->status, "done") == 0;
}

void fold_series_free(struct fold_series *series) {
    free(series->fold);
    *series = (struct fold_series){0};
}

static int by_fold(const void *a, const void *b) {
    const struct fold_result *x = a, *y = b;
    return (x->fold > y->fold) - (x->fold < y->fold);
}

static enum status series_begin(struct fold_series *series, const char *name, size_t most, struct error *err) {
    *series = (struct fold_series){.fold = calloc(most + 1, sizeof *series->fold)};
    if (!series->fold)
        return error_memory(err, name);
    snprintf(series->name, sizeof series->name, "%s", name);
    return STATUS_OK;
}

static struct fold_result *find_fold(const struct fold_series *series, int fold) {
    for (size_t i = 0; i < series->count; i++)
        if (series->fold[i].fold == fold)
            return &series->fold[i];
    return NULL;
}

// The last row of a trial counts: it may stand in several grids, or have been stopped and resumed.
static enum status add(struct fold_series *series, const struct fold_result *result, struct error *err) {
    struct fold_result *there = find_fold(series, result->fold);
    if (!there)
        series->fold[series->count++] = *result;
    else if (*there->trial && strcmp(there->trial, result->trial) == 0)
        *there = *result;
    else
        return error_set(err, STATUS_FORMAT, "fold %d of '%s' stands there twice", result->fold, series->name);
    return STATUS_OK;
}

// From trials.csv

enum status fold_series_of_trials(const struct trial_row *const *rows, size_t count, const char *name,
                                  struct fold_series *series, struct error *err) {
    TRY(series_begin(series, name, count, err));
    for (size_t i = 0; i < count; i++) {
        const struct trial_row *row = rows[i];
        struct fold_result result = {.fold = row->fold,
                                     .best_iou = row->best_iou,
                                     .best_f1 = row->best_f1,
                                     .final_iou = row->final_iou,
                                     .train_val_gap = row->train_val_gap,
                                     .best_epoch = row->best_epoch};
        snprintf(result.trial, sizeof result.trial, "%s", row->trial);
        snprintf(result.status, sizeof result.status, "%s", row->status);
        snprintf(result.reason, sizeof result.reason, "%.*s", (int)sizeof result.reason - 1, row->error);
        enum status status = add(series, &result, err);
        if (status != STATUS_OK) {
            fold_series_free(series);
            return status;
        }
    }
    qsort(series->fold, series->count, sizeof *series->fold, by_fold);
    return STATUS_OK;
}

// From a CSV file

struct reader {
    const struct csv_table *table;
    int config, fold, trial, status, error, best_iou, best_f1, final_iou, gap, best_epoch;
    int epoch, val_iou, val_f1, train_iou; // of epochs.csv
};

static struct reader reader_of(const struct csv_table *t) {
    return (struct reader){
        .table = t,
        .config = csv_table_column(t, "config"),
        .fold = csv_table_column(t, "fold"),
        .trial = csv_table_column(t, "trial"),
        .status = csv_table_column(t, "status"),
        .error = csv_table_column(t, "error"),
        .best_iou = csv_table_column(t, "best_iou"),
        .best_f1 = csv_table_column(t, "best_f1"),
        .final_iou = csv_table_column(t, "final_iou"),
        .gap = csv_table_column(t, "train_val_gap"),
        .best_epoch = csv_table_column(t, "best_epoch"),
        .epoch = csv_table_column(t, "epoch"),
        .val_iou = csv_table_column(t, "val_iou"),
        .val_f1 = csv_table_column(t, "val_f1"),
        .train_iou = csv_table_column(t, "train_iou"),
    };
}

// NaN where the column is absent.
static enum status number(const struct reader *r, size_t row, int column, double *value, struct error *err) {
    *value = NAN;
    return column < 0 ? STATUS_OK : csv_table_number(r->table, row, column, value, err);
}

// -1 where the column is absent or, when `optional`, the cell is empty.
static enum status whole_number(const struct reader *r, size_t row, int column, bool optional, int *value,
                                struct error *err) {
    double real;
    TRY(number(r, row, column, &real, err));
    *value = -1;
    if (isnan(real) && optional)
        return STATUS_OK;
    if (!(fabs(real) < 1e9) || real != floor(real))
        return error_set(err, STATUS_FORMAT, "%s: line %zu: %s is '%s', not a whole number", r->table->path,
                         r->table->line[row + 1], r->table->cells[column], csv_table_cell(r->table, row, column));
    *value = (int)real;
    return STATUS_OK;
}

static void text(const struct reader *r, size_t row, int column, const char *absent, char *out, size_t size) {
    snprintf(out, size, "%s", column < 0 ? absent : csv_table_cell(r->table, row, column));
}

// Percent where a share is meant would give figures that are a hundred times too large.
static enum status check_share(const struct reader *r, size_t row, int column, double value, struct error *err) {
    if (isnan(value) || (value >= 0 && value <= 1))
        return STATUS_OK;
    return error_set(err, STATUS_FORMAT, "%s: line %zu: %s is %s, not a share between 0 and 1", r->table->path,
                     r->table->line[row + 1], r->table->cells[column], csv_table_cell(r->table, row, column));
}

static enum status read_result(const struct reader *r, size_t row, struct fold_result *out, struct error *err) {
    *out = (struct fold_result){0};
    text(r, row, r->trial, "", out->trial, sizeof out->trial);
    text(r, row, r->status, "done", out->status, sizeof out->status);
    text(r, row, r->error, "", out->reason, sizeof out->reason);
    TRY(whole_number(r, row, r->fold, false, &out->fold, err));
    TRY(whole_number(r, row, r->best_epoch, true, &out->best_epoch, err));
    TRY(number(r, row, r->best_iou, &out->best_iou, err));
    TRY(number(r, row, r->best_f1, &out->best_f1, err));
    TRY(number(r, row, r->final_iou, &out->final_iou, err));
    TRY(check_share(r, row, r->best_iou, out->best_iou, err));
    TRY(check_share(r, row, r->best_f1, out->best_f1, err));
    TRY(check_share(r, row, r->final_iou, out->final_iou, err));
    return number(r, row, r->gap, &out->train_val_gap, err);
}

// One epoch of a fold: the best is the first with the strictly highest validation IoU, the last one is final.
static enum status add_epoch(struct fold_series *series, const struct reader *r, size_t row, struct error *err) {
    struct fold_result now = {.status = "done", .best_iou = NAN, .best_f1 = NAN, .final_iou = NAN, .best_epoch = -1};
    int epoch;
    double iou, f1, train;
    text(r, row, r->trial, "", now.trial, sizeof now.trial);
    TRY(whole_number(r, row, r->fold, false, &now.fold, err));
    TRY(whole_number(r, row, r->epoch, false, &epoch, err));
    TRY(number(r, row, r->val_iou, &iou, err));
    TRY(number(r, row, r->val_f1, &f1, err));
    TRY(number(r, row, r->train_iou, &train, err));
    TRY(check_share(r, row, r->val_iou, iou, err));
    struct fold_result *fold = find_fold(series, now.fold);
    if (!fold) {
        fold = &series->fold[series->count++];
        *fold = now;
    } else if (strcmp(fold->trial, now.trial) != 0) {
        return error_set(err, STATUS_FORMAT, "fold %d of '%s' stands there with two trials, %s and %s", now.fold,
                         series->name, fold->trial, now.trial);
    }
    if (isnan(fold->best_iou) || iou > fold->best_iou) {
        fold->best_iou = iou;
        fold->best_f1 = f1;
        fold->best_epoch = epoch;
    }
    fold->final_iou = iou;
    fold->train_val_gap = train - iou;
    return STATUS_OK;
}

// Every configuration of the file once: "a, b, c". Returns how many.
static size_t list_configs(const struct reader *r, char *out, size_t size) {
    size_t found = 0, used = 0;
    out[0] = 0;
    for (size_t row = 0; r->config >= 0 && row < r->table->rows; row++) {
        const char *name = csv_table_cell(r->table, row, r->config);
        bool seen = false;
        for (size_t before = 0; before < row && !seen; before++)
            seen = strcmp(name, csv_table_cell(r->table, before, r->config)) == 0;
        if (seen)
            continue;
        if (used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%s", found ? ", " : "", name);
        found++;
    }
    return found;
}

static enum status check_columns(const struct reader *r, const char *config, struct error *err) {
    const char *path = r->table->path;
    bool epochs = r->epoch >= 0 && r->val_iou >= 0;
    if (r->fold < 0)
        return error_set(err, STATUS_FORMAT, "%s: no column 'fold'", path);
    if (r->best_iou < 0 && !epochs)
        return error_set(err, STATUS_FORMAT, "%s: no column 'best_iou' (nor epoch and val_iou)", path);
    char names[512];
    size_t found = list_configs(r, names, sizeof names);
    if (!config)
        return found > 1
                   ? error_set(err, STATUS_INVALID,
                               "%s: several configurations (%s): name two with --baseline and --candidate", path, names)
                   : STATUS_OK;
    if (r->config < 0)
        return error_set(err, STATUS_FORMAT, "%s: no column 'config' to find '%s' in", path, config);
    for (size_t row = 0; row < r->table->rows; row++)
        if (strcmp(csv_table_cell(r->table, row, r->config), config) == 0)
            return STATUS_OK;
    return error_set(err, STATUS_NOT_FOUND, "%s: no configuration '%s'; there are: %s", path, config,
                     found ? names : "none");
}

static enum status read_series(const struct csv_table *table, const char *config, struct fold_series *series,
                               struct error *err) {
    struct reader r = reader_of(table);
    TRY(check_columns(&r, config, err));
    const char *only = r.config >= 0 && table->rows > 0 ? csv_table_cell(table, 0, r.config) : "";
    TRY(series_begin(series, config ? config : only, table->rows, err));
    enum status status = STATUS_OK;
    for (size_t row = 0; row < table->rows && status == STATUS_OK; row++) {
        struct fold_result result;
        if (config && strcmp(csv_table_cell(table, row, r.config), config) != 0)
            continue;
        if (r.best_iou < 0) {
            status = add_epoch(series, &r, row, err);
            continue;
        }
        status = read_result(&r, row, &result, err);
        if (status == STATUS_OK && (status = add(series, &result, err)) != STATUS_OK)
            error_prefix(err, "%s: line %zu", table->path, table->line[row + 1]);
    }
    if (status == STATUS_OK && series->count == 0)
        status = error_set(err, STATUS_FORMAT, "%s: no rows", table->path);
    if (status != STATUS_OK)
        fold_series_free(series);
    else
        qsort(series->fold, series->count, sizeof *series->fold, by_fold);
    return status;
}

enum status fold_series_read(const char *path, const char *config, struct fold_series *series, struct error *err) {
    struct csv_table table;
    TRY(csv_table_read(path, &table, err));
    if (csv_table_column(&table, "trial") < 0) { // not a log of ours: a last line without a newline is whole
        csv_table_free(&table);
        TRY(csv_table_read_foreign(path, &table, err));
    }
    enum status status = read_series(&table, config, series, err);
    csv_table_free(&table);
    return status;
}

// Metrics

double fold_metric(const struct fold_result *fold, enum fold_metric metric) {
    switch (metric) {
    case FOLD_BEST_IOU:
        return fold->best_iou;
    case FOLD_BEST_F1:
        return fold->best_f1;
    case FOLD_FINAL_IOU:
        return fold->final_iou;
    case FOLD_TRAIN_VAL_GAP:
        return fold->train_val_gap;
    case FOLD_DROP:
        return fold->final_iou - fold->best_iou;
    case FOLD_F1_OF_IOU:
        return 2 * fold->best_iou / (1 + fold->best_iou);
    }
    return NAN;
}

size_t fold_series_values(const struct fold_series *series, enum fold_metric metric, double *values) {
    size_t n = 0;
    for (size_t i = 0; i < series->count; i++)
        if (fold_is_done(&series->fold[i]))
            values[n++] = fold_metric(&series->fold[i], metric);
    return n;
}

enum status fold_series_summary(const struct fold_series *series, enum fold_metric metric, struct fold_summary *summary,
                                struct error *err) {
    double *values = malloc((series->count + 1) * sizeof *values);
    if (!values)
        return error_memory(err, series->name);
    size_t n = fold_series_values(series, metric, values);
    *summary = (struct fold_summary){
        .n = n,
        .mean = statistics_mean(values, n),
        .sd_population = statistics_sd_population(values, n),
        .sd_sample = statistics_sd_sample(values, n),
    };
    free(values);
    return STATUS_OK;
}

// Pairs

static enum status check_fold(const struct fold_series *series, const struct fold_result *fold, struct error *err) {
    if (!fold_is_done(fold))
        return error_set(err, STATUS_INVALID, "fold %d of '%s' is %s%s%s", fold->fold, series->name,
                         *fold->status ? fold->status : "not done", *fold->reason ? ": " : "", fold->reason);
    if (!isfinite(fold->best_iou))
        return error_set(err, STATUS_INVALID, "fold %d of '%s' has no best_iou", fold->fold, series->name);
    return STATUS_OK;
}

static enum status check_one_side(const struct fold_series *series, const struct fold_series *other,
                                  struct error *err) {
    for (size_t i = 0; i < series->count; i++) {
        const struct fold_result *fold = &series->fold[i];
        if (!find_fold(other, fold->fold))
            return error_set(err, STATUS_INVALID, "fold %d of '%s' has no partner in '%s'", fold->fold, series->name,
                             other->name);
        TRY(check_fold(series, fold, err));
    }
    return STATUS_OK;
}

enum status fold_series_check_pairs(const struct fold_series *baseline, const struct fold_series *candidate,
                                    struct error *err) {
    TRY(check_one_side(baseline, candidate, err));
    return check_one_side(candidate, baseline, err);
}
