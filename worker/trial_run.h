// One trial by whatever trains it: the embedded trainer, a program, or nothing (worker/trial_program.h).
#ifndef GRIDFOLD_WORKER_TRIAL_RUN_H
#define GRIDFOLD_WORKER_TRIAL_RUN_H

#include "worker/trainer.h"

// As trainer_run; `t` is used by the embedded trainer alone.
NODISCARD enum status trial_run(trainer *t, const struct trial *trial, const struct trainer_hooks *hooks,
                                struct trial_result *result, struct error *err);

#endif
