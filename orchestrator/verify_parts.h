// The parts of verify.c, which calls them in turn. Internal to it.
#ifndef GRIDFOLD_ORCHESTRATOR_VERIFY_PARTS_H
#define GRIDFOLD_ORCHESTRATOR_VERIFY_PARTS_H

#include "orchestrator/run_status.h"
#include "orchestrator/verify.h"
#include "worker/dataset/dataset.h"

// What is known of the run. What is damaged is left out: NULL or no rows, and its bool false.
struct verification {
    const char *folder;
    FILE *out;
    struct verify_result *result;
    struct sweep *sweep;
    dataset *ds;
    struct swept_columns swept;
    struct trial_row *trials;
    size_t trial_count;
    struct metric_columns own;
    struct epoch_row *epochs; // in the order of the file
    size_t epoch_count;
    const struct epoch_row **by_trial; // the same, sorted by trial, then epoch
    bool trials_read, epochs_read;
    struct run_status standing; // standing.sweep NULL: the files cannot all be read
};

void verify_finding(struct verification *v, const char *format, ...) __attribute__((format(printf, 2, 3)));
void verify_note(struct verification *v, const char *format, ...) __attribute__((format(printf, 2, 3)));

// The epochs of a trial in v->by_trial: *count of them from the returned place on.
const struct epoch_row *const *verify_epochs_of(const struct verification *v, const char *trial, size_t *count);

// The hyperparameters of a row; false (and nothing said) when a value is none of theirs.
bool verify_hyperparameters(const struct verification *v, const struct trial_row *row, struct hyperparameters *hp);

// Each fails for want of memory alone.
NODISCARD enum status verify_read_tables(struct verification *v, struct error *err);
NODISCARD enum status verify_folds(struct verification *v, struct error *err);
NODISCARD enum status verify_trials(struct verification *v, struct error *err);
void verify_epochs(struct verification *v);
void verify_rungs(struct verification *v);
void verify_checkpoints(struct verification *v);

#endif
