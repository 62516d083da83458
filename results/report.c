#include "results/report.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/file.h"
#include "results/comparison.h"
#include "results/run_data.h"
#include "results/search_tables.h"

// One [config NAME] of one run.
struct config {
    const struct run_data *run;
    const char *name; // in its run; series.name tells it from the same name in another run
    struct fold_series series;
};

struct report {
    struct run_data *run;
    size_t runs;
    struct config *config;
    size_t configs;
    document *doc;
};

static enum status gather(const struct run_data *run, const char *config, bool configs_only, struct fold_series *series,
                          struct error *err) {
    const struct trial_row **rows = malloc((run->trials + 1) * sizeof *rows);
    if (!rows)
        return error_memory(err, config);
    size_t count = 0;
    for (size_t i = 0; i < run->trials; i++)
        if (strcmp(run->trial[i].config, config) == 0 && (!configs_only || !*run->trial[i].grid))
            rows[count++] = &run->trial[i];
    enum status status = fold_series_of_trials(rows, count, config, series, err);
    free(rows);
    return status == STATUS_OK ? status : error_prefix(err, "%s/trials.csv", run->folder);
}

// Configuration and data

static void add_run(document *doc, const struct run_data *run) {
    char name[RUN_NAME_SIZE + 8];
    snprintf(name, sizeof name, "run_%s", run->name);
    size_t done = 0, failed = 0;
    for (size_t i = 0; i < run->trials; i++) {
        done += strcmp(run->trial[i].status, "done") == 0;
        failed += strcmp(run->trial[i].status, "failed") == 0 || strcmp(run->trial[i].status, "diverged") == 0;
    }
    table *t = document_table(doc, name, "Run %s", run->name);
    table_column(t, TABLE_LEFT, "property", "Property");
    table_column(t, TABLE_LEFT, "value", "Value");
    table_row(t, TABLE_PLAIN);
    table_cell(t, "folder");
    table_cell(t, "%s", run->folder);
    for (size_t i = 0; i < run->facts; i++) {
        table_row(t, TABLE_PLAIN);
        table_cell(t, "%s", run->fact[i].key);
        table_cell(t, "%s", run->fact[i].value);
    }
    table_row(t, TABLE_PLAIN);
    table_cell(t, "table rows");
    table_cell(t, "%zu: %zu done, %zu failed or diverged, %zu stopped", run->trials, done, failed,
               run->trials - done - failed);
}

enum { LEVELS = 3 };
static const char *const level_names[LEVELS] = {"low", "moderate", "high"};

static void add_fold_counts(table *t, const struct csv_table *folds, int fold, int level, const char *name) {
    size_t samples = 0, of_level[LEVELS] = {0};
    for (size_t i = 0; i < folds->rows; i++) {
        if (strcmp(csv_table_cell(folds, i, fold), name) != 0)
            continue;
        samples++;
        for (int l = 0; l < LEVELS; l++)
            of_level[l] += strcmp(csv_table_cell(folds, i, level), level_names[l]) == 0;
    }
    if (samples == 0)
        return;
    table_row(t, TABLE_PLAIN);
    table_cell(t, "%s", name);
    table_cell(t, "%zu", samples);
    for (int l = 0; l < LEVELS; l++)
        table_cell(t, "%zu", of_level[l]);
}

// Validation samples of every fold by change level, and the held-out ones.
static void add_data(document *doc, const struct run_data *run) {
    int fold = csv_table_column(&run->folds, "fold"), level = csv_table_column(&run->folds, "change_level");
    if (run->folds.columns == 0)
        return;
    table *t = document_table(doc, "data", "Validation samples of each fold, by change level (run %s)", run->name);
    if (fold < 0 || level < 0) {
        table_note(t, "%s/folds.csv has no columns fold and change_level.", run->folder);
        return;
    }
    table_column(t, TABLE_LEFT, "fold", "Fold");
    table_column(t, TABLE_RIGHT, "samples", "Samples");
    table_column(t, TABLE_RIGHT, "low", "Low (< 5 %)");
    table_column(t, TABLE_RIGHT, "moderate", "Moderate (5 to 30 %)");
    table_column(t, TABLE_RIGHT, "high", "High (>= 30 %)");
    int folds = 0;
    for (size_t i = 0; i < run->folds.rows; i++) {
        int number = atoi(csv_table_cell(&run->folds, i, fold));
        folds = number + 1 > folds ? number + 1 : folds;
    }
    for (int i = 0; i < folds; i++) {
        char name[16];
        snprintf(name, sizeof name, "%d", i);
        add_fold_counts(t, &run->folds, fold, level, name);
    }
    add_fold_counts(t, &run->folds, fold, level, "test");
}

static const struct trial_row *first_row(const struct config *config) {
    for (size_t i = 0; i < config->run->trials; i++)
        if (!*config->run->trial[i].grid && strcmp(config->run->trial[i].config, config->name) == 0)
            return &config->run->trial[i];
    return NULL;
}

// The swept hyperparameters of the configurations of one run, side by side.
static void add_configurations(const struct report *r, const struct run_data *run) {
    table *t = NULL;
    for (int c = 0; c < run->swept.count; c++) {
        for (size_t i = 0; i < r->configs && !t; i++)
            if (r->config[i].run == run)
                t = document_table(r->doc, "configurations", "Configurations (run %s)", run->name);
        if (!t)
            return;
        if (c == 0) {
            table_column(t, TABLE_LEFT, "hyperparameter", "Hyperparameter");
            for (size_t i = 0; i < r->configs; i++)
                if (r->config[i].run == run)
                    table_column(t, TABLE_LEFT, r->config[i].name, r->config[i].name);
        }
        table_row(t, TABLE_PLAIN);
        table_cell(t, "%s", run->swept.name[c]);
        for (size_t i = 0; i < r->configs; i++)
            if (r->config[i].run == run)
                table_cell(t, "%s", first_row(&r->config[i])->swept[c]);
    }
}

static bool same_folds(const struct csv_table *a, const struct csv_table *b) {
    if (a->columns != b->columns || a->rows != b->rows)
        return false;
    for (size_t i = 0; i < (a->rows + 1) * a->columns; i++)
        if (strcmp(a->cells[i], b->cells[i]) != 0)
            return false;
    return true;
}

static void add_summary(struct report *r) {
    document_heading(r->doc, 2, "Configuration and data");
    for (size_t i = 0; i < r->runs; i++)
        add_run(r->doc, &r->run[i]);
    for (size_t i = 0; i < r->runs; i++)
        if (i == 0 || !same_folds(&r->run[i].folds, &r->run[0].folds))
            add_data(r->doc, &r->run[i]);
    for (size_t i = 0; i < r->runs; i++)
        add_configurations(r, &r->run[i]);
}

// Phase 1

static enum status add_search(struct report *r, struct error *err) {
    document_heading(r->doc, 2, "Phase 1: hyperparameter search");
    size_t all = 0;
    for (size_t i = 0; i < r->runs; i++) {
        size_t grids;
        TRY(search_tables_add(r->doc, &r->run[i], &grids, err));
        all += grids;
    }
    if (all == 0)
        document_paragraph(r->doc, "No grid has a finished trial.");
    return STATUS_OK;
}

// Phase 2

static bool name_stands_elsewhere(const struct report *r, const struct config *config) {
    for (size_t i = 0; i < r->configs; i++)
        if (r->config[i].run != config->run && strcmp(r->config[i].name, config->name) == 0)
            return true;
    return false;
}

static enum status read_configs(struct report *r, struct error *err) {
    size_t most = 1;
    for (size_t i = 0; i < r->runs; i++)
        most += r->run[i].trials;
    r->config = calloc(most, sizeof *r->config);
    if (!r->config)
        return error_memory(err, "configurations");
    for (size_t i = 0; i < r->runs; i++) {
        const struct run_data *run = &r->run[i];
        for (size_t row = 0; row < run->trials; row++) {
            bool seen = *run->trial[row].grid != 0;
            for (size_t c = 0; c < r->configs && !seen; c++)
                seen = r->config[c].run == run && strcmp(r->config[c].name, run->trial[row].config) == 0;
            if (seen)
                continue;
            struct config config = {.run = run, .name = run->trial[row].config};
            TRY(gather(run, config.name, true, &config.series, err));
            r->config[r->configs++] = config;
        }
    }
    for (size_t i = 0; i < r->configs; i++) {
        struct config *c = &r->config[i];
        if (name_stands_elsewhere(r, c))
            snprintf(c->series.name, sizeof c->series.name, "%.120s (%.120s)", c->name, c->run->name);
    }
    return STATUS_OK;
}

// In its own run, then in the others; in *own what has to be freed: a grid point that the run compares. NULL: nowhere.
static const struct fold_series *find_series(const struct report *r, const struct run_data *run, const char *name,
                                             struct fold_series *own, struct error *err) {
    for (size_t i = 0; i < r->configs; i++)
        if (r->config[i].run == run && strcmp(r->config[i].name, name) == 0)
            return &r->config[i].series;
    for (size_t i = 0; i < r->configs; i++)
        if (strcmp(r->config[i].name, name) == 0)
            return &r->config[i].series;
    if (gather(run, name, false, own, err) != STATUS_OK)
        return NULL;
    if (own->count == 0)
        error_set(err, STATUS_NOT_FOUND, "'%s' has no finished trial", name);
    return own->count ? own : NULL;
}

// What cannot be compared yet is said in the tables' place: a report of a running sweep is no error.
static enum status add_comparison(struct report *r, const struct run_data *run, struct error *err) {
    struct fold_series own_baseline = {0}, own_candidate = {0};
    const struct fold_series *baseline = find_series(r, run, run->baseline, &own_baseline, err);
    const struct fold_series *candidate = baseline ? find_series(r, run, run->candidate, &own_candidate, err) : NULL;
    document_heading(r->doc, 2, "%s against %s", run->candidate, run->baseline);
    enum status status = STATUS_NOT_FOUND;
    if (candidate)
        status = comparison_add_pair(r->doc, baseline, candidate, NAN, err);
    if (status == STATUS_NOT_FOUND || status == STATUS_INVALID || status == STATUS_FORMAT) {
        table_note(document_table(r->doc, "comparison", "Comparison"), "Not possible yet: %s.", err->message);
        document_table(r->doc, "improvement", "%s", "");
        document_table(r->doc, "statistics", "%s", "");
        status = STATUS_OK;
    }
    fold_series_free(&own_baseline);
    fold_series_free(&own_candidate);
    return status;
}

static enum status add_all_overfitting(struct report *r, struct error *err) {
    const struct fold_series **series = malloc((r->configs + 1) * sizeof *series);
    if (!series)
        return error_memory(err, "overfitting table");
    for (size_t i = 0; i < r->configs; i++)
        series[i] = &r->config[i].series;
    enum status status = comparison_add_overfitting(r->doc, series, r->configs, err);
    free(series);
    return status;
}

static enum status add_validation(struct report *r, struct error *err) {
    document_heading(r->doc, 2, "Phase 2: cross-validation");
    if (r->configs == 0)
        document_paragraph(r->doc, "No [config NAME] section has a finished trial: there is nothing to validate yet.");
    for (size_t i = 0; i < r->configs; i++)
        TRY(comparison_add_folds(r->doc, &r->config[i].series, err));
    bool compared = false;
    for (size_t i = 0; i < r->runs; i++) {
        if (!*r->run[i].baseline || !*r->run[i].candidate)
            continue;
        TRY(add_comparison(r, &r->run[i], err));
        compared = true;
    }
    if (!compared && r->configs > 1)
        document_paragraph(r->doc, "No sweep.ini names a baseline and a candidate in [compare]: nothing is compared.");
    return add_all_overfitting(r, err);
}

// Unfinished trials

static void add_unfinished_rows(document *doc, const struct run_data *run, const struct unfinished_trial *trials,
                                size_t count, size_t not_started) {
    if (count == 0 && not_started == 0)
        return;
    char name[RUN_NAME_SIZE + 16];
    snprintf(name, sizeof name, "unfinished_%s", run->name);
    table *t = document_table(doc, name, "Unfinished trials of run %s", run->name);
    if (count > 0) {
        table_column(t, TABLE_LEFT, "trial", "Trial");
        table_column(t, TABLE_RIGHT, "fold", "Fold");
        table_column(t, TABLE_RIGHT, "epochs", "Epochs so far");
        table_column(t, TABLE_RIGHT, "best_iou", "Best IoU so far");
        table_column(t, TABLE_LEFT, "config", "Configuration");
    }
    for (size_t i = 0; i < count; i++) {
        table_row(t, TABLE_PLAIN);
        table_cell(t, "%s", trials[i].trial);
        table_cell(t, "%d", trials[i].fold);
        table_cell(t, "%d", trials[i].epochs);
        table_value(t, trials[i].best_iou, "%.2f %%", 100 * trials[i].best_iou);
        table_cell(t, "%s", trials[i].config);
    }
    if (not_started > 0)
        table_note(t, "%zu planned %s not started.", not_started, not_started == 1 ? "trial has" : "trials have");
}

static enum status add_unfinished(struct report *r, struct error *err) {
    for (size_t i = 0; i < r->runs; i++) {
        struct unfinished_trial *trials;
        size_t count, not_started;
        TRY(run_data_unfinished(&r->run[i], &trials, &count, &not_started, err));
        add_unfinished_rows(r->doc, &r->run[i], trials, count, not_started);
        free(trials);
    }
    return STATUS_OK;
}

// The whole

static enum status build(struct report *r, struct error *err) {
    r->doc = document_create();
    if (!r->doc)
        return error_memory(err, "report");
    char names[1024] = "";
    for (size_t i = 0, used = 0; i < r->runs && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "", r->run[i].name);
    document_heading(r->doc, 1, "Sweep report: %s", names);
    TRY(read_configs(r, err));
    add_summary(r);
    TRY(add_search(r, err));
    TRY(add_validation(r, err));
    return add_unfinished(r, err);
}

static enum status write_markdown(const document *doc, const char *folder, struct error *err) {
    char path[PATH_SIZE], *text = NULL;
    size_t bytes = 0;
    TRY(path_join(path, folder, "report.md", err));
    FILE *memory = open_memstream(&text, &bytes);
    if (!memory)
        return error_memory(err, path);
    enum status status = document_write_markdown(doc, memory, err);
    if (fclose(memory) != 0 && status == STATUS_OK)
        status = error_memory(err, path);
    if (status == STATUS_OK)
        status = file_write(path, text, bytes, err);
    free(text);
    return status;
}

static enum status write_all(const struct report *r, const char *out_dir, FILE *terminal, struct error *err) {
    char folder[PATH_SIZE];
    if (!out_dir) {
        TRY(path_join(folder, r->run[0].folder, "report", err));
        out_dir = folder;
    }
    TRY(file_make_directories(out_dir, err));
    TRY(write_markdown(r->doc, out_dir, err));
    TRY(document_write_csv(r->doc, out_dir, err));
    return terminal ? document_write_text(r->doc, terminal, TABLE_TERMINAL_WIDTH, err) : STATUS_OK;
}

static void report_free(struct report *r) {
    for (size_t i = 0; i < r->configs; i++)
        fold_series_free(&r->config[i].series);
    for (size_t i = 0; i < r->runs; i++)
        run_data_free(&r->run[i]);
    free(r->config);
    free(r->run);
    document_destroy(r->doc);
}

enum status report_write(const char *const *runs, int run_count, const char *out_dir, FILE *terminal,
                         struct error *err) {
    if (run_count < 1)
        return error_set(err, STATUS_INVALID, "no run folder to report on");
    struct report r = {.run = calloc((size_t)run_count, sizeof *r.run)};
    enum status status = r.run ? STATUS_OK : error_memory(err, "runs");
    for (int i = 0; i < run_count && status == STATUS_OK; i++) {
        status = run_data_read(runs[i], &r.run[i], err);
        r.runs += status == STATUS_OK;
    }
    if (status == STATUS_OK)
        status = build(&r, err);
    if (status == STATUS_OK)
        status = write_all(&r, out_dir, terminal, err);
    report_free(&r);
    return status;
}
