// The hosts of a launch: from --host, a hostfile or Slurm's allocation; orchestrator/launch_probe.h says which of them
// answer. Internal to the launcher.
#ifndef GRIDFOLD_ORCHESTRATOR_LAUNCH_HOSTS_H
#define GRIDFOLD_ORCHESTRATOR_LAUNCH_HOSTS_H

#include <stdbool.h>

#include "model/base/status.h"

enum { LAUNCH_HOST_SIZE = 256 };

struct launch_host {
    char name[LAUNCH_HOST_SIZE];
    int slots;     // workers
    bool answers;  // at the last probe
    char why[160]; // it does not: the last line that the remote shell printed then, one line; empty: it was silent
};

struct launch_hosts {
    struct launch_host *at; // owned
    int count;              // 0: this host alone, without being named
};

// "a,b:4": a host without a number has one slot.
NODISCARD enum status launch_hosts_parse(const char *list, struct launch_hosts *hosts, struct error *err);
// Open MPI's hostfile: "name slots=N" (also max_slots=, # comments) a line.
NODISCARD enum status launch_hosts_read(const char *path, struct launch_hosts *hosts, struct error *err);
// Slurm's SLURM_TASKS_PER_NODE ("4(x2),3") for names one a line, as `scontrol show hostnames` prints them.
NODISCARD enum status launch_hosts_from_slurm(const char *names, const char *tasks_per_node, struct launch_hosts *hosts,
                                              struct error *err);
void launch_hosts_free(struct launch_hosts *hosts);

int launch_hosts_slots(const struct launch_hosts *hosts); // of the hosts that answer
// mpirun's --host of the hosts that answer, "a:5,b:4", with one slot more on the first for the master. malloc'ed, the
// caller's; NULL: out of memory.
char *launch_hosts_format(const struct launch_hosts *hosts);

#endif
