// Tables of paired statistics: two configurations, and several against one.
#ifndef GRIDFOLD_RESULTS_STATISTICS_TABLES_H
#define GRIDFOLD_RESULTS_STATISTICS_TABLES_H

#include "results/fold_series.h"
#include "results/statistics.h"
#include "results/table.h"

// The differences candidate - baseline in best IoU. Errors of fold_series_check_pairs and statistics_paired.
NODISCARD enum status statistics_of_pair(const struct fold_series *baseline, const struct fold_series *candidate,
                                         struct paired_statistics *out, struct error *err);

// "statistics", with what the number of folds can and cannot show. `ratio`: validation over training samples of a fold,
// for the corrected t; NaN: as if these folds were all there are, 1 / (folds - 1).
void statistics_tables_add_pair(document *doc, const struct metric *m, const struct paired_statistics *s, double ratio);

// "multiple_<name>": every series but the first against the first, with p values corrected for their number (Holm). A
// series that cannot be paired has its reason in place of numbers. Nothing for fewer than three series, or none that
// can be paired.
NODISCARD enum status statistics_tables_add_multiple(document *doc, const char *name,
                                                     const struct fold_series *const *series, size_t count,
                                                     struct error *err);

#endif
