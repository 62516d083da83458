#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/comparison.h"
#include "results/observations.h"
#include "results/report_plots.h"
#include "results/same_data.h"
#include "results/statistics_tables.h"

// Configurations

static void observe_folds(const struct run_data *run, const struct trial_row *const *rows, size_t count,
                          struct fold_series *series) {
    for (size_t i = 0; i < count; i++) {
        struct observation o;
        observe_trial(run, rows[i], &o);
        for (size_t f = 0; f < series->count; f++)
            if (series->fold[f].fold == rows[i]->fold)
                snprintf(series->fold[f].observation, sizeof series->fold[f].observation, "%s", o.text);
    }
}

enum status report_gather(const struct run_data *run, const char *config, bool configs_only, struct fold_series *series,
                          struct error *err) {
    const struct trial_row **rows = malloc((run->trials + 1) * sizeof(const struct trial_row *));
    if (!rows)
        return error_memory(err, config);
    size_t count = 0;
    for (size_t i = 0; i < run->trials; i++)
        if (strcmp(run->trial[i].config, config) == 0 && (!configs_only || !*run->trial[i].grid))
            rows[count++] = &run->trial[i];
    enum status status = fold_series_of_trials(rows, count, config, series, err);
    if (status == STATUS_OK) {
        series->metric = run->metric;
        observe_folds(run, rows, count, series);
    }
    free(rows);
    return status == STATUS_OK ? status : error_prefix(err, "%s/trials.csv", run->folder);
}

static bool has_fold(const struct fold_series *series, long fold) {
    for (size_t i = 0; i < series->count; i++)
        if (series->fold[i].fold == fold)
            return true;
    return false;
}

static void add_missing(struct fold_series *series, long fold) {
    size_t used = strlen(series->missing);
    if (!has_fold(series, fold))
        snprintf(series->missing + used, sizeof series->missing - used, "%s%ld", used ? ", " : "", fold);
}

// What sweep.ini says of the folds: "all", or a list.
static void find_missing(struct config *c) {
    const char *folds = run_fact(&c->run->config_folds, c->name), *count = run_fact(&c->run->settings, "folds count");
    if (!folds)
        folds = run_fact(&c->run->settings, "folds run");
    if (!folds)
        return;
    if (strcmp(folds, "all") == 0) {
        for (long fold = 0; count && fold < strtol(count, NULL, 10) && fold < 1000; fold++)
            add_missing(&c->series, fold);
        return;
    }
    for (char *end; *folds; folds = *end ? end + 1 : end) {
        long fold = strtol(folds, &end, 10);
        if (end == folds)
            return; // not a list: nothing to go by
        add_missing(&c->series, fold);
    }
}

static bool name_stands_elsewhere(const struct report *r, const struct config *config) {
    for (size_t i = 0; i < r->configs; i++)
        if (r->config[i].run != config->run && strcmp(r->config[i].name, config->name) == 0)
            return true;
    return false;
}

static bool config_is_known(const struct report *r, const struct run_data *run, const char *name) {
    for (size_t c = 0; c < r->configs; c++)
        if (r->config[c].run == run && strcmp(r->config[c].name, name) == 0)
            return true;
    return false;
}

static enum status read_configs_of(struct report *r, const struct run_data *run, struct error *err) {
    for (size_t row = 0; row < run->trials; row++) {
        const char *name = run->trial[row].config;
        if (*run->trial[row].grid || config_is_known(r, run, name))
            continue;
        struct config config = {.run = run, .name = name};
        TRY(report_gather(run, name, true, &config.series, err));
        find_missing(&config);
        r->config[r->configs++] = config;
    }
    return STATUS_OK;
}

enum status report_read_configs(struct report *r, struct error *err) {
    size_t most = 1;
    for (size_t i = 0; i < r->runs; i++)
        most += r->run[i].trials;
    r->config = calloc(most, sizeof *r->config);
    if (!r->config)
        return error_memory(err, "configurations");
    for (size_t i = 0; i < r->runs; i++)
        TRY(read_configs_of(r, &r->run[i], err));
    for (size_t i = 0; i < r->configs; i++) {
        struct config *c = &r->config[i];
        if (name_stands_elsewhere(r, c))
            snprintf(c->series.name, sizeof c->series.name, "%.120s (%.120s)", c->name, c->run->name);
    }
    return STATUS_OK;
}

// Folds over each other and one by one.
static enum status add_config_figures(struct report *r, const struct config *c, struct error *err) {
    struct curve *curve = calloc(c->series.count + 1, sizeof *curve);
    size_t count = 0;
    char name[SERIES_NAME_SIZE + 16], what[SERIES_NAME_SIZE + 32];
    if (!curve)
        return error_memory(err, c->name);
    for (size_t i = 0; i < c->run->trials; i++) {
        const struct trial_row *row = &c->run->trial[i];
        char label[32];
        snprintf(label, sizeof label, "fold %d", row->fold);
        if (!*row->grid && strcmp(row->config, c->name) == 0 && count < c->series.count)
            curve[count] = report_curve(c->run, row, label);
        else
            continue;
        count += curve[count].count > 0;
    }
    snprintf(name, sizeof name, "folds_%s", c->series.name);
    size_t drawn = count < FOLDS_PER_FIGURE ? count : FOLDS_PER_FIGURE;
    FILE *out =
        drawn > 1 && plot_curves_have(curve, drawn, CURVE_METRIC)
            ? report_figure(r, name, FOLDS_WIDTH, FOLDS_HEIGHT,
                            "Configuration %s: %zu folds over each other, with their mean and +- one population "
                            "standard deviation.%s",
                            c->series.name, drawn, plot_curves_note(curve, drawn))
            : NULL;
    if (out)
        plot_folds(out, curve, drawn);
    snprintf(what, sizeof what, "configuration %s, by fold", c->series.name);
    report_add_curves(r, c->series.name, what, "", curve, count);
    free(curve);
    return STATUS_OK;
}

// Comparison

struct side {
    const struct fold_series *series;
    const struct run_data *run;
    struct fold_series own; // of a grid point: to be freed
};

// In its own run, then in the others, then among the grid points of its own.
static enum status find_side(const struct report *r, const struct run_data *run, const char *name, struct side *side,
                             struct error *err) {
    *side = (struct side){.run = run};
    for (int others = 0; others < 2; others++) {
        for (size_t i = 0; i < r->configs; i++) {
            if ((r->config[i].run != run) != others || strcmp(r->config[i].name, name) != 0)
                continue;
            side->series = &r->config[i].series;
            side->run = r->config[i].run;
            return STATUS_OK;
        }
    }
    TRY(report_gather(run, name, false, &side->own, err));
    if (side->own.count == 0)
        return error_set(err, STATUS_NOT_FOUND, "'%s' has no finished trial", name);
    side->series = &side->own;
    return STATUS_OK;
}

// Validation over training samples of the run's folds; NaN when folds.csv does not say.
static double sample_ratio(const struct run_data *run) {
    int fold = run->folds.columns ? csv_table_column(&run->folds, "fold") : -1;
    double count[1000] = {0}, all = 0, sum = 0;
    int folds = 0;
    for (size_t i = 0; fold >= 0 && i < run->folds.rows; i++) {
        char *end;
        const char *text = csv_table_cell(&run->folds, i, fold);
        long number = strtol(text, &end, 10);
        if (!*text || *end || number < 0 || number >= 1000)
            continue; // held out
        count[number]++;
        all++;
        folds = number + 1 > folds ? (int)number + 1 : folds;
    }
    for (int i = 0; i < folds; i++)
        sum += count[i] / (all - count[i]);
    return folds > 1 && isfinite(sum) ? sum / folds : (double)NAN;
}

static enum status add_pair(struct report *r, const struct side *baseline, const struct side *candidate,
                            struct error *err) {
    char why[256];
    if (baseline->run != candidate->run && !same_data(baseline->run, candidate->run, why, sizeof why))
        return error_set(err, STATUS_INVALID, "runs %s and %s are not of the same data: %s", baseline->run->name,
                         candidate->run->name, why);
    if (strcmp(baseline->series->metric.name, candidate->series->metric.name) != 0)
        return error_set(err, STATUS_INVALID, "%s is judged by %s and %s by %s", baseline->series->name,
                         metric_name(&baseline->series->metric), candidate->series->name,
                         metric_name(&candidate->series->metric));
    TRY(comparison_add_pair(r->doc, baseline->series, candidate->series, sample_ratio(candidate->run), err));
    if (baseline->run != candidate->run && (baseline->run->folds.columns == 0 || candidate->run->folds.columns == 0))
        document_paragraph(r->doc, "Whether a fold is the same samples on both sides could not be checked: there is no "
                                   "folds.csv of both.");
    FILE *out =
        report_figure(r, "slope", SLOPE_WIDTH, SLOPE_HEIGHT,
                      "Best validation %s of every fold, %s to %s, with the difference in points; black: the mean.",
                      metric_name(&candidate->series->metric), baseline->series->name, candidate->series->name);
    if (out)
        plot_slope(out, baseline->series, candidate->series);
    return STATUS_OK;
}

// What cannot be compared yet is said in the tables' place: a report of a running sweep is no error.
static enum status add_comparison(struct report *r, const struct run_data *run, const char *baseline_name,
                                  const char *candidate_name, struct error *err) {
    struct side baseline, candidate = {0};
    document_heading(r->doc, 2, "%s against %s", candidate_name, baseline_name);
    enum status status = find_side(r, run, baseline_name, &baseline, err);
    if (status == STATUS_OK)
        status = find_side(r, run, candidate_name, &candidate, err);
    if (status == STATUS_OK)
        status = add_pair(r, &baseline, &candidate, err);
    if (status == STATUS_NOT_FOUND || status == STATUS_INVALID || status == STATUS_FORMAT) {
        table_note(document_table(r->doc, "comparison", "Comparison"), "Not possible yet: %s.", err->message);
        document_table(r->doc, "improvement", "%s", "");
        document_table(r->doc, "statistics", "%s", "");
        status = STATUS_OK;
    }
    fold_series_free(&baseline.own);
    fold_series_free(&candidate.own);
    return status;
}

// All configurations of a run against its baseline (the first one where none is named).
static enum status add_multiple(struct report *r, const struct run_data *run, struct error *err) {
    const struct fold_series **series = malloc((r->configs + 1) * sizeof(const struct fold_series *));
    size_t count = 0;
    if (!series)
        return error_memory(err, "comparisons");
    for (int rest = 0; rest < 2; rest++)
        for (size_t i = 0; i < r->configs; i++)
            if (r->config[i].run == run && (strcmp(r->config[i].name, run->baseline) != 0) == rest)
                series[count++] = &r->config[i].series;
    enum status status = statistics_tables_add_multiple(r->doc, run->name, series, count, err);
    free(series);
    return status;
}

static enum status add_all_overfitting(struct report *r, struct error *err) {
    const struct fold_series **series = malloc((r->configs + 1) * sizeof(const struct fold_series *));
    if (!series)
        return error_memory(err, "overfitting table");
    for (size_t i = 0; i < r->configs; i++)
        series[i] = &r->config[i].series;
    enum status status = comparison_add_overfitting(r->doc, series, r->configs, err);
    free(series);
    return status;
}

static enum status add_comparisons(struct report *r, struct error *err) {
    bool compared = false;
    if (r->baseline && r->candidate)
        return add_comparison(r, r->configs ? r->config[0].run : &r->run[0], r->baseline, r->candidate, err);
    for (size_t i = 0; i < r->runs; i++) {
        if (!*r->run[i].baseline || !*r->run[i].candidate)
            continue;
        TRY(add_comparison(r, &r->run[i], r->run[i].baseline, r->run[i].candidate, err));
        compared = true;
    }
    if (!compared && r->configs > 1)
        document_paragraph(r->doc, "No sweep.ini names a baseline and a candidate in [compare], nor do --baseline and "
                                   "--candidate: nothing is compared.");
    return STATUS_OK;
}

enum status report_add_validation(struct report *r, struct error *err) {
    document_heading(r->doc, 2, "Phase 2: cross-validation");
    if (r->configs == 0)
        document_paragraph(r->doc, "No [config NAME] section has a finished trial: there is nothing to validate yet.");
    for (size_t i = 0; i < r->configs; i++) {
        TRY(comparison_add_folds(r->doc, &r->config[i].series, err));
        TRY(add_config_figures(r, &r->config[i], err));
    }
    TRY(add_comparisons(r, err));
    for (size_t i = 0; i < r->runs; i++)
        TRY(add_multiple(r, &r->run[i], err));
    return add_all_overfitting(r, err);
}
