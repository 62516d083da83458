#include <math.h>
#include <stdio.h>
#include <string.h>

#include "worker/dataset/dataset.h"
#include "worker/dataset/layout.h"

// A quarter that misses more than the first share stands back behind one that misses less than the second.
static const double DIRTY_ABOVE = 0.5, CLEAN_BELOW = 0.2;

static enum status cannot_sample(const struct layout *layout, const char *source, const char *why, struct error *err) {
    char steps[LAYOUT_TEXT_SIZE];
    layout_steps_text(layout, steps);
    return error_set(err, STATUS_UNSUPPORTED, "%s: %s; it has the steps %s", source, why, steps);
}

static void plan_add(struct sampling_plan *plan, int first, int second) {
    plan->first[plan->steps] = first;
    plan->second[plan->steps] = second;
    plan->steps++;
}

static int find_step(const struct layout *layout, int year, int quarter) {
    for (int i = 0; i < layout->steps; i++)
        if (layout->step[i].year == year && layout->step[i].quarter == quarter)
            return i;
    return -1;
}

static enum status plan_annual(const struct layout *layout, const char *source, struct sampling_plan *plan,
                               struct error *err) {
    for (int i = 0; i < layout->steps; i++) {
        int year = layout->step[i].year;
        if (i > 0 && layout->step[i - 1].year == year)
            continue;
        int whole = find_step(layout, year, 0), q2 = find_step(layout, year, 2), q3 = find_step(layout, year, 3);
        if (whole >= 0)
            plan_add(plan, whole, -1);
        else if (q2 >= 0 && q3 >= 0)
            plan_add(plan, q2, q3);
        else
            return cannot_sample(layout, source, "annual sampling needs Q2 and Q3 of every year, or whole years", err);
    }
    return STATUS_OK;
}

static enum status plan_quarterly(const struct layout *layout, const char *source, struct sampling_plan *plan,
                                  struct error *err) {
    for (int i = 0; i < layout->steps; i++) {
        int quarter = layout->step[i].quarter;
        if (quarter == 0)
            return cannot_sample(layout, source, "quarterly sampling needs quarters, not whole years", err);
        if (quarter == 2 || quarter == 3)
            plan_add(plan, i, -1);
    }
    return plan->steps ? STATUS_OK : cannot_sample(layout, source, "quarterly sampling needs Q2 or Q3", err);
}

enum status sampling_plan_of_layout(const struct layout *layout, const char *source, enum temporal_sampling sampling,
                                    struct sampling_plan *plan, struct error *err) {
    *plan = (struct sampling_plan){0};
    switch (sampling) {
    case SAMPLING_ANNUAL:
        return plan_annual(layout, source, plan, err);
    case SAMPLING_QUARTERLY:
        return plan_quarterly(layout, source, plan, err);
    case SAMPLING_BI_TEMPORAL:
        if (layout->steps < 2)
            return cannot_sample(layout, source, "bi_temporal sampling needs two steps", err);
        plan_add(plan, 0, -1);
        plan_add(plan, layout->steps - 1, -1);
        return STATUS_OK;
    case SAMPLING_ALL:
        for (int i = 0; i < layout->steps; i++)
            plan_add(plan, i, -1);
        return STATUS_OK;
    }
    return error_set(err, STATUS_INVALID, "unknown temporal sampling %d", (int)sampling);
}

enum status sampling_plan_create(const dataset *ds, enum temporal_sampling sampling, struct sampling_plan *plan,
                                 struct error *err) {
    struct layout layout = {.steps = dataset_steps(ds)};
    for (int i = 0; i < layout.steps; i++)
        layout.step[i] = dataset_step(ds, i);
    return sampling_plan_of_layout(&layout, dataset_path(ds), sampling, plan, err);
}

static double missing_share(const float *values, size_t count) {
    size_t missing = 0;
    for (size_t i = 0; i < count; i++)
        missing += isfinite(values[i]) ? 0 : 1;
    return (double)missing / (double)count;
}

void sampling_apply_to(const struct sampling_plan *plan, const float *image, size_t frame, int t, float *out) {
    const float *a = image + (size_t)plan->first[t] * frame, *b = NULL;
    if (plan->second[t] >= 0) {
        b = image + (size_t)plan->second[t] * frame;
        double missing_a = missing_share(a, frame), missing_b = missing_share(b, frame);
        if (missing_b > DIRTY_ABOVE && missing_a < CLEAN_BELOW) {
            b = NULL;
        } else if (missing_a > DIRTY_ABOVE && missing_b < CLEAN_BELOW) {
            a = b;
            b = NULL;
        }
    }
    for (size_t i = 0; i < frame; i++) {
        float x = b ? 0.5f * (a[i] + b[i]) : a[i];
        out[i] = isfinite(x) ? x : NAN;
    }
}

void sampling_apply(const dataset *ds, const struct sampling_plan *plan, int sample_index, int t, float *out) {
    const struct sample *s = dataset_sample(ds, sample_index);
    size_t frame = (size_t)dataset_bands(ds) * (size_t)s->height * (size_t)s->width;
    sampling_apply_to(plan, s->image, frame, t, out);
}
