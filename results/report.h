// `gridfold report` and `gridfold compare`: the tables of the experiment report, as Markdown and CSV.
#ifndef GRIDFOLD_RESULTS_REPORT_H
#define GRIDFOLD_RESULTS_REPORT_H

#include <stdio.h>

#include "model/base/status.h"

// Writes report.md and one CSV a table for the run folders (Phase 1 and Phase 2 may be one run or several) into out_dir
// (NULL: <first run>/report), and the same tables as text to `terminal` when it is not NULL.
NODISCARD enum status report_write(const char *const *runs, int run_count, const char *out_dir, FILE *terminal,
                                   struct error *err);

// Paired statistics of two fold columns: FOLDS.csv with columns config, fold, best_iou[, best_f1 ...] and two config
// names; or two files.
NODISCARD enum status compare_folds(const char *folds_csv, const char *baseline, const char *candidate, FILE *out,
                                    struct error *err);
NODISCARD enum status compare_files(const char *a_csv, const char *b_csv, FILE *out, struct error *err);

#endif
