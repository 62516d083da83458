// The program of a sweep (trainer = embedded | command | none): which hyperparameters it has, what a trial of it runs,
// and which of its metrics decides.
#ifndef GRIDFOLD_ORCHESTRATOR_SWEEP_PROGRAM_H
#define GRIDFOLD_ORCHESTRATOR_SWEEP_PROGRAM_H

#include "results/run_files.h"
#include "worker/hyperparameters.h"
#include "worker/trial_program.h"

enum { COMMAND_SIZE = 4096, HYPER_ALL = HYPER_COUNT + OWN_MAX };

struct sweep_program {
    enum trainer_kind kind;
    char command[COMMAND_SIZE]; // its template
    struct own_keys own;        // hyperparameters of a program that is not the embedded trainer
    int metric_count;           // columns that it reports
    char metrics[METRICS_MAX][METRIC_NAME_SIZE];
    char metric[METRIC_NAME_SIZE]; // the one that decides: "val_iou" of the embedded trainer
    bool minimize;
    bool resume;
    int max_epochs; // of a whole training by a command; 0: not known
};

// A hyperparameter's key and position: of the embedded trainer's table, or one of the sweep's own.
const char *program_hyper_key(const struct sweep_program *p, int hyper);
int program_hyper_find(const struct sweep_program *p, const char *key); // -1: unknown
const char *program_hyper_nearest(const struct sweep_program *p, const char *key);
// How many epochs a whole training has is known.
bool program_knows_epochs(const struct sweep_program *p);
void program_hyper_column(const struct sweep_program *p, int hyper, char *out, size_t size); // with underscores
int program_hyper_count(const struct sweep_program *p);
int program_hyper_first(const struct sweep_program *p); // positions first .. first + count - 1

// What winners are made of: higher is better.
double program_score(const struct sweep_program *p, double metric);
bool program_is_better(const struct sweep_program *p, double a, double b); // none but finite ones ever is

// How people read it: "61.66 %" of val_iou, "0.9125" of any other; its name: "val IoU", "accuracy".
void program_format_metric(const struct sweep_program *p, double value, char out[32]);
const char *program_metric_label(const struct sweep_program *p);

// Columns of epochs.csv beyond the fixed ones; the decisive metric's name for trials.csv.
void program_metric_columns(const struct sweep_program *p, struct metric_columns *extra);

// What identifies a trial (trial_id, own_trial_id).
void program_trial_id(const struct sweep_program *p, const struct hyperparameters *hp, int folds, int fold,
                      uint64_t seed, char id[TRIAL_ID_SIZE]);

// Where and as what a trial runs.
struct program_place {
    const char *trial, *folder;
    int fold, folds, threads;
    uint64_t seed;
    int until; // epochs that it is to be trained to for now; 0: it is not said
};
NODISCARD enum status program_fill(const struct sweep_program *p, const struct hyperparameters *hp,
                                   const struct program_place *place, struct trial_program *out, struct error *err);
// A word that command may name and no hyperparameter may be called: trial, folder, fold, folds, seed, threads, until.
bool program_name_is_reserved(const char *key);

#endif
