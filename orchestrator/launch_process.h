// The child processes of a launcher: started so that they die with it, and all of them gone when it leaves.
//
// The launcher is a subreaper: what loses its parent on this host becomes its child and can be ended. Signals are taken
// synchronously, in launch_wait. One thread; internal to the launcher.
#ifndef GRIDFOLD_ORCHESTRATOR_LAUNCH_PROCESS_H
#define GRIDFOLD_ORCHESTRATOR_LAUNCH_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "model/base/status.h"

// Blocks the signals that launch_wait takes and becomes the reaper of orphans.
void launch_begin(void);

// What signals have asked for so far.
struct launch_stops {
    int asked;   // TERM, INT, USR1, USR2, HUP
    bool insist; // a second INT
};
// Waits until a child ends, a signal comes or `seconds` have passed.
struct launch_stops launch_wait(double seconds);

// argv[0] is looked for in PATH unless it has a slash. The child is a session of its own, so that nothing in it finds a
// terminal to ask for a password; it reads /dev/null, and gets SIGTERM when the launcher dies. `words`: an open file
// for its stderr, its other output is dropped then; -1: both go where the launcher's go.
NODISCARD enum status launch_spawn(char *const *argv, int words, pid_t *pid, struct error *err);

// Reaps whatever has ended. True when `pid` is among it, once: *wait_status says how it ended.
bool launch_has_ended(pid_t pid, int *wait_status);

// Ends all children, orphans of this host that have become ours too: TERM, KILL after `grace` seconds, until none is
// left.
void launch_end_children(double grace);

#endif
