// What a run folder holds, read whole for the report. A folder need not have every file.
#ifndef GRIDFOLD_RESULTS_RUN_DATA_H
#define GRIDFOLD_RESULTS_RUN_DATA_H

#include <stdbool.h>

#include "model/base/file.h"
#include "results/run_files.h"

struct run_fact {
    char *key, *value;
};

struct run_data {
    char folder[PATH_SIZE];
    char name[RUN_NAME_SIZE];                               // [sweep] name, else the folder's
    char baseline[RUN_NAME_SIZE], candidate[RUN_NAME_SIZE]; // [compare]; "": none
    struct run_fact *fact;                                  // [sweep] and [folds] of sweep.ini, then manifest.ini
    size_t facts;
    struct swept_columns swept;
    struct trial_row *trial; // of a trial that stands several times in one grid the last row
    size_t trials;
    struct epoch_row *epoch;
    size_t epochs;
    struct csv_table events; // columns 0: no events.csv
    struct csv_table folds;  // columns 0: no folds.csv
};

// STATUS_NOT_FOUND when it is no folder or holds neither trials.csv, epochs.csv, folds.csv nor sweep.ini; STATUS_FORMAT
// from their readers.
NODISCARD enum status run_data_read(const char *folder, struct run_data *run, struct error *err);
void run_data_free(struct run_data *run);

// How far a trial that has no row in trials.csv came.
struct unfinished_trial {
    char trial[RUN_ID_SIZE], config[RUN_NAME_SIZE];
    int fold;
    int epochs;      // rows in epochs.csv
    double best_iou; // so far
};
// Trials of epochs.csv without a row in trials.csv (free(*trials)). *not_started: those that events.csv planned and no
// other file knows.
NODISCARD enum status run_data_unfinished(const struct run_data *run, struct unfinished_trial **trials, size_t *count,
                                          size_t *not_started, struct error *err);

#endif
