#include "worker/predict.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/dataset/geotiff.h"
#include "worker/dataset/layout.h"

enum { SMALLEST = 32 }; // the encoder halves five times

// Everything a prediction holds; freed in one place.
struct prediction {
    const struct predict_config *config;
    struct checkpoint_info info;
    safetensors *file;
    struct raster raster;
    struct sampling_plan plan;
    float *image; // (T, C, height, width), normalized
    backend *b;
    network *net;
    int side, batch, rows, columns; // windows
    float *windows, *logits;        // (batch, T, C, side, side), (batch, side, side)
    double *sum, *weight;           // (height, width)
};

static void prediction_free(struct prediction *p) {
    network_destroy(p->net);
    backend_destroy(p->b);
    safetensors_close(p->file);
    raster_free(&p->raster);
    free(p->image);
    free(p->windows);
    free(p->logits);
    free(p->sum);
    free(p->weight);
}

static size_t raster_pixels(const struct prediction *p) {
    return (size_t)p->raster.height * (size_t)p->raster.width;
}

static enum status settle(struct prediction *p, struct error *err) {
    const struct predict_config *c = p->config;
    struct hyperparameters hp = hyperparameters_default();
    p->info.sampling = (enum temporal_sampling)hp.temporal_sampling;
    p->info.model.skip = (enum skip_aggregation)hp.skip_aggregation;
    p->info.model.image_size = hp.image_size;
    TRY(safetensors_open(c->checkpoint, &p->file, err));
    TRY(safetensors_verify(p->file, NULL, err));
    TRY(checkpoint_inspect(p->file, c->checkpoint, &p->info, err));
    if (c->sampling >= 0)
        p->info.sampling = (enum temporal_sampling)c->sampling;
    if (c->skip >= 0)
        p->info.model.skip = (enum skip_aggregation)c->skip;
    if (c->image_size >= 0)
        p->info.model.image_size = c->image_size;
    return STATUS_OK;
}

// The normalization of a checkpoint that carries none, from a dataset's training samples.
static enum status normalization_from_dataset(struct prediction *p, struct error *err) {
    const struct predict_config *c = p->config;
    if (!c->dataset)
        return error_set(
            err, STATUS_INVALID,
            "checkpoint %s carries no normalization; name the dataset it was trained on with --dataset (and --fold), or give --raw for an input that is normalized already",
            c->checkpoint);
    dataset *ds = NULL;
    loader *l = NULL;
    TRY(dataset_open(c->dataset, &ds, err));
    struct loader_config config = {
        .sampling = p->info.sampling, .image_size = SMALLEST, .folds = c->folds, .fold = c->fold, .seed = c->seed};
    enum status status = loader_create(ds, &config, &l, err);
    if (status == STATUS_OK)
        p->info.normalization = *loader_normalization(l);
    loader_destroy(l);
    dataset_close(ds);
    return status;
}

static enum status check_raster(const struct prediction *p, const struct layout *layout, struct error *err) {
    const struct raster *r = &p->raster;
    if (r->bands != layout->bands * layout->steps)
        return error_set(
            err, STATUS_INVALID,
            "%s has %d bands; %d timesteps of %d bands make %d; name its bands and steps in a dataset.ini and give it with --layout",
            p->config->input, r->bands, layout->steps, layout->bands, layout->bands * layout->steps);
    if (layout->bands != p->info.model.bands)
        return error_set(err, STATUS_MISMATCH, "checkpoint %s takes %d spectral bands, %s has %d",
                         p->config->checkpoint, p->info.model.bands, p->config->input, layout->bands);
    if (r->height < SMALLEST || r->width < SMALLEST)
        return error_set(err, STATUS_INVALID, "%s is %d x %d pixels; at least %d x %d are needed", p->config->input,
                         r->height, r->width, SMALLEST, SMALLEST);
    return STATUS_OK;
}

static enum status load_input(struct prediction *p, struct error *err) {
    struct dataset_ini ini;
    layout_default(&ini.layout);
    if (p->config->dataset_ini)
        TRY(dataset_ini_read(p->config->dataset_ini, &ini, err));
    TRY(raster_read(p->config->input, &p->raster, err));
    TRY(check_raster(p, &ini.layout, err));
    TRY(sampling_plan_of_layout(&ini.layout, p->config->input, p->info.sampling, &p->plan, err));
    if (!p->info.has_normalization && !p->config->raw)
        TRY(normalization_from_dataset(p, err));
    size_t pixels = raster_pixels(p), frame = (size_t)ini.layout.bands * pixels;
    p->image = malloc((size_t)p->plan.steps * frame * sizeof *p->image);
    if (!p->image)
        return error_memory(err, p->config->input);
    for (int t = 0; t < p->plan.steps; t++) {
        float *out = p->image + (size_t)t * frame;
        sampling_apply_to(&p->plan, p->raster.data, frame, t, out);
        normalization_apply(p->config->raw ? NULL : &p->info.normalization, ini.layout.bands, pixels, out);
    }
    return STATUS_OK;
}

static int windows_along(int length, int side) {
    int stride = side / 2;
    return length <= side ? 1 : 1 + (length - side + stride - 1) / stride;
}

// Top or left of a window: half a window apart, the last one flush with the edge.
static int window_start(int index, int length, int side) {
    int start = index * (side / 2);
    return start + side > length ? length - side : start;
}

static enum status open_network(struct prediction *p, struct error *err) {
    int shortest = p->raster.height < p->raster.width ? p->raster.height : p->raster.width;
    p->side = p->info.model.image_size;
    if (p->side > shortest) // the model is fully convolutional: a smaller window serves
        p->side = shortest / SMALLEST * SMALLEST;
    p->rows = windows_along(p->raster.height, p->side);
    p->columns = windows_along(p->raster.width, p->side);
    int windows = p->rows * p->columns;
    p->batch = p->config->batch_size < windows ? p->config->batch_size : windows;
    struct lstm_unet_config *model = &p->info.model;
    model->batch = p->batch;
    model->steps = p->plan.steps;
    model->image_size = p->side;
    TRY(backend_create(p->config->backend, &(struct backend_config){.threads = p->config->threads}, &p->b, err));
    TRY(network_create(p->b, model, &p->net, err));
    TRY(checkpoint_load(p->file, p->net, err));
    size_t area = (size_t)p->side * (size_t)p->side, batch = (size_t)p->batch;
    p->windows = malloc(batch * (size_t)model->steps * (size_t)model->bands * area * sizeof *p->windows);
    p->logits = malloc(batch * area * sizeof *p->logits);
    p->sum = calloc(raster_pixels(p), sizeof *p->sum);
    p->weight = calloc(raster_pixels(p), sizeof *p->weight);
    return p->windows && p->logits && p->sum && p->weight ? STATUS_OK : error_memory(err, "windows");
}

static void window_origin(const struct prediction *p, int window, int *y, int *x) {
    *y = window_start(window / p->columns, p->raster.height, p->side);
    *x = window_start(window % p->columns, p->raster.width, p->side);
}

static void cut_window(const struct prediction *p, int window, float *out) {
    int y, x, planes = p->plan.steps * p->info.model.bands;
    size_t side = (size_t)p->side;
    window_origin(p, window, &y, &x);
    for (int plane = 0; plane < planes; plane++)
        for (size_t row = 0; row < side; row++)
            memcpy(out + ((size_t)plane * side + row) * side,
                   p->image + (size_t)plane * raster_pixels(p) + ((size_t)y + row) * (size_t)p->raster.width +
                       (size_t)x,
                   side * sizeof *out);
}

// Distance to the nearer edge of the window, in pixels from 1.
static double tent(int i, int side) {
    return i < side - 1 - i ? i + 1 : side - i;
}

static void blend_window(struct prediction *p, int window, const float *logits) {
    int y, x, side = p->side;
    window_origin(p, window, &y, &x);
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++) {
            double value = logits[i * side + j], w = tent(i, side) * tent(j, side);
            size_t at = (size_t)(y + i) * (size_t)p->raster.width + (size_t)(x + j);
            p->sum[at] += w * (p->config->logits ? value : 1 / (1 + exp(-value)));
            p->weight[at] += w;
        }
}

static enum status run(struct prediction *p, struct error *err) {
    struct focal_loss_config focal = {0.25f, 2};
    size_t area = (size_t)p->side * (size_t)p->side,
           window_floats = (size_t)(p->plan.steps * p->info.model.bands) * area;
    int total = p->rows * p->columns;
    for (int first = 0; first < total; first += p->batch) {
        int n = total - first < p->batch ? total - first : p->batch;
        for (int i = 0; i < n; i++)
            cut_window(p, first + i, p->windows + (size_t)i * window_floats);
        TRY(network_evaluate(p->net, n, p->windows, NULL, &focal, p->logits, NULL, err));
        for (int i = 0; i < n; i++)
            blend_window(p, first + i, p->logits + (size_t)i * area);
        if (p->config->progress)
            p->config->progress(p->config->context, first + n, total);
    }
    return STATUS_OK;
}

static enum status write_output(struct prediction *p, struct error *err) {
    float *out = malloc(raster_pixels(p) * sizeof *out);
    if (!out)
        return error_memory(err, p->config->output);
    for (size_t i = 0; i < raster_pixels(p); i++)
        out[i] = (float)(p->sum[i] / p->weight[i]);
    enum status status = raster_write(p->config->output, 1, p->raster.height, p->raster.width, out, &p->raster, err);
    free(out);
    return status;
}

enum status predict_raster(const struct predict_config *config, struct predict_result *result, struct error *err) {
    struct prediction p = {.config = config};
    enum status status = settle(&p, err);
    if (status == STATUS_OK)
        status = load_input(&p, err);
    if (status == STATUS_OK)
        status = open_network(&p, err);
    if (status == STATUS_OK)
        status = run(&p, err);
    if (status == STATUS_OK)
        status = write_output(&p, err);
    *result = (struct predict_result){p.raster.height, p.raster.width, p.rows * p.columns};
    prediction_free(&p);
    return status;
}
