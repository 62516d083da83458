#include "worker/silence.h"

#include <math.h>

static const double FIRST_EPOCH = 1800, FLOOR = 300, FACTOR = 20;

void silence_begin(struct silence *s, double given) {
    *s = (struct silence){.given = given};
}

void silence_sign(struct silence *s, double now, bool epoch_trained, int steps) {
    if (s->last > 0)
        s->longest = fmax(s->longest, now - s->last);
    s->epoch = s->epoch || epoch_trained;
    if (steps > 0 || s->epoch)
        s->last = now;
}

double silence_limit(const struct silence *s) {
    if (s->given > 0)
        return s->given;
    return s->epoch ? fmax(FLOOR, FACTOR * s->longest) : FIRST_EPOCH;
}
