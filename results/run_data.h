// What a run folder holds, read whole for the report. A folder need not have every file.
#ifndef GRIDFOLD_RESULTS_RUN_DATA_H
#define GRIDFOLD_RESULTS_RUN_DATA_H

#include <stdbool.h>
#include <stdio.h>

#include "model/base/file.h"
#include "results/metric.h"
#include "results/run_files.h"

struct run_fact {
    char *key, *value;
};
struct run_facts {
    struct run_fact *fact;
    size_t count;
};

// [grid NAME] or [random NAME] of sweep.ini.
struct run_section {
    char name[RUN_NAME_SIZE];
    long points; // configurations: `points`, or the product of its lists
    int folds;   // that it runs on; 0: those of [folds]
};

struct run_data {
    char folder[PATH_SIZE];
    char name[RUN_NAME_SIZE];                               // [sweep] name, else the folder's
    char baseline[RUN_NAME_SIZE], candidate[RUN_NAME_SIZE]; // [compare]; "": none
    struct metric metric;                                   // the one that decides
    struct run_facts settings, base, manifest; // [sweep] and [folds]; [base]; manifest.ini (keys after their section)
    struct run_facts config_folds;             // configuration and its own `folds = ...`
    struct run_section *section;               // in the order of sweep.ini
    size_t sections;
    int run_folds; // how many [folds] run names; 0: sweep.ini does not say
    struct swept_columns swept;
    struct csv_table texts;  // of external rows: what they point into
    struct trial_row *trial; // of a trial that stands several times in one grid the last row
    size_t trials;
    const struct trial_row **distinct; // the first row of every trial, by id
    size_t distinct_trials;
    struct metric_columns own; // columns of epochs.csv that are the sweep's own
    struct epoch_row *epoch;   // by trial, then by epoch; of an epoch that stands twice the last row
    size_t epochs;
    struct csv_table events; // columns 0: no events.csv
    struct csv_table folds;  // columns 0: no folds.csv
    bool external;           // one CSV file, not a folder
    char **notice;           // what is wrong with the files, a sentence each
    size_t notices;
};

// STATUS_NOT_FOUND when it is no folder or holds neither trials.csv, epochs.csv, folds.csv nor sweep.ini; STATUS_FORMAT
// when trials.csv cannot be read, or holds what is no share. Other files that cannot be read are left out, with a
// notice.
NODISCARD enum status run_data_read(const char *folder, struct run_data *run, struct error *err);
// One CSV file of results from elsewhere: fold and best_iou, and where there config, grid, status, error, trial,
// best_epoch, best_f1, final_iou, train_val_gap, parameters, epochs_run; every other column is a hyperparameter.
// `folder` is the file's, `name` its stem. STATUS_FORMAT names the line.
NODISCARD enum status run_data_read_external(const char *csv, struct run_data *run, struct error *err);
void run_data_free(struct run_data *run);
void run_data_warn(const struct run_data *run, FILE *out); // its notices, a line each

// NULL: absent.
const char *run_fact(const struct run_facts *facts, const char *key);
// The first row of the trial with this id; NULL: none.
const struct trial_row *run_data_trial(const struct run_data *run, const char *id);
// A trial may stand in several grids: its first row speaks for it. Rows of elsewhere that have no id are one trial when
// configuration, fold and hyperparameters are the same.
bool run_data_is_first(const struct run_data *run, const struct trial_row *row);
// Builds what the two above search in; `trial` is whole by now and stays where it is.
NODISCARD enum status run_data_index(struct run_data *run, struct error *err);
// The metric that decides, of an epoch; NaN where it has none.
double run_data_metric(const struct run_data *run, const struct epoch_row *epoch);
// The epochs of a trial, in order; NULL and 0 where there are none.
const struct epoch_row *run_data_epochs(const struct run_data *run, const char *trial, size_t *count);
// How many epochs a trial was to train: the swept hyperparameter, [base] epochs, or 0 where nothing says.
int run_data_planned_epochs(const struct run_data *run, const struct trial_row *trial);

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
