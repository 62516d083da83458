// How long a trainer may be silent before it counts as hung.
//
// A limit that is given holds. Else it comes from the trial itself: 20 times its longest silence so far, at least five
// minutes; and half an hour until its first epoch has been trained, since a first step reads, compiles and tries out.
// Times are seconds of any one clock that only goes forward.
#ifndef GRIDFOLD_WORKER_SILENCE_H
#define GRIDFOLD_WORKER_SILENCE_H

#include <stdbool.h>

struct silence {
    double given;   // a limit; 0: found out
    double last;    // when the trial last gave a sign that counts; 0: not yet
    double longest; // between two of these
    bool epoch;     // one has been trained to its end
};

// A trial begins; `given`: 0 for a limit that is found out.
void silence_begin(struct silence *s, double given);

// A sign of the trial at `now`: `epoch_trained`: it has trained an epoch to its end (not: told one again from its
// record); `steps`: of the epoch under way. What lies before its first step is not measured, for reading a dataset says
// nothing of how long a step takes.
void silence_sign(struct silence *s, double now, bool epoch_trained, int steps);

// Seconds of silence, since the trainer was last heard, that are too many.
double silence_limit(const struct silence *s);

#endif
