#include "orchestrator/idle.h"

#include <poll.h>
#include <sched.h>
#include <time.h>

enum { YIELDS = 20, ROUNDS_PER_LENGTH = 8, FIRST_SLEEP_US = 10 };

void idle_reset(struct idle *idle) {
    idle->rounds = 0;
}

void idle_rest(struct idle *idle, int fd, long cap_us) {
    int round = idle->rounds++;
    if (round < YIELDS) {
        sched_yield();
        return;
    }
    int doublings = (round - YIELDS) / ROUNDS_PER_LENGTH;
    long us = doublings < 20 ? (long)FIRST_SLEEP_US << doublings : cap_us;
    if (us > cap_us)
        us = cap_us;
    if (idle->rounds > 1000000)
        idle->rounds = 1000000 - 1;
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ppoll(&p, fd >= 0, &t, NULL);
}
