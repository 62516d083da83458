// `gridfold launch`: a sweep under mpirun that is brought to its end whatever dies on the way.
//
// Open MPI takes a job down with its first dead rank, or (--enable-recovery) goes on without it but forgets every exit
// code; a host that is gone ends the job either way, and may not be named again. The launcher starts mpirun with the
// settings that matter, watches what rank 0 writes (orchestrator/verdict.h), leaves out hosts that do not answer, and
// runs the same command again until the sweep is done.
#ifndef GRIDFOLD_ORCHESTRATOR_LAUNCH_H
#define GRIDFOLD_ORCHESTRATOR_LAUNCH_H

#include "orchestrator/launch_hosts.h"
#include "orchestrator/sweep_file.h"

struct launch_config {
    const struct sweep *sweep;
    const char *const *words; // of the sweep: SWEEP.ini key=value ...
    int word_count;
    struct launch_hosts *hosts;
    const char *remote_shell;        // for mpirun to start its daemons with; NULL: as it is set up
    const char *probe;               // with a host's name and `true` behind it, says whether the host answers
    const char *mpirun;              // its path
    const char *const *mpirun_words; // more options for it
    int mpirun_word_count;
    int ranks;        // the master among them; 0: one more than slots
    int max_restarts; // in a row without a new epoch or row
};

// Returns the exit code: 0 done, 75 stopped and to be gone on with, 1 given up or an error (which has been said).
int launch_sweep(const struct launch_config *config);

#endif
