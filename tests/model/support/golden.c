#include "tests/model/support/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *setting(const safetensors *file, const char *key) {
    const char *text = safetensors_metadata(file, key);
    return text ? text : "";
}

static int integer(const safetensors *file, const char *key) {
    return (int)strtol(setting(file, key), NULL, 10);
}

static float number(const safetensors *file, const char *key) {
    return strtof(setting(file, key), NULL);
}

enum status golden_config(const safetensors *file, const char *image, struct lstm_unet_config *config,
                          struct error *err) {
    const struct safetensors_tensor *t = safetensors_find(file, image);
    if (!t || t->rank != 5)
        return error_set(err, STATUS_FORMAT, "%s: no tensor (B,T,C,H,W)", image);
    const char *skip = setting(file, "skip");
    *config = (struct lstm_unet_config){
        .batch = (int)t->shape[0],
        .steps = (int)t->shape[1],
        .bands = (int)t->shape[2],
        .image_size = (int)t->shape[3],
        .encoder_width = integer(file, "encoder_width"),
        .lstm_hidden = integer(file, "lstm_hidden_dim"),
        .lstm_layers = integer(file, "lstm_layers"),
        .upsample = strcmp(setting(file, "upsample"), "nearest") == 0 ? UPSAMPLE_NEAREST : UPSAMPLE_TRANSPOSED,
        .skip = strcmp(skip, "max") == 0    ? SKIP_MAX
                : strcmp(skip, "mean") == 0 ? SKIP_MEAN
                                            : SKIP_LAST,
    };
    const char *channels = setting(file, "decoder_channels");
    for (int i = 0; i < DECODER_STAGES; i++) {
        char *end;
        config->decoder_channels[i] = (int)strtol(channels, &end, 10);
        channels = *end ? end + 1 : end;
    }
    return STATUS_OK;
}

struct focal_loss_config golden_focal(const safetensors *file) {
    return (struct focal_loss_config){number(file, "focal_alpha"), number(file, "focal_gamma")};
}

struct optimizer_config golden_optimizer(const safetensors *file) {
    return (struct optimizer_config){.kind = strcmp(setting(file, "opt"), "sgd") == 0 ? OPTIMIZER_SGD : OPTIMIZER_ADAMW,
                                     .momentum = number(file, "momentum"),
                                     .beta1 = 0.9f,
                                     .beta2 = 0.999f,
                                     .epsilon = 1e-8f,
                                     .weight_decay = number(file, "weight_decay"),
                                     .clip_norm = number(file, "clip"),
                                     .focal = golden_focal(file)};
}

const float *golden_floats(const safetensors *file, const char *prefix, const char *key, size_t count) {
    char name[320];
    snprintf(name, sizeof name, "%.63s%.255s", prefix, key);
    const struct safetensors_tensor *t = safetensors_find(file, name);
    if (t && t->dtype == DTYPE_F32 && t->count == count)
        return t->data;
    fail_msg("golden file has no %s of %zu floats", name, count);
    return NULL;
}

double golden_distance(const float *actual, const float *expected, size_t count) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < count; i++) {
        double d = (double)actual[i] - (double)expected[i];
        difference += d * d;
        norm += (double)expected[i] * (double)expected[i];
    }
    double distance = sqrt(difference) / (sqrt(norm) + 1e-30);
    return isfinite(distance) ? distance : INFINITY;
}

struct golden_verdict golden_verdict_begin(const safetensors *file, enum precision precision) {
    static const double coarseness[] = {1, 1 << 13, 1 << 16}; // mantissas of 23, 10 and 7 bits
    const char *fresh = getenv("GRIDFOLD_GOLDEN_FRESH");
    return (struct golden_verdict){.file = file,
                                   .fresh = precision != PRECISION_FP32 || (fresh && strcmp(fresh, "1") == 0),
                                   .coarseness = coarseness[precision]};
}

void golden_judge(struct golden_verdict *v, const char *prefix, const char *key, const float *actual, size_t count) {
    char name[256], noise_name[264];
    snprintf(name, sizeof name, "%s%s", prefix, key);
    snprintf(noise_name, sizeof noise_name, "noise/%s", name);
    double noise = (double)*golden_floats(v->file, noise_name, "", 1);
    double distance = golden_distance(actual, golden_floats(v->file, prefix, key, count), count);
    double ratio = distance / (10 * noise + 1e-5) / v->coarseness;
    assert_true(v->count < GOLDEN_MAX_TENSORS);
    v->distances[v->count] = distance;
    v->noises[v->count++] = noise;
    if (v->fresh && strcmp(key, "loss") != 0)
        return;
    if (!(ratio <= 1))
        v->failures++;
    if (!(ratio <= v->worst_ratio)) {
        v->worst_ratio = ratio;
        snprintf(v->worst, sizeof v->worst, "%.200s (distance %.1e, noise %.1e)", name, distance, noise);
    }
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool golden_verdict_end(struct golden_verdict *v, char *report, size_t size) {
    if (v->count == 0) {
        snprintf(report, size, "within 1e-6");
        return true;
    }
    qsort(v->distances, (size_t)v->count, sizeof *v->distances, ascending);
    qsort(v->noises, (size_t)v->count, sizeof *v->noises, ascending);
    double distance = v->distances[v->count / 2], noise = v->noises[v->count / 2];
    bool median_passed = !v->fresh || distance <= (3 * noise + 1e-5) * v->coarseness;
    snprintf(report, size,
             "%d tensors, median distance %.1e (noise %.1e), %d beyond the limit, nearest to it or worst %s", v->count,
             distance, noise, v->failures, v->worst);
    return v->failures == 0 && median_passed;
}

static enum status allocate(struct golden_vectors *v, float **x, struct error *err) {
    void *memory;
    TRY(v->b->ops->alloc(v->b, v->floats * sizeof(float), &memory, err));
    *x = memory;
    return STATUS_OK;
}

enum status golden_vectors_create(backend *b, const struct safetensors_tensor *start, struct golden_vectors *v,
                                  struct error *err) {
    int n = (int)start->count;
    struct graph_param param = {.key = "vector", .role = PARAM_VECTOR, .rank = 1, .shape = {n}, .count = start->count};
    struct op_desc desc = {.kind = OP_BATCHNORM, .in = {1, n, 1, 1}, .out = {1, n, 1, 1}, .passes = PASS_FORWARD};
    *v = (struct golden_vectors){.b = b, .count = n};
    TRY(b->ops->param_layout_create(b, &param, &desc, &v->layout, err));
    v->floats = b->ops->param_floats(v->layout);
    TRY(allocate(v, &v->param, err));
    TRY(allocate(v, &v->grad, err));
    TRY(allocate(v, &v->moment1, err));
    TRY(allocate(v, &v->moment2, err));
    b->ops->param_import(b, v->layout, start->data, v->param);
    return STATUS_OK;
}

void golden_vectors_destroy(struct golden_vectors *v) {
    v->b->ops->release(v->b, v->param);
    v->b->ops->release(v->b, v->grad);
    v->b->ops->release(v->b, v->moment1);
    v->b->ops->release(v->b, v->moment2);
    v->b->ops->param_layout_destroy(v->b, v->layout);
}

void golden_vectors_step(struct golden_vectors *v, const struct optimizer_config *config, const float *grad, double lr,
                         int step, float *host) {
    const struct backend_ops *ops = v->b->ops;
    ops->param_import(v->b, v->layout, grad, v->grad);
    double factor = (double)config->clip_norm / (sqrt(ops->sum_squares(v->b, v->floats, v->grad)) + 1e-6);
    float clip = factor < 1 ? (float)factor : 1;
    struct optimizer_state state = {v->param, v->moment1, v->moment2};
    if (config->kind == OPTIMIZER_SGD) {
        struct sgd_config sgd = {clip, (float)lr, config->momentum, config->weight_decay, step == 1};
        ops->sgd_step(v->b, v->floats, &sgd, v->grad, &state, &state);
    } else {
        struct adamw_config adamw = {
            clip, (float)lr, config->beta1, config->beta2, config->epsilon, config->weight_decay, step};
        ops->adamw_step(v->b, v->floats, &adamw, v->grad, &state, &state);
    }
    ops->param_export(v->b, v->layout, v->param, 0, v->count, host);
}
