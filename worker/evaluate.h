// Metrics of a checkpoint on a split of a dataset: `gridfold evaluate`.
#ifndef GRIDFOLD_WORKER_EVALUATE_H
#define GRIDFOLD_WORKER_EVALUATE_H

#include "worker/checkpoint.h"

// A number below 0 (or an empty text) means: as the checkpoint says, else the default of the hyperparameter table.
struct evaluate_config {
    const char *checkpoint, *dataset;
    enum split split;
    const char *backend;
    int threads, batch_size;
    int fold, folds;    // of the validation split, and of the training samples that normalization comes from
    int64_t seed;       // of the folds
    int sampling, skip; // enum temporal_sampling, enum skip_aggregation
    int image_size;
    bool ignore_normalization; // compute it from the fold's training samples even where the checkpoint has it
    const char *logits_path;   // NULL, or a safetensors file to write "logits" (N,1,S,S) and "mask" (N,S,S) to
};

struct evaluate_result {
    int samples;
    struct pooled all;
    int level_samples[CHANGE_LEVELS];
    struct pooled level[CHANGE_LEVELS]; // counts alone: no loss
    struct checkpoint_info info;        // as used
};

// STATUS_MISMATCH when dataset and checkpoint have different bands; STATUS_INVALID when the split is empty.
NODISCARD enum status evaluate_checkpoint(const struct evaluate_config *config, struct evaluate_result *result,
                                          struct error *err);

#endif
