// The rungs of a sweep with method = asha: which trial is trained to which epoch, and which has been stopped.
//
// Every [grid] and [random] section is halved by itself (results/halving.h); what is compared is a configuration's
// mean, over all the folds it runs on, of the best value that the decisive metric has had by then, and a configuration
// of which a fold failed or diverged before is worse than every other. All its folds go on, or none. [config] sections
// are trained to their end. A trial that stands in several sections goes as far as the one that takes it farthest.
//
// A function of the plan and of the epochs and results that are on record: nothing else is remembered, so a resumed
// sweep comes to the same decisions. One thread.
#ifndef GRIDFOLD_ORCHESTRATOR_RUNGS_H
#define GRIDFOLD_ORCHESTRATOR_RUNGS_H

#include "results/halving.h"
#include "orchestrator/plan.h"

typedef struct rungs rungs;

// What is on record of the trials.
struct rungs_record {
    void *context;
    // Whether the trial has come to so many epochs; *score: of the best of these, higher is better.
    enum halving_state (*look)(void *context, int trial, int epochs, double *score);
};

struct rungs *rungs_create(void); // NULL: out of memory
void rungs_destroy(rungs *r);

// Decides what can be decided. STATUS_MEMORY.
NODISCARD enum status rungs_update(rungs *r, const struct plan *plan, const struct rungs_record *record,
                                   struct error *err);

// Of trials that the plan had at the last update.
int rungs_until(const rungs *r, int trial);        // epochs that it may be trained to by now
bool rungs_has_stopped(const rungs *r, int trial); // no section takes it farther than that
// "at rung 1 of 3: not among the best 3 of 9"
void rungs_reason(const rungs *r, int trial, char *out, size_t size);

// The configurations of an expanded grid that are run: points that the run cap leaves in.
int rungs_configurations(const struct plan *plan, int grid);
struct halving rungs_halving(const struct sweep *sweep);

#endif
