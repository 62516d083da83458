// Which hosts of a launch answer, and what those that do not had to say. Internal to the launcher.
#ifndef GRIDFOLD_ORCHESTRATOR_LAUNCH_PROBE_H
#define GRIDFOLD_ORCHESTRATOR_LAUNCH_PROBE_H

#include "orchestrator/launch_hosts.h"

// Runs `true` on every other host, all at once, through the remote shell (words separated by blanks, the host's name
// comes after them): one that has not said so within `seconds` does not answer. What the shells print to stderr waits
// in files in `folder`, which the caller removes. Cut short by a stop signal.
void launch_hosts_probe(struct launch_hosts *hosts, const char *remote_shell, double seconds, const char *folder);

#endif
