#include "results/search_tables.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/fold_series.h"

// A grid point: its first row and what its folds gave.
struct point {
    const struct trial_row *row;
    struct fold_series series;
    struct fold_summary iou, f1;
};

struct grid {
    const char *name;
    struct point *point;
    size_t points;
    bool several_folds; // of any point
    bool varies[RUN_MAX_SWEPT];
    int varying;
    size_t winner; // points: none
};

static bool same_point(const struct trial_row *a, const struct trial_row *b) {
    for (int i = 0; i < a->swept_count; i++)
        if (strcmp(a->swept[i], b->swept[i]) != 0)
            return false;
    return a->swept_count > 0 || strcmp(a->config, b->config) == 0;
}

static bool point_is_done(const struct point *p) {
    return p->iou.n == p->series.count && isfinite(p->iou.mean);
}

// The rows of the grid with first's values, as a fold series.
static enum status read_point(const struct run_data *run, const struct trial_row *first, const struct trial_row **rows,
                              struct point *p, struct error *err) {
    size_t count = 0;
    for (size_t i = 0; i < run->trials; i++)
        if (strcmp(run->trial[i].grid, first->grid) == 0 && same_point(&run->trial[i], first))
            rows[count++] = &run->trial[i];
    p->row = first;
    TRY(fold_series_of_trials(rows, count, first->config, &p->series, err));
    TRY(fold_series_summary(&p->series, FOLD_BEST_IOU, &p->iou, err));
    return fold_series_summary(&p->series, FOLD_BEST_F1, &p->f1, err);
}

static bool is_known(const struct grid *g, const struct trial_row *row) {
    for (size_t i = 0; i < g->points; i++)
        if (same_point(g->point[i].row, row))
            return true;
    return false;
}

static void judge(struct grid *g) {
    g->winner = g->points;
    for (size_t i = 0; i < g->points; i++) {
        const struct point *p = &g->point[i];
        g->several_folds = g->several_folds || p->series.count > 1;
        if (point_is_done(p) && (g->winner == g->points || p->iou.mean > g->point[g->winner].iou.mean))
            g->winner = i;
        for (int c = 0; c < p->row->swept_count; c++)
            g->varies[c] = g->varies[c] || strcmp(p->row->swept[c], g->point[0].row->swept[c]) != 0;
    }
    for (int c = 0; c < RUN_MAX_SWEPT; c++)
        g->varying += g->varies[c];
}

static void grid_free(struct grid *g) {
    for (size_t i = 0; i < g->points; i++)
        fold_series_free(&g->point[i].series);
    free(g->point);
}

static enum status read_grid(const struct run_data *run, const char *name, struct grid *g, struct error *err) {
    *g = (struct grid){.name = name, .point = calloc(run->trials + 1, sizeof *g->point)};
    const struct trial_row **rows = malloc((run->trials + 1) * sizeof *rows);
    enum status status = g->point && rows ? STATUS_OK : error_memory(err, name);
    for (size_t i = 0; i < run->trials && status == STATUS_OK; i++)
        if (strcmp(run->trial[i].grid, name) == 0 && !is_known(g, &run->trial[i]))
            status = read_point(run, &run->trial[i], rows, &g->point[g->points++], err);
    free(rows);
    if (status == STATUS_OK)
        judge(g);
    else
        grid_free(g);
    return status;
}

// Columns and cells

static void add_columns(table *t, const struct run_data *run, const struct grid *g) {
    if (g->varying == 0)
        table_column(t, TABLE_LEFT, "config", "Configuration");
    for (int c = 0; c < run->swept.count; c++) {
        char header[sizeof run->swept.name[c]];
        memcpy(header, run->swept.name[c], sizeof header);
        for (char *underscore = header; (underscore = strchr(underscore, '_'));)
            *underscore = '-';
        if (g->varies[c])
            table_column(t, TABLE_LEFT, run->swept.name[c], header);
    }
    if (g->several_folds)
        table_column(t, TABLE_RIGHT, "folds_done", "Folds");
    table_column(t, TABLE_RIGHT, "best_iou", g->several_folds ? "Mean IoU" : "Best IoU");
    if (!g->several_folds)
        table_column(t, TABLE_RIGHT, "best_epoch", "Best epoch");
    table_column(t, TABLE_RIGHT, "best_f1", g->several_folds ? "Mean F1" : "Best F1");
    table_column(t, TABLE_RIGHT, "difference", "vs first");
    table_column(t, TABLE_RIGHT, "parameters", "Parameters");
    table_column(t, TABLE_LEFT, "status", "Status");
    if (g->several_folds) {
        table_column(t, TABLE_RIGHT, "iou_sd_population", NULL);
        table_column(t, TABLE_RIGHT, "f1_sd_population", NULL);
    }
}

static void add_mean(table *t, const struct grid *g, const struct fold_summary *s, double single) {
    if (!g->several_folds)
        table_value(t, single, "%.2f %%", 100 * single);
    else
        table_value(t, s->mean, "%.2f +- %.2f %%", 100 * s->mean, 100 * s->sd_population);
}

// 54606337 -> "54.61M (54,606,337)"
static void add_parameters(table *t, int64_t parameters) {
    char digits[32], grouped[48];
    size_t length = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)parameters), used = 0;
    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            grouped[used++] = ',';
        grouped[used++] = digits[i];
    }
    grouped[used] = 0;
    double count = parameters > 0 ? (double)parameters : NAN;
    if (parameters >= 1000000)
        table_value(t, count, "%.2fM (%s)", count / 1e6, grouped);
    else
        table_value(t, count, "%s", grouped);
}

// "done"; "failed: reason"; with several folds "1 of 5 failed: reason" for the first that is not done.
static void add_status(table *t, const struct grid *g, const struct point *p) {
    const struct fold_result *first = NULL;
    for (size_t i = 0; i < p->series.count && !first; i++)
        if (!fold_is_done(&p->series.fold[i]))
            first = &p->series.fold[i];
    if (!first) {
        table_cell(t, "done");
        return;
    }
    char share[48] = "";
    if (g->several_folds)
        snprintf(share, sizeof share, "%zu of %zu not done; fold %d ", p->series.count - p->iou.n, p->series.count,
                 first->fold);
    table_cell(t, "%s%s%s%s", share, *first->status ? first->status : "not done", *first->reason ? ": " : "",
               first->reason);
}

static void add_point(table *t, const struct run_data *run, const struct grid *g, size_t index) {
    const struct point *p = &g->point[index];
    const struct fold_result *fold = &p->series.fold[0];
    double mean = g->several_folds ? p->iou.mean : fold->best_iou;
    double first = g->several_folds ? g->point[0].iou.mean : g->point[0].series.fold[0].best_iou;
    table_row(t, index == g->winner && g->points > 1 ? TABLE_BOLD : TABLE_PLAIN);
    if (g->varying == 0)
        table_cell(t, "%s", p->row->config);
    for (int c = 0; c < run->swept.count; c++)
        if (g->varies[c])
            table_cell(t, "%s", p->row->swept[c]);
    if (g->several_folds)
        table_value(t, (double)p->iou.n, p->iou.n == p->series.count ? "%zu" : "%zu of %zu", p->iou.n, p->series.count);
    add_mean(t, g, &p->iou, fold->best_iou);
    if (!g->several_folds)
        table_value(t, fold->best_epoch < 0 ? (double)NAN : fold->best_epoch, "%d", fold->best_epoch);
    add_mean(t, g, &p->f1, fold->best_f1);
    if (index == 0)
        table_label(t, isnan(mean) ? "" : "0", "-");
    else
        table_value(t, mean - first, "%+.2f pp", 100 * (mean - first));
    add_parameters(t, p->row->parameters);
    add_status(t, g, p);
    if (g->several_folds) {
        table_value(t, p->iou.sd_population, "-");
        table_value(t, p->f1.sd_population, "-");
    }
}

static void add_grid(document *doc, const struct run_data *run, const struct grid *g) {
    char name[RUN_NAME_SIZE + 16];
    snprintf(name, sizeof name, "phase1_%s", g->name);
    bool one_fold = !g->several_folds && g->points > 0;
    char where[48] = "";
    if (one_fold)
        snprintf(where, sizeof where, " (fold %d)", g->point[0].series.fold[0].fold);
    table *t = document_table(doc, name, "%s%s", g->name, where);
    add_columns(t, run, g);
    for (size_t i = 0; i < g->points; i++)
        add_point(t, run, g, i);
    if (g->several_folds)
        table_note(t, "Mean +- population standard deviation over the folds that are done.");
    if (g->winner == g->points)
        table_note(t, "No point of this grid is done.");
}

enum status search_tables_add(document *doc, const struct run_data *run, size_t *grids, struct error *err) {
    *grids = 0;
    for (size_t i = 0; i < run->trials; i++) {
        const char *name = run->trial[i].grid;
        bool seen = !*name;
        for (size_t before = 0; before < i && !seen; before++)
            seen = strcmp(run->trial[before].grid, name) == 0;
        if (seen)
            continue;
        struct grid g;
        TRY(read_grid(run, name, &g, err));
        add_grid(doc, run, &g);
        grid_free(&g);
        ++*grids;
    }
    return STATUS_OK;
}
