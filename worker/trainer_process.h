// The process that trains: `gridfold trainer`, started by the agent of a worker.
//
// It waits for trials on one descriptor, runs them by worker/trainer.h one after the other, and answers there
// (worker/protocol.h). It knows neither sweep nor rank. It dies with its parent, and leaves quietly when the other end
// of its descriptor closes.
#ifndef GRIDFOLD_WORKER_TRAINER_PROCESS_H
#define GRIDFOLD_WORKER_TRAINER_PROCESS_H

enum { TRAINER_PROCESS_FD = 3 };

// Exit codes that say to the agent why, where nobody can send a message any more.
enum {
    TRAINER_EXIT_IO = 5,            // a member of the group cannot read or write; as EIO
    TRAINER_EXIT_MEMORY = 12,       // it is out of memory; as ENOMEM
    TRAINER_EXIT_MEMBER_KILLED = 13 // it got SIGKILL, perhaps from the kernel for want of memory
};

// The whole life of the process. `fd` is a connected stream socket. Returns the exit code: 0 when the other end closed,
// 1 when something is wrong (said on stderr).
int trainer_process_run(int fd);

// The same for a member of a group other than the first (worker/group.h), which has started it: `gridfold trainer
// member`. Serves until member 0 closes its end: exit code 0; TRAINER_EXIT_IO; TRAINER_EXIT_MEMORY; else 1.
int trainer_process_run_member(int fd);

#endif
