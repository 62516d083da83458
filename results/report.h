// `gridfold report` and `gridfold compare`: the tables of the experiment report, as Markdown, HTML and CSV.
#ifndef GRIDFOLD_RESULTS_REPORT_H
#define GRIDFOLD_RESULTS_REPORT_H

#include <stdio.h>

#include "model/base/status.h"

struct report_config {
    const char *const *run; // run folders, or CSV files of results from elsewhere (run_data_read_external)
    int runs;
    const char *out_dir;              // NULL: report/ in the first run's folder
    const char *baseline, *candidate; // configurations to compare; NULL: those of [compare]
    FILE *terminal;                   // gets the tables as text; NULL: nobody
};
// Writes report.html, report.md, one CSV a table and plots/ for the runs (Phase 1 and Phase 2 may be one or several).
// Without gnuplot one line says so and there are no plots.
NODISCARD enum status report_write(const struct report_config *config, struct error *err);

// Paired statistics of two fold columns: FOLDS.csv with columns config, fold, best_iou[, best_f1 ...] and two config
// names; or two files. STATUS_MISMATCH when the files lie in run folders whose folds.csv differ.
NODISCARD enum status compare_folds(const char *folds_csv, const char *baseline, const char *candidate, FILE *out,
                                    struct error *err);
NODISCARD enum status compare_files(const char *a_csv, const char *b_csv, FILE *out, struct error *err);

#endif
