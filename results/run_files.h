// The files of a run folder and their columns, one struct a row. The master writes them; report, status and resume read
// them.
#ifndef GRIDFOLD_RESULTS_RUN_FILES_H
#define GRIDFOLD_RESULTS_RUN_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "results/csv_file.h"

enum { RUN_ID_SIZE = 17, RUN_NAME_SIZE = 160, RUN_TEXT_SIZE = 1024, RUN_MAX_SWEPT = 40 };
enum { RUN_MAX_METRICS = 16, RUN_METRIC_SIZE = 48 };

// Columns of epochs.csv beyond the fixed ones: metrics of a program that is not the embedded trainer.
struct metric_columns {
    int count;
    char name[RUN_MAX_METRICS][RUN_METRIC_SIZE];
};

// epochs.csv: trial, config, fold, epoch, lr, train_loss, train_iou, train_f1, val_loss, val_iou, val_f1,
// val_precision, val_recall, grad_norm, <the sweep's own metrics>
struct epoch_row {
    char trial[RUN_ID_SIZE], config[RUN_NAME_SIZE];
    int fold, epoch;
    double lr, train_loss, train_iou, train_f1, val_loss, val_iou, val_f1, val_precision, val_recall, grad_norm;
    double own[RUN_MAX_METRICS]; // in the order of the file's own columns
};
bool epoch_column_is_fixed(const char *name); // of a number
// The member that a column stands for; NULL: the file has no such column. A row of NaN everywhere: epoch_row_empty.
double *epoch_row_value(struct epoch_row *row, const struct metric_columns *own, const char *name);
// The same, read; NaN where the file has no such column.
double epoch_row_number(const struct epoch_row *row, const struct metric_columns *own, const char *name);
void epoch_row_empty(struct epoch_row *row);

// trials.csv: trial, grid, config, fold, <every swept hyperparameter>, status, best_iou, best_epoch, best_f1,
// final_iou, train_val_gap, parameters, epochs_run, error. Where another metric than val_iou decides, best_METRIC and
// final_METRIC stand for best_iou and final_iou. A trial that stands in several grids has a row for each.
// grid is empty for [config NAME] trials.
struct trial_row {
    char trial[RUN_ID_SIZE], grid[RUN_NAME_SIZE], config[RUN_NAME_SIZE];
    int fold;
    int swept_count;
    const char *swept[RUN_MAX_SWEPT];                   // values in the order of the run's swept columns
    char status[16];                                    // done, failed, diverged, stopped
    double best_iou, best_f1, final_iou, train_val_gap; // fractions; NaN: none
    int best_epoch, epochs_run;                         // best_epoch -1: none (empty in the file)
    int64_t parameters;
    const char *error;
};

// events.csv: time, trial, epoch, event, host, worker, device, attempt, seconds, detail
struct event_row {
    char time[32]; // ISO 8601 UTC
    char trial[RUN_ID_SIZE];
    int epoch;      // -1: none
    char event[24]; // planned, assigned, resumed, epoch, done, lost, retried, failed, stopped
    char host[64];
    int worker; // rank, -1: none
    char device[112];
    int attempt;
    double seconds;
    char detail[RUN_TEXT_SIZE];
};

// The swept columns of a run: hyperparameter column names, in the order of the hyperparameter table.
struct swept_columns {
    int count;
    char name[RUN_MAX_SWEPT][64];
    char metric[RUN_METRIC_SIZE];                                             // the one that decides; "": val_iou
    char best_column[RUN_METRIC_SIZE + 8], final_column[RUN_METRIC_SIZE + 8]; // where it is not val_iou
};
void swept_set_metric(struct swept_columns *swept, const char *metric);

// `own` NULL: no columns of the sweep's own.
NODISCARD enum status epochs_open(const char *path, const struct metric_columns *own, csv_log **log, struct error *err);
NODISCARD enum status epochs_append(csv_log *log, const struct epoch_row *row, struct error *err);
// *own (may be NULL) becomes the file's own columns; free(*rows).
NODISCARD enum status epochs_read(const char *path, struct metric_columns *own, struct epoch_row **rows, size_t *count,
                                  struct error *err);
// The whole file anew: rows one by one, then csv_writer_commit, or csv_writer_abandon.
NODISCARD enum status epochs_rewrite(const char *path, const struct metric_columns *own, csv_writer **w,
                                     struct error *err);
NODISCARD enum status epochs_rewrite_row(csv_writer *w, const struct metric_columns *own, const struct epoch_row *row,
                                         struct error *err);

NODISCARD enum status trials_open(const char *path, const struct swept_columns *swept, csv_log **log,
                                  struct error *err);
NODISCARD enum status trials_append(csv_log *log, const struct trial_row *row, struct error *err);
// free(*rows) frees their texts too.
NODISCARD enum status trials_read(const char *path, struct swept_columns *swept, struct trial_row **rows, size_t *count,
                                  struct error *err);
NODISCARD enum status trials_rewrite(const char *path, const struct swept_columns *swept, csv_writer **w,
                                     struct error *err);
NODISCARD enum status trials_rewrite_row(csv_writer *w, const struct swept_columns *swept, const struct trial_row *row,
                                         struct error *err);

NODISCARD enum status events_open(const char *path, csv_log **log, struct error *err);
NODISCARD enum status events_append(csv_log *log, const struct event_row *row, struct error *err);
NODISCARD enum status events_read(const char *path, struct event_row **rows, size_t *count, struct error *err);

// folds.csv: sample, change_level, positive_share, fold ("test" for held-out samples). Written once by rename.
struct fold_row {
    const char *sample, *change_level;
    double positive_share;
    int fold; // -1: test
};
NODISCARD enum status folds_write(const char *path, const struct fold_row *rows, size_t count, struct error *err);

#endif
