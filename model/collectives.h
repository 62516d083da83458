// What the members of a data-parallel group do together. A member is a trainer process that trains its share of every
// batch; what it says here arrives at all of them, so that every member takes the same optimizer step.
//
// A table of functions over a backend's memory. There are two implementations: over sockets, in host memory
// (worker/group.h), and over NCCL, in device memory and on the backend's stream (model/cuda/group.c). All members call
// the same functions in the same order with the same sizes. Same inputs, same bits, on every member and in every run:
// over sockets what is added is added in the order of the members, and `sum` of NCCL has an order of its own. A member
// that is gone makes them fail with STATUS_LOST, or ends the process (group.h). One thread.
#ifndef GRIDFOLD_MODEL_COLLECTIVES_H
#define GRIDFOLD_MODEL_COLLECTIVES_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/status.h"

enum { COLLECTIVES_MAX_MEMBERS = 16 };

struct collectives {
    int member, members; // 0 .. members - 1
    void *context;
    // all[m] = what member m has in `mine`; `bytes` each.
    enum status (*gather)(void *context, const void *mine, size_t bytes, void *all, struct error *err);
    // x = the sum of all members' x, n floats.
    enum status (*sum)(void *context, size_t n, float *x, struct error *err);
    // Member 0's bytes, for everyone.
    enum status (*broadcast)(void *context, void *bytes, size_t count, struct error *err);

    // The same sums beside other work, in pieces of about so many floats; 0: there is no such thing, and both are NULL.
    // sum_begin takes x as everything asked for so far leaves it, and x is nobody's until sum_end, after which all sums
    // that were begun are there.
    size_t piece;
    enum status (*sum_begin)(void *context, size_t n, float *x, struct error *err);
    enum status (*sum_end)(void *context, struct error *err);
};

// The first of `count` things that is member `member`'s; the next member's first ends them. The shares differ by one at
// most, and the first member's is never the smaller one.
static inline int collectives_first(int count, int member, int members) {
    return (count * member + members - 1) / members;
}

// Per-channel sums that batch norm needs of all members' pixels, in host memory.
struct channel_sums {
    double count;         // pixels
    double first, second; // forward: mean and sum of squared differences from it; backward: two sums
};

// mine[channels] becomes the moments, or the sums, over all members; `all` has room for members * channels. Moments are
// merged in pairs (Chan, Golub and LeVeque 1979). STATUS_LOST.
NODISCARD enum status collectives_merge_moments(const struct collectives *c, int channels, struct channel_sums *mine,
                                                struct channel_sums *all, struct error *err);
NODISCARD enum status collectives_add_sums(const struct collectives *c, int channels, struct channel_sums *mine,
                                           struct channel_sums *all, struct error *err);

// The total of a number over the members, in host memory.
NODISCARD enum status collectives_count(const struct collectives *c, int64_t *count, struct error *err);

// The same outcome for everyone: the failure of the first member that has failed, if any has; *err is then filled. In
// host memory. NULL for `c`: one's own.
NODISCARD enum status collectives_agree(const struct collectives *c, enum status mine, struct error *err);

// Member 0's word, for everyone, in host memory. Nothing without a group.
NODISCARD enum status collectives_tell(const struct collectives *c, int *word, struct error *err);

struct loss_sums;
// The same of a batch's sums, where `loss` is a sum over pixels and not yet a mean.
NODISCARD enum status collectives_loss(const struct collectives *c, struct loss_sums *sums, struct error *err);

#endif
