// What a trial's numbers look like, in words, each by a stated rule.
#ifndef GRIDFOLD_RESULTS_OBSERVATIONS_H
#define GRIDFOLD_RESULTS_OBSERVATIONS_H

#include "results/run_data.h"

// X(name, rule): in the order in which they are said.
#define FINDINGS(X)                                                                                                    \
    X(FAILED, "failed", "the trial ended without a result; the reason is its own")                                     \
    X(DIVERGED, "diverged", "loss or gradient was not finite")                                                         \
    X(STOPPED, "stopped", "ended early: by a search that gave it up, or by hand")                                      \
    X(NO_METRIC, "no result", "done, but its best value is missing or not a finite number")                            \
    X(NOT_FINITE, "not finite", "an epoch has a loss or validation value that is infinite or missing")                 \
    X(NOT_LEARNED, "did not learn", "best at epoch 0, or less than 2 points above epoch 0 (of 2 epochs or more)")      \
    X(COLLAPSED, "validation collapse", "final IoU under a quarter of the best, and the best over 5 %")                \
    X(EARLY, "peaks early", "best in the first fifth of the epochs, but not at epoch 0")                               \
    X(FALLS, "falls", "final IoU 5 points or more under the best")                                                     \
    X(SLOW, "converged slowly", "best in the last fifth of the epochs")                                                \
    X(GAP_SEVERE, "gap over 25", "training minus validation IoU at the final epoch over 25 points")                    \
    X(GAP_WIDE, "gap over 15", "training minus validation IoU at the final epoch over 15 points")

enum finding {
#define X(name, label, rule) FINDING_##name,
    FINDINGS(X)
#undef X
        FINDING_COUNT
};

const char *finding_name(enum finding finding);
const char *finding_rule(enum finding finding);

struct observation {
    unsigned findings; // bit 1 << enum finding
    char text[512];    // "peaks at epoch 25 of 200 and falls by 23.1 points; train-val gap +30.2 points"
};

// Rules about IoU hold for sweeps that IoU decides; others are judged by status and best epoch alone.
void observe_trial(const struct run_data *run, const struct trial_row *trial, struct observation *out);

#endif
