// The sections of a report and what they share. Internal to results/.
#ifndef GRIDFOLD_RESULTS_REPORT_PARTS_H
#define GRIDFOLD_RESULTS_REPORT_PARTS_H

#include "results/figures.h"
#include "results/fold_series.h"
#include "results/run_data.h"
#include "results/table.h"

// One [config NAME] of one run.
struct config {
    const struct run_data *run;
    const char *name; // in its run; series.name tells it from the same name in another run
    struct fold_series series;
};

struct report {
    struct run_data *run;
    size_t runs;
    struct config *config;
    size_t configs;
    const char *baseline, *candidate; // of the command line; NULL: what [compare] names
    document *doc;
    figures *figures;
};

// Begins the picture `name` and puts it at the end of the document. NULL: out of memory, which is remembered.
FILE *report_figure(struct report *r, const char *name, int width, int height, const char *caption, ...)
    __attribute__((format(printf, 5, 6)));

// "Configuration and data": the runs, their hyperparameters, what is wrong with their files, samples by fold.
NODISCARD enum status report_add_configuration(struct report *r, struct error *err);
// The rows of a configuration (of [config] sections alone, or grid points too) as a fold series, with observations.
NODISCARD enum status report_gather(const struct run_data *run, const char *config, bool configs_only,
                                    struct fold_series *series, struct error *err);
// Phase 1 and 2.
NODISCARD enum status report_add_search(struct report *r, struct error *err);
NODISCARD enum status report_read_configs(struct report *r, struct error *err);
NODISCARD enum status report_add_validation(struct report *r, struct error *err);
// Held-out samples, from the files that `gridfold evaluate RUN --split test` leaves in RUN/report/test.
NODISCARD enum status report_add_held_out(struct report *r, struct error *err);
// Health of the training, unfinished trials, the rules of the observations.
NODISCARD enum status report_add_health(struct report *r, struct error *err);
// Timeline and manifest.
NODISCARD enum status report_add_provenance(struct report *r, struct error *err);

#endif
