// Results from elsewhere: one CSV file, read as if it were a run folder.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/run_data.h"

struct columns {
    const struct csv_table *table;
    int config, grid, fold, trial, status, error, best, best_epoch, best_f1, final, gap, parameters, epochs_run;
    int swept[RUN_MAX_SWEPT];
};

// "best_iou", or the first "best_..." that is another metric.
static int best_column(const struct csv_table *t, struct metric *metric) {
    int column = csv_table_column(t, "best_iou");
    for (size_t i = 0; i < t->columns && column < 0; i++) {
        const char *name = t->cells[i];
        if (strncmp(name, "best_", 5) != 0 || strcmp(name, "best_epoch") == 0 || strcmp(name, "best_f1") == 0)
            continue;
        snprintf(metric->name, sizeof metric->name, "%s", name + 5);
        column = (int)i;
    }
    return column;
}

static bool is_known(const struct columns *c, int column) {
    const int known[] = {c->config,     c->grid,    c->fold,  c->trial, c->status,     c->error,     c->best,
                         c->best_epoch, c->best_f1, c->final, c->gap,   c->parameters, c->epochs_run};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (known[i] == column)
            return true;
    return false;
}

static enum status find_columns(const struct csv_table *t, struct run_data *run, struct columns *c, struct error *err) {
    char final[64];
    *c = (struct columns){.table = t, .best = best_column(t, &run->metric)};
    snprintf(final, sizeof final, "final_%s", *run->metric.name ? run->metric.name : "iou");
    const struct {
        const char *name;
        int *column;
    } named[] = {{"config", &c->config},
                 {"grid", &c->grid},
                 {"fold", &c->fold},
                 {"trial", &c->trial},
                 {"status", &c->status},
                 {"error", &c->error},
                 {"best_epoch", &c->best_epoch},
                 {"best_f1", &c->best_f1},
                 {final, &c->final},
                 {"train_val_gap", &c->gap},
                 {"parameters", &c->parameters},
                 {"epochs_run", &c->epochs_run}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        *named[i].column = csv_table_column(t, named[i].name);
    if (c->fold < 0)
        return error_set(err, STATUS_FORMAT, "%s: no column 'fold': it is no table of results", t->path);
    if (c->best < 0)
        return error_set(err, STATUS_FORMAT, "%s: no column 'best_iou' (nor best_ and another metric)", t->path);
    for (size_t i = 0; i < t->columns; i++) {
        if (is_known(c, (int)i))
            continue;
        if (run->swept.count == RUN_MAX_SWEPT || strlen(t->cells[i]) >= sizeof run->swept.name[0])
            return error_set(err, STATUS_FORMAT, "%s: more than %d columns of hyperparameters, or a name too long",
                             t->path, RUN_MAX_SWEPT);
        c->swept[run->swept.count] = (int)i;
        snprintf(run->swept.name[run->swept.count++], sizeof run->swept.name[0], "%s", t->cells[i]);
    }
    return STATUS_OK;
}

static void text(const struct columns *c, size_t row, int column, const char *absent, char *out, size_t size) {
    snprintf(out, size, "%s", column < 0 ? absent : csv_table_cell(c->table, row, column));
}

static enum status number(const struct columns *c, size_t row, int column, double *value, struct error *err) {
    *value = NAN;
    return column < 0 ? STATUS_OK : csv_table_number(c->table, row, column, value, err);
}

static enum status whole(const struct columns *c, size_t row, int column, double absent, double most, double *value,
                         struct error *err) {
    TRY(number(c, row, column, value, err));
    if (isnan(*value))
        *value = absent;
    if (isnan(*value) || *value != floor(*value) || fabs(*value) > most)
        return error_set(err, STATUS_FORMAT, "%s: line %zu: %s is '%s', not a whole number", c->table->path,
                         c->table->line[row + 1], c->table->cells[column], csv_table_cell(c->table, row, column));
    return STATUS_OK;
}

// Percent where a share is meant would give a report of numbers a hundred times too large.
static enum status check_share(const struct columns *c, size_t row, int column, double value, struct error *err) {
    if (isnan(value) || (value >= 0 && value <= 1))
        return STATUS_OK;
    return error_set(err, STATUS_FORMAT, "%s: line %zu: %s is %s, not a share between 0 and 1", c->table->path,
                     c->table->line[row + 1], c->table->cells[column], csv_table_cell(c->table, row, column));
}

static enum status read_metrics(const struct columns *c, size_t row, bool share, struct trial_row *out,
                                struct error *err) {
    TRY(number(c, row, c->best, &out->best_iou, err));
    TRY(number(c, row, c->best_f1, &out->best_f1, err));
    TRY(number(c, row, c->final, &out->final_iou, err));
    TRY(number(c, row, c->gap, &out->train_val_gap, err));
    if (!share)
        return STATUS_OK;
    TRY(check_share(c, row, c->best, out->best_iou, err));
    TRY(check_share(c, row, c->best_f1, out->best_f1, err));
    return check_share(c, row, c->final, out->final_iou, err);
}

static enum status read_row(const struct run_data *run, const struct columns *c, size_t row, struct trial_row *out,
                            struct error *err) {
    double fold, epoch, parameters, epochs_run;
    text(c, row, c->trial, "", out->trial, sizeof out->trial);
    text(c, row, c->grid, "", out->grid, sizeof out->grid);
    text(c, row, c->config, "", out->config, sizeof out->config);
    text(c, row, c->status, "done", out->status, sizeof out->status);
    out->error = c->error < 0 ? "" : csv_table_cell(c->table, row, c->error);
    TRY(whole(c, row, c->fold, NAN, 1e6, &fold, err));
    TRY(whole(c, row, c->best_epoch, -1, 1e6, &epoch, err));
    TRY(whole(c, row, c->parameters, 0, 1e15, &parameters, err));
    TRY(whole(c, row, c->epochs_run, 0, 1e6, &epochs_run, err));
    TRY(read_metrics(c, row, metric_is_share(&run->metric), out, err));
    out->fold = (int)fold;
    out->best_epoch = (int)epoch;
    out->parameters = (int64_t)parameters;
    out->epochs_run = (int)epochs_run;
    out->swept_count = run->swept.count;
    for (int i = 0; i < run->swept.count; i++)
        out->swept[i] = csv_table_cell(c->table, row, c->swept[i]);
    return STATUS_OK;
}

static int by_value_and_place(const void *a, const void *b, void *column) {
    const struct trial_row *const *x = a, *const *y = b;
    int order = strcmp((*x)->swept[*(int *)column], (*y)->swept[*(int *)column]);
    return order ? order : (*x > *y) - (*x < *y);
}

// The value that most rows have, of equals the first; `sorted` has room for all rows.
static const char *usual_value(const struct run_data *run, int column, const struct trial_row **sorted) {
    const struct trial_row *usual = NULL;
    size_t most = 0;
    for (size_t i = 0; i < run->trials; i++)
        sorted[i] = &run->trial[i];
    qsort_r(sorted, run->trials, sizeof(const struct trial_row *), by_value_and_place, &column);
    for (size_t first = 0, end; first < run->trials; first = end) {
        for (end = first + 1; end < run->trials; end++)
            if (strcmp(sorted[first]->swept[column], sorted[end]->swept[column]) != 0)
                break;
        if (end - first > most || (end - first == most && sorted[first] < usual)) {
            most = end - first;
            usual = sorted[first];
        }
    }
    return usual ? usual->swept[column] : "";
}

// A row without a name of its own is called by what is unusual in it: "image_size=128".
static enum status name_rows(struct run_data *run, struct error *err) {
    const char *usual[RUN_MAX_SWEPT];
    const struct trial_row **sorted = malloc((run->trials + 1) * sizeof(const struct trial_row *));
    if (!sorted)
        return error_memory(err, "rows");
    for (int c = 0; c < RUN_MAX_SWEPT; c++)
        usual[c] = c < run->swept.count ? usual_value(run, c, sorted) : "";
    free(sorted);
    for (size_t i = 0; i < run->trials; i++) {
        struct trial_row *row = &run->trial[i];
        size_t used = 0;
        if (*row->config)
            continue;
        for (int c = 0; c < run->swept.count && used < sizeof row->config; c++)
            if (*row->swept[c] && strcmp(row->swept[c], usual[c]) != 0)
                used += (size_t)snprintf(row->config + used, sizeof row->config - used, "%s%s=%.100s", used ? " " : "",
                                         run->swept.name[c], row->swept[c]);
        if (!*row->config)
            snprintf(row->config, sizeof row->config, "%s", *row->grid ? "usual values" : run->name);
    }
    return STATUS_OK;
}

static enum status read_rows(const struct csv_table *t, struct run_data *run, struct error *err) {
    struct columns c;
    TRY(find_columns(t, run, &c, err));
    run->trial = calloc(t->rows + 1, sizeof *run->trial);
    if (!run->trial)
        return error_memory(err, t->path);
    for (size_t row = 0; row < t->rows; row++)
        TRY(read_row(run, &c, row, &run->trial[run->trials++], err));
    TRY(name_rows(run, err));
    TRY(run_data_index(run, err));
    return run->trials ? STATUS_OK : error_set(err, STATUS_FORMAT, "%s: no rows", t->path);
}

enum status run_data_read_external(const char *csv, struct run_data *run, struct error *err) {
    *run = (struct run_data){.external = true};
    if (snprintf(run->folder, sizeof run->folder, "%s", csv) >= (int)sizeof run->folder)
        return error_set(err, STATUS_INVALID, "path too long: %s", csv);
    char *slash = strrchr(run->folder, '/'), *stem = slash ? slash + 1 : run->folder;
    char *dot = strrchr(stem, '.');
    snprintf(run->name, sizeof run->name, "%.*s", dot ? (int)(dot - stem) : (int)sizeof run->name - 1, stem);
    if (slash)
        slash[slash == run->folder] = 0;
    else
        strcpy(run->folder, ".");
    TRY(csv_table_read_foreign(csv, &run->texts, err));
    enum status status = read_rows(&run->texts, run, err);
    if (status != STATUS_OK)
        run_data_free(run);
    return status;
}
