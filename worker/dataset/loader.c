#include "worker/dataset/loader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/rng.h"

struct loader {
    const dataset *ds;
    struct sampling_plan plan;
    int bands, size, fold;
    uint64_t seed;
    bool augment, shuffle;
    struct normalization normalization;
    float **images;            // by sample: (T, C, height, width), normalized
    int *members[SPLIT_COUNT]; // sample indices, in the order of ids
    int counts[SPLIT_COUNT];
    int *order;     // scratch: the epoch's order of the training samples
    size_t *gather; // scratch: where in a tile each pixel of a batch image comes from
};

static size_t pixels_of(const struct sample *s) {
    return (size_t)s->height * (size_t)s->width;
}

static enum status check_sizes(const dataset *ds, int size, struct error *err) {
    const struct sample *first = NULL;
    int small = 0, count = dataset_count(ds);
    if (size < 1)
        return error_set(err, STATUS_INVALID, "image-size %d: at least 1 is needed", size);
    for (int i = 0; i < count; i++) {
        const struct sample *s = dataset_sample(ds, i);
        if (s->height >= size && s->width >= size)
            continue;
        first = first ? first : s;
        small++;
    }
    if (small > 0)
        return error_set(err, STATUS_INVALID,
                         "tile '%s' is %dx%d pixels, smaller than image-size %d (so are %d of %d tiles)", first->id,
                         first->height, first->width, size, small, count);
    return STATUS_OK;
}

static enum status split_samples(loader *l, int folds, struct error *err) {
    int count = dataset_count(l->ds), *fold = malloc((size_t)count * sizeof *fold);
    if (!fold)
        return error_memory(err, "folds");
    enum status status = folds_assign(l->ds, folds, l->seed, fold, err);
    for (int i = 0; status == STATUS_OK && i < count; i++) {
        enum split split = fold[i] == FOLD_TEST ? SPLIT_TEST : fold[i] == l->fold ? SPLIT_VAL : SPLIT_TRAIN;
        l->members[split][l->counts[split]++] = i;
    }
    free(fold);
    if (status != STATUS_OK)
        return status;
    if (l->counts[SPLIT_TRAIN] == 0 || l->counts[SPLIT_VAL] == 0)
        return error_set(err, STATUS_INVALID, "%s: fold %d of %d has no %s samples", dataset_path(l->ds), l->fold,
                         folds, l->counts[SPLIT_TRAIN] == 0 ? "training" : "validation");
    return STATUS_OK;
}

static enum status sample_in_time(loader *l, struct error *err) {
    for (int i = 0; i < dataset_count(l->ds); i++) {
        size_t frame = (size_t)l->bands * pixels_of(dataset_sample(l->ds, i));
        l->images[i] = malloc((size_t)l->plan.steps * frame * sizeof(float));
        if (!l->images[i])
            return error_memory(err, "samples of a fold");
        for (int t = 0; t < l->plan.steps; t++)
            sampling_apply(l->ds, &l->plan, i, t, l->images[i] + (size_t)t * frame);
    }
    return STATUS_OK;
}

// Sum over the finite values of one band of the training samples of (x - shift)^power, power 1 or 2, and their number.
static double band_sum(const loader *l, int band, double shift, int power, size_t *finite) {
    double sum = 0;
    *finite = 0;
    for (int m = 0; m < l->counts[SPLIT_TRAIN]; m++) {
        int index = l->members[SPLIT_TRAIN][m];
        size_t pixels = pixels_of(dataset_sample(l->ds, index));
        for (int t = 0; t < l->plan.steps; t++) {
            const float *x = l->images[index] + ((size_t)t * (size_t)l->bands + (size_t)band) * pixels;
            double part = 0; // per frame, so that a long sum loses no digits
            for (size_t i = 0; i < pixels; i++) {
                if (!isfinite(x[i]))
                    continue;
                double d = (double)x[i] - shift;
                part += power == 2 ? d * d : d;
                (*finite)++;
            }
            sum += part;
        }
    }
    return sum;
}

static void compute_normalization(loader *l) {
    l->normalization.bands = l->bands;
    for (int c = 0; c < l->bands; c++) {
        size_t n;
        double sum = band_sum(l, c, 0, 1, &n), mean = n ? sum / (double)n : 0;
        double squares = band_sum(l, c, mean, 2, &n), std = n ? sqrt(squares / (double)n) : 0;
        l->normalization.mean[c] = mean;
        l->normalization.std[c] = std > 0 ? std : 1;
    }
}

void normalization_apply(const struct normalization *normalization, int bands, size_t pixels, float *frame) {
    for (int c = 0; c < bands; c++) {
        float *x = frame + (size_t)c * pixels;
        double mean = normalization ? normalization->mean[c] : 0, scale = normalization ? 1 / normalization->std[c] : 1;
        for (size_t p = 0; p < pixels; p++)
            x[p] = isfinite(x[p]) ? (float)(((double)x[p] - mean) * scale) : 0.0f;
    }
}

static void normalize(loader *l) {
    for (int i = 0; i < dataset_count(l->ds); i++) {
        size_t pixels = pixels_of(dataset_sample(l->ds, i));
        for (int t = 0; t < l->plan.steps; t++)
            normalization_apply(&l->normalization, l->bands, pixels, l->images[i] + (size_t)(t * l->bands) * pixels);
    }
}

static enum status allocate(loader *l, struct error *err) {
    size_t count = (size_t)dataset_count(l->ds);
    l->images = calloc(count, sizeof *l->images);
    l->order = malloc(count * sizeof *l->order);
    l->gather = malloc((size_t)l->size * (size_t)l->size * sizeof *l->gather);
    bool ok = l->images && l->order && l->gather;
    for (int s = 0; s < SPLIT_COUNT; s++)
        ok = (l->members[s] = malloc(count * sizeof *l->members[s])) && ok;
    return ok ? STATUS_OK : error_memory(err, "loader");
}

static enum status set_normalization(loader *l, const struct normalization *given, struct error *err) {
    if (!given) {
        compute_normalization(l);
    } else if (given->bands != l->bands) {
        return error_set(err, STATUS_MISMATCH, "%s has %d bands, the normalization has %d", dataset_path(l->ds),
                         l->bands, given->bands);
    } else {
        l->normalization = *given;
    }
    return STATUS_OK;
}

enum status loader_create(const dataset *ds, const struct loader_config *config, loader **out, struct error *err) {
    *out = NULL;
    TRY(check_sizes(ds, config->image_size, err));
    if (config->fold < 0 || config->fold >= config->folds)
        return error_set(err, STATUS_INVALID, "fold %d is not one of the %d folds 0..%d", config->fold, config->folds,
                         config->folds - 1);
    loader *l = calloc(1, sizeof *l);
    if (!l)
        return error_memory(err, "loader");
    l->ds = ds;
    l->bands = dataset_bands(ds);
    l->size = config->image_size;
    l->fold = config->fold;
    l->seed = config->seed;
    l->augment = config->augment;
    l->shuffle = config->shuffle;
    enum status status;
    TRY_OR_FAIL(allocate(l, err));
    TRY_OR_FAIL(sampling_plan_create(ds, config->sampling, &l->plan, err));
    TRY_OR_FAIL(split_samples(l, config->folds, err));
    TRY_OR_FAIL(sample_in_time(l, err));
    TRY_OR_FAIL(set_normalization(l, config->normalization, err));
    normalize(l);
    *out = l;
    return STATUS_OK;
fail:
    loader_destroy(l);
    return status;
}

void loader_destroy(loader *l) {
    if (!l)
        return;
    for (int i = 0; l->images && i < dataset_count(l->ds); i++)
        free(l->images[i]);
    free(l->images);
    for (int s = 0; s < SPLIT_COUNT; s++)
        free(l->members[s]);
    free(l->order);
    free(l->gather);
    free(l);
}

int loader_steps(const loader *l) {
    return l->plan.steps;
}

int loader_bands(const loader *l) {
    return l->bands;
}

int loader_count(const loader *l, enum split split) {
    return l->counts[split];
}

int loader_sample_index(const loader *l, enum split split, int position) {
    return l->members[split][position];
}

const struct normalization *loader_normalization(const loader *l) {
    return &l->normalization;
}

static struct sample_cut centre_cut(const loader *l, int index) {
    const struct sample *s = dataset_sample(l->ds, index);
    return (struct sample_cut){.sample = index, .top = (s->height - l->size) / 2, .left = (s->width - l->size) / 2};
}

static struct sample_cut draw_cut(const loader *l, int epoch, int index) {
    const struct sample *s = dataset_sample(l->ds, index);
    struct rng r = rng_stream(l->seed, l->fold, RNG_AUGMENT, (uint32_t)epoch, (uint32_t)index);
    struct sample_cut cut = {.sample = index};
    cut.top = (int)rng_below(&r, (uint32_t)(s->height - l->size + 1));
    cut.left = (int)rng_below(&r, (uint32_t)(s->width - l->size + 1));
    cut.flip_horizontal = rng_uniform(&r) < 0.5;
    cut.flip_vertical = rng_uniform(&r) < 0.5;
    cut.quarter_turns = rng_uniform(&r) < 0.5 ? (uint8_t)(1 + rng_below(&r, 3)) : 0;
    return cut;
}

static void fill_gather(const loader *l, const struct sample *s, struct sample_cut cut) {
    int size = l->size, last = size - 1;
    for (int i = 0; i < size; i++)
        for (int j = 0; j < size; j++) {
            int y = i, x = j;
            for (int turn = 0; turn < cut.quarter_turns; turn++) { // rotated[i][j] = original[j][last - i]
                int before = y;
                y = x;
                x = last - before;
            }
            y = cut.flip_vertical ? last - y : y;
            x = cut.flip_horizontal ? last - x : x;
            l->gather[i * size + j] = (size_t)(cut.top + y) * (size_t)s->width + (size_t)(cut.left + x);
        }
}

static void make_cut(const loader *l, struct sample_cut cut, float *image, uint8_t *mask) {
    const struct sample *s = dataset_sample(l->ds, cut.sample);
    size_t in = pixels_of(s), out = (size_t)l->size * (size_t)l->size;
    size_t frames = (size_t)l->plan.steps * (size_t)l->bands;
    fill_gather(l, s, cut);
    for (size_t frame = 0; frame < frames; frame++)
        for (size_t p = 0; p < out; p++)
            image[frame * out + p] = l->images[cut.sample][frame * in + l->gather[p]];
    for (size_t p = 0; p < out; p++)
        mask[p] = s->mask[l->gather[p]];
}

static void order_of_epoch(const loader *l, int epoch) {
    size_t n = (size_t)l->counts[SPLIT_TRAIN];
    memcpy(l->order, l->members[SPLIT_TRAIN], n * sizeof *l->order);
    if (l->shuffle) {
        struct rng r = rng_stream(l->seed, l->fold, RNG_SHUFFLE, (uint32_t)epoch, 0);
        rng_shuffle(&r, l->order, n);
    }
}

static struct sample_cut train_cut(const loader *l, int epoch, int position) {
    int index = l->order[position];
    return l->augment ? draw_cut(l, epoch, index) : centre_cut(l, index);
}

static void batch_of_cut(const loader *l, struct sample_cut cut, int position, float *image, uint8_t *mask) {
    size_t pixels = (size_t)l->size * (size_t)l->size;
    size_t values = (size_t)l->plan.steps * (size_t)l->bands * pixels;
    make_cut(l, cut, image + (size_t)position * values, mask + (size_t)position * pixels);
}

void loader_train_batch(const loader *l, int epoch, int first, int count, float *image, uint8_t *mask) {
    order_of_epoch(l, epoch);
    for (int i = 0; i < count; i++)
        batch_of_cut(l, train_cut(l, epoch, first + i), i, image, mask);
}

void loader_eval_batch(const loader *l, enum split split, int first, int count, float *image, uint8_t *mask) {
    for (int i = 0; i < count; i++)
        batch_of_cut(l, centre_cut(l, l->members[split][first + i]), i, image, mask);
}

void loader_train_cuts(const loader *l, int epoch, int first, int count, struct sample_cut *cuts) {
    order_of_epoch(l, epoch);
    for (int i = 0; i < count; i++)
        cuts[i] = train_cut(l, epoch, first + i);
}

void loader_eval_cuts(const loader *l, enum split split, int first, int count, struct sample_cut *cuts) {
    for (int i = 0; i < count; i++)
        cuts[i] = centre_cut(l, l->members[split][first + i]);
}

int loader_sample_count(const loader *l) {
    return dataset_count(l->ds);
}

struct loaded_sample loader_sample(const loader *l, int index) {
    const struct sample *s = dataset_sample(l->ds, index);
    return (struct loaded_sample){l->images[index], s->mask, s->height, s->width};
}
