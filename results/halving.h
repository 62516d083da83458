// Successive halving: every configuration is trained for a few epochs, the best share of them for `factor` times as
// many, and so on, until the rest is trained to its end (K. Jamieson and A. Talwalkar, "Non-stochastic best arm
// identification and hyperparameter optimization", 2016; L. Li et al., "A system for massively parallel hyperparameter
// tuning", 2018, whose promotion of the top floor(n / factor) this is).
//
// The asynchronous form of Li et al. promotes what is best among those that happen to have come in, so that its choice
// depends on timing. Here a configuration goes on, or is stopped, when that can no longer change, whatever the others
// will bring: the decisions are those of complete rungs, but nobody waits for the last of a rung to know what is known.
//
// Pure: no clock, file or plan. Any thread.
#ifndef GRIDFOLD_RESULTS_HALVING_H
#define GRIDFOLD_RESULTS_HALVING_H

#include <stdbool.h>

struct halving {
    int first;  // epochs of the first rung, >= 1
    int factor; // how many times as many epochs the next rung has, and a how small part of the configurations; >= 2
    int epochs; // of a whole training
};

// Rungs count from 0; at the last one, the whole training, nothing is decided any more. A rung of one configuration is
// none: it is trained to its end.
int halving_rungs(const struct halving *h, int configurations);
int halving_epochs(const struct halving *h, int configurations, int rung); // trained to in that rung
// How many configurations at most are trained in a rung: floor(n / factor) of those before, at least one.
int halving_size(const struct halving *h, int configurations, int rung);

enum halving_state {
    HALVING_PENDING, // has not come to the rung's epochs yet
    HALVING_THERE,   // has, with a score
    HALVING_OUT,     // will not: failed or diverged before; worse than every score
};

enum halving_verdict {
    HALVING_OPEN,     // depends on those that are pending
    HALVING_PROMOTED, // goes on to the next rung
    HALVING_STOPPED,
};

struct halving_entry {
    int index; // of equal scores the lower one is better
    enum halving_state state;
    double score;                 // THERE: higher is better; NaN is HALVING_OUT
    enum halving_verdict verdict; // what halving_decide finds
};

// Decides a rung of which the best `quota` go on. `missing`: entries that are not among these but may still come.
// Sorts the entries, the best first. A verdict other than OPEN stays when what is pending comes in.
void halving_decide(struct halving_entry *entries, int count, int missing, int quota);

#endif
