// Exact tests of paired differences. Internal to results/.
#ifndef GRIDFOLD_RESULTS_STATISTICS_EXACT_H
#define GRIDFOLD_RESULTS_STATISTICS_EXACT_H

#include "results/statistics.h"

// The largest |x[i]|, 0 for none.
double exact_largest_magnitude(const double *x, size_t n);

// Two-sided p of the sum of n >= 1 differences over all 2^n sign patterns: under the null hypothesis every difference
// is as likely to have the other sign. NaN for n > STATISTICS_MAX_EXACT.
double exact_sign_flips(const double *difference, size_t n);

NODISCARD enum status exact_signed_ranks(const double *difference, size_t n, struct signed_ranks *out,
                                         struct error *err);

#endif
