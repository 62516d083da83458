// The rungs of a searched section under method = asha (results/halving.h), as the run's files have them.
//
// From sweep.ini, trials.csv and epochs.csv alone, so that a run can be looked at wherever its folder lies. One thread.
#ifndef GRIDFOLD_RESULTS_RUNG_RECORD_H
#define GRIDFOLD_RESULTS_RUNG_RECORD_H

#include "results/halving.h"
#include "results/run_data.h"

// A configuration: a point of the section.
struct rung_point {
    const char *label;       // "lr=0.003 optimizer=adamw"
    size_t first, trials;    // its trials: rung_record.trial[first ..]
    double *score;           // by rung: the mean of its folds' best values up to the rung's epoch; NaN: not there
    int rungs;               // that it has entered
    bool stopped, undecided; // in the last of these
};

struct rung_trial {
    const char *label, *id;
    const struct trial_row *row; // NULL: no result yet
    size_t place;                // the order of the files
};

struct rung {
    int epochs;         // trained to in it
    int configurations; // that are in it, or may still come into it
    int there;          // of these: with a value on every fold
    int failed;         // of which a fold has none and will not have one
    int promoted, stopped, undecided;
    double best, cut, best_stopped; // means over the folds: the best, the last that goes on, the first that is stopped
    int trials;                     // (configuration, fold) that have come to its epoch
    long long trained;              // epochs that were trained in it
};

struct rung_record {
    const char *name;
    int folds, configurations; // of a configuration; that the section has
    struct rung_trial *trial;
    struct rung_point *point;
    size_t trials, points; // on record
    struct rung *rung;
    int rungs;
    double *score;      // all of the points' scores
    int contradictions; // configurations whose rows do not follow from their epochs
    char why[256];      // "": else why there are no rungs to show
};

// False: the run is not halved, or has no such section.
bool rung_record_has(const struct run_data *run, const char *section);
// STATUS_MEMORY.
NODISCARD enum status rung_record_read(const struct run_data *run, const char *section, struct rung_record *r,
                                       struct error *err);
void rung_record_free(struct rung_record *r);

#endif
