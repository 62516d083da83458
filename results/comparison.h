// The tables of Phase 2: one configuration's folds, two configurations on the same folds, overfitting.
#ifndef GRIDFOLD_RESULTS_COMPARISON_H
#define GRIDFOLD_RESULTS_COMPARISON_H

#include "results/fold_series.h"
#include "results/table.h"

// "phase2_<config>": best IoU, epoch and F1 of every fold, mean +- population standard deviation of those that are
// done.
NODISCARD enum status comparison_add_folds(document *doc, const struct fold_series *series, struct error *err);

// "improvement", "comparison" and "statistics". `ratio`: validation over training samples of a fold, for the corrected
// t; NaN: as if the series' folds were all there are, 1 / (folds - 1). What cannot be paired is an error of
// fold_series_check_pairs or statistics_paired.
NODISCARD enum status comparison_add_pair(document *doc, const struct fold_series *baseline,
                                          const struct fold_series *candidate, double ratio, struct error *err);

// "overfitting": best, final, drop and gap of the series that have a final IoU or a gap; no table when none has.
NODISCARD enum status comparison_add_overfitting(document *doc, const struct fold_series *const *series, size_t count,
                                                 struct error *err);

#endif
