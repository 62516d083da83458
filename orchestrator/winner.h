// The one rule of who wins a grid; the plan and `from = RUN_DIR` both ask here.
#ifndef GRIDFOLD_ORCHESTRATOR_WINNER_H
#define GRIDFOLD_ORCHESTRATOR_WINNER_H

#include <stddef.h>

#include "model/base/status.h"

// Row i is of grid point point[i] (0 .. points-1) on some fold, with best_iou[i]; NaN: it has none and does not count;
// minus infinity: it was stopped early, and its point does not count.
// The point with the highest mean over its counting rows wins; of equals the first. *winner -1: no row counts.
NODISCARD enum status winner_point(int points, size_t rows, const int *point, const double *best_iou, int *winner,
                                   struct error *err);

#endif
