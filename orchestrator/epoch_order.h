// The final order of epochs.csv. Internal to run_folder.
#ifndef GRIDFOLD_ORCHESTRATOR_EPOCH_ORDER_H
#define GRIDFOLD_ORCHESTRATOR_EPOCH_ORDER_H

#include "orchestrator/plan.h"

// Rewrites the file by rename: trials in the order of their first rows in the plan, epochs ascending, of equal (trial,
// epoch) the first; of a program that was started anew only what it told last. Rows of trials that are not in the plan
// are dropped.
NODISCARD enum status epoch_order_rewrite(const char *path, const struct plan *plan, struct error *err);

#endif
