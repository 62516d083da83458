// How much memory this process may still take: what the host has, and what control groups (a container, a batch job)
// leave of it. Any thread.
#ifndef GRIDFOLD_WORKER_FREE_MEMORY_H
#define GRIDFOLD_WORKER_FREE_MEMORY_H

#include <stddef.h>

size_t free_memory_bytes(void); // 0 when it cannot be found out

#endif
