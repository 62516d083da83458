// A program as a child in a process group of its own: started, signalled, reaped. Internal to the command trainer.
//
// It is killed when the process that started it dies. What it starts itself belongs to its group and gets its signals,
// but outlives a starter that is killed outright. One thread.
#ifndef GRIDFOLD_WORKER_COMMAND_PROCESS_H
#define GRIDFOLD_WORKER_COMMAND_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "model/base/status.h"

struct command_process {
    pid_t pid;
    int output; // its standard output, non-blocking
    bool dead;
    int wait_status; // when dead
};

// `arguments`: the program (looked up in PATH) and its arguments, each ended by '\n'; `variables`: "NAME=value\n" each,
// over this process's environment; `log`: descriptor for its standard error. Its standard input is empty.
// STATUS_NOT_FOUND: cannot be executed.
NODISCARD enum status command_process_start(struct command_process *p, const char *arguments, const char *variables,
                                            int log, struct error *err);
void command_process_signal(const struct command_process *p, int signal); // the group
bool command_process_reap(struct command_process *p);                     // true: it is dead
void command_process_close(struct command_process *p);                    // kills what is left

#endif
