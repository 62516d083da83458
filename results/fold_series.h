// One configuration's results on its folds: from a CSV file with a column a metric, from epochs.csv, or from rows of
// trials.csv.
#ifndef GRIDFOLD_RESULTS_FOLD_SERIES_H
#define GRIDFOLD_RESULTS_FOLD_SERIES_H

#include <stdbool.h>

#include "results/metric.h"
#include "results/run_files.h"

enum { SERIES_NAME_SIZE = 256 };

struct fold_result {
    char trial[RUN_ID_SIZE]; // "": the file has no such column
    int fold;
    char status[32], reason[256];                       // "done" where the file has no such column
    double best_iou, best_f1, final_iou, train_val_gap; // fractions; NaN: none
    int best_epoch;                                     // -1: none
    char observation[512];                              // what is to be said of it; "": nothing was looked for
};

// Sorted by fold; every fold once.
struct fold_series {
    char name[SERIES_NAME_SIZE];
    struct metric metric; // of the columns that are called IoU here
    struct fold_result *fold;
    size_t count;
    char missing[128]; // folds that were to run and are not there: "3, 4"
};

bool fold_is_done(const struct fold_result *fold);

// The rows of `config`, or of the only configuration there is (NULL) in a CSV file with the columns fold and best_iou,
// and, where there, config, best_f1, best_epoch, final_iou, train_val_gap, status, error, trial (trials.csv is one), or
// in an epochs.csv. STATUS_NOT_FOUND lists the configurations that are there; STATUS_FORMAT names file and line (a fold
// that stands twice with different trials too).
NODISCARD enum status fold_series_read(const char *path, const char *config, struct fold_series *series,
                                       struct error *err);

// Rows of one configuration in a trials.csv; of a trial that stands there several times the last row counts.
// STATUS_FORMAT: two trials of one fold.
NODISCARD enum status fold_series_of_trials(const struct trial_row *const *rows, size_t count, const char *name,
                                            struct fold_series *series, struct error *err);
void fold_series_free(struct fold_series *series);

// One metric of the folds that are done, in their order: values[0 .. result-1], room for series->count. NaN where the
// metric is missing.
// FOLD_F1_OF_IOU: 2 IoU / (1 + IoU), which is the F1 of the same pixel counts.
enum fold_metric { FOLD_BEST_IOU, FOLD_BEST_F1, FOLD_FINAL_IOU, FOLD_TRAIN_VAL_GAP, FOLD_DROP, FOLD_F1_OF_IOU };
double fold_metric(const struct fold_result *fold, enum fold_metric metric); // FOLD_DROP: final - best IoU
size_t fold_series_values(const struct fold_series *series, enum fold_metric metric, double *values);

// Mean and standard deviations of a metric over the folds that are done; NaN when one of them lacks it.
struct fold_summary {
    size_t n;
    double mean, sd_population, sd_sample;
};
NODISCARD enum status fold_series_summary(const struct fold_series *series, enum fold_metric metric,
                                          struct fold_summary *summary, struct error *err);

// Two series of the same folds, all done, with a best IoU each. STATUS_INVALID names the first fold that is not so, and
// why.
NODISCARD enum status fold_series_check_pairs(const struct fold_series *baseline, const struct fold_series *candidate,
                                              struct error *err);

#endif
