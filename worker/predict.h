// Land-take probability of every pixel of a GeoTIFF of any size: `gridfold predict`.
//
// The raster is covered by windows of the model's image size that overlap by a part of their side; where they do,
// probabilities are averaged with weights that fall linearly towards a window's edge, so that no seam shows. Sums are
// of whole numbers (probabilities in steps of 2^-30), so the result does not depend on the order of the windows, and a
// pixel that one window alone sees has that window's value. Temporal sampling (which of two quarters is cleaner) is
// decided window by window, as it is tile by tile in training.
//
// Memory is bounded by the width: a band of rows one window high is read, predicted and written at a time, about
// bands x steps x side x width floats. Several checkpoints make an ensemble: the mean of their probabilities.
//
// A pixel whose values are all missing, in every band and step of the file, is nodata in the outputs (NaN; 255 in the
// mask); every other pixel is predicted, its missing values being the band's mean, as in training.
#ifndef GRIDFOLD_WORKER_PREDICT_H
#define GRIDFOLD_WORKER_PREDICT_H

#include "worker/checkpoint.h"

enum { PREDICT_MAX_MEMBERS = 64, PREDICT_MOST_OVERLAP = 75 };

struct predict_config {
    const char *const *checkpoints; // 1 .. PREDICT_MAX_MEMBERS; of one image size, sampling and number of bands
    int checkpoint_count;
    const char *input, *output;
    const char *mask;        // NULL, or where the mask goes: 1 where the probability exceeds the threshold, else 0
    double threshold;        // of the mask and the picture
    const char *picture;     // NULL, or a PNG of true colour at both ends of the series, truth and prediction
    const char *truth;       // of the picture: a GeoTIFF of the same size, > 0 is land-take; NULL: none
    const char *dataset_ini; // names bands and steps of the input; NULL: the default layout of 9 bands x 14 quarters
    const char *backend;
    int threads, batch_size;
    int overlap;                    // of neighbouring windows, percent of their side: 0 .. PREDICT_MOST_OVERLAP
    int sampling, skip, image_size; // below 0: as the checkpoint says
    // Where normalization comes from when a checkpoint has none: the training samples of this fold.
    const char *dataset;
    int fold, folds;
    uint64_t seed;
    bool raw;                                             // the input is normalized already
    bool logits;                                          // write logits instead of probabilities; no mask or picture
    void (*progress)(void *context, int done, int total); // windows; may be NULL
    void *context;
};

struct predict_result {
    int height, width, windows;
    size_t missing; // pixels without any value
};

// Writes a float32 GeoTIFF with the input's georeference, and what else was asked for; nothing takes its name before
// all is computed. STATUS_INVALID when the raster is smaller than 32 pixels or has another number of bands;
// STATUS_MISMATCH when the checkpoints do not go together.
NODISCARD enum status predict_raster(const struct predict_config *config, struct predict_result *result,
                                     struct error *err);

#endif
