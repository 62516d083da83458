#include "results/grid.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int by_point(const struct trial_row *a, const struct trial_row *b) {
    int order = a->swept_count > 0 ? 0 : strcmp(a->config, b->config);
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

static int by_first_row(const void *a, const void *b) {
    const struct grid_point *x = a, *y = b;
    return (x->row[0] > y->row[0]) - (x->row[0] < y->row[0]);
}

// A mean over some of the folds is no result to compare with one over all.
static bool point_is_done(const struct grid *g, const struct grid_point *p) {
    return p->iou.n == g->folds && isfinite(p->iou.mean);
}

// The point's folds and their means.
static enum status read_point(const struct run_data *run, struct grid_point *p, struct error *err) {
    TRY(fold_series_of_trials(p->row, p->rows, p->row[0]->config, &p->series, err));
    p->series.metric = run->metric;
    TRY(fold_series_summary(&p->series, FOLD_BEST_IOU, &p->iou, err));
    return fold_series_summary(&p->series, FOLD_BEST_F1, &p->f1, err);
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
    for (size_t i = 0; i < g->points; i++)
        fold_series_free(&g->point[i].series);
    free(g->point);
    free(g->row);
    free(g->ranked);
    *g = (struct grid){0};
}

struct ranking {
    const struct run_data *run;
    const struct grid *g;
};

static int by_value(const void *a, const void *b, void *context) {
    const struct ranking *r = context;
    size_t i = *(const size_t *)a, j = *(const size_t *)b;
    double x = grid_value(r->g, i), y = grid_value(r->g, j);
    if (isnan(x) != isnan(y))
        return isnan(x) ? 1 : -1;
    if (isnan(x) || x == y)
        return (i > j) - (i < j);
    return metric_better(&r->run->metric, x, y) ? -1 : 1;
}

static enum status rank_points(const struct run_data *run, struct grid *g, struct error *err) {
    struct ranking ranking = {run, g};
    g->ranked = malloc((g->points + 1) * sizeof *g->ranked);
    if (!g->ranked)
        return error_memory(err, g->name);
    for (size_t i = 0; i < g->points; i++)
        g->ranked[i] = i;
    qsort_r(g->ranked, g->points, sizeof *g->ranked, by_value, &ranking);
    return STATUS_OK;
}

bool *grid_selection(const struct grid *g, size_t most) {
    bool *shown = calloc(g->points + 1, sizeof *shown);
    if (!shown)
        return NULL;
    size_t best = g->points <= most ? g->points : most / 2, rest = g->points - best, spread = most - best;
    for (size_t i = 0; i < best; i++)
        shown[g->ranked[i]] = true;
    for (size_t i = 1; rest > 0 && i <= spread; i++)
        shown[g->ranked[best + i * rest / spread - 1]] = true;
    shown[0] = true;
    return shown;
}

void grid_selection_note(const struct grid *g, size_t most, char *out, size_t size) {
    out[0] = 0;
    if (g->points > most)
        snprintf(out, size,
                 " Of %zu points %zu are shown: the first, the best %zu, and of the others as many, spread over their "
                 "ranking down to the worst.",
                 g->points, most, most / 2);
}

// The grid's rows, point after point.
static size_t gather_rows(const struct run_data *run, struct grid *g) {
    size_t rows = 0;
    for (size_t i = 0; i < run->trials; i++)
        if (strcmp(run->trial[i].grid, g->name) == 0)
            g->row[rows++] = &run->trial[i];
    qsort(g->row, rows, sizeof(const struct trial_row *), by_point_and_place);
    return rows;
}

static enum status read_points(const struct run_data *run, struct grid *g, struct error *err) {
    size_t rows = gather_rows(run, g);
    for (size_t i = 0; i < rows; i++) {
        if (i == 0 || by_point(g->row[i - 1], g->row[i]) != 0)
            g->point[g->points++].row = &g->row[i];
        g->point[g->points - 1].rows++;
    }
    qsort(g->point, g->points, sizeof *g->point, by_first_row);
    for (size_t i = 0; i < g->points; i++)
        TRY(read_point(run, &g->point[i], err));
    judge(run, g);
    return rank_points(run, g, err);
}

enum status grid_read(const struct run_data *run, const char *name, struct grid *g, struct error *err) {
    *g = (struct grid){.name = name,
                       .row = malloc((run->trials + 1) * sizeof(const struct trial_row *)),
                       .point = calloc(run->trials + 1, sizeof *g->point)};
    enum status status = g->row && g->point ? read_points(run, g, err) : error_memory(err, name);
    if (status != STATUS_OK)
        grid_free(g);
    return status == STATUS_OK ? status : error_prefix(err, "%s/trials.csv: grid %s", run->folder, name);
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
