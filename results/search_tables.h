// The tables of Phase 1: one a grid.
#ifndef GRIDFOLD_RESULTS_SEARCH_TABLES_H
#define GRIDFOLD_RESULTS_SEARCH_TABLES_H

#include "results/run_data.h"
#include "results/table.h"

// "phase1_<grid>" for every grid of the run, in the order of trials.csv: a row a grid point, with the hyperparameters
// that vary in the grid, IoU and F1 (mean +- population standard deviation where a point ran on several folds), the
// difference to the first row, parameters and status. The point with the highest mean IoU of those whose folds are all
// done is bold. *grids: how many tables there are.
NODISCARD enum status search_tables_add(document *doc, const struct run_data *run, size_t *grids, struct error *err);

#endif
