// The models behind a prediction: one checkpoint, or an ensemble of them. Internal to predict.c.
#ifndef GRIDFOLD_WORKER_PREDICT_MODEL_H
#define GRIDFOLD_WORKER_PREDICT_MODEL_H

#include "worker/dataset/layout.h"
#include "worker/predict.h"

enum { PREDICT_SMALLEST = 32 }; // the encoder halves five times

struct predict_member {
    struct checkpoint_info info;
    safetensors *file;
    network *net;
};

struct predict_model {
    const struct predict_config *config;
    struct predict_member member[PREDICT_MAX_MEMBERS];
    int count;
    struct layout layout; // of the input
    struct sampling_plan plan;
    int side, batch;
    backend *b;
    float *normalized, *logits; // one batch: (batch, T, C, side, side), (batch, side, side)
};

// Opens the checkpoints and the layout: what can be known before the input is.
NODISCARD enum status predict_model_open(const struct predict_config *config, struct predict_model *m,
                                         struct error *err);
// Makes the networks for windows of at most `shortest` pixels a side, `windows` of them in all.
NODISCARD enum status predict_model_build(struct predict_model *m, int shortest, int windows, struct error *err);
// Window side for a raster whose shorter side has `shortest` pixels.
int predict_model_side(const struct predict_model *m, int shortest);
// sampled (n, T, C, side, side), NaN: missing -> out (n, side, side): mean probability, or mean logit.
NODISCARD enum status predict_model_run(struct predict_model *m, int n, const float *sampled, double *out,
                                        struct error *err);
void predict_model_close(struct predict_model *m);

#endif
