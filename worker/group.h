// The group of trainer processes that train one trial together, on one host.
//
// Member 0 is the trainer that the agent has started; it starts the others (`gridfold trainer member`) and speaks for
// them: they answer to nobody else, write no file, and end with it. A stream socket from member 0 to each of the others
// carries the assignment, and then what they do together (model/collectives.h): a star, in which member 0 adds in the
// order of the members.
//
// A member that dies ends member 0's process from its SIGCHLD, also where that waits for a device: the agent then
// reports the trial lost, with the member's last words from the log that they share. A member that hangs makes member 0
// silent, which the agent's own limit ends; who is waited for is said in the log every ten seconds. There is no other
// deadline. One group a process, one thread.
#ifndef GRIDFOLD_WORKER_GROUP_H
#define GRIDFOLD_WORKER_GROUP_H

#include "model/collectives.h"
#include "worker/protocol.h"

typedef struct group group;

// Member 0: starts the others, members - 1 of them, as this process was started. STATUS_IO, STATUS_MEMORY.
NODISCARD enum status group_start(const struct message_assign *assign, group **g, struct error *err);
// Any other: `fd` is connected to member 0.
NODISCARD enum status group_enter(int fd, group **g, struct error *err);
// Member 0: ends the others. NULL is fine.
void group_destroy(group *g);

// Member 0: hands the trial to the others, each with its own number.
NODISCARD enum status group_assign(group *g, const struct message *order, struct error *err);
// Any other: the next assignment; waits for it. STATUS_LOST when member 0 has gone.
NODISCARD enum status group_next(group *g, struct message *order, struct error *err);

// Any other: waits until member 0 has closed its end, or so long.
void group_outlast(const group *g, int seconds);

const struct collectives *group_collectives(const group *g); // in host memory; the group's

#endif
