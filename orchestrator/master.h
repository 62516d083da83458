// The master: drives a plan to its end over a transport. It turns messages into events of the scheduler, carries out
// the actions, and keeps the run folder.
//
// It neither reads sweep files nor starts MPI, and prints only through its progress display. Rank 0; one thread.
#ifndef GRIDFOLD_ORCHESTRATOR_MASTER_H
#define GRIDFOLD_ORCHESTRATOR_MASTER_H

#include "orchestrator/plan.h"
#include "orchestrator/progress.h"
#include "orchestrator/run_folder.h"
#include "orchestrator/scheduler.h"
#include "orchestrator/time_limit.h"
#include "orchestrator/transport.h"

struct master_config {
    const struct sweep *sweep;
    const dataset *ds;
    struct plan *plan;  // grows as grids are decided
    run_folder *folder; // open, not loaded yet
    struct transport *transport;
    progress *progress;
    const volatile int *stops; // how many stop signals have come: the first asks, the second insists
    double worker_timeout;     // seconds of silence until a worker is lost; 0: the sweep's
    bool *gone, *absent;       // by worker: has said bye; was not there at the end and has not said it (out)
    long *neighbours;      // by worker: its process where that is on the master's host, else 0 (out); NULL: not asked
    void (*alive)(void);   // called every few seconds while the sweep runs; may be NULL
    double began, end;     // of the job, as clock_seconds counts: its wall-clock limit; end 0: none
    double gather_seconds; // how long to wait for all workers before the first assignment; 0: 15
};

// Runs until the sweep ends. *ending is not SCHEDULER_RUNNING when STATUS_OK is returned; on an error (a file that
// cannot be written, a grid whose winner cannot be told) running trials have been asked to stop first. On
// SCHEDULER_ALL_DONE the files are final.
NODISCARD enum status master_run(const struct master_config *config, enum scheduler_ending *ending, struct error *err);

#endif
