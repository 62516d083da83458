// How much memory this process may still take: what the host has, and what control groups (a container, a batch job)
// leave of it. Any thread.
#ifndef GRIDFOLD_WORKER_FREE_MEMORY_H
#define GRIDFOLD_WORKER_FREE_MEMORY_H

#include <stddef.h>

size_t free_memory_bytes(void); // 0 when it cannot be found out

// The part of the control groups, of version 1 or 2, that `membership` (/proc/self/cgroup) names and all that these
// stand in, mounted at `root` (/sys/fs/cgroup): the least that a limit leaves, in bytes; SIZE_MAX without a limit. File
// pages that the kernel would give back first do not count as taken.
size_t control_groups_leave(const char *membership, const char *root);

#endif
