// Paired statistics of two configurations that ran on the same folds (GSL).
#ifndef GRIDFOLD_RESULTS_STATISTICS_H
#define GRIDFOLD_RESULTS_STATISTICS_H

#include <stddef.h>

#include "model/base/status.h"

double statistics_mean(const double *x, size_t n);          // NaN for n = 0
double statistics_sd_population(const double *x, size_t n); // divides by n; NaN for n = 0
double statistics_sd_sample(const double *x, size_t n);     // divides by n - 1; NaN for n < 2

enum { STATISTICS_MAX_EXACT = 20 }; // pairs up to which all sign flips are tried

struct paired_statistics {
    size_t n;                 // pairs
    double mean;              // of the differences, candidate - baseline
    double sd;                // of the differences, sample
    double standard_error;    // sd / sqrt(n)
    double t;                 // mean / standard error; NaN when all differences are the same
    double degrees;           // n - 1
    double p;                 // two-sided, of Student's t; NaN with t
    double ci_low, ci_high;   // 95 % confidence interval of the mean difference
    double cohen_d;           // d_z = mean / sd (Cohen 1988, section 2.3.5); NaN with t
    double permutation_p;     // two-sided, exact, over all 2^n sign flips; NaN for n > STATISTICS_MAX_EXACT
    double permutation_least; // 2 / 2^n: no n differences give a smaller one
};

// baseline[i] and candidate[i] are one pair. STATUS_INVALID for fewer than two pairs or a value that is not finite.
NODISCARD enum status statistics_paired(const double *baseline, const double *candidate, size_t n,
                                        struct paired_statistics *out, struct error *err);

// "large", "medium", "small" or "negligible" by Cohen's thresholds 0.8, 0.5 and 0.2.
const char *statistics_effect_name(double cohen_d);

#endif
