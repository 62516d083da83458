#include "worker/checkpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status missing(const char *path, const char *key, struct error *err) {
    return error_set(err, STATUS_MISMATCH, "checkpoint %s has no usable tensor \"%s\": it is no LSTM-UNet", path, key);
}

static enum status weight_shape(const safetensors *file, const char *path, const char *key, const int64_t **shape,
                                struct error *err) {
    const struct safetensors_tensor *t = safetensors_find(file, key);
    if (!t || t->rank != 4)
        return missing(path, key, err);
    *shape = t->shape;
    return STATUS_OK;
}

// The architecture from the shapes of the weights alone.
static enum status read_architecture(const safetensors *file, const char *path, struct lstm_unet_config *m,
                                     struct error *err) {
    const int64_t *shape = NULL;
    char key[GRAPH_KEY_SIZE];
    TRY(weight_shape(file, path, "encoder.conv1.weight", &shape, err));
    m->encoder_width = (int)shape[0];
    m->bands = (int)shape[1];
    for (m->lstm_layers = 0;; m->lstm_layers++) {
        snprintf(key, sizeof key, "convlstm.cell_list.%d.conv.weight", m->lstm_layers);
        const struct safetensors_tensor *t = safetensors_find(file, key);
        if (!t)
            break;
        if (t->rank != 4)
            return missing(path, key, err);
        m->lstm_hidden = (int)(t->shape[0] / 4);
    }
    if (m->lstm_layers == 0)
        return missing(path, key, err);
    for (int i = 0; i < DECODER_STAGES; i++) {
        snprintf(key, sizeof key, "decoder.blocks.%d.conv1.0.weight", i);
        TRY(weight_shape(file, path, key, &shape, err));
        m->decoder_channels[i] = (int)shape[0];
    }
    m->upsample = safetensors_find(file, "decoder.blocks.0.up.weight") ? UPSAMPLE_TRANSPOSED : UPSAMPLE_NEAREST;
    return STATUS_OK;
}

// "1.5, 2" -> values; returns how many were read.
static int read_numbers(const char *text, double *values, int capacity) {
    int count = 0;
    while (text && count < capacity) {
        char *end;
        values[count] = strtod(text, &end);
        if (end == text)
            break;
        count++;
        text = *end == ',' ? end + 1 : NULL;
    }
    return count;
}

static enum status set_from_metadata(const safetensors *file, struct hyperparameters *hp, int hyper,
                                     struct error *err) {
    char column[64];
    hyper_column(hyper, column, sizeof column);
    const char *text = safetensors_metadata(file, column);
    return text ? hyper_set(hp, hyper, text, err) : STATUS_OK;
}

static void read_trial(const safetensors *file, struct checkpoint_info *info) {
    const char *id = safetensors_metadata(file, "trial"), *folds = safetensors_metadata(file, "folds"),
               *fold = safetensors_metadata(file, "fold"), *seed = safetensors_metadata(file, "seed"),
               *epoch = safetensors_metadata(file, "epoch");
    info->has_trial = id && folds && fold && seed && epoch;
    if (!info->has_trial)
        return;
    snprintf(info->trial, sizeof info->trial, "%s", id);
    info->folds = atoi(folds);
    info->fold = atoi(fold);
    info->seed = strtoull(seed, NULL, 10);
    info->epoch = atoi(epoch);
}

enum status checkpoint_inspect(const safetensors *file, const char *path, struct checkpoint_info *info,
                               struct error *err) {
    TRY(read_architecture(file, path, &info->model, err));
    struct hyperparameters hp = hyperparameters_default();
    hp.skip_aggregation = (int)info->model.skip;
    hp.temporal_sampling = (int)info->sampling;
    hp.image_size = info->model.image_size;
    static const int from_metadata[] = {HYPER_skip_aggregation, HYPER_temporal_sampling, HYPER_image_size,
                                        HYPER_focal_alpha, HYPER_focal_gamma};
    for (size_t i = 0; i < sizeof from_metadata / sizeof *from_metadata; i++)
        if (set_from_metadata(file, &hp, from_metadata[i], err) != STATUS_OK)
            return error_prefix(err, "checkpoint %s: metadata", path);
    info->model.skip = (enum skip_aggregation)hp.skip_aggregation;
    info->sampling = (enum temporal_sampling)hp.temporal_sampling;
    info->model.image_size = hp.image_size;
    info->focal = (struct focal_loss_config){(float)hp.focal_alpha, (float)hp.focal_gamma};
    const char *bands = safetensors_metadata(file, "bands");
    snprintf(info->band_names, sizeof info->band_names, "%s", bands ? bands : "");
    struct normalization *n = &info->normalization;
    n->bands = read_numbers(safetensors_metadata(file, "normalization_mean"), n->mean, DATASET_MAX_BANDS);
    info->has_normalization =
        n->bands == info->model.bands &&
        read_numbers(safetensors_metadata(file, "normalization_std"), n->std, DATASET_MAX_BANDS) == n->bands;
    read_trial(file, info);
    return STATUS_OK;
}

enum status checkpoint_check_architecture(const char *path, const struct lstm_unet_config *model, struct error *err) {
    safetensors *file = NULL;
    struct lstm_unet_config theirs = *model;
    TRY(safetensors_open(path, &file, err));
    enum status status = read_architecture(file, path, &theirs, err);
    safetensors_close(file);
    if (status != STATUS_OK)
        return status;
    const struct {
        const char *what;
        int checkpoint, trial;
    } pairs[] = {
        {"bands", theirs.bands, model->bands},
        {"encoder-width", theirs.encoder_width, model->encoder_width},
        {"lstm-hidden-dim", theirs.lstm_hidden, model->lstm_hidden},
        {"lstm-layers", theirs.lstm_layers, model->lstm_layers},
        {"decoder-upsample (0 transposed, 1 nearest)", (int)theirs.upsample, (int)model->upsample},
        {"decoder-channels (first)", theirs.decoder_channels[0], model->decoder_channels[0]},
        {"decoder-channels (second)", theirs.decoder_channels[1], model->decoder_channels[1]},
        {"decoder-channels (third)", theirs.decoder_channels[2], model->decoder_channels[2]},
        {"decoder-channels (fourth)", theirs.decoder_channels[3], model->decoder_channels[3]},
        {"decoder-channels (fifth)", theirs.decoder_channels[4], model->decoder_channels[4]},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (pairs[i].checkpoint != pairs[i].trial)
            return error_set(err, STATUS_MISMATCH, "checkpoint %s is of another architecture: %s %d, the trial's is %d",
                             path, pairs[i].what, pairs[i].checkpoint, pairs[i].trial);
    return STATUS_OK;
}
