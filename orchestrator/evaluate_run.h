// `gridfold evaluate RUN_DIR`: the folds' best checkpoints of a configuration on a split, and what they say together.
//
// test: every fold's checkpoint sees the same held-out samples; their ensemble has the mean of their probabilities.
// val: every fold's checkpoint sees the samples that it was not trained on; "out of fold" pools them. Definitions:
// docs/evaluation.md. One thread.
#ifndef GRIDFOLD_ORCHESTRATOR_EVALUATE_RUN_H
#define GRIDFOLD_ORCHESTRATOR_EVALUATE_RUN_H

#include <stdio.h>

#include "worker/dataset/loader.h"

struct evaluate_run_config {
    const char *folder;
    const char *config;  // a configuration or grid point's label; NULL: the sweep's [compare] pair, else the winner
    const char *dataset; // NULL: the run's
    const char *out;     // where the files go; NULL: FOLDER/report/<split>
    enum split split;    // SPLIT_TEST or SPLIT_VAL
    const char *backend;
    int threads, batch_size;
};

// Writes <split>_folds.csv, _summary.csv, _levels.csv, _samples.csv, _threshold.csv, _calibration.csv and, where GDAL
// has PNG, qualitative_{best,median,worst}.png of the last configuration; prints the tables to `terminal`.
// STATUS_NOT_FOUND when no trial of the configuration is done or a checkpoint is missing; STATUS_MISMATCH when a
// checkpoint is another trial's, or the run's dataset has changed.
NODISCARD enum status evaluate_run(const struct evaluate_run_config *config, FILE *terminal, struct error *err);

#endif
