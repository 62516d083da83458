// The command line of mpirun for a launch. Internal to the launcher.
#ifndef GRIDFOLD_ORCHESTRATOR_LAUNCH_COMMAND_H
#define GRIDFOLD_ORCHESTRATOR_LAUNCH_COMMAND_H

#include "orchestrator/launch.h"

struct launch_command {
    char **argv;         // NULL-terminated, the words are the command's own
    int count, capacity; // of argv, without the NULL
    bool failed;         // out of memory
};

// Open MPI's settings for this process and what it starts; what the user has set stays. Session files go to
// `temporary`.
NODISCARD enum status launch_command_prepare_environment(const char *temporary, struct error *err);

// mpirun with the settings that a sweep needs to survive what it can, the hosts that answer, and `gridfold run` by its
// own path, which must be the same on every host. Ranks get VERDICT_VARIABLE from the environment. STATUS_MEMORY.
NODISCARD enum status launch_command_create(const struct launch_config *config, const char *program,
                                            struct launch_command *command, struct error *err);
void launch_command_free(struct launch_command *command);

#endif
