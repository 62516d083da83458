// Starting the trainer process: descriptors, environment, signals, log. Internal to the agent.
#ifndef GRIDFOLD_WORKER_AGENT_SPAWN_H
#define GRIDFOLD_WORKER_AGENT_SPAWN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "model/base/status.h"

// How often a waiting OpenMP thread looks before it sleeps (GOMP_SPINCOUNT): libgomp's own number, milliseconds of it,
// makes training tens of times slower as soon as another process wants a core.
#define SPAWN_SPINS "10000"

struct spawn_config {
    const char *program;
    const char *const *arguments; // after the program's name, NULL-terminated
    const char *log;              // stdout and stderr are appended to it; its folder must exist. "": /dev/null
    int threads;
    bool crowded;     // waiting threads sleep at once
    const char *gpus; // CUDA_VISIBLE_DEVICES; NULL or "": as it is here
};

// Starts the process in a process group of its own (Ctrl-C is not for it), with descriptor 3 connected to *fd, every
// other descriptor closed, no launcher's variables in its environment, and the number of threads set.
NODISCARD enum status spawn_trainer(const struct spawn_config *config, pid_t *pid, int *fd, struct error *err);

off_t spawn_log_size(const char *log); // 0 when there is none
// How many processes the kernel's out-of-memory killer has ended on this host since it was started; 0: cannot be told.
long spawn_oom_kills(void);
// What runtimes and libraries say before they end a process that has no memory left, on the host or on a device.
bool spawn_speaks_of_memory(const char *words);
// The last lines of what was written to the log from `start` on, on one line.
void spawn_last_words(const char *log, off_t start, char *words, size_t size);

#endif
