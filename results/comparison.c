#include "results/comparison.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/metric_cells.h"
#include "results/statistics_tables.h"

static void integer_or_dash(table *t, int value) {
    table_value(t, value < 0 ? (double)NAN : value, "%d", value);
}

static const struct metric f1_metric = {.minimize = false}; // a share, as IoU

static void mean_cell(table *t, const struct metric *m, const struct fold_summary *s) {
    metric_mean_cell(t, m, s->mean, s->sd_population);
}

// One configuration

// What is said of a fold: its observation, or why it has no result.
static void add_remark(table *t, const struct fold_result *fold) {
    if (*fold->observation || fold_is_done(fold))
        table_cell(t, "%s", fold->observation);
    else
        table_cell(t, "%s%s%s", fold->status, *fold->reason ? ": " : "", fold->reason);
}

static bool has_remarks(const struct fold_series *series) {
    for (size_t i = 0; i < series->count; i++)
        if (*series->fold[i].observation || !fold_is_done(&series->fold[i]))
            return true;
    return false;
}

static void add_fold_row(table *t, const struct fold_series *series, const struct fold_result *fold, bool remarks) {
    table_row(t, TABLE_PLAIN);
    table_cell(t, "%d", fold->fold);
    metric_cell(t, &series->metric, fold->best_iou);
    integer_or_dash(t, fold->best_epoch);
    if (metric_is_share(&series->metric))
        metric_cell(t, &f1_metric, fold->best_f1);
    if (remarks)
        add_remark(t, fold);
}

static void add_mean_rows(table *t, const struct metric *m, const struct fold_summary *iou,
                          const struct fold_summary *f1) {
    table_row(t, TABLE_BOLD);
    table_label(t, "mean", "Mean");
    mean_cell(t, m, iou);
    table_value(t, NAN, "-");
    if (metric_is_share(m))
        mean_cell(t, &f1_metric, f1);
    table_row(t, TABLE_CSV_ONLY);
    table_cell(t, "sd_population");
    table_value(t, iou->sd_population, "-");
    table_value(t, NAN, "-");
    if (metric_is_share(m))
        table_value(t, f1->sd_population, "-");
}

static void note_folds(table *t, const struct fold_series *series, const struct fold_summary *iou) {
    if (isnan(iou->mean) && iou->n > 0)
        table_note(t, "No mean: a fold that is done has no best value.");
    else if (iou->n > 0)
        table_note(t, "Mean +- population standard deviation over %s%zu folds.",
                   iou->n == series->count ? "" : "the done ones of ", series->count);
    if (*series->missing)
        table_note(t, "Missing: fold %s. The mean is not that of the whole cross-validation.", series->missing);
}

enum status comparison_add_folds(document *doc, const struct fold_series *series, struct error *err) {
    struct fold_summary iou, f1;
    TRY(fold_series_summary(series, FOLD_BEST_IOU, &iou, err));
    TRY(fold_series_summary(series, FOLD_BEST_F1, &f1, err));
    char name[SERIES_NAME_SIZE + 16];
    snprintf(name, sizeof name, "phase2_%s", series->name);
    table *t = document_table(doc, name, "Configuration %s: %zu %s", series->name, series->count,
                              series->count == 1 ? "fold" : "folds");
    bool remarks = has_remarks(series), share = metric_is_share(&series->metric);
    char header[64];
    snprintf(header, sizeof header, "Best %s", metric_name(&series->metric));
    table_column(t, TABLE_LEFT, "fold", "Fold");
    table_column(t, TABLE_RIGHT, "best_iou", header);
    table_column(t, TABLE_RIGHT, "best_epoch", "Best epoch");
    if (share)
        table_column(t, TABLE_RIGHT, "best_f1", "Best F1");
    if (remarks)
        table_column(t, TABLE_LEFT, "observation", "Observation");
    for (size_t i = 0; i < series->count; i++)
        add_fold_row(t, series, &series->fold[i], remarks);
    if (iou.n > 0)
        add_mean_rows(t, &series->metric, &iou, &f1);
    note_folds(t, series, &iou);
    return STATUS_OK;
}

// Two configurations

static void add_improvement(document *doc, const struct fold_series *baseline, const struct fold_series *candidate,
                            const struct fold_summary *b, const struct fold_summary *c) {
    const struct metric *m = &baseline->metric;
    table *t = document_table(doc, "improvement", "Per-fold improvement (best validation %s)", metric_name(m));
    table_column(t, TABLE_LEFT, "fold", "Fold");
    table_column(t, TABLE_RIGHT, "baseline", baseline->name);
    table_column(t, TABLE_RIGHT, "candidate", candidate->name);
    table_column(t, TABLE_RIGHT, "difference", "Difference");
    for (size_t i = 0; i < baseline->count; i++) {
        table_row(t, TABLE_PLAIN);
        table_cell(t, "%d", baseline->fold[i].fold);
        metric_cell(t, m, baseline->fold[i].best_iou);
        metric_cell(t, m, candidate->fold[i].best_iou);
        metric_difference_cell(t, m, candidate->fold[i].best_iou - baseline->fold[i].best_iou);
    }
    table_row(t, TABLE_BOLD);
    table_label(t, "mean", "Mean");
    metric_cell(t, m, b->mean);
    metric_cell(t, m, c->mean);
    metric_difference_cell(t, m, c->mean - b->mean);
}

static void add_metric_row(table *t, const struct metric *m, const char *key, const char *label,
                           const struct fold_summary *b, const struct fold_summary *c) {
    double difference = c->mean - b->mean;
    table_row(t, TABLE_PLAIN);
    table_label(t, key, label);
    mean_cell(t, m, b);
    mean_cell(t, m, c);
    if (metric_is_share(m) && b->mean > 0)
        table_value(t, difference, "%+.2f pp (%+.0f %%)", 100 * difference, 100 * difference / b->mean);
    else
        metric_difference_cell(t, m, difference);
}

// The standard deviations of the row before, for programs.
static void add_sd_row(table *t, const char *key, const struct fold_summary *b, const struct fold_summary *c) {
    table_row(t, TABLE_CSV_ONLY);
    table_cell(t, "%s", key);
    table_value(t, b->sd_population, "-");
    table_value(t, c->sd_population, "-");
    table_value(t, c->sd_population - b->sd_population, "-");
}

static void add_cv_row(table *t, const char *key, const char *metric, double b, double c) {
    table_row(t, TABLE_PLAIN);
    table_label(t, key, metric);
    b = isfinite(b) ? b : (double)NAN; // a mean of 0 has no such coefficient
    c = isfinite(c) ? c : (double)NAN;
    table_value(t, b, "%.1f %%", 100 * b);
    table_value(t, c, "%.1f %%", 100 * c);
    table_value(t, c - b, "%+.1f pp (%s)", 100 * (c - b),
                c < b   ? "more consistent"
                : c > b ? "less consistent"
                        : "same");
}

// What a side's F1 must have been where only its IoU is known.
static enum status note_f1(table *t, const struct fold_series *series, const struct fold_summary *f1,
                           struct error *err) {
    struct fold_summary derived;
    if (!isnan(f1->mean))
        return STATUS_OK;
    TRY(fold_series_summary(series, FOLD_F1_OF_IOU, &derived, err));
    table_note(
        t,
        "%s has no F1. F1 of the same pixel counts is 2 IoU / (1 + IoU): its IoU gives a mean F1 of %.2f +- %.2f %%.",
        series->name, 100 * derived.mean, 100 * derived.sd_population);
    return STATUS_OK;
}

static enum status add_comparison(document *doc, const struct fold_series *baseline,
                                  const struct fold_series *candidate, const struct fold_summary *b,
                                  const struct fold_summary *c, struct error *err) {
    const struct metric *m = &baseline->metric;
    struct fold_summary b_f1, c_f1;
    TRY(fold_series_summary(baseline, FOLD_BEST_F1, &b_f1, err));
    TRY(fold_series_summary(candidate, FOLD_BEST_F1, &c_f1, err));
    table *t = document_table(doc, "comparison", "Comparison over %zu folds", b->n);
    table_column(t, TABLE_LEFT, "metric", "Metric");
    table_column(t, TABLE_RIGHT, "baseline", baseline->name);
    table_column(t, TABLE_RIGHT, "candidate", candidate->name);
    table_column(t, TABLE_RIGHT, "improvement", "Improvement");
    char label[96];
    snprintf(label, sizeof label, "Mean %s +- population SD", metric_name(m));
    add_metric_row(t, m, "mean_iou", label, b, c);
    add_sd_row(t, "sd_population_iou", b, c);
    if (metric_is_share(m)) {
        add_metric_row(t, &f1_metric, "mean_f1", "Mean F1 +- population SD", &b_f1, &c_f1);
        add_sd_row(t, "sd_population_f1", &b_f1, &c_f1);
    }
    snprintf(label, sizeof label, "CV of %s (population SD / mean)", metric_name(m));
    add_cv_row(t, "cv_population", label, b->sd_population / b->mean, c->sd_population / c->mean);
    snprintf(label, sizeof label, "CV of %s (sample SD / mean)", metric_name(m));
    add_cv_row(t, "cv_sample", label, b->sd_sample / b->mean, c->sd_sample / c->mean);
    if (metric_is_share(m)) {
        TRY(note_f1(t, baseline, &b_f1, err));
        TRY(note_f1(t, candidate, &c_f1, err));
    }
    return STATUS_OK;
}

enum status comparison_add_pair(document *doc, const struct fold_series *baseline, const struct fold_series *candidate,
                                double ratio, struct error *err) {
    struct paired_statistics statistics;
    struct fold_summary b, c;
    TRY(statistics_of_pair(baseline, candidate, &statistics, err));
    TRY(fold_series_summary(baseline, FOLD_BEST_IOU, &b, err));
    TRY(fold_series_summary(candidate, FOLD_BEST_IOU, &c, err));
    TRY(add_comparison(doc, baseline, candidate, &b, &c, err));
    add_improvement(doc, baseline, candidate, &b, &c);
    statistics_tables_add_pair(doc, &baseline->metric, &statistics, ratio);
    return STATUS_OK;
}

// Overfitting

static bool has_final(const struct fold_series *series) {
    for (size_t i = 0; i < series->count; i++)
        if (!isnan(series->fold[i].final_iou) || !isnan(series->fold[i].train_val_gap))
            return true;
    return false;
}

static enum status add_overfitting_mean(table *t, const struct fold_series *series, struct error *err) {
    static const enum fold_metric metrics[] = {FOLD_BEST_IOU, FOLD_FINAL_IOU, FOLD_DROP, FOLD_TRAIN_VAL_GAP};
    table_row(t, TABLE_BOLD);
    table_cell(t, "%s", series->name);
    table_label(t, "mean", "Mean");
    for (int i = 0; i < 4; i++) {
        struct fold_summary s;
        TRY(fold_series_summary(series, metrics[i], &s, err));
        if (i < 2)
            metric_cell(t, &series->metric, s.mean);
        else
            metric_difference_cell(t, &series->metric, s.mean);
    }
    return STATUS_OK;
}

static void add_overfitting_row(table *t, const struct fold_series *series, const struct fold_result *fold) {
    table_row(t, TABLE_PLAIN);
    table_cell(t, "%s", series->name);
    table_cell(t, "%d", fold->fold);
    metric_cell(t, &series->metric, fold->best_iou);
    metric_cell(t, &series->metric, fold->final_iou);
    metric_difference_cell(t, &series->metric, fold_metric(fold, FOLD_DROP));
    metric_difference_cell(t, &series->metric, fold->train_val_gap);
}

enum status comparison_add_overfitting(document *doc, const struct fold_series *const *series, size_t count,
                                       struct error *err) {
    table *t = NULL;
    for (size_t i = 0; i < count; i++) {
        if (!has_final(series[i]))
            continue;
        if (!t) {
            t = document_table(doc, "overfitting", "Overfitting");
            table_column(t, TABLE_LEFT, "config", "Configuration");
            table_column(t, TABLE_LEFT, "fold", "Fold");
            const char *metric = metric_name(&series[i]->metric);
            char best[64], final[64];
            snprintf(best, sizeof best, "Best %s", metric);
            snprintf(final, sizeof final, "Final %s", metric);
            table_column(t, TABLE_RIGHT, "best_iou", best);
            table_column(t, TABLE_RIGHT, "final_iou", final);
            table_column(t, TABLE_RIGHT, "drop", "Drop");
            table_column(t, TABLE_RIGHT, "train_val_gap", "Train-val gap");
            table_note(t, "Drop: final minus best validation %s. Gap: training minus validation %s at the final epoch.",
                       metric, metric);
        }
        for (size_t fold = 0; fold < series[i]->count; fold++)
            add_overfitting_row(t, series[i], &series[i]->fold[fold]);
        TRY(add_overfitting_mean(t, series[i], err));
    }
    return STATUS_OK;
}
