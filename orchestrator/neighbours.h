// The other ranks of this host under the same mpirun, at the end of a job: mpirun waits for all of them, also for one
// that somebody has stopped (SIGSTOP) when it had nothing left to do but to leave.
#ifndef GRIDFOLD_ORCHESTRATOR_NEIGHBOURS_H
#define GRIDFOLD_ORCHESTRATOR_NEIGHBOURS_H

// Notes who they are: the processes with our parent. At most 64; more are left alone.
void neighbours_note(void);

// SIGCONT to each of them that is stopped. Async-signal-safe.
void neighbours_continue(void);

// Waits until they have ended, for at most `seconds`, and continues whoever has been stopped meanwhile.
void neighbours_outlive(double seconds);

#endif
