// A dataset file: every tile of a GeoTIFF tree in one safetensors file, mapped read-only and shared by all processes of
// a host.
//
// Tensors, samples in the order of their ids: "<id>/image" F32 (T,C,H,W) in reflectance units as in the GeoTIFF,
// missing values NaN;
// "<id>/mask" U8 (H,W): 1 land-take, 0 not, 255 ignored. Metadata: format = "gridfold-dataset-1", bands = "blue, green,
// ...", steps = "2018-Q2, ...", test = held-out ids separated by newlines. Any thread may read a dataset; pointers live
// until dataset_close.
#ifndef GRIDFOLD_WORKER_DATASET_DATASET_H
#define GRIDFOLD_WORKER_DATASET_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/status.h"

enum { DATASET_MAX_STEPS = 128, DATASET_MAX_BANDS = 64, DATASET_NAME_SIZE = 32, MASK_IGNORE = 255 };

typedef struct dataset dataset;

struct timestep {
    int year, quarter; // quarter 1..4, or 0 when the step is a whole year
};

enum change_level { CHANGE_LOW, CHANGE_MODERATE, CHANGE_HIGH, CHANGE_LEVELS };

struct sample {
    const char *id;
    int height, width;
    const float *image;      // (T, C, height, width), NaN: missing
    const uint8_t *mask;     // (height, width): 0, 1 or MASK_IGNORE
    double positive_share;   // of the pixels that count
    enum change_level level; // low < 0.05 <= moderate < 0.30 <= high
    bool test;               // held out
};

NODISCARD enum status dataset_open(const char *path, dataset **ds, struct error *err);
void dataset_close(dataset *ds);
const char *dataset_path(const dataset *ds);
int dataset_count(const dataset *ds);
const struct sample *dataset_sample(const dataset *ds, int index);
int dataset_bands(const dataset *ds);
const char *dataset_band_name(const dataset *ds, int band);
int dataset_band_find(const dataset *ds, const char *name); // -1: absent
int dataset_steps(const dataset *ds);
struct timestep dataset_step(const dataset *ds, int step);
const char *change_level_name(enum change_level level); // "low", "moderate", "high"

enum change_level change_level_of(double positive_share);
// Share of 1 among the pixels that are not MASK_IGNORE; 0 when there are none.
double mask_positive_share(const uint8_t *mask, size_t pixels);

// ---- temporal sampling ----

enum temporal_sampling { SAMPLING_ANNUAL, SAMPLING_QUARTERLY, SAMPLING_BI_TEMPORAL, SAMPLING_ALL };

// What the model sees as T timesteps, each from one or two steps of the file.
struct sampling_plan {
    int steps;                     // T
    int first[DATASET_MAX_STEPS];  // step of the file
    int second[DATASET_MAX_STEPS]; // the other quarter, or -1
};

// annual: the years of the file, mean of Q2 and Q3 (or the year itself where the file holds years); quarterly: every Q2
// and Q3 (an error where the file holds years); bi_temporal: first and last step; all: every step. STATUS_UNSUPPORTED
// says which steps the file has.
NODISCARD enum status sampling_plan_create(const dataset *ds, enum temporal_sampling sampling,
                                           struct sampling_plan *plan, struct error *err);

// Writes timestep t of a sample: out (C, height, width), NaN: missing. Of two quarters the mean; but where one misses
// more than 50 % of its values and the other less than 20 %, the cleaner alone.
void sampling_apply(const dataset *ds, const struct sampling_plan *plan, int sample_index, int t, float *out);

// ---- folds ----

enum { FOLD_TEST = -1 };

// fold[i] of sample i: 0 .. folds-1, or FOLD_TEST. Stratified by change level: shuffled within a level by the seed,
// then dealt so that every fold gets its share of each level and fold sizes differ by at most one. STATUS_INVALID when
// there are fewer train/validation samples than folds.
NODISCARD enum status folds_assign(const dataset *ds, int folds, uint64_t seed, int *fold, struct error *err);

#endif
