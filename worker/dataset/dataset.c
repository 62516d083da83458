#include "worker/dataset/dataset.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/safetensors.h"
#include "worker/dataset/layout.h"

#define IMAGE_SUFFIX "/image"
#define MASK_SUFFIX  "/mask"

static const double MODERATE_FROM = 0.05, HIGH_FROM = 0.30;

struct dataset {
    char *path;
    safetensors *file;
    struct layout layout;
    int count;
    struct sample *samples; // by id
    char *ids;              // the text behind sample.id
};

const char *change_level_name(enum change_level level) {
    static const char *const names[CHANGE_LEVELS] = {"low", "moderate", "high"};
    return names[level];
}

enum change_level change_level_of(double positive_share) {
    return positive_share < MODERATE_FROM ? CHANGE_LOW : positive_share < HIGH_FROM ? CHANGE_MODERATE : CHANGE_HIGH;
}

double mask_positive_share(const uint8_t *mask, size_t pixels) {
    size_t positive = 0, counted = 0;
    for (size_t i = 0; i < pixels; i++) {
        counted += mask[i] != MASK_IGNORE;
        positive += mask[i] == 1;
    }
    return counted ? (double)positive / (double)counted : 0;
}

static bool ends_with(const char *name, const char *suffix) {
    size_t n = strlen(name), s = strlen(suffix);
    return n > s && strcmp(name + n - s, suffix) == 0;
}

static enum status read_metadata(dataset *ds, struct error *err) {
    const char *format = safetensors_metadata(ds->file, "format");
    if (!format || strcmp(format, DATASET_FORMAT) != 0)
        return error_set(err, STATUS_FORMAT, "%s is not a dataset file (format '%s', wanted '" DATASET_FORMAT "')",
                         ds->path, format ? format : "absent");
    const char *bands = safetensors_metadata(ds->file, "bands"), *steps = safetensors_metadata(ds->file, "steps");
    if (!bands || !steps || !safetensors_metadata(ds->file, "test"))
        return error_set(err, STATUS_FORMAT, "%s: metadata '%s' is absent", ds->path,
                         !bands   ? "bands"
                         : !steps ? "steps"
                                  : "test");
    if (layout_parse_bands(&ds->layout, bands, err) != STATUS_OK ||
        layout_parse_steps(&ds->layout, steps, err) != STATUS_OK) {
        err->status = STATUS_FORMAT;
        return error_prefix(err, "%s", ds->path);
    }
    return STATUS_OK;
}

static enum status check_mask(const dataset *ds, const struct sample *s, struct error *err) {
    size_t pixels = (size_t)s->height * (size_t)s->width;
    for (size_t i = 0; i < pixels; i++)
        if (s->mask[i] > 1 && s->mask[i] != MASK_IGNORE)
            return error_set(err, STATUS_FORMAT, "%s: mask of '%s' holds %d: only 0, 1 and %d are allowed", ds->path,
                             s->id, s->mask[i], MASK_IGNORE);
    return STATUS_OK;
}

// Fills a sample from its image tensor and the mask that goes with it. `id` has room for the id and the mask's suffix.
static enum status read_sample(const dataset *ds, const struct safetensors_tensor *image, char *id, struct sample *s,
                               struct error *err) {
    size_t length = strlen(image->name) - strlen(IMAGE_SUFFIX);
    memcpy(id, image->name, length);
    memcpy(id + length, MASK_SUFFIX, sizeof MASK_SUFFIX);
    if (image->rank != 4 || image->shape[2] < 1 || image->shape[3] < 1 || image->shape[2] > INT_MAX / 2 ||
        image->shape[3] > INT_MAX / 2)
        return error_set(err, STATUS_FORMAT, "%s: tensor '%s' is not an image (steps, bands, height, width)", ds->path,
                         image->name);
    const int64_t *extent = image->shape;
    int64_t wanted[4] = {ds->layout.steps, ds->layout.bands, extent[2], extent[3]};
    const struct safetensors_tensor *mask;
    TRY(safetensors_expect(ds->file, image->name, DTYPE_F32, 4, wanted, &image, err));
    TRY(safetensors_expect(ds->file, id, DTYPE_U8, 2, extent + 2, &mask, err));
    id[length] = 0;
    *s = (struct sample){
        .id = id, .height = (int)extent[2], .width = (int)extent[3], .image = image->data, .mask = mask->data};
    TRY(check_mask(ds, s, err));
    s->positive_share = mask_positive_share(s->mask, mask->count);
    s->level = change_level_of(s->positive_share);
    return STATUS_OK;
}

static int compare_samples(const void *a, const void *b) {
    return strcmp(((const struct sample *)a)->id, ((const struct sample *)b)->id);
}

static enum status read_samples(dataset *ds, struct error *err) {
    size_t tensors = safetensors_count(ds->file), images = 0, text = 0;
    for (size_t i = 0; i < tensors; i++) {
        const char *name = safetensors_at(ds->file, i)->name;
        bool image = ends_with(name, IMAGE_SUFFIX);
        if (!image && !ends_with(name, MASK_SUFFIX))
            return error_set(err, STATUS_FORMAT, "%s: tensor '%s' belongs to no sample", ds->path, name);
        images += image;
        text += strlen(name) + 1;
    }
    if (images == 0 || images > INT_MAX)
        return error_set(err, STATUS_FORMAT, "%s holds no samples", ds->path);
    if (tensors != 2 * images)
        return error_set(err, STATUS_FORMAT, "%s: %zu images, but %zu masks", ds->path, images, tensors - images);
    ds->samples = calloc(images, sizeof *ds->samples);
    ds->ids = malloc(text);
    if (!ds->samples || !ds->ids)
        return error_memory(err, ds->path);
    char *id = ds->ids;
    for (size_t i = 0; i < tensors; i++) {
        const struct safetensors_tensor *t = safetensors_at(ds->file, i);
        if (!ends_with(t->name, IMAGE_SUFFIX))
            continue;
        TRY(read_sample(ds, t, id, &ds->samples[ds->count], err));
        ds->count++;
        id += strlen(t->name) + 1;
    }
    qsort(ds->samples, images, sizeof *ds->samples, compare_samples);
    return STATUS_OK;
}

static struct sample *find_sample(const dataset *ds, const char *id, size_t length) {
    for (int i = 0; i < ds->count; i++)
        if (strlen(ds->samples[i].id) == length && memcmp(ds->samples[i].id, id, length) == 0)
            return &ds->samples[i];
    return NULL;
}

static enum status mark_test_samples(dataset *ds, struct error *err) {
    const char *p = safetensors_metadata(ds->file, "test");
    while (*p) {
        size_t length = strcspn(p, "\n");
        struct sample *s = find_sample(ds, p, length);
        if (!s)
            return error_set(err, STATUS_FORMAT, "%s: held-out sample '%.*s' is not in the file", ds->path, (int)length,
                             p);
        s->test = true;
        p += length + (p[length] == '\n');
    }
    return STATUS_OK;
}

enum status dataset_open(const char *path, dataset **ds, struct error *err) {
    *ds = NULL;
    dataset *d = calloc(1, sizeof *d);
    if (!d || !(d->path = strdup(path))) {
        free(d);
        return error_memory(err, path);
    }
    enum status status;
    TRY_OR_FAIL(safetensors_open(path, &d->file, err));
    TRY_OR_FAIL(read_metadata(d, err));
    TRY_OR_FAIL(read_samples(d, err));
    TRY_OR_FAIL(mark_test_samples(d, err));
    *ds = d;
    return STATUS_OK;
fail:
    dataset_close(d);
    return status;
}

void dataset_close(dataset *ds) {
    if (!ds)
        return;
    free(ds->samples);
    free(ds->ids);
    safetensors_close(ds->file);
    free(ds->path);
    free(ds);
}

const char *dataset_path(const dataset *ds) {
    return ds->path;
}

int dataset_count(const dataset *ds) {
    return ds->count;
}

const struct sample *dataset_sample(const dataset *ds, int index) {
    return &ds->samples[index];
}

int dataset_bands(const dataset *ds) {
    return ds->layout.bands;
}

const char *dataset_band_name(const dataset *ds, int band) {
    return ds->layout.band[band];
}

int dataset_band_find(const dataset *ds, const char *name) {
    for (int i = 0; i < ds->layout.bands; i++)
        if (strcmp(ds->layout.band[i], name) == 0)
            return i;
    return -1;
}

int dataset_steps(const dataset *ds) {
    return ds->layout.steps;
}

struct timestep dataset_step(const dataset *ds, int step) {
    return ds->layout.step[step];
}
