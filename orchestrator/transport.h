// How the master reaches its workers: a table of functions, one implementation for MPI and one for the worker in its
// own process.
//
// Nothing blocks. Workers are numbers from 0; over MPI worker w is rank w + 1. One thread: the one that made it.
#ifndef GRIDFOLD_ORCHESTRATOR_TRANSPORT_H
#define GRIDFOLD_ORCHESTRATOR_TRANSPORT_H

#include "orchestrator/idle.h"
#include "worker/station.h"

struct transport {
    void *self;
    int workers;
    int first_rank;   // of worker 0: 1 over MPI, 0 in one process
    const char *name; // library and version for the manifest, or "none"
    // Takes a copy and delivers it when it can.
    enum status (*send)(void *self, int worker, const struct message *m, struct error *err);
    // False when there is nothing. A frame that cannot be read is dropped, with a line on stderr.
    bool (*receive)(void *self, int *worker, struct message *m);
    // The worker's process has ended, as the transport itself knows; false where it cannot tell. NULL: it never can.
    bool (*is_dead)(void *self, int worker);
    // Nothing has come: sleep a little.
    void (*rest)(void *self, struct idle *idle);
};

// One worker in this process.
NODISCARD enum status transport_local_create(const struct station_config *config, struct transport *t,
                                             struct error *err);
void transport_local_destroy(struct transport *t);

// Sends bye with the job's exit code to every worker and waits for theirs; true when all have answered within
// `seconds`. By worker, both NULL: none. `gone`: has said bye already, or by now (out); `absent`: is lost, and not
// waited for, which makes it false but where the transport knows it to be dead.
bool transport_dismiss(struct transport *t, int code, bool *gone, const bool *absent, double seconds);

#endif
