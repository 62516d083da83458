#include "results/report_plots.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

FILE *report_figure(struct report *r, const char *name, int width, int height, const char *caption, ...) {
    const char *path;
    char text[1024];
    FILE *out = figures_begin(r->figures, name, width, height, &path);
    if (!out)
        return NULL;
    va_list args;
    va_start(args, caption);
    vsnprintf(text, sizeof text, caption, args);
    va_end(args);
    document_figure(r->doc, path, "%s", text);
    return out;
}

struct curve report_curve(const struct run_data *run, const struct trial_row *trial, const char *label) {
    struct curve curve = {.run = run, .best_epoch = trial->best_epoch, .metric = &run->metric};
    curve.epoch = run_data_epochs(run, trial->trial, &curve.count);
    snprintf(curve.label, sizeof curve.label, "%s", label);
    return curve;
}

static void add_curve_figures(struct report *r, const char *name, const char *what, const struct curve *curve,
                              size_t curves, enum curve_kind kind) {
    char stem[RUN_NAME_SIZE + 32];
    int width, height;
    if (curves == 0 || !plot_curves_have(curve, curves, kind))
        return;
    const char *title = kind == CURVE_LOSS ? "loss" : metric_name(curve[0].metric);
    bool share = kind == CURVE_METRIC && metric_is_share(curve[0].metric);
    plot_curves_size(curves, &width, &height);
    snprintf(stem, sizeof stem, "%s_%s", share ? "iou" : kind == CURVE_LOSS ? "loss" : "metric", name);
    FILE *out = report_figure(r, stem, width, height,
                              "Training (dashed) and validation %s by epoch: %s. All panels have one scale; the dot is "
                              "the best epoch.%s",
                              title, what, plot_curves_note(curve, curves));
    if (out)
        plot_curves(out, curve, curves, kind);
}

void report_add_curves(struct report *r, const char *name, const char *what, const char *note, struct curve *curve,
                       size_t curves) {
    size_t kept = 0;
    for (size_t i = 0; i < curves; i++)
        if (curve[i].count > 0)
            curve[kept++] = curve[i];
    if (kept == 0)
        return;
    document_details(r->doc, "Curves: %s (%zu %s)", what, kept, kept == 1 ? "trial" : "trials");
    if (*note)
        document_paragraph(r->doc, "%s epochs.csv has all.", note + strspn(note, " "));
    for (size_t first = 0; first < kept; first += CURVES_PER_FIGURE) {
        size_t count = kept - first < CURVES_PER_FIGURE ? kept - first : CURVES_PER_FIGURE;
        add_curve_figures(r, name, what, curve + first, count, CURVE_METRIC);
        add_curve_figures(r, name, what, curve + first, count, CURVE_LOSS);
    }
    document_details_end(r->doc);
}

// Schedules

// By their rates; of two that are the same as far as both go, the longer one comes first.
static int compare_rates(const struct curve *a, const struct curve *b, bool *continues) {
    size_t common = a->count < b->count ? a->count : b->count;
    *continues = false;
    for (size_t i = 0; i < common; i++) {
        double x = a->epoch[i].lr, y = b->epoch[i].lr;
        if (x != y && !(isnan(x) && isnan(y)))
            return isnan(x) ? 1 : isnan(y) ? -1 : x < y ? -1 : 1;
    }
    *continues = true;
    return (a->count < b->count) - (a->count > b->count);
}

static int by_rates(const void *a, const void *b) {
    bool continues;
    return compare_rates(a, b, &continues);
}

static int by_label(const void *a, const void *b) {
    return strcmp(((const struct curve *)a)->label, ((const struct curve *)b)->label);
}

// Every schedule once, by the longest trial that had it.
static size_t keep_schedules(struct curve *curve, size_t count) {
    size_t kept = 0;
    bool continues;
    qsort(curve, count, sizeof *curve, by_rates);
    for (size_t i = 0; i < count; i++) {
        if (kept > 0 && (compare_rates(&curve[kept - 1], &curve[i], &continues), continues))
            continue;
        curve[kept++] = curve[i];
    }
    qsort(curve, kept, sizeof *curve, by_label);
    return kept;
}

// "cosine 0.01 (200 epochs)"; the configuration's name when nothing of it is swept.
static void label_schedule(const struct run_data *run, const struct trial_row *trial, char *out, size_t size) {
    static const char *const parts[] = {"scheduler", "lr"};
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < 2; i++) {
        const char *value = run_fact(&run->base, parts[i]);
        for (int c = 0; c < run->swept.count; c++)
            if (strcmp(run->swept.name[c], parts[i]) == 0)
                value = trial->swept[c];
        if (value && *value && used < size)
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? " " : "", value);
    }
    if (!*out)
        snprintf(out, size, "%s", trial->config);
}

static bool has_rates(const struct curve *curve) {
    for (size_t i = 0; i < curve->count; i++)
        if (isfinite(curve->epoch[i].lr))
            return true;
    return false;
}

enum status report_add_schedules(struct report *r, const struct run_data *run, struct error *err) {
    struct curve *curve = calloc(run->trials + 1, sizeof *curve);
    size_t count = 0;
    if (!curve)
        return error_memory(err, "schedules");
    for (size_t i = 0; i < run->trials; i++) {
        char label[RUN_NAME_SIZE];
        label_schedule(run, &run->trial[i], label, sizeof label);
        struct curve c = report_curve(run, &run->trial[i], label);
        if (run_data_is_first(run, &run->trial[i]) && has_rates(&c))
            curve[count++] = c;
    }
    count = keep_schedules(curve, count);
    size_t drawn = count < SCHEDULES_PER_FIGURE ? count : SCHEDULES_PER_FIGURE;
    char name[RUN_NAME_SIZE + 16], rest[96] = "";
    snprintf(name, sizeof name, "schedule_%s", run->name);
    if (drawn < count)
        snprintf(rest, sizeof rest, " The first %zu of %zu schedules, by name.", drawn, count);
    FILE *out = drawn ? report_figure(r, name, SCHEDULE_WIDTH, SCHEDULE_HEIGHT,
                                      "Learning rate by epoch, as it was applied in run %s.%s", run->name, rest)
                      : NULL;
    if (out)
        plot_schedules(out, curve, drawn);
    free(curve);
    return STATUS_OK;
}
