// Checkpoints: safetensors files that PyTorch loads with safetensors.torch.load_file and load_state_dict.
//
// best.safetensors holds the state dict alone (parameters, running statistics, num_batches_tracked). last.safetensors
// holds beside it what a resume needs, under "state/": optimizer moments, the epochs so far, the sums of the epoch that
// is under way. What a reader must know to use the weights (architecture, temporal sampling, bands, normalization, the
// trial) stands in the metadata. Nothing that varies from run to run is written: same trial, same bytes.
#ifndef GRIDFOLD_WORKER_CHECKPOINT_H
#define GRIDFOLD_WORKER_CHECKPOINT_H

#include "model/base/safetensors.h"
#include "model/network.h"
#include "worker/dataset/loader.h"
#include "worker/metrics.h"
#include "worker/trainer.h"

// What a checkpoint says of itself. Files that PyTorch wrote have no metadata: the architecture is then read off the
// tensors' shapes, and what shapes cannot tell (sampling, skip aggregation, image size) keeps the caller's value.
struct checkpoint_info {
    struct lstm_unet_config model; // batch and steps are not the checkpoint's to say: left alone
    enum temporal_sampling sampling;
    struct focal_loss_config focal; // of the training loss
    bool has_normalization;
    struct normalization normalization;
    char band_names[1024]; // "blue, green, ...", "" when unknown
    bool has_trial;        // the five below are known
    char trial[TRIAL_ID_SIZE];
    int folds, fold;
    uint64_t seed;
    int epoch; // the epoch after which the weights were taken
};
NODISCARD enum status checkpoint_inspect(const safetensors *file, const char *path, struct checkpoint_info *info,
                                         struct error *err);

// Loads parameters and running statistics. STATUS_MISMATCH names the first tensor that is missing or has another shape:
// a checkpoint of another architecture.
NODISCARD enum status checkpoint_load(const safetensors *file, network *net, struct error *err);

// STATUS_MISMATCH when the checkpoint's architecture is not the model's, by its shapes alone; says the first
// difference. For checks before a run.
NODISCARD enum status checkpoint_check_architecture(const char *path, const struct lstm_unet_config *model,
                                                    struct error *err);

// Everything of a trial under way.
struct training_state {
    int epoch, step;          // next to be done: step of epoch
    struct pooled partial;    // training sums of this epoch's steps so far
    double partial_grad_norm; // sum over them
    double best_iou, best_f1;
    int best_epoch;    // -1: none yet
    int history_count; // epochs done
    struct epoch_metrics *history;
};

// The epochs that a last.safetensors carries (free(*history)); STATUS_FORMAT when it has none.
NODISCARD enum status checkpoint_read_history(const safetensors *file, const char *path, struct epoch_metrics **history,
                                              int *count, struct error *err);

struct checkpoint_context {
    const struct trial *trial;
    const struct lstm_unet_config *model;
    const dataset *ds;
    const struct normalization *normalization;
    int steps_per_epoch; // batches of training, for num_batches_tracked
};

// Where the numbers come from: the network as it is, or what was frozen of it, which is then read in the calling
// thread.
struct checkpoint_source {
    network *net;
    network_frozen *frozen;   // NULL: the network
    safetensors_pause *pause; // NULL: none
    void *pause_context;
};

// Write into a file that the caller has begun: the model at its best epoch, from the network's snapshot, or all of the
// training state. Both have a checksum.
NODISCARD enum status checkpoint_write_best(struct file_replace *f, const struct checkpoint_context *context,
                                            const struct checkpoint_source *source, const struct training_state *state,
                                            struct error *err);
NODISCARD enum status checkpoint_write_last(struct file_replace *f, const struct checkpoint_context *context,
                                            const struct checkpoint_source *source, const struct training_state *state,
                                            struct error *err);

// The epoch whose weights best.safetensors holds. STATUS_FORMAT when its checksum says that it is damaged (looked at
// only with `whole`, since that reads all of it), STATUS_MISMATCH when it is of another trial, STATUS_NOT_FOUND.
NODISCARD enum status checkpoint_best_epoch(const char *path, const struct trial *trial, bool whole, int *epoch,
                                            struct error *err);

// Restores network and state (history has room for hp.epochs). STATUS_FORMAT when the file is damaged: its checksum
// says so, or it has none. STATUS_MISMATCH when it is of another trial. Both may be half restored then.
NODISCARD enum status checkpoint_resume(const char *path, const struct trial *trial, network *net,
                                        struct training_state *state, struct error *err);

#endif
