// A run in the forms of other programs: `gridfold export`.
#ifndef GRIDFOLD_RESULTS_EXPORT_H
#define GRIDFOLD_RESULTS_EXPORT_H

#include "results/run_data.h"

// TensorBoard: a folder a trial (FOLDER/<label>,fold=<k>,<trial>) with one event file: scalars by epoch, and the
// HParams of the trial (its swept values and fold). A program's own metrics are scalars of their own names. Times are
// those of events.csv. *trials: how many. STATUS_IO, STATUS_NOT_FOUND when the run has no epochs.
NODISCARD enum status export_tensorboard(const struct run_data *run, const char *folder, size_t *trials,
                                         struct error *err);

// Optuna: a journal file (optuna.storages.JournalStorage) with one study, named as the run, of the best value of the
// metric that decides. A trial of the run is a trial of the study: swept values as parameters, that metric by epoch as
// intermediate values; configuration, fold, id and the other metrics at the best epoch as user attributes. done is
// COMPLETE, failed, diverged and what has no value FAIL, any other status PRUNED.
NODISCARD enum status export_optuna(const struct run_data *run, const char *path, size_t *trials, struct error *err);

// When things happened, by trial; points into `run`. NULL: out of memory; free() it.
typedef struct export_times export_times;
export_times *export_times_create(const struct run_data *run);
// Seconds since 1970 of the trial's event of this epoch; `epoch` -1: of its first event. 0: there is none.
double export_time(const export_times *times, const char *trial, int epoch);

#endif
