// Trials by any program: started once a trial, told its hyperparameters by arguments and environment, read by the CSV
// lines that it prints. docs/command-trainer.md is its contract with users.
//
// The program is a child in a process group of its own; its standard error, and what it prints that is no CSV line of
// its metrics, goes to output.log in the trial's folder. One thread.
#ifndef GRIDFOLD_WORKER_COMMAND_TRAINER_H
#define GRIDFOLD_WORKER_COMMAND_TRAINER_H

#include "worker/trainer.h"

// As trainer_run. What is wrong with the program (its exit code, what it prints) is a failed trial; STATUS_IO: the
// trial's folder cannot be written.
NODISCARD enum status command_trainer_run(const struct trial *trial, const struct trainer_hooks *hooks,
                                          struct trial_result *result, struct error *err);

#endif
