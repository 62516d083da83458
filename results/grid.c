#include "results/grid.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool same_point(const struct trial_row *a, const struct trial_row *b) {
    for (int i = 0; i < a->swept_count; i++)
        if (strcmp(a->swept[i], b->swept[i]) != 0)
            return false;
    return a->swept_count > 0 || strcmp(a->config, b->config) == 0;
}

// A mean over some of the folds is no result to compare with one over all.
static bool point_is_done(const struct grid *g, const struct grid_point *p) {
    return p->iou.n == g->folds && isfinite(p->iou.mean);
}

// The rows of the grid with first's values, as a fold series.
static enum status read_point(const struct run_data *run, const struct trial_row *first, struct grid_point *p,
                              struct error *err) {
    p->row = malloc((run->trials + 1) * sizeof(const struct trial_row *));
    if (!p->row)
        return error_memory(err, first->grid);
    for (size_t i = 0; i < run->trials; i++)
        if (strcmp(run->trial[i].grid, first->grid) == 0 && same_point(&run->trial[i], first))
            p->row[p->rows++] = &run->trial[i];
    TRY(fold_series_of_trials(p->row, p->rows, first->config, &p->series, err));
    p->series.metric = run->metric;
    TRY(fold_series_summary(&p->series, FOLD_BEST_IOU, &p->iou, err));
    return fold_series_summary(&p->series, FOLD_BEST_F1, &p->f1, err);
}

static bool is_known(const struct grid *g, const struct trial_row *row) {
    for (size_t i = 0; i < g->points; i++)
        if (same_point(g->point[i].row[0], row))
            return true;
    return false;
}

static void judge(const struct run_data *run, struct grid *g) {
    g->winner = g->points;
    for (size_t i = 0; i < g->points; i++)
        g->folds = g->point[i].series.count > g->folds ? g->point[i].series.count : g->folds;
    g->several_folds = g->folds > 1;
    for (size_t i = 0; i < g->points; i++) {
        const struct grid_point *p = &g->point[i];
        if (point_is_done(g, p) &&
            (g->winner == g->points || metric_better(&run->metric, p->iou.mean, g->point[g->winner].iou.mean)))
            g->winner = i;
        for (int c = 0; c < p->row[0]->swept_count; c++)
            g->varies[c] = g->varies[c] || strcmp(p->row[0]->swept[c], g->point[0].row[0]->swept[c]) != 0;
    }
    for (int c = 0; c < RUN_MAX_SWEPT; c++)
        g->varying += g->varies[c];
}

void grid_free(struct grid *g) {
    for (size_t i = 0; i < g->points; i++) {
        fold_series_free(&g->point[i].series);
        free(g->point[i].row);
    }
    free(g->point);
    *g = (struct grid){0};
}

enum status grid_read(const struct run_data *run, const char *name, struct grid *g, struct error *err) {
    *g = (struct grid){.name = name, .point = calloc(run->trials + 1, sizeof *g->point)};
    if (!g->point)
        return error_memory(err, name);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < run->trials && status == STATUS_OK; i++)
        if (strcmp(run->trial[i].grid, name) == 0 && !is_known(g, &run->trial[i]))
            status = read_point(run, &run->trial[i], &g->point[g->points++], err);
    if (status == STATUS_OK)
        judge(run, g);
    else
        grid_free(g);
    return status;
}

const char *grid_next(const struct run_data *run, size_t *at) {
    for (; *at < run->trials; ++*at) {
        const char *name = run->trial[*at].grid;
        bool seen = !*name;
        for (size_t before = 0; before < *at && !seen; before++)
            seen = strcmp(run->trial[before].grid, name) == 0;
        if (seen)
            continue;
        ++*at;
        return name;
    }
    return NULL;
}

double grid_value(const struct grid *g, size_t point) {
    const struct grid_point *p = &g->point[point];
    return point_is_done(g, p) ? p->iou.mean : (double)NAN;
}

void grid_label(const struct run_data *run, const struct grid *g, size_t point, char *out, size_t size) {
    const struct trial_row *row = g->point[point].row[0];
    size_t used = 0;
    snprintf(out, size, "%s", row->config);
    for (int c = 0; c < run->swept.count && used < size; c++)
        if (g->varies[c])
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", row->swept[c]);
}

void grid_axes(const struct run_data *run, const struct grid *g, char *out, size_t size) {
    size_t used = 0;
    snprintf(out, size, "configuration");
    for (int c = 0; c < run->swept.count && used < size; c++)
        if (g->varies[c])
            used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", run->swept.name[c]);
}
