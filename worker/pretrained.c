#include "worker/pretrained.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/rng.h"
#include "model/base/safetensors.h"

static const char PREFIX[] = "encoder.";
enum { RGB = 3, PRETRAINED_STREAM = 1 }; // a stream beside network_initialize's, which has epoch 0

static enum status rgb_bands(const dataset *ds, const char *path, enum conv1_rgb rule, int band[RGB],
                             struct error *err) {
    static const char *const names[RGB] = {"red", "green", "blue"};
    for (int i = 0; i < RGB; i++) {
        band[i] = rule == CONV1_AS_PUBLISHED ? i : dataset_band_find(ds, names[i]);
        if (band[i] < 0 || band[i] >= dataset_bands(ds))
            return error_set(
                err, STATUS_INVALID,
                "pretrained-encoder %s: the dataset has no band \"%s\" to take the weights of; set conv1-rgb = as-published or name the bands in dataset.ini",
                path, names[i]);
    }
    return STATUS_OK;
}

// conv1 (Co, 3, k, k) -> (Co, bands, k, k).
static enum status widen_conv1(const struct safetensors_tensor *source, const struct network_tensor *target,
                               const dataset *ds, const char *path, enum conv1_rgb rule, uint64_t seed, float *out,
                               struct error *err) {
    int band[RGB];
    TRY(rgb_bands(ds, path, rule, band, err));
    int64_t outputs = target->shape[0], bands = target->shape[1], area = target->shape[2] * target->shape[3];
    double std = sqrt(2.0 / (double)(outputs * area)) * sqrt((double)RGB / (double)bands);
    struct rng r = rng_stream(seed, 0, RNG_INIT, PRETRAINED_STREAM, 0);
    for (size_t i = 0; i < target->count; i++)
        out[i] = (float)(std * rng_normal(&r));
    const float *in = source->data;
    for (int64_t o = 0; o < outputs; o++)
        for (int c = 0; c < RGB; c++)
            memcpy(out + (o * bands + band[c]) * area, in + (o * RGB + c) * area, (size_t)area * sizeof *out);
    return STATUS_OK;
}

static const struct safetensors_tensor *find_either(const safetensors *file, const char *key) {
    const struct safetensors_tensor *t = safetensors_find(file, key + strlen(PREFIX));
    return t ? t : safetensors_find(file, key);
}

static bool same_shape(const struct safetensors_tensor *source, const struct network_tensor *target) {
    if (source->dtype != DTYPE_F32 || source->rank != target->rank)
        return false;
    return memcmp(source->shape, target->shape, (size_t)target->rank * sizeof *target->shape) == 0;
}

static bool is_rgb_conv1(const struct safetensors_tensor *s, const struct network_tensor *t) {
    return strcmp(t->key, "encoder.conv1.weight") == 0 && s->dtype == DTYPE_F32 && s->rank == 4 && s->shape[1] == RGB &&
           t->shape[1] != RGB && s->shape[0] == t->shape[0] && s->shape[2] == t->shape[2] && s->shape[3] == t->shape[3];
}

static enum status load_one(const safetensors *file, const char *path, const dataset *ds, enum conv1_rgb rule,
                            uint64_t seed, network *net, int index, float *buffer, struct error *err) {
    const struct network_tensor *target = network_tensor_at(net, index);
    const struct safetensors_tensor *source = find_either(file, target->key);
    if (!source)
        return error_set(err, STATUS_MISMATCH,
                         "pretrained-encoder %s has no tensor \"%s\": it is no ResNet-50 with torchvision's keys", path,
                         target->key + strlen(PREFIX));
    if (is_rgb_conv1(source, target)) {
        TRY(widen_conv1(source, target, ds, path, rule, seed, buffer, err));
        network_write(net, ARENA_PARAM, index, buffer);
        return STATUS_OK;
    }
    if (!same_shape(source, target))
        return error_set(
            err, STATUS_MISMATCH,
            "pretrained-encoder %s: tensor \"%s\" is not float32 of this model's shape; encoder-width is %d here", path,
            source->name, (int)network_tensor_at(net, network_tensor_find(net, "encoder.conv1.weight"))->shape[0]);
    network_write(net, ARENA_PARAM, index, source->data);
    return STATUS_OK;
}

enum status pretrained_load(const char *path, const dataset *ds, enum conv1_rgb rule, uint64_t seed, network *net,
                            struct error *err) {
    safetensors *file = NULL;
    TRY(safetensors_open(path, &file, err));
    int conv1 = network_tensor_find(net, "encoder.conv1.weight");
    float *buffer = malloc(network_tensor_at(net, conv1)->count * sizeof *buffer);
    enum status status = buffer ? safetensors_verify(file, NULL, err) : error_memory(err, "pretrained encoder");
    for (int i = 0; status == STATUS_OK && i < network_tensor_count(net); i++)
        if (strncmp(network_tensor_at(net, i)->key, PREFIX, strlen(PREFIX)) == 0)
            status = load_one(file, path, ds, rule, seed, net, i, buffer, err);
    free(buffer);
    safetensors_close(file);
    return status;
}
