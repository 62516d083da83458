// Reading golden files and judging tensors against them. The format stands in tests/model/golden/README.md.
#ifndef GRIDFOLD_TESTS_MODEL_SUPPORT_GOLDEN_H
#define GRIDFOLD_TESTS_MODEL_SUPPORT_GOLDEN_H

#include "model/base/safetensors.h"
#include "model/network.h"

// The settings in the file's metadata; batch, steps and image size from the shape of tensor `image`.
NODISCARD enum status golden_config(const safetensors *file, const char *image, struct lstm_unet_config *config,
                                    struct error *err);
struct focal_loss_config golden_focal(const safetensors *file);
struct optimizer_config golden_optimizer(const safetensors *file);

// The `count` floats under <prefix><key>; the test fails when they are not there.
const float *golden_floats(const safetensors *file, const char *prefix, const char *key, size_t count);

// ||actual - expected|| / ||expected||, infinite when something is not finite.
double golden_distance(const float *actual, const float *expected, size_t count);

enum { GOLDEN_MAX_TENSORS = 1024 };
struct golden_verdict {
    const safetensors *file;
    bool fresh;
    double coarseness; // how many times coarser than float's rounding: limits are wider by so much
    int count, failures;
    double distances[GOLDEN_MAX_TENSORS], noises[GOLDEN_MAX_TENSORS];
    double worst_ratio; // distance over limit
    char worst[256];
};
// TF32 and bf16 are judged as fresh draws are, by losses and medians: what sits on a kink of a ReLU falls either way.
struct golden_verdict golden_verdict_begin(const safetensors *file, enum precision precision);
void golden_judge(struct golden_verdict *v, const char *prefix, const char *key, const float *actual, size_t count);
// False when the case fails; `report` says what was seen.
bool golden_verdict_end(struct golden_verdict *v, char *report, size_t size);

// Parameter, gradient and moments of one vector in backend memory, to try the update rules alone.
struct golden_vectors {
    backend *b;
    param_layout *layout;
    int64_t count; // of the host's
    size_t floats;
    float *param, *grad, *moment1, *moment2;
};
NODISCARD enum status golden_vectors_create(backend *b, const struct safetensors_tensor *start,
                                            struct golden_vectors *v, struct error *err);
void golden_vectors_destroy(struct golden_vectors *v);
// Clips, updates, and copies the parameters to `host`.
void golden_vectors_step(struct golden_vectors *v, const struct optimizer_config *config, const float *grad, double lr,
                         int step, float *host);

#endif
