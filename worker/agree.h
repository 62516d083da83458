// What the members of a group must be of one mind about (model/collectives.h). Any member; one thread.
#ifndef GRIDFOLD_WORKER_AGREE_H
#define GRIDFOLD_WORKER_AGREE_H

#include "model/collectives.h"

// The same outcome for everyone: the failure of the first member that has failed, if any has; *err is then filled. NULL
// for `c`: one's own.
NODISCARD enum status members_agree(const struct collectives *c, enum status mine, struct error *err);

// Member 0's word, for everyone. Nothing without a group.
NODISCARD enum status members_tell(const struct collectives *c, int *word, struct error *err);

#endif
