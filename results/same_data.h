// Whether two results were trained and validated on the same samples.
#ifndef GRIDFOLD_RESULTS_SAME_DATA_H
#define GRIDFOLD_RESULTS_SAME_DATA_H

#include "results/run_data.h"

// Two folds.csv have every sample in the same fold. *why: of false, a clause ("sample '07' is in fold 1 of one ...").
bool same_samples(const struct csv_table *a, const struct csv_table *b, char *why, size_t size);
// Two runs: by folds.csv, else by dataset, seed and number of folds where both state them.
bool same_data(const struct run_data *a, const struct run_data *b, char *why, size_t size);

#endif
