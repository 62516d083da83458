// The CSV files of an evaluation, and what of them is shown. Percent for readers, fractions in the files.
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdlib.h>

#include "orchestrator/evaluate_parts.h"

static void begin_columns(table *t, const char *const *keys, const char *const *headers, int texts) {
    for (int i = 0; keys[i]; i++)
        table_column(t, i < texts ? TABLE_LEFT : TABLE_RIGHT, keys[i], headers[i]);
}

static void metric_columns(table *t, const char *prefix, bool shown) {
    static const char *const headers[SCORE_METRICS] = {"IoU %", "F1 %", "precision %", "recall %", "boundary F1 %"};
    for (int m = 0; m < SCORE_METRICS; m++) {
        char key[64];
        snprintf(key, sizeof key, "%s%s", prefix, score_metric_name((enum score_metric)m));
        table_column(t, TABLE_RIGHT, key, shown ? headers[m] : NULL);
    }
}

static void count_columns(table *t) {
    static const char *const keys[] = {"tp", "fp", "fn", "tn"};
    for (int i = 0; i < 4; i++)
        table_column(t, TABLE_RIGHT, keys[i], NULL);
}

static void metric_cells(table *t, const struct score *s) {
    for (int m = 0; m < SCORE_METRICS; m++) {
        double value = score_value(s, (enum score_metric)m);
        table_value(t, value, "%.2f", 100 * value);
    }
}

static void macro_cells(table *t, const struct score *samples, size_t count) {
    for (int m = 0; m < SCORE_METRICS; m++) {
        size_t defined;
        double value = score_macro(samples, count, (enum score_metric)m, &defined);
        table_value(t, value, "%.2f", 100 * value);
    }
}

static void count_cells(table *t, const struct score *s) {
    const int64_t counts[] = {s->tp, s->fp, s->fn, s->tn};
    for (int i = 0; i < 4; i++)
        table_cell(t, "%lld", (long long)counts[i]);
}

// ---- heads ----

static table *folds_table(document *doc, const char *split, const char *name) {
    table *t = document_table(doc, name, "%s split, models (micro: pixels of all samples pooled)", split);
    begin_columns(t, (const char *const[]){"config", "model", "samples", NULL},
                  (const char *const[]){"configuration", "model", "samples"}, 2);
    metric_columns(t, "", true);
    table_column(t, TABLE_RIGHT, "ece", "ECE %");
    metric_columns(t, "macro_", false);
    begin_columns(t, (const char *const[]){"macro_samples", "brier", "loss", "trial", "fold", "epoch", NULL},
                  (const char *const[]){NULL, NULL, NULL, NULL, NULL, NULL}, 0);
    count_columns(t);
    return t;
}

static table *summary_table(document *doc, const char *split, const char *name) {
    table *t = document_table(doc, name, "%s split, over the folds (sd: population, as in the other tables)", split);
    begin_columns(t, (const char *const[]){"config", "metric", "average", "mean", "sd_population", NULL},
                  (const char *const[]){"configuration", "metric", "average", "mean %", "sd %"}, 3);
    table_column(t, TABLE_RIGHT, "all_folds", "all folds %");
    begin_columns(t, (const char *const[]){"sd_sample", "folds", NULL}, (const char *const[]){NULL, NULL}, 0);
    return t;
}

static table *levels_table(document *doc, const char *split, const char *name) {
    table *t = document_table(doc, name, "%s split, by change level (micro, all folds together)", split);
    begin_columns(t, (const char *const[]){"config", "model", "level", "samples", NULL},
                  (const char *const[]){"configuration", "model", "level", "samples"}, 3);
    metric_columns(t, "", true);
    metric_columns(t, "macro_", false);
    count_columns(t);
    return t;
}

static table *samples_table(document *doc, const char *split, const char *name) {
    table *t = document_table(doc, name, "%s split, by sample (all folds together)", split);
    begin_columns(t, (const char *const[]){"config", "sample", "level", NULL},
                  (const char *const[]){"configuration", "sample", "level"}, 3);
    metric_columns(t, "", true);
    begin_columns(t, (const char *const[]){"model", "positive_share", NULL}, (const char *const[]){NULL, NULL}, 0);
    count_columns(t);
    return t;
}

static table *threshold_table(document *doc, const char *name) {
    table *t = document_table(doc, name, "%s", "");
    begin_columns(t, (const char *const[]){"config", "model", "threshold", NULL},
                  (const char *const[]){NULL, NULL, NULL}, 0);
    for (int m = 0; m < SCORE_BOUNDARY_F1; m++)
        table_column(t, TABLE_RIGHT, score_metric_name((enum score_metric)m), NULL);
    count_columns(t);
    return t;
}

static table *calibration_table(document *doc, const char *name) {
    table *t = document_table(doc, name, "%s", "");
    begin_columns(t,
                  (const char *const[]){"config", "model", "lower", "upper", "pixels", "mean_probability",
                                        "positive_share", NULL},
                  (const char *const[]){NULL, NULL, NULL, NULL, NULL, NULL, NULL}, 0);
    return t;
}

enum status evaluate_tables_create(enum split split, struct evaluate_tables *t, struct error *err) {
    const char *text = split == SPLIT_TEST ? "test" : "val", *head = split == SPLIT_TEST ? "Test" : "Validation";
    char name[6][32];
    static const char *const stems[6] = {"folds", "summary", "levels", "samples", "threshold", "calibration"};
    for (int i = 0; i < 6; i++)
        snprintf(name[i], sizeof name[i], "%s_%s", text, stems[i]);
    t->doc = document_create();
    if (!t->doc)
        return error_memory(err, "tables");
    t->folds = folds_table(t->doc, head, name[0]);
    t->summary = summary_table(t->doc, head, name[1]);
    t->levels = levels_table(t->doc, head, name[2]);
    t->samples = samples_table(t->doc, head, name[3]);
    t->threshold = threshold_table(t->doc, name[4]);
    t->calibration = calibration_table(t->doc, name[5]);
    return STATUS_OK;
}

// ---- rows ----

static void add_model(struct evaluate_tables *tables, const char *config, const struct model_scores *m) {
    table *t = tables->folds;
    size_t defined;
    double ece = calibration_error(&m->calibration);
    (void)score_macro(m->scores, m->count, SCORE_IOU, &defined);
    table_row(t, m->fold < 0 ? TABLE_BOLD : TABLE_PLAIN);
    table_cell(t, "%s", config);
    table_cell(t, "%s", m->name);
    table_cell(t, "%zu", m->count);
    metric_cells(t, &m->pooled);
    table_value(t, ece, "%.2f", 100 * ece);
    macro_cells(t, m->scores, m->count);
    table_cell(t, "%zu", defined);
    table_value(t, calibration_brier(&m->calibration), "%s", "");
    table_value(t, m->loss, "%s", "");
    table_cell(t, "%s", m->trial);
    if (m->fold >= 0) {
        table_cell(t, "%d", m->fold);
        table_cell(t, "%d", m->epoch);
    } else {
        table_cell(t, "%s", "");
        table_cell(t, "%s", "");
    }
    count_cells(t, &m->pooled);
}

static double model_value(const struct model_scores *m, enum score_metric metric, bool macro) {
    size_t defined;
    return macro ? score_macro(m->scores, m->count, metric, &defined) : score_value(&m->pooled, metric);
}

// NaN as soon as one fold has no value: a mean over fewer folds would pass for one over all.
static void add_summary(table *t, const struct config_scores *c, enum score_metric metric, bool macro) {
    double values[SWEEP_MAX_FOLDS] = {0};
    size_t n = (size_t)c->folds;
    for (size_t f = 0; f < n; f++)
        values[f] = model_value(&c->models[f], metric, macro);
    double mean = gsl_stats_mean(values, 1, n), population = gsl_stats_sd_with_fixed_mean(values, 1, n, mean),
           sample = n > 1 ? gsl_stats_sd_m(values, 1, n, mean) : NAN,
           together = model_value(&c->models[c->folds], metric, macro);
    table_row(t, macro ? TABLE_CSV_ONLY : TABLE_PLAIN);
    table_cell(t, "%s", c->config);
    table_cell(t, "%s", score_metric_name(metric));
    table_cell(t, "%s", macro ? "macro" : "micro");
    table_value(t, mean, "%.2f", 100 * mean);
    table_value(t, population, "%.2f", 100 * population);
    table_value(t, together, "%.2f", 100 * together);
    table_value(t, sample, "%s", "");
    table_cell(t, "%zu", n);
}

static void add_level(table *t, const char *config, const struct model_scores *m, enum change_level level,
                      struct score *scratch) {
    struct score pooled = {0};
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (m->level[i] != level)
            continue;
        scratch[count++] = m->scores[i];
        score_add(&pooled, &m->scores[i]);
    }
    if (count == 0)
        return;
    table_row(t, m->fold < 0 ? TABLE_PLAIN : TABLE_CSV_ONLY);
    table_cell(t, "%s", config);
    table_cell(t, "%s", m->name);
    table_cell(t, "%s", change_level_name(level));
    table_cell(t, "%zu", count);
    metric_cells(t, &pooled);
    macro_cells(t, scratch, count);
    count_cells(t, &pooled);
}

static void add_sample(table *t, const char *config, const dataset *ds, const struct model_scores *m, size_t i) {
    const struct sample *s = dataset_sample(ds, m->sample[i]);
    table_row(t, m->fold < 0 ? TABLE_PLAIN : TABLE_CSV_ONLY);
    table_cell(t, "%s", config);
    table_cell(t, "%s", s->id);
    table_cell(t, "%s", change_level_name(m->level[i]));
    metric_cells(t, &m->scores[i]);
    table_cell(t, "%s", m->name);
    table_value(t, s->positive_share, "%s", "");
    count_cells(t, &m->scores[i]);
}

static void add_curve(table *t, const char *config, const struct model_scores *m) {
    for (int point = 0; point < CURVE_POINTS; point++) {
        struct score s;
        curve_at(&m->curve, point, &s);
        table_row(t, TABLE_CSV_ONLY);
        table_cell(t, "%s", config);
        table_cell(t, "%s", m->name);
        table_cell(t, "%.2f", curve_threshold(point));
        for (int metric = 0; metric < SCORE_BOUNDARY_F1; metric++)
            table_value(t, score_value(&s, (enum score_metric)metric), "%s", "");
        count_cells(t, &s);
    }
}

static void add_calibration(table *t, const char *config, const struct model_scores *m) {
    const struct calibration *c = &m->calibration;
    for (int b = 0; b < CALIBRATION_BINS; b++) {
        double pixels = (double)c->pixels[b];
        table_row(t, TABLE_CSV_ONLY);
        table_cell(t, "%s", config);
        table_cell(t, "%s", m->name);
        table_value(t, (double)b / CALIBRATION_BINS, "%s", "");
        table_value(t, (double)(b + 1) / CALIBRATION_BINS, "%s", "");
        table_cell(t, "%lld", (long long)c->pixels[b]);
        table_value(t, pixels > 0 ? c->probability_sum[b] / pixels : NAN, "%s", "");
        table_value(t, pixels > 0 ? (double)c->positives[b] / pixels : NAN, "%s", "");
    }
}

enum status evaluate_tables_add(struct evaluate_tables *t, const dataset *ds, const struct config_scores *c,
                                struct error *err) {
    size_t largest = c->models[c->folds].count;
    struct score *scratch = malloc((largest + 1) * sizeof *scratch);
    if (!scratch)
        return error_memory(err, "tables");
    for (int i = 0; i <= c->folds; i++) {
        const struct model_scores *m = &c->models[i];
        add_model(t, c->config, m);
        for (int level = 0; level < CHANGE_LEVELS; level++)
            add_level(t->levels, c->config, m, (enum change_level)level, scratch);
        for (size_t s = 0; s < m->count; s++)
            add_sample(t->samples, c->config, ds, m, s);
        add_curve(t->threshold, c->config, m);
        add_calibration(t->calibration, c->config, m);
    }
    for (int macro = 0; macro < 2; macro++)
        for (int metric = 0; metric < SCORE_METRICS; metric++)
            add_summary(t->summary, c, (enum score_metric)metric, macro);
    free(scratch);
    return STATUS_OK;
}
