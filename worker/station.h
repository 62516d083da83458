// The station of a worker: its agent, and its manners towards the master - hello, heartbeats, goodbye. It moves no
// message itself.
//
// In an MPI job every rank but 0 has one (orchestrator/transport_mpi.h carries its messages); without MPI the one
// process has one beside the master (orchestrator/transport.h). Nothing here blocks. One thread.
#ifndef GRIDFOLD_WORKER_STATION_H
#define GRIDFOLD_WORKER_STATION_H

#include "worker/agent.h"

struct station_config {
    struct agent_config agent;
    double heartbeat_seconds; // 0: 1
    bool rank;                // of an MPI job: its local rank chooses its GPU
};

typedef struct station station;

NODISCARD enum status station_create(const struct station_config *config, station **s, struct error *err);
void station_destroy(station *s);

// A message of the master: assign, stop (also of a trainer that is idle), bye (the trainer is killed), heartbeat. An
// assignment that comes while a trial is running stops that trial first: the master has taken this worker for lost
// meanwhile, and the trial for another's.
void station_deliver(station *s, const struct message *m);
// The next message for the master, if any: hello first, bye last.
bool station_next(station *s, struct message *m);
// The worker is to go: stops its trial, reports it, says bye.
void station_leave(station *s);
bool station_is_gone(const station *s);      // bye has been said
bool station_is_dismissed(const station *s); // the master has said bye
int station_exit_code(const station *s);     // what the master's bye said; 0 before
int station_descriptor(const station *s);    // as agent_descriptor

#endif
