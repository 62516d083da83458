#include "orchestrator/time_limit.h"

#include <math.h>
#include <stdlib.h>
#include <time.h>

void time_limit_learn(double *longest, double seconds) {
    *longest = fmax(*longest, seconds);
}

double time_limit_stop(const struct time_limit *l) {
    if (l->end <= 0)
        return INFINITY;
    return l->end - 2 * l->pause - fmin(30, fmax(2, (l->end - l->began) / 20));
}

double time_limit_last_start(const struct time_limit *l) {
    return time_limit_stop(l) - 1.5 * l->startup;
}

double time_limit_from_environment(void) {
    static const char *const names[] = {TIME_LIMIT_VARIABLE, "SLURM_JOB_END_TIME"};
    double left = INFINITY;
    for (int i = 0; i < 2; i++) {
        const char *text = getenv(names[i]);
        char *end = NULL;
        long long at = text ? strtoll(text, &end, 10) : 0;
        if (text && end > text && at > 0)
            left = fmin(left, (double)at - (double)time(NULL));
    }
    return left;
}
