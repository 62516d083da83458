#include "worker/trainer_prepare.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/trial_model.h"

enum status trainer_create(trainer **out, struct error *err) {
    *out = calloc(1, sizeof **out);
    return *out ? STATUS_OK : error_memory(err, "trainer");
}

static void drop_network(trainer *t) {
    network_destroy(t->net);
    t->net = NULL;
}

static void drop_backend(trainer *t) {
    drop_network(t);
    backend_destroy(t->b);
    t->b = NULL;
}

void trainer_destroy(trainer *t) {
    if (!t)
        return;
    drop_backend(t);
    loader_destroy(t->l);
    dataset_close(t->ds);
    free(t->image);
    free(t->mask);
    free(t->cuts);
    free(t->results);
    free(t);
}

static enum status prepare_data(trainer *t, const struct trial *trial, struct error *err) {
    loader_destroy(t->l);
    t->l = NULL;
    if (t->ds && strcmp(dataset_path(t->ds), trial->dataset) != 0) {
        dataset_close(t->ds);
        t->ds = NULL;
    }
    if (!t->ds)
        TRY(dataset_open(trial->dataset, &t->ds, err));
    const struct hyperparameters *hp = &trial->hp;
    struct loader_config config = {.sampling = (enum temporal_sampling)hp->temporal_sampling,
                                   .image_size = hp->image_size,
                                   .folds = trial->folds,
                                   .fold = trial->fold,
                                   .seed = trial->seed,
                                   .augment = hp->augment,
                                   .shuffle = hp->shuffle};
    return loader_create(t->ds, &config, &t->l, err);
}

static enum status prepare_backend(trainer *t, const struct trial *trial, struct error *err) {
    struct backend_config config = {
        .threads = trial->threads, .precision = (enum precision)trial->hp.precision, .device = trial->member};
    if (t->b && (strcmp(t->backend_name, trial->backend) != 0 || t->threads != config.threads ||
                 t->precision != config.precision))
        drop_backend(t);
    if (t->b)
        return STATUS_OK;
    TRY(backend_create(trial->backend, &config, &t->b, err));
    snprintf(t->backend_name, sizeof t->backend_name, "%s", trial->backend);
    t->threads = config.threads;
    t->precision = config.precision;
    return STATUS_OK;
}

static enum status prepare_network(trainer *t, const struct trial *trial, struct error *err) {
    TRY(prepare_backend(t, trial, err));
    struct lstm_unet_config config;
    memset(&config, 0, sizeof config); // compared byte by byte below: no stray padding
    config = trial_model(&trial->hp, loader_steps(t->l), loader_bands(t->l));
    config.batch = trainer_share(t, config.batch).count;
    if (t->net && memcmp(&config, &t->net_config, sizeof config) == 0)
        return STATUS_OK;
    drop_network(t);
    TRY(network_create(t->b, &config, &t->net, err));
    t->net_config = config;
    return STATUS_OK;
}

static enum status prepare_buffers(trainer *t, struct error *err) {
    const struct lstm_unet_config *c = &t->net_config;
    size_t pixels = (size_t)c->batch * (size_t)c->image_size * (size_t)c->image_size,
           floats = pixels * (size_t)c->steps * (size_t)c->bands;
    if (floats <= t->image_floats && pixels <= t->mask_bytes)
        return STATUS_OK;
    free(t->image);
    free(t->mask);
    t->image = malloc(floats * sizeof *t->image);
    t->mask = malloc(pixels);
    t->image_floats = t->image ? floats : 0;
    t->mask_bytes = t->mask ? pixels : 0;
    return t->image && t->mask ? STATUS_OK : error_memory(err, "batch buffers");
}

// The samples of this fold, normalized for it, on the device.
static enum status hold_samples(trainer *t, struct error *err) {
    int count = loader_sample_count(t->l);
    struct resident_sample *samples = calloc((size_t)count, sizeof *samples);
    free(t->cuts);
    free(t->results);
    t->cuts = calloc((size_t)count, sizeof *t->cuts);
    t->results = calloc((size_t)count, sizeof *t->results);
    enum status status = STATUS_OK;
    if (samples && t->cuts && t->results) {
        for (int i = 0; i < count; i++) {
            struct loaded_sample s = loader_sample(t->l, i);
            samples[i] = (struct resident_sample){s.image, s.mask, s.height, s.width};
        }
        struct resident_config config = {.steps = t->net_config.steps,
                                         .bands = t->net_config.bands,
                                         .image_size = t->net_config.image_size,
                                         .batch = t->net_config.batch,
                                         .samples = count,
                                         .sample = samples};
        status = network_hold_samples(t->net, &config, err);
    } else {
        status = error_memory(err, "the samples of an epoch");
    }
    free(samples);
    return status;
}

struct share trainer_share(const trainer *t, int count) {
    const struct collectives *c = t->together;
    if (!c)
        return (struct share){0, count};
    int first = collectives_first(count, c->member, c->members);
    return (struct share){first, collectives_first(count, c->member + 1, c->members) - first};
}

int trainer_stretch(const trainer *t, int left) {
    int most = RESIDENT_MAX_STEPS * t->batch;
    return left < most ? left : most;
}

enum status trainer_prepare(trainer *t, const struct trial *trial, struct error *err) {
    TRY(hyperparameters_check(&trial->hp, err));
    TRY(hyperparameters_check_members(&trial->hp, trial->members, err));
    t->batch = trial->hp.batch_size;
    t->together = trial->together;
    TRY(prepare_data(t, trial, err));
    TRY(prepare_network(t, trial, err));
    return network_can_hold_samples(t->net) ? hold_samples(t, err) : prepare_buffers(t, err);
}

static enum status evaluate_stretches(trainer *t, enum split split, const struct focal_loss_config *focal,
                                      const struct trainer_hooks *hooks, struct pooled *sums, struct error *err) {
    int total = loader_count(t->l, split), batch = t->batch;
    for (int first = 0, count; first < total; first += count) {
        count = trainer_stretch(t, total - first);
        loader_eval_cuts(t->l, split, first, count, t->cuts);
        struct network_stretch stretch = {t->cuts, count, batch, t->results, NULL, NULL};
        TRY(network_evaluate_stretch(t->net, &stretch, focal, err));
        for (int i = 0; i < (count + batch - 1) / batch; i++)
            pooled_add(sums, &t->results[i].sums);
        if (hooks->alive)
            hooks->alive(hooks->context);
    }
    return STATUS_OK;
}

enum status trainer_evaluate(trainer *t, enum split split, const struct focal_loss_config *focal,
                             const struct trainer_hooks *hooks, struct pooled *sums, struct error *err) {
    memset(sums, 0, sizeof *sums);
    if (network_holds_samples(t->net))
        return evaluate_stretches(t, split, focal, hooks, sums, err);
    int count = loader_count(t->l, split);
    for (int first = 0; first < count; first += t->batch) {
        struct share own = trainer_share(t, count - first < t->batch ? count - first : t->batch);
        struct loss_sums batch_sums;
        loader_eval_batch(t->l, split, first + own.first, own.count, t->image, t->mask);
        TRY(network_evaluate(t->net, own.count, t->image, t->mask, focal, NULL, &batch_sums, err));
        pooled_add(sums, &batch_sums);
        if (hooks->alive)
            hooks->alive(hooks->context);
    }
    return STATUS_OK;
}
