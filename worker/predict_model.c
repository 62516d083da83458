#include "worker/predict_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/score.h"

// ---- checkpoints ----

// The normalization of a checkpoint that carries none, from a dataset's training samples.
static enum status normalization_from_dataset(const struct predict_config *c, const char *path,
                                              struct checkpoint_info *info, struct error *err) {
    if (!c->dataset)
        return error_set(
            err, STATUS_INVALID,
            "checkpoint %s carries no normalization; name the dataset it was trained on with --dataset (and --fold), or give --raw for an input that is normalized already",
            path);
    dataset *ds = NULL;
    loader *l = NULL;
    TRY(dataset_open(c->dataset, &ds, err));
    struct loader_config config = {.sampling = info->sampling,
                                   .image_size = PREDICT_SMALLEST,
                                   .folds = c->folds,
                                   .fold = c->fold,
                                   .seed = c->seed};
    enum status status = loader_create(ds, &config, &l, err);
    if (status == STATUS_OK)
        info->normalization = *loader_normalization(l);
    loader_destroy(l);
    dataset_close(ds);
    return status;
}

static enum status open_member(const struct predict_config *c, const char *path, struct predict_member *member,
                               struct error *err) {
    struct checkpoint_info *info = &member->info;
    struct hyperparameters hp = hyperparameters_default();
    info->sampling = (enum temporal_sampling)hp.temporal_sampling;
    info->model.skip = (enum skip_aggregation)hp.skip_aggregation;
    info->model.image_size = hp.image_size;
    TRY(safetensors_open(path, &member->file, err));
    TRY(safetensors_verify(member->file, NULL, err));
    TRY(checkpoint_inspect(member->file, path, info, err));
    if (c->sampling >= 0)
        info->sampling = (enum temporal_sampling)c->sampling;
    if (c->skip >= 0)
        info->model.skip = (enum skip_aggregation)c->skip;
    if (c->image_size >= 0)
        info->model.image_size = c->image_size;
    return info->has_normalization || c->raw ? STATUS_OK : normalization_from_dataset(c, path, info, err);
}

static enum status check_member(const struct predict_model *m, int index, struct error *err) {
    const struct checkpoint_info *a = &m->member[0].info, *b = &m->member[index].info;
    if (a->sampling == b->sampling && a->model.bands == b->model.bands && a->model.image_size == b->model.image_size)
        return STATUS_OK;
    return error_set(err, STATUS_MISMATCH,
                     "%s and %s make no ensemble: their temporal sampling, image size or number of bands differ",
                     m->config->checkpoints[0], m->config->checkpoints[index]);
}

enum status predict_model_open(const struct predict_config *c, struct predict_model *m, struct error *err) {
    struct dataset_ini ini;
    m->config = c;
    if (c->checkpoint_count < 1 || c->checkpoint_count > PREDICT_MAX_MEMBERS)
        return error_set(err, STATUS_INVALID, "%d checkpoints: 1 to %d are possible", c->checkpoint_count,
                         PREDICT_MAX_MEMBERS);
    layout_default(&ini.layout);
    if (c->dataset_ini)
        TRY(dataset_ini_read(c->dataset_ini, &ini, err));
    m->layout = ini.layout;
    while (m->count < c->checkpoint_count) { // counted first: a half-open one is closed too
        int i = m->count++;
        TRY(open_member(c, c->checkpoints[i], &m->member[i], err));
        TRY(check_member(m, i, err));
    }
    return sampling_plan_of_layout(&m->layout, c->input, m->member[0].info.sampling, &m->plan, err);
}

// ---- networks ----

int predict_model_side(const struct predict_model *m, int shortest) {
    int side = m->member[0].info.model.image_size;
    // The model is fully convolutional: a smaller window serves.
    return side > shortest ? shortest / PREDICT_SMALLEST * PREDICT_SMALLEST : side;
}

enum status predict_model_build(struct predict_model *m, int shortest, int windows, struct error *err) {
    const struct predict_config *c = m->config;
    m->side = predict_model_side(m, shortest);
    m->batch = c->batch_size < windows ? c->batch_size : windows;
    TRY(backend_create(c->backend, &(struct backend_config){.threads = c->threads}, &m->b, err));
    for (int i = 0; i < m->count; i++) {
        struct lstm_unet_config *model = &m->member[i].info.model;
        model->batch = m->batch;
        model->steps = m->plan.steps;
        model->image_size = m->side;
        TRY(network_create(m->b, model, &m->member[i].net, err));
        TRY(checkpoint_load(m->member[i].file, m->member[i].net, err));
    }
    size_t area = (size_t)m->side * (size_t)m->side, batch = (size_t)m->batch,
           frames = (size_t)m->plan.steps * (size_t)m->layout.bands;
    m->normalized = malloc(batch * frames * area * sizeof *m->normalized);
    m->logits = malloc(batch * area * sizeof *m->logits);
    return m->normalized && m->logits ? STATUS_OK : error_memory(err, "windows");
}

enum status predict_model_run(struct predict_model *m, int n, const float *sampled, double *out, struct error *err) {
    struct focal_loss_config focal = {0.25f, 2}; // asked for, and not used without a mask
    size_t area = (size_t)m->side * (size_t)m->side, pixels = (size_t)n * area;
    size_t frame = (size_t)m->layout.bands * area, frames = (size_t)n * (size_t)m->plan.steps;
    memset(out, 0, pixels * sizeof *out);
    for (int i = 0; i < m->count; i++) {
        memcpy(m->normalized, sampled, frames * frame * sizeof *sampled);
        for (size_t f = 0; f < frames; f++)
            normalization_apply(m->config->raw ? NULL : &m->member[i].info.normalization, m->layout.bands, area,
                                m->normalized + f * frame);
        TRY(network_evaluate(m->member[i].net, n, m->normalized, NULL, &focal, m->logits, NULL, err));
        for (size_t p = 0; p < pixels; p++)
            out[p] += (m->config->logits ? (double)m->logits[p] : probability_of_logit(m->logits[p])) / m->count;
    }
    return STATUS_OK;
}

void predict_model_close(struct predict_model *m) {
    for (int i = 0; i < m->count; i++) {
        network_destroy(m->member[i].net);
        safetensors_close(m->member[i].file);
    }
    backend_destroy(m->b);
    free(m->normalized);
    free(m->logits);
}
