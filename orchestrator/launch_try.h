// One mpirun of a launch: started, watched, and ended with everything that belongs to it. Internal to the launcher.
//
// What became of the sweep is what rank 0 says in its status file (orchestrator/verdict.h), never mpirun's exit code. A
// job that no longer does anything is ended: rank 0 gone without a verdict, or silent; nothing begun in time; mpirun
// lingering after the verdict, or after a stop.
#ifndef GRIDFOLD_ORCHESTRATOR_LAUNCH_TRY_H
#define GRIDFOLD_ORCHESTRATOR_LAUNCH_TRY_H

#include "orchestrator/verdict.h"

struct launch_patience {
    double start;  // from mpirun's start to rank 0's first word
    double work;   // for reading the sweep and its dataset, and for the report
    double beat;   // between signs of life of a running rank 0
    double stop;   // from a stop to the verdict
    double linger; // from the verdict to mpirun's end
    double kill;   // from TERM to KILL
};

struct launch_try {
    bool judged, began;     // rank 0 has given its verdict; has said anything at all
    struct verdict verdict; // the last that it said
    bool stopped;           // a signal asked for it
    int wait_status;        // of mpirun
    const char *trouble;    // why it was ended; NULL: it ended by itself
};

// Runs argv to its end. `status_path` is where rank 0 writes; what stands there is removed first. Afterwards no process
// of this try is left on this host. An error: mpirun cannot be started.
NODISCARD enum status launch_try_run(char *const *argv, const char *status_path, const struct launch_patience *patience,
                                     struct launch_try *t, struct error *err);

#endif
