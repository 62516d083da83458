// The embedded trainer: all epochs of one trial, from its hyperparameters to best.safetensors and last.safetensors.
//
// A trainer is kept from trial to trial: its backend, its mapped dataset and its compiled network are reused where the
// next trial fits them. Called from one thread; checkpoints are written by another (checkpoint_writer.h). It knows
// nothing of sweeps, ranks or CSV files.
#ifndef GRIDFOLD_WORKER_TRAINER_H
#define GRIDFOLD_WORKER_TRAINER_H

#include "model/base/file.h"
#include "model/collectives.h"
#include "worker/hyperparameters.h"
#include "worker/trial_program.h"

struct trial {
    char id[TRIAL_ID_SIZE];
    struct hyperparameters hp;
    int folds, fold;
    uint64_t seed;
    char dataset[PATH_SIZE]; // dataset file
    char folder[PATH_SIZE];  // trials/<id>, created by the trainer; best.safetensors and last.safetensors stand here
    char backend[32];        // a name of backend_create: "auto", "cpu", "cuda", ...
    int threads;             // >= 1
    int until; // epochs after which it pauses (TRIAL_PAUSED), to be gone on with; 0, or hp.epochs: it is trained to its
               // end
    double checkpoint_seconds; // write last.safetensors when so much time has passed since the last one was begun (and
                               // when stopped, and at the end); 0: after every step
    struct trial_program program;
    int members, member; // of the group that trains it together; 0 and 1: no group
    bool sync_batchnorm; // batch norm's statistics are those of the whole batch, and not of each member's share
    const struct collectives *together; // the group, in host memory; NULL: none
};

struct epoch_metrics {
    int epoch; // from 0
    double lr;
    double train_loss, train_iou, train_f1;
    double val_loss, val_iou, val_f1, val_precision, val_recall;
    double grad_norm; // mean over the epoch's steps, before clipping
    // Of another program (trainer = command): its metrics in the order of trial_program.metrics, and in val_iou the one
    // that decides. The other members are NaN then.
    int value_count; // 0: the embedded trainer's
    double values[METRICS_MAX];
};

enum trial_status {
    TRIAL_DONE,
    TRIAL_FAILED,
    TRIAL_DIVERGED,
    TRIAL_STOPPED,     // ended early by the search, for good; the last that can stand in trials.csv
    TRIAL_INTERRUPTED, // ended on request, to be gone on with
    TRIAL_PAUSED,      // has come to `until`
};
const char *trial_status_name(enum trial_status status); // "done", "failed", "diverged", "stopped", ...

struct trial_result {
    enum trial_status status;
    double best_iou, best_f1, final_iou, train_val_gap; // NaN when no epoch was run; of another program best_iou and
                                                        // final_iou are of the metric that decides
    int best_epoch, epochs_run;                         // best_epoch -1 when no epoch was run
    int64_t parameters;
    char error[ERROR_MESSAGE_SIZE]; // failed or diverged: why
};

struct trainer_hooks {
    void *context;
    // An epoch's numbers; also called for the epochs that a resumed checkpoint already holds (`replayed`), in order.
    void (*epoch)(void *context, const struct trial *trial, const struct epoch_metrics *metrics, bool replayed,
                  double seconds);
    // Asked after every step: true writes last.safetensors (a step inside an epoch is a fine place to go on from) and
    // returns TRIAL_INTERRUPTED. May be NULL.
    bool (*stop)(void *context);
    // Called after every step and every batch of validation: a heartbeat. May be NULL.
    void (*alive)(void *context);
};

typedef struct trainer trainer;
NODISCARD enum status trainer_create(trainer **t, struct error *err);
void trainer_destroy(trainer *t);

// Runs or resumes the trial (from folder/last.safetensors when it is there, from the one before it when that one is
// damaged; a folder with neither starts the trial anew). A trial that cannot be trained is a result (failed, diverged)
// and not an error of this function, which fails only when no result could be established: STATUS_IO (a full disk, a
// lost mount), STATUS_MEMORY (the host's or the device's: alone there, the trial may fit), STATUS_LOST (it is another
// trainer's by now, or a member of its group has gone), STATUS_INTERNAL.
//
// In a group every member calls it with the same trial. Each trains its share of every batch, in the order of the
// members; all draw the same samples and augmentation as one alone would, and take the same steps. Validation is shared
// out likewise. Member 0 alone writes checkpoints, asks `stop`, and has hooks called; the others' may be NULL. The
// result is the same on all.
NODISCARD enum status trainer_run(trainer *t, const struct trial *trial, const struct trainer_hooks *hooks,
                                  struct trial_result *result, struct error *err);

#endif
