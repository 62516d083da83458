// The samples that an evaluation did best, middling and worst on, as pictures.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "orchestrator/evaluate_parts.h"
#include "worker/picture.h"

struct ranked {
    double iou;
    size_t index;
};

static int compare_ranked(const void *a, const void *b) {
    const struct ranked *x = a, *y = b;
    if (x->iou != y->iou)
        return x->iou > y->iou ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

// Samples without a positive in mask and prediction have no IoU and no place.
static size_t rank_samples(const struct model_scores *m, struct ranked *ranked) {
    size_t count = 0;
    for (size_t i = 0; i < m->count; i++) {
        double iou = score_value(&m->scores[i], SCORE_IOU);
        if (!isnan(iou))
            ranked[count++] = (struct ranked){iou, i};
    }
    qsort(ranked, count, sizeof *ranked, compare_ranked);
    return count;
}

static int find_band(const void *context, const char *name) {
    return dataset_band_find(context, name);
}

static void crop(const float *frame, const struct sample *s, int side, float *out) {
    int top = (s->height - side) / 2, left = (s->width - side) / 2;
    for (int y = 0; y < side; y++)
        memcpy(out + y * side, frame + (size_t)(top + y) * (size_t)s->width + (size_t)left, (size_t)side * sizeof *out);
}

// What the model saw of red, green and blue at its first and last timestep, before normalization.
static enum status read_colours(const dataset *ds, enum temporal_sampling sampling, int index, int side, float *planes,
                                struct error *err) {
    const struct sample *s = dataset_sample(ds, index);
    size_t tile = (size_t)s->height * (size_t)s->width, panel = (size_t)side * (size_t)side;
    struct sampling_plan plan;
    int rgb[3];
    TRY(sampling_plan_create(ds, sampling, &plan, err));
    picture_choose_bands(find_band, ds, dataset_bands(ds), rgb);
    float *frame = malloc((size_t)dataset_bands(ds) * tile * sizeof *frame);
    if (!frame)
        return error_memory(err, "a picture");
    for (int t = 0; t < 2; t++) {
        sampling_apply(ds, &plan, index, t == 0 ? 0 : plan.steps - 1, frame);
        for (int c = 0; c < 3; c++)
            crop(frame + (size_t)rgb[c] * tile, s, side, planes + (size_t)(3 * t + c) * panel);
    }
    free(frame);
    return STATUS_OK;
}

static enum status write_picture(const char *path, const dataset *ds, enum temporal_sampling sampling,
                                 const struct model_scores *m, size_t index, struct error *err) {
    size_t panel = (size_t)m->side * (size_t)m->side;
    float *planes = malloc(6 * panel * sizeof *planes);
    if (!planes)
        return error_memory(err, path);
    struct side_by_side s = {.height = m->side,
                             .width = m->side,
                             .mask = m->mask + index * panel,
                             .probability = m->probability + index * panel,
                             .threshold = 0.5};
    for (int c = 0; c < 3; c++) {
        s.first[c] = planes + (size_t)c * panel;
        s.last[c] = planes + (size_t)(3 + c) * panel;
    }
    enum status status = read_colours(ds, sampling, m->sample[index], m->side, planes, err);
    if (status == STATUS_OK)
        status = side_by_side_write(path, &s, err);
    free(planes);
    return status;
}

enum status evaluate_pictures(const char *folder, const dataset *ds, enum temporal_sampling sampling,
                              const struct model_scores *m, struct error *err) {
    static const char *const names[3] = {"qualitative_best.png", "qualitative_median.png", "qualitative_worst.png"};
    struct ranked *ranked = malloc((m->count + 1) * sizeof *ranked);
    if (!ranked)
        return error_memory(err, "a ranking");
    size_t count = rank_samples(m, ranked);
    const size_t places[3] = {0, count / 2, count - 1};
    enum status status = STATUS_OK;
    for (int i = 0; i < 3 && status == STATUS_OK; i++) {
        char path[PATH_SIZE];
        status = path_join(path, folder, names[i], err);
        if (status != STATUS_OK)
            break;
        unlink(path);
        if (count > 0)
            status = write_picture(path, ds, sampling, m, ranked[places[i]].index, err);
    }
    free(ranked);
    return status;
}
