#include "results/statistics_tables.h"

#include <math.h>
#include <stdlib.h>

#include "results/metric_cells.h"

// Of a length: no sign.
static void spread_cell(table *t, const struct metric *m, double value) {
    if (metric_is_share(m))
        table_value(t, value, "%.2f pp", 100 * value);
    else
        table_value(t, value, "%.4g", value);
}

static void interval_cell(table *t, const struct metric *m, double low, double high) {
    if (metric_is_share(m))
        table_cell(t, "%.1f to %.1f pp", 100 * low, 100 * high);
    else
        table_cell(t, "%.4g to %.4g", low, high);
}

static void p_value(table *t, double p) {
    if (p < 0.0001)
        table_value(t, p, "< 0.0001");
    else
        table_value(t, p, "%.4f", p);
}

enum status statistics_of_pair(const struct fold_series *baseline, const struct fold_series *candidate,
                               struct paired_statistics *out, struct error *err) {
    TRY(fold_series_check_pairs(baseline, candidate, err));
    double *values = malloc((2 * baseline->count + 1) * sizeof *values);
    if (!values)
        return error_memory(err, "paired differences");
    size_t n = fold_series_values(baseline, FOLD_BEST_IOU, values);
    fold_series_values(candidate, FOLD_BEST_IOU, values + n);
    enum status status = statistics_paired(values, values + n, n, out, err);
    free(values);
    return status;
}

// One pair

static void begin(table *t, int flags, const char *key, const char *label) {
    table_row(t, flags);
    table_label(t, key, label);
}

static void add_interval(table *t, const struct metric *m, const char *key, const char *label, double low,
                         double high) {
    char name[64];
    begin(t, TABLE_READERS_ONLY, "", label);
    interval_cell(t, m, low, high);
    snprintf(name, sizeof name, "%s_low", key);
    begin(t, TABLE_CSV_ONLY, name, "");
    table_value(t, low, "-");
    snprintf(name, sizeof name, "%s_high", key);
    begin(t, TABLE_CSV_ONLY, name, "");
    table_value(t, high, "-");
}

static void add_t_test(table *t, const struct metric *m, const struct paired_statistics *s) {
    begin(t, TABLE_PLAIN, "pairs", "Pairs (folds)");
    table_cell(t, "%zu", s->n);
    begin(t, TABLE_PLAIN, "mean_difference", "Mean difference");
    metric_difference_cell(t, m, s->mean);
    begin(t, TABLE_PLAIN, "sd_sample", "SD of the differences (sample)");
    spread_cell(t, m, s->sd);
    begin(t, TABLE_PLAIN, "standard_error", "Standard error (sample SD)");
    spread_cell(t, m, s->standard_error);
    begin(t, TABLE_PLAIN, "t", "Paired t-test: t");
    table_value(t, s->t, "%.3f", s->t);
    begin(t, TABLE_PLAIN, "df", "Paired t-test: degrees of freedom");
    table_cell(t, "%.0f", s->degrees);
    begin(t, TABLE_PLAIN, "p", "Paired t-test: p (two-sided)");
    p_value(t, s->p);
    add_interval(t, m, "ci95", "95 % confidence interval of the mean difference", s->ci_low, s->ci_high);
}

static void add_corrected(table *t, const struct metric *m, const struct corrected_t *c) {
    begin(t, TABLE_PLAIN, "corrected_t", "Corrected resampled t (Nadeau and Bengio): t");
    table_value(t, c->t, "%.3f", c->t);
    begin(t, TABLE_PLAIN, "corrected_p", "Corrected resampled t: p (two-sided)");
    p_value(t, c->p);
    add_interval(t, m, "corrected_ci95", "95 % confidence interval, corrected", c->ci_low, c->ci_high);
    begin(t, TABLE_CSV_ONLY, "corrected_ratio", "");
    table_value(t, c->ratio, "-");
}

static void add_exact(table *t, const struct paired_statistics *s) {
    begin(t, TABLE_PLAIN, "permutation_p", "Exact sign-flip permutation: p (two-sided)");
    p_value(t, s->permutation_p);
    begin(t, TABLE_PLAIN, "wilcoxon_w", "Wilcoxon signed ranks: W (the smaller rank sum)");
    double w = s->ranks.used ? fmin(s->ranks.w_plus, s->ranks.w_minus) : (double)NAN;
    table_value(t, w, "%g", w);
    begin(t, TABLE_PLAIN, "wilcoxon_p", "Wilcoxon signed ranks: exact p (two-sided)");
    p_value(t, s->ranks.p);
}

static void add_effect(table *t, const struct paired_statistics *s) {
    begin(t, TABLE_PLAIN, "cohen_d", "Cohen's d_z (sample SD of the differences)");
    table_value(t, s->cohen_d, "%.2f (%s effect)", s->cohen_d, statistics_effect_name(s->cohen_d));
    begin(t, TABLE_PLAIN, "hedges_g", "Hedges' g (d_z without its small-sample bias)");
    table_value(t, s->hedges_g, "%.2f", s->hedges_g);
}

static void note_ranks(table *t, const struct signed_ranks *ranks) {
    if (ranks->zeros > 0)
        table_note(t, "Wilcoxon: %zu %s of 0 %s left out.", ranks->zeros,
                   ranks->zeros == 1 ? "difference" : "differences", ranks->zeros == 1 ? "is" : "are");
    if (ranks->ties > 0)
        table_note(t,
                   "Wilcoxon: %zu differences are of a magnitude that another has too; they share the mean of their "
                   "ranks, and p is exact for the shared ranks.",
                   ranks->ties);
    if (ranks->used > STATISTICS_MAX_WILCOXON)
        table_note(t, "The exact rank test stops at %d folds.", STATISTICS_MAX_WILCOXON);
}

// What the number of folds can and cannot show.
static void note_power(table *t, const struct paired_statistics *s, const struct corrected_t *c) {
    if (s->n <= STATISTICS_MAX_EXACT)
        table_note(t,
                   "%zu folds can give no exact two-sided p below 2/2^%zu = %.4g, however large the differences are%s.",
                   s->n, s->n, s->permutation_least,
                   s->permutation_least > 0.05 ? ": neither exact test can reject at 5 %" : "");
    else
        table_note(t, "The exact permutation test stops at %d folds.", STATISTICS_MAX_EXACT);
    table_note(
        t,
        "The t-test takes the differences for independent and normal, which %zu folds cannot show; it rejects at "
        "5 %% from |d_z| = %.2f on. Folds share training samples, so its p is too small: the corrected t counts "
        "1/n + %.3g in place of 1/n (validation over training samples).",
        s->n, statistics_least_effect(s->n), c->ratio);
    table_note(t,
               "The best epoch was chosen on the same validation folds: the means are optimistic for both sides, and "
               "nothing here speaks of other data, nor of another seed.");
    if (isnan(s->t))
        table_note(t, "All differences are the same: t, p and d are not defined.");
}

void statistics_tables_add_pair(document *doc, const struct metric *m, const struct paired_statistics *s,
                                double ratio) {
    table *t = document_table(doc, "statistics", "Statistics of the paired differences in %s", metric_name(m));
    struct corrected_t corrected = statistics_corrected(s, isnan(ratio) ? 1 / (double)(s->n - 1) : ratio);
    table_column(t, TABLE_LEFT, "statistic", "Statistic");
    table_column(t, TABLE_RIGHT, "value", "Value");
    add_t_test(t, m, s);
    add_corrected(t, m, &corrected);
    add_exact(t, s);
    add_effect(t, s);
    note_power(t, s, &corrected);
    note_ranks(t, &s->ranks);
}

// Several against one

struct family {
    struct paired_statistics *pair;
    struct error *reason; // why there is no pair; message "" where there is one
    double *p, *holm, *exact, *exact_holm;
    size_t members;
};

static void family_free(struct family *f) {
    free(f->pair);
    free(f->reason);
    free(f->p);
}

static enum status family_create(size_t members, struct family *f, struct error *err) {
    *f = (struct family){.members = members,
                         .pair = calloc(members, sizeof *f->pair),
                         .reason = calloc(members, sizeof *f->reason),
                         .p = malloc(4 * members * sizeof *f->p)};
    if (!f->pair || !f->reason || !f->p) {
        family_free(f);
        return error_memory(err, "comparisons");
    }
    f->holm = f->p + members;
    f->exact = f->holm + members;
    f->exact_holm = f->exact + members;
    return STATUS_OK;
}

static enum status family_fill(struct family *f, const struct fold_series *const *series, size_t *pairs,
                               struct error *err) {
    *pairs = 0;
    for (size_t i = 0; i < f->members; i++) {
        f->p[i] = f->exact[i] = NAN;
        enum status status = statistics_of_pair(series[0], series[i + 1], &f->pair[i], &f->reason[i]);
        if (status == STATUS_MEMORY)
            return error_memory(err, "comparisons");
        if (status != STATUS_OK)
            continue;
        f->reason[i].message[0] = 0;
        f->p[i] = f->pair[i].p;
        f->exact[i] = f->pair[i].permutation_p;
        ++*pairs;
    }
    TRY(statistics_holm(f->p, f->members, f->holm, err));
    return statistics_holm(f->exact, f->members, f->exact_holm, err);
}

static void add_member(table *t, const struct metric *m, const struct family *f, size_t i, const char *name) {
    table_row(t, TABLE_PLAIN);
    table_cell(t, "%s", name);
    if (*f->reason[i].message) {
        for (int column = 0; column < 6; column++)
            table_value(t, NAN, "-");
        table_cell(t, "%s", f->reason[i].message);
        return;
    }
    const struct paired_statistics *s = &f->pair[i];
    table_value(t, (double)s->n, "%zu", s->n);
    metric_difference_cell(t, m, s->mean);
    p_value(t, f->p[i]);
    p_value(t, f->holm[i]);
    p_value(t, f->exact[i]);
    p_value(t, f->exact_holm[i]);
    interval_cell(t, m, s->ci_low, s->ci_high);
}

enum status statistics_tables_add_multiple(document *doc, const char *name, const struct fold_series *const *series,
                                           size_t count, struct error *err) {
    if (count < 3)
        return STATUS_OK;
    struct family f;
    size_t pairs;
    TRY(family_create(count - 1, &f, err));
    enum status status = family_fill(&f, series, &pairs, err);
    if (status == STATUS_OK && pairs > 0) {
        char stem[SERIES_NAME_SIZE + 16];
        snprintf(stem, sizeof stem, "multiple_%s", name);
        table *t = document_table(doc, stem, "Each against %s", series[0]->name);
        table_column(t, TABLE_LEFT, "config", "Configuration");
        table_column(t, TABLE_RIGHT, "pairs", "Folds");
        table_column(t, TABLE_RIGHT, "mean_difference", "Mean difference");
        table_column(t, TABLE_RIGHT, "p", "t-test p");
        table_column(t, TABLE_RIGHT, "p_holm", "p (Holm)");
        table_column(t, TABLE_RIGHT, "permutation_p", "Exact p");
        table_column(t, TABLE_RIGHT, "permutation_p_holm", "Exact p (Holm)");
        table_column(t, TABLE_LEFT, "note", "95 % interval (of one comparison alone)");
        for (size_t i = 0; i < f.members; i++)
            add_member(t, &series[0]->metric, &f, i, series[i + 1]->name);
        table_note(t, "Holm: p values corrected for the %zu comparisons of this table.", pairs);
    }
    family_free(&f);
    return status;
}
