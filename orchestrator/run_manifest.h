// What a run folder says of itself: sweep.ini and manifest.ini. Internal to run_folder.
#ifndef GRIDFOLD_ORCHESTRATOR_RUN_MANIFEST_H
#define GRIDFOLD_ORCHESTRATOR_RUN_MANIFEST_H

#include "orchestrator/run_folder.h"

// Compares the sweep.ini in `folder` with this sweep and writes it as run. *there: one was there.
NODISCARD enum status manifest_check_sweep(const char *folder, const struct sweep *sweep, bool *there,
                                           struct error *err);

struct manifest {
    int starts;  // recorded starts
    int threads; // of the first one; 0: none
};
// All zero when there is no manifest.ini.
NODISCARD enum status manifest_read(const char *folder, struct manifest *m, struct error *err);
// Adds a section for this start; the first one adds what is true of all.
NODISCARD enum status manifest_add_start(const char *folder, const struct sweep *sweep, const struct manifest *m,
                                         const struct run_folder_start *start, struct error *err);

void manifest_time(char out[32]); // now, ISO 8601 UTC

#endif
