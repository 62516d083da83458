// What a person sees while a sweep runs: on a terminal a block that is redrawn, elsewhere a line now and then.
//
// It is told what happens and decides what to show. Owned by the master; one thread.
#ifndef GRIDFOLD_ORCHESTRATOR_PROGRESS_H
#define GRIDFOLD_ORCHESTRATOR_PROGRESS_H

#include <stdbool.h>
#include <stdio.h>

#include "orchestrator/sweep_program.h"

typedef struct progress progress;

// `terminal`: a descriptor of the terminal that `out` ends at, for its width; -1: it ends in a file or pipe, and
// nothing is redrawn. Workers are shown as ranks from `first_rank` on.
// `program` says what the metric is called.
NODISCARD enum status progress_create(FILE *out, int terminal, int workers, int first_rank,
                                      const struct sweep_program *program, progress **p, struct error *err);
// A descriptor of the terminal that stdout ends at, to be closed; -1: none. Under mpirun a rank's stdout is always a
// terminal of mpirun's making, so that mpirun itself is asked.
int progress_find_terminal(bool under_mpi);
void progress_destroy(progress *p); // clears the block

// Sums over the sweep's trials. `work_left` in any unit, falling: the time left is judged from how fast it falls.
struct progress_totals {
    int trials, finished, failed;
    double work_left;
};
void progress_set_totals(progress *p, const struct progress_totals *totals);

// `epoch`: where the trial goes on from; 0 for a fresh one.
void progress_trial_begins(progress *p, int worker, const char *label, int fold, int epochs, int epoch, int attempt);
void progress_trial_epoch(progress *p, int worker, int epochs_done, double val_iou, bool replayed);
// The worker's trial has ended without a result (`word`: stopped, lost).
void progress_trial_ends(progress *p, int worker, const char *word, const char *reason);
// It has one, which is told (`word`: done, failed, diverged) when it counts.
void progress_trial_leaves(progress *p, int worker);
void progress_trial_done(progress *p, const char *word, const char *label, int fold, double best, const char *reason);
void progress_note(progress *p, const char *format, ...) __attribute__((format(printf, 2, 3)));
// Redraws when it is due.
void progress_tick(progress *p);

#endif
