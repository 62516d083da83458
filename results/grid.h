// One grid of a run: its points and what their folds gave.
#ifndef GRIDFOLD_RESULTS_GRID_H
#define GRIDFOLD_RESULTS_GRID_H

#include "results/fold_series.h"
#include "results/run_data.h"

struct grid_point {
    const struct trial_row **row; // its trials, one a fold unless a file is odd; of grid.row
    size_t rows;
    struct fold_series series;
    struct fold_summary iou, f1;
};

struct grid {
    const char *name;
    const struct trial_row **row; // of all points
    struct grid_point *point;     // in the order of trials.csv
    size_t points;
    size_t folds;       // the most that a point has
    bool several_folds; // more than one
    bool varies[RUN_MAX_SWEPT];
    int varying;    // how many vary
    size_t *ranked; // points, the best first, those without a value last
    size_t winner;  // the best mean of those whose folds are all done; points: none
};

NODISCARD enum status grid_read(const struct run_data *run, const char *name, struct grid *g, struct error *err);
void grid_free(struct grid *g);
// The next grid's name in the order of trials.csv; *at: 0 at first. NULL: no more.
const char *grid_next(const struct run_data *run, size_t *at);

// The point's best value: of its only fold, or the mean of all; NaN where a fold is not done or has none.
double grid_value(const struct grid *g, size_t point);
// Which points of a large grid are shown: all of up to `most`; of more the first one, the best half of `most`, and of
// the others every k-th of the ranking down to its end. shown[point]; free it. NULL: out of memory.
bool *grid_selection(const struct grid *g, size_t most);
// "" or " Of 10000 points 500 are shown: ...".
void grid_selection_note(const struct grid *g, size_t most, char *out, size_t size);
// The values of the hyperparameters that vary: "adamw, linear, 0.003"; the configuration's name when none does.
void grid_label(const struct run_data *run, const struct grid *g, size_t point, char *out, size_t size);
// Their names: "optimizer, scheduler, lr".
void grid_axes(const struct run_data *run, const struct grid *g, char *out, size_t size);

#endif
