// Land-take probability of every pixel of a GeoTIFF: `gridfold predict`.
//
// The raster is covered by overlapping windows of the model's image size; where they overlap, probabilities are
// averaged with weights that fall linearly towards a window's edge, so that no seam shows.
#ifndef GRIDFOLD_WORKER_PREDICT_H
#define GRIDFOLD_WORKER_PREDICT_H

#include "worker/checkpoint.h"

struct predict_config {
    const char *checkpoint, *input, *output;
    const char *dataset_ini; // names bands and steps of the input; NULL: the default layout of 9 bands x 14 quarters
    const char *backend;
    int threads, batch_size;
    int sampling, skip, image_size; // below 0: as the checkpoint says
    const char
        *dataset; // where normalization comes from when the checkpoint has none: the training samples of this fold
    int fold, folds;
    uint64_t seed;
    bool raw;                                             // the input is normalized already
    bool logits;                                          // write logits instead of probabilities
    void (*progress)(void *context, int done, int total); // windows; may be NULL
    void *context;
};

struct predict_result {
    int height, width, windows;
};

// Writes a float32 GeoTIFF with the input's georeference. STATUS_INVALID when the raster is smaller than 32 pixels or
// has another number of bands.
NODISCARD enum status predict_raster(const struct predict_config *config, struct predict_result *result,
                                     struct error *err);

#endif
