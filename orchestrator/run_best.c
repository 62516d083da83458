#include "orchestrator/run_best.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_done(const struct trial_row *row) {
    return strcmp(row->status, "done") == 0 && !isnan(row->best_iou);
}

static int by_point(const struct trial_row *a, const struct trial_row *b) {
    int order = strcmp(a->grid, b->grid);
    order = order ? order : strcmp(a->config, b->config);
    for (int i = 0; i < a->swept_count && !order; i++)
        order = strcmp(a->swept[i], b->swept[i]);
    return order;
}

// Rows of one point keep the order of the file, which their addresses tell.
static int by_point_and_place(const void *a, const void *b) {
    const struct trial_row *const *x = a, *const *y = b;
    int order = by_point(*x, *y);
    return order ? order : (*x > *y) - (*x < *y);
}

static bool is_wanted(const struct trial_row *row, const char *grid, const char *config) {
    return (!grid || strcmp(row->grid, grid) == 0) && (!config || strcmp(row->config, config) == 0);
}

static void add_fold(struct best_point *p, const struct trial_row *row) {
    int at = p->count;
    while (at > 0 && p->fold[at - 1]->fold > row->fold)
        at--;
    if (p->count == SWEEP_MAX_FOLDS || (at > 0 && p->fold[at - 1]->fold == row->fold))
        return;
    memmove(p->fold + at + 1, p->fold + at, (size_t)(p->count - at) * sizeof *p->fold);
    p->fold[at] = row;
    p->count++;
}

// The point whose rows are row[0 .. count-1].
static struct best_point point_of(const struct trial_row *const *row, size_t count) {
    struct best_point p = {.count = 0};
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        if (is_done(row[i]))
            add_fold(&p, row[i]);
    for (int i = 0; i < p.count; i++)
        sum += p.fold[i]->best_iou;
    p.mean_iou = p.count > 0 ? sum / p.count : NAN;
    return p;
}

// On more folds, then with the better mean, then earlier in the file.
static bool is_better_point(const struct run_data *run, const struct best_point *a, const struct best_point *b) {
    if (a->count != b->count || a->count == 0)
        return a->count > b->count;
    return metric_better(&run->metric, a->mean_iou, b->mean_iou) ||
           (a->mean_iou == b->mean_iou && a->fold[0] < b->fold[0]);
}

static enum status find_best(const struct run_data *run, const char *grid, const char *config, struct best_point *best,
                             struct error *err) {
    const struct trial_row **row = malloc((run->trials + 1) * sizeof(const struct trial_row *));
    size_t rows = 0, end;
    if (!row)
        return error_memory(err, run->folder);
    for (size_t i = 0; i < run->trials; i++)
        if (is_wanted(&run->trial[i], grid, config))
            row[rows++] = &run->trial[i];
    qsort(row, rows, sizeof(const struct trial_row *), by_point_and_place);
    for (size_t first = 0; first < rows; first = end) {
        for (end = first + 1; end < rows && by_point(row[first], row[end]) == 0;)
            end++;
        struct best_point p = point_of(row + first, end - first);
        if (is_better_point(run, &p, best))
            *best = p;
    }
    free(row);
    return STATUS_OK;
}

// "a, b, c": the labels that there are.
static void list_labels(const struct run_data *run, char *out, size_t size) {
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < run->trials && used < size; i++) {
        bool again = false;
        for (size_t j = 0; j < i && !again; j++)
            again = strcmp(run->trial[i].config, run->trial[j].config) == 0;
        if (!again)
            used += (size_t)snprintf(out + used, size - used, "%s'%s'", used ? ", " : "", run->trial[i].config);
    }
}

enum status run_best(const struct run_data *run, const char *grid, const char *config, struct best_point *best,
                     struct error *err) {
    *best = (struct best_point){.count = 0};
    TRY(find_best(run, grid, config, best, err));
    if (best->count > 0)
        return STATUS_OK;
    char labels[600];
    list_labels(run, labels, sizeof labels);
    return error_set(err, STATUS_NOT_FOUND, "%s: no trial%s%s%s%s is done; its configurations are %s", run->folder,
                     config ? " of configuration " : "", config ? config : "", grid ? " of grid " : "",
                     grid ? grid : "", *labels ? labels : "none");
}

const struct trial_row *best_point_fold(const struct run_data *run, const struct best_point *best) {
    const struct trial_row *highest = best->fold[0];
    for (int i = 1; i < best->count; i++)
        if (metric_better(&run->metric, best->fold[i]->best_iou, highest->best_iou))
            highest = best->fold[i];
    return highest;
}

enum status run_row_hyperparameters(const struct run_data *run, const struct sweep *sweep, const struct trial_row *row,
                                    struct hyperparameters *hp, struct error *err) {
    *hp = sweep->base;
    for (int i = 0; i < run->swept.count; i++) {
        int index = program_hyper_find(&sweep->program, run->swept.name[i]);
        if (index >= 0 && hyper_set(hp, index, row->swept[i], err) != STATUS_OK)
            return error_prefix(err, "%s/trials.csv: trial %s", run->folder, row->trial);
    }
    return STATUS_OK;
}

enum status run_trial_path(const struct run_data *run, const char *trial, const char *name, char path[PATH_SIZE],
                           struct error *err) {
    if (snprintf(path, PATH_SIZE, "%s/trials/%s/%s", run->folder, trial, name) >= PATH_SIZE)
        return error_set(err, STATUS_INVALID, "path too long: %s/trials/%s/%s", run->folder, trial, name);
    return STATUS_OK;
}
