#include "results/statistics_exact.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

// Differences of decimal fractions that are equal on paper are not in binary: sums and magnitudes that are equal but
// for rounding count as equal.
static const double rounding = 1e-12;

double exact_largest_magnitude(const double *x, size_t n) {
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(x[i]));
    return largest;
}

// Pattern and opposite have the same |sum|, so that the last sign stays.
double exact_sign_flips(const double *difference, size_t n) {
    if (n == 0 || n > STATISTICS_MAX_EXACT)
        return NAN;
    double observed = 0;
    for (size_t i = 0; i < n; i++)
        observed += difference[i];
    double least = fabs(observed) - rounding * (double)n * exact_largest_magnitude(difference, n);
    uint32_t patterns = (uint32_t)1 << (n - 1), as_far = 0;
    for (uint32_t pattern = 0; pattern < patterns; pattern++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++)
            sum += pattern >> i & 1 ? -difference[i] : difference[i];
        as_far += fabs(sum) >= least;
    }
    return (double)as_far / patterns;
}

static int by_magnitude(const void *a, const void *b) {
    double x = fabs(*(const double *)a), y = fabs(*(const double *)b);
    return (x > y) - (x < y);
}

// Twice the rank of every sorted difference (whole numbers also where ranks are shared). Fills the sums and ties.
static void rank_differences(const double *sorted, size_t n, double tolerance, size_t *twice_rank,
                             struct signed_ranks *out) {
    for (size_t first = 0, after; first < n; first = after) {
        for (after = first + 1; after < n && fabs(sorted[after]) - fabs(sorted[after - 1]) <= tolerance;)
            after++;
        out->ties += after - first > 1 ? after - first : 0;
        for (size_t i = first; i < after; i++) {
            twice_rank[i] = first + after + 1;
            *(sorted[i] > 0 ? &out->w_plus : &out->w_minus) += (double)twice_rank[i] / 2;
        }
    }
}

// The share of the 2^n subsets of the ranks whose sum is at most `limit` (twice the rank sum), by counting the subsets
// of every sum. `ways`: room for the sum of all and one more.
static double share_of_sums(const size_t *twice_rank, size_t n, size_t limit, double *ways) {
    size_t total = 0;
    ways[0] = 1;
    for (size_t i = 0; i < n; i++) {
        for (size_t sum = total + 1; sum <= total + twice_rank[i]; sum++)
            ways[sum] = 0;
        total += twice_rank[i];
        for (size_t sum = total; sum >= twice_rank[i]; sum--)
            ways[sum] += ways[sum - twice_rank[i]];
    }
    double below = 0;
    for (size_t sum = 0; sum <= limit; sum++)
        below += ways[sum];
    return ldexp(below, -(int)n);
}

enum status exact_signed_ranks(const double *difference, size_t n, struct signed_ranks *out, struct error *err) {
    double *sorted = malloc((n + 1) * sizeof *sorted), *ways = calloc(n * (n + 1) + 1, sizeof *ways);
    size_t *twice_rank = calloc(n + 1, sizeof *twice_rank);
    double tolerance = rounding * exact_largest_magnitude(difference, n);
    *out = (struct signed_ranks){.p = NAN};
    bool room = sorted && ways && twice_rank;
    for (size_t i = 0; i < n && room; i++) {
        if (fabs(difference[i]) <= tolerance)
            out->zeros++;
        else
            sorted[out->used++] = difference[i];
    }
    if (room) {
        qsort(sorted, out->used, sizeof *sorted, by_magnitude);
        rank_differences(sorted, out->used, tolerance, twice_rank, out);
    }
    out->least = ldexp(2, -(int)out->used);
    if (room && out->used > 0 && out->used <= STATISTICS_MAX_WILCOXON) {
        size_t smaller = (size_t)(2 * fmin(out->w_plus, out->w_minus)); // the distribution is symmetric
        out->p = fmin(1, 2 * share_of_sums(twice_rank, out->used, smaller, ways));
    }
    free(sorted);
    free(ways);
    free(twice_rank);
    return room ? STATUS_OK : error_memory(err, "signed ranks");
}
