// A program in a process group of its own: started, signalled, its end told. Internal to the command trainer.
//
// It is a child of a keeper (command_keeper.h), which kills it and all that it has started when this process ends,
// however that ends. One thread.
#ifndef GRIDFOLD_WORKER_COMMAND_PROCESS_H
#define GRIDFOLD_WORKER_COMMAND_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "model/base/status.h"

struct command_process {
    pid_t keeper, program;
    int output;       // the program's standard output, non-blocking
    int life, report; // ends of pipes from and to the keeper
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
void command_process_end(struct command_process *p);                      // kills what is left, without waiting
void command_process_close(struct command_process *p);                    // the same, and waits for it

#endif
