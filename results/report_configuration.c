#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/file.h"
#include "results/report_parts.h"
#include "results/same_data.h"

static void property(table *t, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void property(table *t, const char *key, const char *format, ...) {
    char text[PATH_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    table_row(t, TABLE_PLAIN);
    table_cell(t, "%s", key);
    table_cell(t, "%s", text);
}

static table *property_table(document *doc, const char *kind, const struct run_data *run, const char *title) {
    char name[RUN_NAME_SIZE + 32];
    snprintf(name, sizeof name, "%s_%s", kind, run->name);
    table *t = document_table(doc, name, "%s %s", title, run->name);
    table_column(t, TABLE_LEFT, "property", "Property");
    table_column(t, TABLE_LEFT, "value", "Value");
    return t;
}

// "10: 7 done, 2 failed, 1 stopped": every status that stands there, in the order in which they come.
static void describe_rows(const struct run_data *run, char *out, size_t size) {
    enum { MOST = 8 };
    const char *status[MOST];
    size_t count[MOST] = {0}, kinds = 0, used = (size_t)snprintf(out, size, "%zu", run->trials);
    for (size_t i = 0; i < run->trials; i++) {
        size_t k = 0;
        while (k < kinds && strcmp(status[k], run->trial[i].status) != 0)
            k++;
        if (k == MOST)
            continue;
        status[k] = run->trial[i].status;
        count[k]++;
        kinds += k == kinds;
    }
    for (size_t k = 0; k < kinds && used < size; k++)
        used += (size_t)snprintf(out + used, size - used, "%s%zu %s", k ? ", " : ": ", count[k],
                                 *status[k] ? status[k] : "without a status");
}

static void add_run(document *doc, const struct run_data *run) {
    char rows[256];
    describe_rows(run, rows, sizeof rows);
    table *t = property_table(doc, "run", run, run->external ? "Results from" : "Run");
    property(t, "folder", "%s", run->folder);
    for (size_t i = 0; i < run->settings.count; i++)
        property(t, run->settings.fact[i].key, "%s", run->settings.fact[i].value);
    property(t, "table rows", "%s", rows);
    for (size_t i = 0; i < run->notices; i++)
        table_note(t, "Attention: %s", run->notice[i]);
}

// The hyperparameters that no grid and no configuration of the run varies, unless a value is empty.
static void add_base(document *doc, const struct run_data *run) {
    if (run->base.count == 0)
        return;
    document_details(doc, "Hyperparameters that all trials of run %s share unless a table says otherwise", run->name);
    table *t = property_table(doc, "base", run, "Base of run");
    for (size_t i = 0; i < run->base.count; i++)
        if (*run->base.fact[i].value)
            property(t, run->base.fact[i].key, "%s", run->base.fact[i].value);
    document_details_end(doc);
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

// A reader must not take two tables for comparable that are not.
static void note_other_data(struct report *r) {
    char why[256];
    for (size_t i = 1; i < r->runs; i++)
        if (!same_data(&r->run[0], &r->run[i], why, sizeof why))
            document_paragraph(
                r->doc,
                "Attention: runs %s and %s are not of the same data (%s): their figures cannot be compared "
                "with each other.",
                r->run[0].name, r->run[i].name, why);
}

enum status report_add_configuration(struct report *r, struct error *err) {
    (void)err;
    char why[256];
    document_heading(r->doc, 2, "Configuration and data");
    note_other_data(r);
    for (size_t i = 0; i < r->runs; i++) {
        add_run(r->doc, &r->run[i]);
        add_base(r->doc, &r->run[i]);
    }
    for (size_t i = 0; i < r->runs; i++)
        if (i == 0 || r->run[0].folds.columns == 0 ||
            !same_samples(&r->run[0].folds, &r->run[i].folds, why, sizeof why))
            add_data(r->doc, &r->run[i]);
    for (size_t i = 0; i < r->runs; i++)
        add_configurations(r, &r->run[i]);
    return STATUS_OK;
}
