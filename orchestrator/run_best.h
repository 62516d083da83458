// The winner of a finished run: `gridfold best`, and what evaluate, predict and export take when a run is named.
//
// A point is a configuration or a grid point: rows of trials.csv with one grid, label and set of swept values, a row a
// fold. Of the points that are done on the most folds, the one with the highest mean best IoU wins; of equals the
// first. A mean over five folds thus stands above a single fold's, however high that one is. One thread.
#ifndef GRIDFOLD_ORCHESTRATOR_RUN_BEST_H
#define GRIDFOLD_ORCHESTRATOR_RUN_BEST_H

#include "orchestrator/sweep_file.h"
#include "results/run_data.h"

struct best_point {
    const struct trial_row *fold[SWEEP_MAX_FOLDS]; // its rows that are done, by ascending fold
    int count;
    double mean_iou;
};

// `grid` and `config`: NULL, or only rows of this grid, of this configuration or grid point's label. STATUS_NOT_FOUND
// when no such row is done; the message lists what there is. Pointers are into `run`.
NODISCARD enum status run_best(const struct run_data *run, const char *grid, const char *config,
                               struct best_point *best, struct error *err);

// The row of the fold with the best best_iou.
const struct trial_row *best_point_fold(const struct run_data *run, const struct best_point *best);

// All hyperparameters of a row: those of sweep.ini's [base], with the row's swept values over them. Swept columns that
// are no hyperparameters of the embedded trainer are passed over.
NODISCARD enum status run_row_hyperparameters(const struct run_data *run, const struct sweep *sweep,
                                              const struct trial_row *row, struct hyperparameters *hp,
                                              struct error *err);

// FOLDER/trials/<id>/<name>.
NODISCARD enum status run_trial_path(const struct run_data *run, const char *trial, const char *name,
                                     char path[PATH_SIZE], struct error *err);

#endif
