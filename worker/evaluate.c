#include "worker/evaluate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Everything an evaluation holds; freed in one place.
struct evaluation {
    const struct evaluate_config *config;
    struct evaluate_result *result;
    safetensors *file;
    dataset *ds;
    loader *l;
    backend *b;
    network *net;
    int count, batch;
    size_t pixels; // of one sample
    float *image;  // one batch
};

static void evaluation_free(struct evaluation *e) {
    network_destroy(e->net);
    backend_destroy(e->b);
    loader_destroy(e->l);
    dataset_close(e->ds);
    safetensors_close(e->file);
    free(e->image);
}

// The checkpoint's word, then the caller's, where it was given.
static enum status settle(struct evaluation *e, struct error *err) {
    const struct evaluate_config *c = e->config;
    struct checkpoint_info *info = &e->result->info;
    struct hyperparameters hp = hyperparameters_default();
    *info = (struct checkpoint_info){.sampling = (enum temporal_sampling)hp.temporal_sampling, .folds = 5, .seed = 42};
    info->model.skip = (enum skip_aggregation)hp.skip_aggregation;
    info->model.image_size = hp.image_size;
    TRY(safetensors_open(c->checkpoint, &e->file, err));
    TRY(safetensors_verify(e->file, NULL, err));
    TRY(checkpoint_inspect(e->file, c->checkpoint, info, err));
    if (c->sampling >= 0)
        info->sampling = (enum temporal_sampling)c->sampling;
    if (c->skip >= 0)
        info->model.skip = (enum skip_aggregation)c->skip;
    if (c->image_size >= 0)
        info->model.image_size = c->image_size;
    if (c->folds >= 0)
        info->folds = c->folds;
    if (c->fold >= 0)
        info->fold = c->fold;
    if (c->seed >= 0)
        info->seed = (uint64_t)c->seed;
    if (c->ignore_normalization)
        info->has_normalization = false;
    return STATUS_OK;
}

// Band names must agree where both sides know them; their number always.
static enum status check_bands(const struct evaluation *e, struct error *err) {
    const struct checkpoint_info *info = &e->result->info;
    char names[sizeof info->band_names] = "";
    size_t used = 0;
    for (int b = 0; b < dataset_bands(e->ds) && used < sizeof names; b++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", b ? ", " : "", dataset_band_name(e->ds, b));
    if (dataset_bands(e->ds) != info->model.bands || (info->band_names[0] && strcmp(names, info->band_names) != 0))
        return error_set(err, STATUS_MISMATCH, "checkpoint %s was trained on %d bands (%s), dataset %s has %d (%s)",
                         e->config->checkpoint, info->model.bands,
                         info->band_names[0] ? info->band_names : "names unknown", e->config->dataset,
                         dataset_bands(e->ds), names);
    return STATUS_OK;
}

static enum status open_data(struct evaluation *e, struct error *err) {
    const struct checkpoint_info *info = &e->result->info;
    TRY(dataset_open(e->config->dataset, &e->ds, err));
    TRY(check_bands(e, err));
    struct loader_config config = {.sampling = info->sampling,
                                   .image_size = info->model.image_size,
                                   .folds = info->folds,
                                   .fold = info->fold,
                                   .seed = info->seed,
                                   .normalization = info->has_normalization ? &info->normalization : NULL};
    TRY(loader_create(e->ds, &config, &e->l, err));
    e->count = loader_count(e->l, e->config->split);
    if (e->count == 0)
        return error_set(err, STATUS_INVALID, "%s: the split is empty (no splits/test.txt when it was imported?)",
                         e->config->dataset);
    return STATUS_OK;
}

static enum status open_network(struct evaluation *e, struct error *err) {
    struct lstm_unet_config *model = &e->result->info.model;
    e->batch = e->config->batch_size < e->count ? e->config->batch_size : e->count;
    model->batch = e->batch;
    model->steps = loader_steps(e->l);
    TRY(backend_create(e->config->backend, &(struct backend_config){.threads = e->config->threads}, &e->b, err));
    TRY(network_create(e->b, model, &e->net, err));
    TRY(checkpoint_load(e->file, e->net, err));
    e->pixels = (size_t)model->image_size * (size_t)model->image_size;
    e->image = malloc((size_t)e->batch * (size_t)model->steps * (size_t)model->bands * e->pixels * sizeof *e->image);
    struct evaluate_result *r = e->result;
    size_t count = (size_t)e->count;
    r->samples = e->count;
    r->side = model->image_size;
    r->logits = malloc(count * e->pixels * sizeof *r->logits);
    r->mask = malloc(count * e->pixels);
    r->sample = malloc(count * sizeof *r->sample);
    r->level = malloc(count * sizeof *r->level);
    return e->image && r->logits && r->mask && r->sample && r->level ? STATUS_OK
                                                                     : error_memory(err, "evaluation buffers");
}

static enum status run(struct evaluation *e, struct error *err) {
    struct evaluate_result *r = e->result;
    for (int first = 0; first < e->count; first += e->batch) {
        int n = e->count - first < e->batch ? e->count - first : e->batch;
        uint8_t *mask = r->mask + (size_t)first * e->pixels;
        struct loss_sums sums;
        loader_eval_batch(e->l, e->config->split, first, n, e->image, mask);
        TRY(network_evaluate(e->net, n, e->image, mask, &r->info.focal, r->logits + (size_t)first * e->pixels, &sums,
                             err));
        pooled_add(&r->all, &sums);
    }
    for (int i = 0; i < e->count; i++) {
        r->sample[i] = loader_sample_index(e->l, e->config->split, i);
        r->level[i] = dataset_sample(e->ds, r->sample[i])->level;
    }
    return STATUS_OK;
}

enum status evaluate_write_logits(const struct evaluate_result *r, const char *path, struct error *err) {
    int64_t logits_shape[4] = {r->samples, 1, r->side, r->side}, mask_shape[3] = {r->samples, r->side, r->side};
    safetensors_writer *w = NULL;
    TRY(safetensors_writer_create(&w, err));
    enum status status = safetensors_add(w, "logits", DTYPE_F32, 4, logits_shape, r->logits, err);
    if (status == STATUS_OK)
        status = safetensors_add(w, "mask", DTYPE_U8, 3, mask_shape, r->mask, err);
    if (status == STATUS_OK)
        status = safetensors_write(w, path, err);
    safetensors_writer_destroy(w);
    return status;
}

enum status evaluate_checkpoint(const struct evaluate_config *config, struct evaluate_result *result,
                                struct error *err) {
    memset(result, 0, sizeof *result);
    struct evaluation e = {.config = config, .result = result};
    enum status status = settle(&e, err);
    if (status == STATUS_OK)
        status = open_data(&e, err);
    if (status == STATUS_OK)
        status = open_network(&e, err);
    if (status == STATUS_OK)
        status = run(&e, err);
    evaluation_free(&e);
    return status;
}

void evaluate_result_free(struct evaluate_result *r) {
    free(r->logits);
    free(r->mask);
    free(r->sample);
    free(r->level);
    memset(r, 0, sizeof *r);
}
