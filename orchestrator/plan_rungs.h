// The rungs of a sweep with method = asha, and what they cost in epochs: `gridfold plan`.
#ifndef GRIDFOLD_ORCHESTRATOR_PLAN_RUNGS_H
#define GRIDFOLD_ORCHESTRATOR_PLAN_RUNGS_H

#include <stdio.h>

#include "orchestrator/plan.h"

// A table of an expanded grid's rungs; nothing where the method is another.
void plan_rungs_print(const struct plan *plan, int grid, FILE *out);
// The epochs that the first trial is trained to at first; 0: not known.
int plan_rungs_first(const struct plan *plan);

#endif
