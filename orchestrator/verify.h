// `gridfold verify RUN_DIR`: are the files of a run whole, and do they belong together?
//
// sweep.ini and manifest.ini parse; no CSV file is torn; epochs.csv has every epoch of a finished trial once, and its
// row in trials.csv says what they say; trial ids are those of their hyperparameters; folds.csv is what the dataset
// and the seed give; every checkpoint can be read, is of the trial and the architecture that it stands under, and holds
// finite numbers and its trial's epochs. Nothing is written or locked: a run under way may be verified.
#ifndef GRIDFOLD_ORCHESTRATOR_VERIFY_H
#define GRIDFOLD_ORCHESTRATOR_VERIFY_H

#include <stdio.h>

#include "model/base/status.h"

struct verify_result {
    int findings;                    // lines written to `out` that say what is wrong
    int trials, epochs, checkpoints; // looked at
};

// One line a finding to `out`, "note: ..." for what could not be looked at. Fails only when there is no run folder
// (STATUS_NOT_FOUND) or no memory.
NODISCARD enum status verify_run(const char *folder, FILE *out, struct verify_result *result, struct error *err);

#endif
