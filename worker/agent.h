// The agent of a worker: starts a trainer process, hands it trials, watches it, and tells what happened.
//
// The trainer (worker/trainer_process.h) is a child with a socket on descriptor 3, so that a segmentation fault, an
// out-of-memory kill or a hang takes it and never the rank. It stays from trial to trial; when it dies the trial is
// reported lost with its last words, and the next trial gets a new one. Nothing here blocks. One thread: the one that
// calls agent_assign must live as long as the agent (the child gets SIGKILL when it ends).
//
// A trainer speaks from between its steps, at least once a second where steps are short; one that is silent for too
// long (stopped, waiting for a device that has gone, deaf in the kernel) is killed (worker/silence.h).
#ifndef GRIDFOLD_WORKER_AGENT_H
#define GRIDFOLD_WORKER_AGENT_H

#include "worker/protocol.h"

struct agent_config {
    const char *program;          // NULL: /proc/self/exe
    const char *const *arguments; // after the program's name, NULL-terminated; NULL: {"trainer"}
    double stop_seconds;          // from a stop to SIGTERM; 0: 60
    double kill_seconds;          // from SIGTERM to SIGKILL; 0: 2
    double hang_seconds;          // silence of a training trainer that counts as a hang; 0: as the assign message says
};

typedef struct agent agent;

NODISCARD enum status agent_create(const struct agent_config *config, agent **a, struct error *err);
// Kills the trainer if there is one.
void agent_destroy(agent *a);

// Starts the trial of an assign message; the first one starts the trainer process. STATUS_INVALID while another is
// running. A trainer that cannot be started is reported as lost.
NODISCARD enum status agent_assign(agent *a, const struct message *assign, struct error *err);

// Asks the running trial to checkpoint and stop; after stop_seconds comes SIGTERM, then SIGKILL. Nothing happens when
// none is running.
void agent_stop(agent *a);
// Ends a trainer that has nothing to do, and with it what it keeps for the next trial: its device's memory.
void agent_release(agent *a);
// The same as agent_stop without grace: SIGKILL now.
void agent_kill(agent *a);

// Moves bytes, reaps, and gives the next report, if any: epoch, result, lost (the trainer died, with how and its last
// words) or stopped (it was ended on request without a result). After result, lost and stopped no trial is running.
// Call until it returns false.
bool agent_poll(agent *a, struct message *report);

const char *agent_trial(const agent *a); // id of the running trial, "" for none
int agent_attempt(const agent *a);
double agent_pause(const agent *a); // how long it may take to stop, as measured (struct message_heartbeat); 0: unknown
int agent_descriptor(const agent *a); // readable when agent_poll has something to do; -1 without a trainer
long agent_pid(const agent *a);       // of the trainer; 0: none

// This process's host and processors, for its hello.
void agent_describe_host(struct message_hello *hello);
// The GPUs that it may use (worker/devices.h: may take seconds); `rank`: its launcher's local rank chooses among them.
void agent_describe_gpus(bool rank, struct message_hello *hello);
// Under mpirun: takes back the processors of the whole job on this host where mpirun has bound the rank to one of them.
void agent_unbind(void);
// The parent of a process; 0 when it cannot be told.
long agent_parent_of(long pid);
// Whether a process of this host has come to its end, also when its parent has not taken note of it (a zombie).
bool agent_has_ended(long pid);
// Whether it has been stopped by a signal (SIGSTOP); not one that a tracer holds.
bool agent_is_stopped(long pid);

#endif
