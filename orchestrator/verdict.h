// The verdict on a run: a small INI file that says how it stands or how it has ended.
//
// mpirun's exit code is no verdict: with --enable-recovery it is always 0, and a killed job has none. So rank 0 writes
// `status` in the run folder by rename: state, exit-code, process, host, message. Where the environment variable
// GRIDFOLD_STATUS names another file it writes that too, from its first moment on, and touches it every few seconds:
// `gridfold launch` watches it. Rank 0 writes; any process reads.
#ifndef GRIDFOLD_ORCHESTRATOR_VERDICT_H
#define GRIDFOLD_ORCHESTRATOR_VERDICT_H

#include <stdbool.h>

#include "model/base/status.h"

#define VERDICT_STATES(X)                                                                                              \
    X(STARTING, "starting")     /* reading the sweep and its dataset */                                                \
    X(RUNNING, "running")       /* handing out trials */                                                               \
    X(FINISHING, "finishing")   /* writing the final files and the report */                                           \
    X(DONE, "done")             /* every trial has its row */                                                          \
    X(ALL_FAILED, "all-failed") /* every trial has its row, and all have failed */                                     \
    X(STOPPED, "stopped")       /* asked to stop, or out of time: the same command goes on */                          \
    X(TERMINATED, "terminated") /* the same after SIGTERM, which is also what mpirun sends when it gives a job up */   \
    X(NO_WORKERS, "no-workers") /* every worker is lost: the same command goes on */                                   \
    X(BUSY, "busy")             /* another process holds the run folder */                                             \
    X(ERROR, "error")           /* bad input or an error of the orchestrator */

enum verdict_state {
#define X(name, text) VERDICT_##name,
    VERDICT_STATES(X)
#undef X
};

#define VERDICT_VARIABLE "GRIDFOLD_STATUS"

struct verdict {
    enum verdict_state state;
    int exit_code;                    // of a final state
    long process;                     // of rank 0
    char host[64];                    // and where it runs
    char message[ERROR_MESSAGE_SIZE]; // one line, may be empty
};

bool verdict_is_final(enum verdict_state state);
// This process on this host.
struct verdict verdict_here(enum verdict_state state, int exit_code, const char *message);

NODISCARD enum status verdict_write(const char *path, const struct verdict *v, struct error *err);
// STATUS_NOT_FOUND, STATUS_FORMAT.
NODISCARD enum status verdict_read(const char *path, struct verdict *v, struct error *err);

#endif
