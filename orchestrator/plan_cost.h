// What one trial costs, and whether it can run at all. Internal to the plan.
#ifndef GRIDFOLD_ORCHESTRATOR_PLAN_COST_H
#define GRIDFOLD_ORCHESTRATOR_PLAN_COST_H

#include "orchestrator/plan.h"

// Folds of the sweep and estimates of architectures already met. STATUS_INVALID when the dataset cannot give the folds.
NODISCARD enum status plan_costs_create(const struct sweep *sweep, const dataset *ds, struct plan_costs **costs,
                                        struct error *err);
void plan_costs_destroy(struct plan_costs *costs);

// Fills cost, work and refused of a trial whose hp and fold are set. What a program other than the embedded trainer
// costs is not known: all of its trials are one unit of work. What is no verdict on the
// trial is an error: STATUS_MEMORY, STATUS_IO.
NODISCARD enum status plan_costs_estimate(struct plan_costs *costs, const dataset *ds, struct plan_trial *trial,
                                          struct error *err);

#endif
