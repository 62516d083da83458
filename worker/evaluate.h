// A checkpoint on a split of a dataset: its logits beside the masks, and the metrics of them: `gridfold evaluate`.
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
};

struct evaluate_result {
    struct checkpoint_info info; // as used
    struct pooled all;           // pixels and focal loss pooled over the split
    int samples, side;           // N, S: centre crops of S x S pixels, in the order of ids
    float *logits;               // (N, 1, S, S)
    uint8_t *mask;               // (N, S, S)
    int *sample;                 // (N) index in the dataset
    enum change_level *level;    // (N) of the whole tile
};

// STATUS_MISMATCH when dataset and checkpoint have different bands; STATUS_INVALID when the split is empty. The result
// is the caller's to free, whatever the status.
NODISCARD enum status evaluate_checkpoint(const struct evaluate_config *config, struct evaluate_result *result,
                                          struct error *err);
void evaluate_result_free(struct evaluate_result *result);

// Writes "logits" and "mask" to a safetensors file.
NODISCARD enum status evaluate_write_logits(const struct evaluate_result *result, const char *path, struct error *err);

#endif
