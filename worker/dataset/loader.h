// Batches of one fold: temporal sampling, normalization, crop, augmentation.
//
// A loader holds the fold's samples sampled and normalized in memory (float32, missing values 0 after normalization),
// and cuts batches out of them. It never reads the clock or a global generator: a batch depends on (seed, fold, epoch,
// sample) alone. One thread; the dataset outlives it.
#ifndef GRIDFOLD_WORKER_DATASET_LOADER_H
#define GRIDFOLD_WORKER_DATASET_LOADER_H

#include "model/sample_cut.h"
#include "worker/dataset/dataset.h"

enum split { SPLIT_TRAIN, SPLIT_VAL, SPLIT_TEST, SPLIT_COUNT };

struct normalization {
    int bands;
    double mean[DATASET_MAX_BANDS], std[DATASET_MAX_BANDS]; // population std; a band without spread gets 1
};

// (x - mean) / std of one frame (bands, pixels) in place; missing values become 0. NULL: only that.
void normalization_apply(const struct normalization *normalization, int bands, size_t pixels, float *frame);

struct loader_config {
    enum temporal_sampling sampling;
    int image_size;
    int folds, fold;
    uint64_t seed;
    bool augment, shuffle;
    const struct normalization
        *normalization; // NULL: computed from the fold's training samples after temporal sampling
};

typedef struct loader loader;

// STATUS_INVALID when a tile is smaller than image_size (the message names the first such tile, its size and how many
// there are), when fold is not in 0..folds-1, or when a split that training needs is empty.
NODISCARD enum status loader_create(const dataset *ds, const struct loader_config *config, loader **l,
                                    struct error *err);
void loader_destroy(loader *l);

int loader_steps(const loader *l); // T
int loader_bands(const loader *l); // C
int loader_count(const loader *l, enum split split);
int loader_sample_index(const loader *l, enum split split,
                        int position); // index in the dataset; train: before shuffling
const struct normalization *loader_normalization(const loader *l);

// Training batch: samples first .. first+count-1 of this epoch's order (shuffled by (seed, fold, epoch), or by id with
// shuffle off). Writes image (count,T,C,S,S) and mask (count,S,S). Augmentation: one draw per sample and epoch for all
// timesteps and the mask: random crop, horizontal flip (p 0.5), vertical flip (p 0.5), with p 0.5 a rotation by 90, 180
// or 270 degrees. With augment off: centre crop.
void loader_train_batch(const loader *l, int epoch, int first, int count, float *image, uint8_t *mask);

// Centre crops of a split, in the order of ids.
void loader_eval_batch(const loader *l, enum split split, int first, int count, float *image, uint8_t *mask);

// What the batches are made of, for those who cut themselves: the same batches, as cuts of samples by their index in
// the dataset.
void loader_train_cuts(const loader *l, int epoch, int first, int count, struct sample_cut *cuts);
void loader_eval_cuts(const loader *l, enum split split, int first, int count, struct sample_cut *cuts);
int loader_sample_count(const loader *l); // of all splits
struct loaded_sample {
    const float *image;  // (T, C, height, width), sampled in time and normalized; the loader's
    const uint8_t *mask; // (height, width)
    int height, width;
};
struct loaded_sample loader_sample(const loader *l, int index);

#endif
