// Paired statistics of two configurations that ran on the same folds (GSL).
#ifndef GRIDFOLD_RESULTS_STATISTICS_H
#define GRIDFOLD_RESULTS_STATISTICS_H

#include <stddef.h>

#include "model/base/status.h"

double statistics_mean(const double *x, size_t n);          // NaN for n = 0
double statistics_sd_population(const double *x, size_t n); // divides by n; NaN for n = 0
double statistics_sd_sample(const double *x, size_t n);     // divides by n - 1; NaN for n < 2

enum {
    STATISTICS_MAX_EXACT = 20,    // pairs up to which all sign flips are tried
    STATISTICS_MAX_WILCOXON = 50, // differences other than 0 up to which rank sums are counted: 2^50 is exact
};

// Wilcoxon's signed ranks (Wilcoxon 1945): differences of 0 are left out, equal magnitudes share the mean of their
// ranks, and the p value is exact over all sign patterns of these ranks (so also with ties).
struct signed_ranks {
    size_t used, zeros, ties; // differences that are ranked, left out, and ranked with another's magnitude
    double w_plus, w_minus;   // sums of the ranks of the positive and negative differences
    double p;                 // two-sided; NaN when none is used, or more than STATISTICS_MAX_WILCOXON
    double least;             // 2 / 2^used
};

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
    double hedges_g;          // d_z without the bias of few pairs: d_z times J(n - 1) (Hedges 1981, exact); NaN with t
    struct signed_ranks ranks;
};

// baseline[i] and candidate[i] are one pair. STATUS_INVALID for fewer than two pairs or a value that is not finite.
NODISCARD enum status statistics_paired(const double *baseline, const double *candidate, size_t n,
                                        struct paired_statistics *out, struct error *err);

// Student's t for differences of cross-validation, whose folds share training samples (Nadeau and Bengio 2003,
// section 3): the variance of the mean is (1/n + ratio) sd^2, where `ratio` is validation over training samples of a
// fold.
struct corrected_t {
    double ratio, standard_error, t, p; // t and p are NaN when all differences are the same
    double ci_low, ci_high;             // 95 %
};
struct corrected_t statistics_corrected(const struct paired_statistics *s, double ratio);

// |d_z| from which a paired t-test of n differences rejects at 5 %: the 97.5 % point of t over sqrt(n).
double statistics_least_effect(size_t n);

// Holm's step-down adjustment (Holm 1979) of `count` p values for the family that they are; NaN stays out of it.
NODISCARD enum status statistics_holm(const double *p, size_t count, double *adjusted, struct error *err);

// "large", "medium", "small" or "negligible" by Cohen's thresholds 0.8, 0.5 and 0.2.
const char *statistics_effect_name(double cohen_d);

#endif
