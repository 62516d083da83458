#include "results/statistics.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_sf_gamma.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdlib.h>

#include "results/statistics_exact.h"

double statistics_mean(const double *x, size_t n) {
    return n > 0 ? gsl_stats_mean(x, 1, n) : NAN;
}

double statistics_sd_population(const double *x, size_t n) {
    return n > 0 ? gsl_stats_sd_with_fixed_mean(x, 1, n, gsl_stats_mean(x, 1, n)) : NAN;
}

double statistics_sd_sample(const double *x, size_t n) {
    return n > 1 ? gsl_stats_sd(x, 1, n) : NAN;
}

// J of Hedges (1981): what the mean of d is too large by, for `degrees` degrees of freedom.
static double bias_correction(double degrees) {
    if (degrees < 2)
        return NAN; // one degree: d has no mean
    return exp(gsl_sf_lngamma(degrees / 2) - gsl_sf_lngamma((degrees - 1) / 2)) / sqrt(degrees / 2);
}

static void of_differences(const double *difference, size_t n, struct paired_statistics *out) {
    double root = sqrt((double)n), degrees = (double)(n - 1);
    *out = (struct paired_statistics){
        .n = n,
        .mean = statistics_mean(difference, n),
        .sd = statistics_sd_sample(difference, n),
        .degrees = degrees,
        .t = NAN,
        .p = NAN,
        .cohen_d = NAN,
        .permutation_p = exact_sign_flips(difference, n),
        .permutation_least = ldexp(2, -(int)n),
        .hedges_g = NAN,
    };
    if (out->sd <= 1e-14 * exact_largest_magnitude(difference, n))
        out->sd = 0; // all differences are the same: t would be a quotient of rounding errors
    out->standard_error = out->sd / root;
    double half = out->standard_error * gsl_cdf_tdist_Pinv(0.975, degrees);
    out->ci_low = out->mean - half;
    out->ci_high = out->mean + half;
    if (out->sd > 0) {
        out->t = out->mean / out->standard_error;
        out->p = 2 * gsl_cdf_tdist_Q(fabs(out->t), degrees);
        out->cohen_d = out->mean / out->sd;
        out->hedges_g = out->cohen_d * bias_correction(degrees);
    }
}

enum status statistics_paired(const double *baseline, const double *candidate, size_t n, struct paired_statistics *out,
                              struct error *err) {
    if (n < 2)
        return error_set(err, STATUS_INVALID, "a paired comparison needs at least 2 folds, not %zu", n);
    double *difference = malloc(n * sizeof *difference);
    if (!difference)
        return error_memory(err, "paired differences");
    for (size_t i = 0; i < n; i++) {
        difference[i] = candidate[i] - baseline[i];
        if (!isfinite(difference[i])) {
            free(difference);
            return error_set(err, STATUS_INVALID, "pair %zu of %zu has a value that is not a finite number", i + 1, n);
        }
    }
    of_differences(difference, n, out);
    enum status status = exact_signed_ranks(difference, n, &out->ranks, err);
    free(difference);
    return status;
}

struct corrected_t statistics_corrected(const struct paired_statistics *s, double ratio) {
    struct corrected_t c = {.ratio = ratio, .t = NAN, .p = NAN};
    c.standard_error = s->sd * sqrt(1 / (double)s->n + ratio);
    double half = c.standard_error * gsl_cdf_tdist_Pinv(0.975, s->degrees);
    c.ci_low = s->mean - half;
    c.ci_high = s->mean + half;
    if (s->sd > 0) {
        c.t = s->mean / c.standard_error;
        c.p = 2 * gsl_cdf_tdist_Q(fabs(c.t), s->degrees);
    }
    return c;
}

double statistics_least_effect(size_t n) {
    return n > 1 ? gsl_cdf_tdist_Pinv(0.975, (double)(n - 1)) / sqrt((double)n) : NAN;
}

struct indexed_p {
    double p;
    size_t index;
};

static int by_p(const void *a, const void *b) {
    const struct indexed_p *x = a, *y = b;
    return (x->p > y->p) - (x->p < y->p);
}

enum status statistics_holm(const double *p, size_t count, double *adjusted, struct error *err) {
    struct indexed_p *sorted = malloc((count + 1) * sizeof *sorted);
    if (!sorted)
        return error_memory(err, "Holm's correction");
    size_t family = 0;
    for (size_t i = 0; i < count; i++) {
        adjusted[i] = NAN;
        if (!isnan(p[i]))
            sorted[family++] = (struct indexed_p){p[i], i};
    }
    qsort(sorted, family, sizeof *sorted, by_p);
    double largest = 0;
    for (size_t i = 0; i < family; i++) {
        largest = fmax(largest, fmin(1, (double)(family - i) * sorted[i].p));
        adjusted[sorted[i].index] = largest;
    }
    free(sorted);
    return STATUS_OK;
}

const char *statistics_effect_name(double cohen_d) {
    double size = fabs(cohen_d);
    return size >= 0.8 ? "large" : size >= 0.5 ? "medium" : size >= 0.2 ? "small" : "negligible";
}
