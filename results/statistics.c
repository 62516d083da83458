#include "results/statistics.h"

#include <gsl/gsl_cdf.h>
#include <gsl/gsl_statistics_double.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>

double statistics_mean(const double *x, size_t n) {
    return n > 0 ? gsl_stats_mean(x, 1, n) : NAN;
}

double statistics_sd_population(const double *x, size_t n) {
    return n > 0 ? gsl_stats_sd_with_fixed_mean(x, 1, n, gsl_stats_mean(x, 1, n)) : NAN;
}

double statistics_sd_sample(const double *x, size_t n) {
    return n > 1 ? gsl_stats_sd(x, 1, n) : NAN;
}

static double largest_magnitude(const double *x, size_t n) {
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(x[i]));
    return largest;
}

// The share of sign patterns whose sum lies as far from 0 as the observed one. Under the null hypothesis every
// difference is as likely to have the other sign. Pattern and opposite have the same |sum|, so that the last sign
// stays.
static double permutation_p(const double *difference, size_t n) {
    if (n > STATISTICS_MAX_EXACT)
        return NAN;
    double observed = 0;
    for (size_t i = 0; i < n; i++)
        observed += difference[i];
    // Sums that are equal but for rounding count as equal.
    double least = fabs(observed) - 1e-12 * (double)n * largest_magnitude(difference, n);
    uint32_t patterns = (uint32_t)1 << (n - 1), as_far = 0;
    for (uint32_t pattern = 0; pattern < patterns; pattern++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += pattern >> i & 1 ? -difference[i] : difference[i];
        as_far += fabs(sum) >= least;
    }
    return (double)as_far / patterns;
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
        .permutation_p = permutation_p(difference, n),
        .permutation_least = ldexp(2, -(int)n),
    };
    if (out->sd <= 1e-14 * largest_magnitude(difference, n))
        out->sd = 0; // all differences are the same: t would be a quotient of rounding errors
    out->standard_error = out->sd / root;
    double half = out->standard_error * gsl_cdf_tdist_Pinv(0.975, degrees);
    out->ci_low = out->mean - half;
    out->ci_high = out->mean + half;
    if (out->sd > 0) {
        out->t = out->mean / out->standard_error;
        out->p = 2 * gsl_cdf_tdist_Q(fabs(out->t), degrees);
        out->cohen_d = out->mean / out->sd;
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
    free(difference);
    return STATUS_OK;
}

const char *statistics_effect_name(double cohen_d) {
    double size = fabs(cohen_d);
    return size >= 0.8 ? "large" : size >= 0.5 ? "medium" : size >= 0.2 ? "small" : "negligible";
}
