// Waiting politely: a poll loop that has nothing to do yields, then sleeps ever longer, and is awake at once when there
// is something.
#ifndef GRIDFOLD_ORCHESTRATOR_IDLE_H
#define GRIDFOLD_ORCHESTRATOR_IDLE_H

struct idle {
    int rounds; // without work
};

void idle_reset(struct idle *idle);
// 20 yields, then sleeps from 10 us to `cap_us` microseconds; wakes up early when `fd` (-1: none) becomes readable or a
// signal comes.
void idle_rest(struct idle *idle, int fd, long cap_us);

#endif
