#include "worker/predict.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/dataset/geotiff_rows.h"
#include "worker/picture.h"
#include "worker/predict_model.h"

enum { PICTURE_SIDE = 512 };                              // a panel's longer side at most
static const double UNIT = 1 << 30, LOGIT_UNIT = 1 << 24; // steps that sums count in: 64 bits hold side 8192

// What a picture shows, thinned to every step-th pixel.
struct sketch {
    int step, height, width;
    int rgb[3];
    float *colour[6]; // red, green, blue first, then last: (height, width)
    double *probability;
    uint8_t *mask; // NULL: no truth
};

// Everything a prediction holds; freed in one place.
struct prediction {
    const struct predict_config *config;
    struct predict_model model;
    raster_reader *input, *truth;
    raster_writer *output, *mask;
    int height, width, side, rows, columns; // of the raster; of a window; windows
    int stride;                             // from one window to the next
    int top;                                // first row of what is in hand: `side` rows of the raster
    float *band;                            // (file bands, side, width)
    int64_t *sum, *weight;                  // (side, width)
    float *tile;                            // one window: (file bands, side, side)
    float *sampled;                         // (batch, T, C, side, side)
    double *predicted;                      // (batch, side, side)
    int *left;                              // (batch) of the windows that wait
    int waiting, done;
    float *line;       // (side, width) of output
    uint8_t *bytes;    // the same of the mask
    float *truth_line; // the same of the truth
    struct sketch sketch;
    size_t missing;
};

static void prediction_free(struct prediction *p) {
    predict_model_close(&p->model);
    raster_reader_close(p->input);
    raster_reader_close(p->truth);
    raster_writer_abandon(p->output);
    raster_writer_abandon(p->mask);
    free(p->band);
    free(p->sum);
    free(p->weight);
    free(p->tile);
    free(p->sampled);
    free(p->predicted);
    free(p->left);
    free(p->line);
    free(p->bytes);
    free(p->truth_line);
    for (int c = 0; c < 6; c++)
        free(p->sketch.colour[c]);
    free(p->sketch.probability);
    free(p->sketch.mask);
}

// ---- opening ----

static enum status check_input(const struct prediction *p, struct error *err) {
    const struct layout *l = &p->model.layout;
    const struct predict_config *c = p->config;
    int bands = raster_reader_bands(p->input), model_bands = p->model.member[0].info.model.bands;
    if (bands != l->bands * l->steps)
        return error_set(
            err, STATUS_INVALID,
            "%s has %d bands; %d timesteps of %d bands make %d; name its bands and steps in a dataset.ini and give it with --layout",
            c->input, bands, l->steps, l->bands, l->bands * l->steps);
    if (l->bands != model_bands)
        return error_set(err, STATUS_MISMATCH, "checkpoint %s takes %d spectral bands, %s has %d", c->checkpoints[0],
                         model_bands, c->input, l->bands);
    if (p->height < PREDICT_SMALLEST || p->width < PREDICT_SMALLEST)
        return error_set(err, STATUS_INVALID, "%s is %d x %d pixels; at least %d x %d are needed", c->input, p->height,
                         p->width, PREDICT_SMALLEST, PREDICT_SMALLEST);
    return STATUS_OK;
}

static enum status open_truth(struct prediction *p, struct error *err) {
    if (!p->config->truth)
        return STATUS_OK;
    TRY(raster_reader_open(p->config->truth, &p->truth, err));
    if (raster_reader_bands(p->truth) != 1 || raster_reader_height(p->truth) != p->height ||
        raster_reader_width(p->truth) != p->width)
        return error_set(err, STATUS_MISMATCH, "%s is no mask of %s: one band of %d x %d pixels is needed",
                         p->config->truth, p->config->input, p->height, p->width);
    return STATUS_OK;
}

static int windows_along(int length, int side, int stride) {
    return length <= side ? 1 : 1 + (length - side + stride - 1) / stride;
}

// Top or left of a window: the last one is flush with the edge.
static int window_start(const struct prediction *p, int index, int length) {
    int start = index * p->stride;
    return start + p->side > length ? length - p->side : start;
}

static enum status allocate(struct prediction *p, struct error *err) {
    size_t area = (size_t)p->side * (size_t)p->side, strip = (size_t)p->side * (size_t)p->width,
           bands = (size_t)raster_reader_bands(p->input), batch = (size_t)p->model.batch,
           frames = (size_t)p->model.plan.steps * (size_t)p->model.layout.bands;
    p->band = malloc(bands * strip * sizeof *p->band);
    p->sum = calloc(strip, sizeof *p->sum);
    p->weight = calloc(strip, sizeof *p->weight);
    p->tile = malloc(bands * area * sizeof *p->tile);
    p->sampled = malloc(batch * frames * area * sizeof *p->sampled);
    p->predicted = malloc(batch * area * sizeof *p->predicted);
    p->left = malloc(batch * sizeof *p->left);
    p->line = malloc(strip * sizeof *p->line);
    p->bytes = malloc(strip);
    p->truth_line = malloc(strip * sizeof *p->truth_line);
    bool fits = p->band && p->sum && p->weight && p->tile && p->sampled && p->predicted && p->left && p->line &&
                p->bytes && p->truth_line;
    return fits ? STATUS_OK : error_memory(err, "a band of rows");
}

static int find_band(const void *context, const char *name) {
    const struct layout *l = context;
    for (int b = 0; b < l->bands; b++)
        if (strcmp(l->band[b], name) == 0)
            return b;
    return -1;
}

static enum status allocate_sketch(struct prediction *p, struct error *err) {
    struct sketch *s = &p->sketch;
    if (!p->config->picture)
        return STATUS_OK;
    int longer = p->height > p->width ? p->height : p->width;
    s->step = (longer + PICTURE_SIDE - 1) / PICTURE_SIDE;
    s->height = (p->height + s->step - 1) / s->step;
    s->width = (p->width + s->step - 1) / s->step;
    picture_choose_bands(find_band, &p->model.layout, p->model.layout.bands, s->rgb);
    size_t pixels = (size_t)s->height * (size_t)s->width;
    bool fits = (s->probability = malloc(pixels * sizeof *s->probability)) != NULL;
    for (int c = 0; c < 6; c++)
        fits = (s->colour[c] = malloc(pixels * sizeof(float))) && fits;
    if (p->truth)
        fits = (s->mask = malloc(pixels)) && fits;
    return fits ? STATUS_OK : error_memory(err, "a picture");
}

static enum status open_all(struct prediction *p, struct error *err) {
    const struct predict_config *c = p->config;
    TRY(predict_model_open(c, &p->model, err));
    TRY(raster_reader_open(c->input, &p->input, err));
    p->height = raster_reader_height(p->input);
    p->width = raster_reader_width(p->input);
    TRY(check_input(p, err));
    TRY(open_truth(p, err));
    int shortest = p->height < p->width ? p->height : p->width;
    p->side = predict_model_side(&p->model, shortest);
    p->stride = p->side - p->side * c->overlap / 100;
    p->rows = windows_along(p->height, p->side, p->stride);
    p->columns = windows_along(p->width, p->side, p->stride);
    TRY(predict_model_build(&p->model, shortest, p->columns, err));
    TRY(allocate(p, err));
    TRY(allocate_sketch(p, err));
    TRY(raster_writer_create(c->output, RASTER_FLOAT, p->input, &p->output, err));
    return c->mask ? raster_writer_create(c->mask, RASTER_BYTE, p->input, &p->mask, err) : STATUS_OK;
}

// ---- windows ----

static size_t strip_of(const struct prediction *p) {
    return (size_t)p->side * (size_t)p->width;
}

// False when the window has no value at all: it needs no prediction.
static bool cut_window(struct prediction *p, int left) {
    bool any = false;
    size_t side = (size_t)p->side, area = side * side;
    for (int b = 0; b < raster_reader_bands(p->input); b++)
        for (size_t y = 0; y < side; y++) {
            const float *from = p->band + (size_t)b * strip_of(p) + y * (size_t)p->width + (size_t)left;
            float *to = p->tile + (size_t)b * area + y * side;
            memcpy(to, from, side * sizeof *to);
            for (size_t x = 0; x < side && !any; x++)
                any = isfinite(to[x]);
        }
    return any;
}

// 1 at the window's rim, growing to its middle.
static int tent(int i, int side) {
    return i < side - 1 - i ? i + 1 : side - i;
}

static void blend_window(struct prediction *p, int left, const double *predicted) {
    double unit = p->config->logits ? LOGIT_UNIT : UNIT;
    for (int i = 0; i < p->side; i++)
        for (int j = 0; j < p->side; j++) {
            int64_t w = (int64_t)tent(i, p->side) * tent(j, p->side);
            size_t at = (size_t)i * (size_t)p->width + (size_t)(left + j);
            p->sum[at] += w * llround(predicted[i * p->side + j] * unit);
            p->weight[at] += w;
        }
}

static enum status run_waiting(struct prediction *p, struct error *err) {
    size_t area = (size_t)p->side * (size_t)p->side;
    if (p->waiting == 0)
        return STATUS_OK;
    TRY(predict_model_run(&p->model, p->waiting, p->sampled, p->predicted, err));
    for (int i = 0; i < p->waiting; i++)
        blend_window(p, p->left[i], p->predicted + (size_t)i * area);
    p->waiting = 0;
    return STATUS_OK;
}

static void report_progress(struct prediction *p, int windows) {
    p->done += windows;
    if (p->config->progress)
        p->config->progress(p->config->context, p->done, p->rows * p->columns);
}

static enum status run_window_row(struct prediction *p, struct error *err) {
    const struct sampling_plan *plan = &p->model.plan;
    size_t area = (size_t)p->side * (size_t)p->side, frame = (size_t)p->model.layout.bands * area;
    int unreported = 0;
    for (int column = 0; column < p->columns; column++, unreported++) {
        int left = window_start(p, column, p->width);
        if (!cut_window(p, left))
            continue;
        float *sampled = p->sampled + (size_t)(p->waiting * plan->steps) * frame;
        for (int t = 0; t < plan->steps; t++)
            sampling_apply_to(plan, p->tile, frame, t, sampled + (size_t)t * frame);
        p->left[p->waiting++] = left;
        if (p->waiting < p->model.batch)
            continue;
        TRY(run_waiting(p, err));
        report_progress(p, unreported);
        unreported = 0;
    }
    TRY(run_waiting(p, err));
    report_progress(p, unreported);
    return STATUS_OK;
}

// ---- rows ----

static bool is_missing(const struct prediction *p, size_t at) {
    for (int b = 0; b < raster_reader_bands(p->input); b++)
        if (isfinite(p->band[(size_t)b * strip_of(p) + at]))
            return false;
    return true;
}

static void sketch_pixel(struct prediction *p, int y, int x, size_t at) {
    struct sketch *s = &p->sketch;
    const struct sampling_plan *plan = &p->model.plan;
    size_t pixel = (size_t)(y / s->step) * (size_t)s->width + (size_t)(x / s->step);
    for (int c = 0; c < 6; c++) {
        int t = c < 3 ? 0 : plan->steps - 1, bands = p->model.layout.bands;
        float first = p->band[(size_t)(plan->first[t] * bands + s->rgb[c % 3]) * strip_of(p) + at];
        if (!isfinite(first) && plan->second[t] >= 0)
            first = p->band[(size_t)(plan->second[t] * bands + s->rgb[c % 3]) * strip_of(p) + at];
        s->colour[c][pixel] = first;
    }
    s->probability[pixel] = (double)p->line[at];
    if (s->mask)
        s->mask[pixel] = isnan(p->truth_line[at]) ? MASK_IGNORE : p->truth_line[at] > 0;
}

// The first `count` rows in hand are final: no further window reaches them.
static enum status write_rows(struct prediction *p, int count, struct error *err) {
    double unit = p->config->logits ? LOGIT_UNIT : UNIT;
    if (p->truth)
        TRY(raster_reader_rows(p->truth, p->top, count, p->truth_line, strip_of(p), err));
    for (size_t at = 0; at < (size_t)count * (size_t)p->width; at++) {
        bool missing = is_missing(p, at);
        double value = missing ? NAN : (double)p->sum[at] / ((double)p->weight[at] * unit);
        int y = p->top + (int)(at / (size_t)p->width), x = (int)(at % (size_t)p->width);
        p->missing += missing;
        p->line[at] = (float)value;
        p->bytes[at] = missing ? 255 : value > p->config->threshold;
        if (p->sketch.step > 0 && y % p->sketch.step == 0 && x % p->sketch.step == 0)
            sketch_pixel(p, y, x, at);
    }
    TRY(raster_writer_rows(p->output, p->top, count, p->line, err));
    return p->mask ? raster_writer_rows(p->mask, p->top, count, p->bytes, err) : STATUS_OK;
}

// Lets go of the first `count` rows and reads as many below.
static enum status move_down(struct prediction *p, int count, struct error *err) {
    size_t gone = (size_t)count * (size_t)p->width, kept = strip_of(p) - gone;
    for (int b = 0; b < raster_reader_bands(p->input); b++) {
        float *band = p->band + (size_t)b * strip_of(p);
        memmove(band, band + gone, kept * sizeof *band);
    }
    memmove(p->sum, p->sum + gone, kept * sizeof *p->sum);
    memmove(p->weight, p->weight + gone, kept * sizeof *p->weight);
    memset(p->sum + kept, 0, gone * sizeof *p->sum);
    memset(p->weight + kept, 0, gone * sizeof *p->weight);
    p->top += count;
    return raster_reader_rows(p->input, p->top + p->side - count, count, p->band + kept, strip_of(p), err);
}

static enum status run(struct prediction *p, struct error *err) {
    TRY(raster_reader_rows(p->input, 0, p->side, p->band, strip_of(p), err));
    for (int row = 0; row < p->rows; row++) {
        TRY(run_window_row(p, err));
        bool last = row + 1 == p->rows;
        int final = last ? p->side : window_start(p, row + 1, p->height) - p->top;
        TRY(write_rows(p, final, err));
        if (!last)
            TRY(move_down(p, final, err));
    }
    return STATUS_OK;
}

// ---- ends ----

static enum status write_picture(const struct prediction *p, struct error *err) {
    const struct sketch *s = &p->sketch;
    struct side_by_side picture = {.height = s->height,
                                   .width = s->width,
                                   .first = {s->colour[0], s->colour[1], s->colour[2]},
                                   .last = {s->colour[3], s->colour[4], s->colour[5]},
                                   .mask = s->mask,
                                   .probability = s->probability,
                                   .threshold = p->config->threshold};
    return side_by_side_write(p->config->picture, &picture, err);
}

static enum status commit(raster_writer **writer, struct error *err) {
    raster_writer *w = *writer;
    *writer = NULL;
    return w ? raster_writer_commit(w, err) : STATUS_OK;
}

enum status predict_raster(const struct predict_config *config, struct predict_result *result, struct error *err) {
    struct prediction *p = calloc(1, sizeof *p);
    *result = (struct predict_result){0};
    if (!p)
        return error_memory(err, "a prediction");
    p->config = config;
    enum status status = open_all(p, err);
    if (status == STATUS_OK)
        status = run(p, err);
    if (status == STATUS_OK && config->picture)
        status = write_picture(p, err);
    if (status == STATUS_OK)
        status = commit(&p->mask, err);
    if (status == STATUS_OK)
        status = commit(&p->output, err);
    *result = (struct predict_result){p->height, p->width, p->rows * p->columns, p->missing};
    prediction_free(p);
    free(p);
    return status;
}
