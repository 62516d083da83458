// run-cap: which trials of a plan are run where a sweep may run so many at most.
//
// Configurations are taken in the order of the plan, each with all its folds or not at all, until the next one no
// longer fits; with method = random the points of a [grid] come in an order that is drawn from the seed. A trial that
// an earlier configuration has brought costs nothing. So the choice depends on the sweep file alone, and a larger cap
// chooses the same trials and more. Pure.
#ifndef GRIDFOLD_ORCHESTRATOR_RUN_CAP_H
#define GRIDFOLD_ORCHESTRATOR_RUN_CAP_H

#include "orchestrator/plan.h"

// Sets plan_trial.withheld of every trial and plan->withheld. To be called whenever the plan has grown.
NODISCARD enum status run_cap_apply(struct plan *plan, struct error *err);

#endif
