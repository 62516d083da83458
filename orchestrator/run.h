// `gridfold run`: plans a sweep and drives it to its end, in one process or as rank 0 of an MPI job; the other ranks
// run agents.
#ifndef GRIDFOLD_ORCHESTRATOR_RUN_H
#define GRIDFOLD_ORCHESTRATOR_RUN_H

#include "orchestrator/sweep_file.h"

// How a run ended; also the process's exit code.
enum run_exit {
    RUN_OK = 0,       // every trial has its row (failed rows included, unless all have failed)
    RUN_ERROR = 1,    // bad input or an error of the orchestrator
    RUN_STOPPED = 75, // stopped by a signal, to be resumed by the same command (EX_TEMPFAIL)
};

// Called on every rank with the same command line; starts and ends MPI itself when under mpirun (decided by the
// launcher's environment). Rank 0 parses, plans and masters; others serve. `sweep` is NULL on ranks other than 0.
int run_sweep(int argc, char **argv,
              enum status (*load)(int argc, char **argv, struct sweep **sweep, struct error *err));

// Whether this sweep can run at all, as far as its file and its dataset tell; writes nothing.
NODISCARD enum status run_check(const struct sweep *sweep, struct error *err);

// The hidden verb `gridfold trainer`: the trainer process under a rank; speaks on file descriptor 3.
int run_trainer_process(void);
// And `gridfold trainer member`: another member of its group.
int run_trainer_member(void);
// And `gridfold trainer devices [memory]`: prints the GPUs for worker/devices.h.
int run_trainer_devices(bool memory);

#endif
