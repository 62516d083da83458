// The tables of Phase 1: one a grid.
#ifndef GRIDFOLD_RESULTS_SEARCH_TABLES_H
#define GRIDFOLD_RESULTS_SEARCH_TABLES_H

#include "results/grid.h"
#include "results/table.h"

// "phase1_<grid>": a row a grid point, with the hyperparameters that vary in the grid, IoU and F1 (mean +- population
// standard deviation where a point ran on several folds), the difference to the first row, parameters and what is to be
// observed. The point with the best mean of those whose folds are all done is bold. Where points ran on several folds
// and are three or more, "multiple_<grid>" compares each with the first.
NODISCARD enum status search_tables_add(document *doc, const struct run_data *run, const struct grid *g,
                                        struct error *err);

#endif
