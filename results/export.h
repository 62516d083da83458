// A run in the forms of other programs: `gridfold export`.
#ifndef GRIDFOLD_RESULTS_EXPORT_H
#define GRIDFOLD_RESULTS_EXPORT_H

#include "results/run_data.h"

// TensorBoard: a folder a trial (FOLDER/<label>,fold=<k>,<trial>) with one event file: scalars by epoch, and the
// HParams of the trial (its swept values and fold). Times are those of events.csv. *trials: how many. STATUS_IO,
// STATUS_NOT_FOUND when the run has no epochs.
NODISCARD enum status export_tensorboard(const struct run_data *run, const char *folder, size_t *trials,
                                         struct error *err);

// Optuna: a journal file (optuna.storages.JournalStorage) with one study, named as the run, of the best value of the
// metric that decides. A trial of the run is a trial of the study: swept values as parameters, validation IoU by epoch
// as intermediate values, configuration, fold and id as user attributes; failed and diverged ones are FAIL, stopped
// ones PRUNED.
NODISCARD enum status export_optuna(const struct run_data *run, const char *path, size_t *trials, struct error *err);

// Seconds since 1970 of the trial's event; `epoch` -1: its first event. 0: there is none.
double export_time(const struct run_data *run, const char *trial, int epoch);

// The first row of each trial: rows[run->trials], *count of them. Of a trial in several grids the first stands for all.
void export_rows(const struct run_data *run, const struct trial_row **rows, size_t *count);

#endif
