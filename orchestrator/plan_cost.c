#include "orchestrator/plan_cost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/checkpoint.h"
#include "worker/trial_model.h"

struct estimate {
    struct lstm_unet_config model;
    enum optimizer_kind optimizer;
    enum precision precision;
    enum status status;
    struct network_cost cost;
    struct device_memory gpu;
    char message[ERROR_MESSAGE_SIZE];
};

struct reason {
    struct reason *next;
    char text[];
};

struct plan_costs {
    struct reason *reasons;
    int members;
    bool cuda;                                                  // trials may be trained by it
    struct device_samples samples;                              // the whole dataset
    int training[SWEEP_MAX_FOLDS], validation[SWEEP_MAX_FOLDS]; // samples
    int count;
    struct estimate *estimates;
};

void plan_costs_destroy(struct plan_costs *costs) {
    if (!costs)
        return;
    while (costs->reasons) {
        struct reason *r = costs->reasons;
        costs->reasons = r->next;
        free(r);
    }
    free(costs->estimates);
    free(costs);
}

enum status plan_costs_create(const struct sweep *sweep, const dataset *ds, struct plan_costs **out,
                              struct error *err) {
    *out = NULL;
    struct plan_costs *costs = calloc(1, sizeof *costs);
    int samples = ds ? dataset_count(ds) : 0, *fold = calloc((size_t)samples + 1, sizeof *fold);
    enum status status = costs && fold ? STATUS_OK : error_memory(err, "the plan's folds");
    if (status == STATUS_OK && ds)
        status = folds_assign(ds, sweep->folds, sweep->seed, fold, err);
    if (status == STATUS_OK)
        *costs = (struct plan_costs){
            .members = sweep->members, .cuda = sweep_may_use_cuda(sweep), .samples = {.count = samples}};
    if (status != STATUS_OK) {
        free(fold);
        plan_costs_destroy(costs);
        return status;
    }
    for (int i = 0; i < samples; i++)
        costs->samples.pixels += (size_t)dataset_sample(ds, i)->height * (size_t)dataset_sample(ds, i)->width;
    for (int i = 0; i < samples; i++)
        for (int f = 0; fold[i] != FOLD_TEST && f < sweep->folds; f++)
            (fold[i] == f ? costs->validation : costs->training)[f]++;
    free(fold);
    *out = costs;
    return STATUS_OK;
}

static bool same_model(const struct lstm_unet_config *a, const struct lstm_unet_config *b) {
    return a->batch == b->batch && a->steps == b->steps && a->bands == b->bands && a->image_size == b->image_size &&
           a->encoder_width == b->encoder_width && a->lstm_hidden == b->lstm_hidden &&
           a->lstm_layers == b->lstm_layers &&
           memcmp(a->decoder_channels, b->decoder_channels, sizeof a->decoder_channels) == 0 &&
           a->upsample == b->upsample && a->skip == b->skip;
}

// A GPU of a trial on several holds the largest share of a batch: the first one's.
static enum status estimate_gpu(const struct plan_costs *costs, struct estimate *e, struct error *err) {
    struct lstm_unet_config share = e->model;
    share.batch = (share.batch + costs->members - 1) / costs->members;
    if (!costs->cuda)
        return STATUS_OK;
    return device_memory_estimate(&share, e->optimizer, e->precision, &costs->samples, &e->gpu, err);
}

static enum status add_estimate(struct plan_costs *costs, const struct lstm_unet_config *model,
                                const struct hyperparameters *hp, struct error *err) {
    struct estimate *larger = realloc(costs->estimates, (size_t)(costs->count + 1) * sizeof *larger);
    if (!larger)
        return error_memory(err, "estimates");
    costs->estimates = larger;
    struct estimate *e = &larger[costs->count++];
    *e = (struct estimate){
        .model = *model, .optimizer = (enum optimizer_kind)hp->optimizer, .precision = (enum precision)hp->precision};
    struct error why = {0};
    e->status = network_estimate(model, e->optimizer, &e->cost, &why);
    if (e->status == STATUS_OK)
        e->status = estimate_gpu(costs, e, &why);
    if (e->status == STATUS_MEMORY) {
        costs->count--;
        *err = why;
        return STATUS_MEMORY;
    }
    snprintf(e->message, sizeof e->message, "%s", why.message);
    return STATUS_OK;
}

// Building the graph of the full model takes milliseconds, and a grid has few architectures: each is estimated once.
static bool is_of(const struct estimate *e, const struct lstm_unet_config *model, const struct hyperparameters *hp) {
    return (int)e->optimizer == hp->optimizer && (int)e->precision == hp->precision && same_model(&e->model, model);
}

static enum status estimate_model(struct plan_costs *costs, const struct lstm_unet_config *model, struct plan_trial *t,
                                  struct error *err) {
    int i = 0;
    while (i < costs->count && !is_of(&costs->estimates[i], model, &t->hp))
        i++;
    if (i == costs->count)
        TRY(add_estimate(costs, model, &t->hp, err));
    const struct estimate *e = &costs->estimates[i];
    if (e->status != STATUS_OK)
        return error_set(err, e->status, "%s", e->message);
    t->cost = e->cost;
    t->gpu = e->gpu;
    return STATUS_OK;
}

static enum status check_tiles(const dataset *ds, int image_size, struct error *err) {
    const struct sample *first = NULL;
    int small = 0, count = dataset_count(ds), smallest = image_size;
    for (int i = 0; i < count; i++) {
        const struct sample *s = dataset_sample(ds, i);
        int side = s->height < s->width ? s->height : s->width;
        smallest = side < smallest ? side : smallest;
        if (side >= image_size)
            continue;
        first = first ? first : s;
        small++;
    }
    if (small == 0)
        return STATUS_OK;
    enum { STRIDE = 32 }; // of the encoder: image sizes are its multiples
    char advice[64] = "no image-size fits";
    if (smallest >= STRIDE)
        snprintf(advice, sizeof advice, "take %d", smallest / STRIDE * STRIDE);
    return error_set(err, STATUS_INVALID,
                     "image-size %d: %d of %d tiles are smaller, the first is %.200s with %d x %d; %s", image_size,
                     small, count, first->id, first->height, first->width, advice);
}

static enum status estimate_trial(struct plan_costs *costs, const dataset *ds, struct plan_trial *t,
                                  struct error *err) {
    struct sampling_plan sampling;
    TRY(hyperparameters_check(&t->hp, err));
    TRY(hyperparameters_check_members(&t->hp, costs->members, err));
    TRY(sampling_plan_create(ds, (enum temporal_sampling)t->hp.temporal_sampling, &sampling, err));
    struct lstm_unet_config model = trial_model(&t->hp, sampling.steps, dataset_bands(ds));
    // A trial that its tiles refuse still has a model: estimated first.
    TRY(estimate_model(costs, &model, t, err));
    double per_epoch =
        (costs->training[t->fold] * t->cost.train_flops + costs->validation[t->fold] * t->cost.eval_flops);
    t->work = per_epoch / t->hp.batch_size * t->hp.epochs;
    if (t->hp.init_checkpoint[0])
        TRY(checkpoint_check_architecture(t->hp.init_checkpoint, &model, err));
    return check_tiles(ds, t->hp.image_size, err);
}

// Trials are refused for few reasons: each is kept once.
static const char *keep_reason(struct plan_costs *costs, const char *text) {
    for (struct reason *r = costs->reasons; r; r = r->next)
        if (strcmp(r->text, text) == 0)
            return r->text;
    size_t bytes = strlen(text) + 1;
    struct reason *r = malloc(sizeof *r + bytes);
    if (!r)
        return NULL;
    memcpy(r->text, text, bytes);
    r->next = costs->reasons;
    costs->reasons = r;
    return r->text;
}

enum status plan_costs_estimate(struct plan_costs *costs, const dataset *ds, struct plan_trial *t, struct error *err) {
    struct error why;
    t->refused = "";
    if (!ds) {
        t->work = 1;
        return STATUS_OK;
    }
    enum status status = estimate_trial(costs, ds, t, &why);
    if (status == STATUS_OK)
        return STATUS_OK;
    if (status == STATUS_MEMORY || status == STATUS_IO) {
        *err = why;
        return status;
    }
    t->work = 0;
    t->refused = keep_reason(costs, why.message);
    return t->refused ? STATUS_OK : error_memory(err, "the plan's refusals");
}
