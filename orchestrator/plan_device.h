// Whether this machine can compute what a plan asks for. Not part of the plan itself: that is the same on every machine
// that looks at a run.
#ifndef GRIDFOLD_ORCHESTRATOR_PLAN_DEVICE_H
#define GRIDFOLD_ORCHESTRATOR_PLAN_DEVICE_H

#include "orchestrator/plan.h"

// STATUS_UNSUPPORTED names the first configuration whose precision the CPU lacks; trials that are added later are
// refused by their trainer. Says nothing about GPUs.
NODISCARD enum status plan_check_device(const struct plan *plan, struct error *err);

#endif
