// What runs a trial: the embedded trainer, a program of the user's, or nothing at all.
#ifndef GRIDFOLD_WORKER_TRIAL_PROGRAM_H
#define GRIDFOLD_WORKER_TRIAL_PROGRAM_H

#include <stdbool.h>

#define TRAINER_KINDS(X)                                                                                               \
    X(EMBEDDED, "embedded") /* the LSTM-UNet of this program */                                                        \
    X(COMMAND, "command")   /* any program: hyperparameters as arguments, metrics as CSV lines */                      \
    X(NONE, "none")         /* trains nothing, reports a number made of the trial's id: to measure the orchestrator */

enum trainer_kind {
#define X(name, text) TRAINER_##name,
    TRAINER_KINDS(X)
#undef X
};

enum {
    METRICS_MAX = 16,
    METRIC_NAME_SIZE = 48,
    METRICS_TEXT_SIZE = METRICS_MAX * METRIC_NAME_SIZE,
    PROGRAM_TEXT_SIZE = 8192
};

// One trial's program, with everything filled in: a worker needs to know of no sweep.
struct trial_program {
    enum trainer_kind kind;
    char arguments[PROGRAM_TEXT_SIZE]; // the program and its arguments, each ended by '\n'
    char variables[PROGRAM_TEXT_SIZE]; // "NAME=value\n" each, added to the environment
    char metrics[METRICS_TEXT_SIZE];   // the columns to take from its output, "loss,accuracy"
    int metric;                        // which of them decides
    bool minimize;                     // the smallest is the best
    bool resume;                       // it goes on from what it left in the trial's folder
    int epochs;                        // of a whole training; 0: not known
};

#endif
