// The process between a command trainer and its program, so that nothing of the program outlives gridfold.
//
// A program may start others (a shell its Python, that its data loaders). When the trainer ends, however it ends, the
// keeper sees the end of a pipe and kills all of them: the program's process group, and then every descendant, also
// one that has left the group, for the keeper is their subreaper (prctl(2), Linux 3.4): who loses its parent becomes
// its child. It is a fork of the trainer without an exec, so it calls what is safe between the two. Internal.
#ifndef GRIDFOLD_WORKER_COMMAND_KEEPER_H
#define GRIDFOLD_WORKER_COMMAND_KEEPER_H

#include <stdnoreturn.h>

// What a keeper reports, each with a number.
enum keeper_event {
    KEEPER_CANNOT,  // errno: the program was not started
    KEEPER_STARTED, // the program's process id, also that of its process group; it is free only when the keeper ends
    KEEPER_ENDED, // its wait status; at most once, and not before everything else is killed where the trainer has gone
};

struct keeper_report {
    int event, value;
};

struct keeper_program {
    char **arguments, **variables; // as execvp takes them
    int output, log;               // descriptors that become its standard output and standard error
};

// `life`: read end of a pipe whose only write end is the trainer's; `report`: write end of a pipe for reports. To be
// called right after fork, in the child, by a process with one thread.
noreturn void command_keeper_run(const struct keeper_program *program, int life, int report);

#endif
