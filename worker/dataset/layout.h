// What the bands of a tile mean: spectral bands x timesteps, from dataset.ini, from a dataset file's metadata, or the
// default of SPEC section 1.
//
// Band index of a GeoTIFF = step * bands + band. Any thread.
#ifndef GRIDFOLD_WORKER_DATASET_LAYOUT_H
#define GRIDFOLD_WORKER_DATASET_LAYOUT_H

#include <stdbool.h>

#include "worker/dataset/dataset.h"

#define DATASET_FORMAT "gridfold-dataset-1" // what the metadata "format" of a dataset file says

enum { TIMESTEP_TEXT_SIZE = 16, LAYOUT_TEXT_SIZE = 64 * 34 };

struct layout {
    int bands, steps;
    char band[DATASET_MAX_BANDS][DATASET_NAME_SIZE];
    struct timestep step[DATASET_MAX_STEPS]; // in time order, none twice
};

// blue, green, red, rededge1..3, nir, swir1, swir2; 2018-Q2, 2018-Q3, .., 2024-Q3.
void layout_default(struct layout *layout);

// Comma-separated lists; STATUS_INVALID says which item is wrong.
NODISCARD enum status layout_parse_bands(struct layout *layout, const char *text, struct error *err);
NODISCARD enum status layout_parse_steps(struct layout *layout, const char *text, struct error *err);

void timestep_text(struct timestep step, char out[TIMESTEP_TEXT_SIZE]); // "2018-Q2", or "2017" for a year
void layout_bands_text(const struct layout *layout, char out[LAYOUT_TEXT_SIZE]);
void layout_steps_text(const struct layout *layout, char out[LAYOUT_TEXT_SIZE]);

// sampling_plan_create for a layout alone; `source` names the file in messages.
NODISCARD enum status sampling_plan_of_layout(const struct layout *layout, const char *source,
                                              enum temporal_sampling sampling, struct sampling_plan *plan,
                                              struct error *err);
// Timestep t of an image (steps, bands, height, width) of which one step takes `frame` floats; out has `frame` floats.
void sampling_apply_to(const struct sampling_plan *plan, const float *image, size_t frame, int t, float *out);

struct dataset_ini {
    struct layout layout;
    bool has_ignore;
    double ignore; // the mask value that counts in nothing
};

// Reads `path`; an absent file gives the default layout. Errors name file, line and the nearest key.
NODISCARD enum status dataset_ini_read(const char *path, struct dataset_ini *ini, struct error *err);

#endif
