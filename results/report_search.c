#include <stdlib.h>
#include <string.h>

#include "results/report_plots.h"
#include "results/search_tables.h"

static size_t values_there(const struct grid *g) {
    size_t count = 0;
    for (size_t i = 0; i < g->points; i++)
        count += grid_value(g, i) == grid_value(g, i); // not NaN
    return count;
}

static void add_grid_figures(struct report *r, const struct run_data *run, const struct grid *g) {
    int width, height;
    char name[RUN_NAME_SIZE + 16], axes[512];
    FILE *out;
    if (g->varying == 0 || g->points < 2 || values_there(g) == 0)
        return;
    grid_axes(run, g, axes, sizeof axes);
    plot_effect_size(g, &width, &height);
    snprintf(name, sizeof name, "effect_%s", g->name);
    if ((out = report_figure(r, name, width, height,
                             "Grid %s: the result of every finished point over each hyperparameter%s.", g->name,
                             g->varying > 1 ? "; bars are means over the points that share the value" : "")))
        plot_effect(out, run, g);
    if (plot_heat_size(run, g, &width, &height)) {
        snprintf(name, sizeof name, "heat_%s", g->name);
        if ((out =
                 report_figure(r, name, width, height, "Grid %s: the result by %s. Empty: no result.", g->name, axes)))
            plot_heat(out, run, g);
    } else if (g->varying > 1) {
        snprintf(name, sizeof name, "parallel_%s", g->name);
        if ((out = report_figure(
                 r, name, PARALLEL_WIDTH, PARALLEL_HEIGHT,
                 "Grid %s: a line a finished point, from its values to its result (dark to light: worse to "
                 "better%s); the best is the thick orange one.",
                 g->name, run->metric.minimize ? ", where small is good the other way round" : "")))
            plot_parallel(out, run, g);
    }
}

static enum status add_grid_curves(struct report *r, const struct run_data *run, const struct grid *g,
                                   struct error *err) {
    struct curve *curve = malloc((run->trials + 1) * sizeof *curve);
    size_t count = 0;
    char axes[512], what[RUN_NAME_SIZE + 600];
    if (!curve)
        return error_memory(err, g->name);
    for (size_t i = 0; i < g->points; i++) {
        for (size_t k = 0; k < g->point[i].rows; k++) {
            char label[RUN_NAME_SIZE], fold[24] = "";
            grid_label(run, g, i, label, sizeof label);
            if (g->several_folds)
                snprintf(fold, sizeof fold, ", fold %d", g->point[i].row[k]->fold);
            strncat(label, fold, sizeof label - strlen(label) - 1);
            curve[count++] = report_curve(run, g->point[i].row[k], label);
        }
    }
    grid_axes(run, g, axes, sizeof axes);
    snprintf(what, sizeof what, "grid %s, by %s", g->name, axes);
    report_add_curves(r, g->name, what, curve, count);
    free(curve);
    return STATUS_OK;
}

static enum status add_grid(struct report *r, const struct run_data *run, const char *name, struct error *err) {
    struct grid g;
    TRY(grid_read(run, name, &g, err));
    enum status status = search_tables_add(r->doc, run, &g, err);
    if (status == STATUS_OK) {
        add_grid_figures(r, run, &g);
        status = add_grid_curves(r, run, &g, err);
    }
    grid_free(&g);
    return status;
}

enum status report_add_search(struct report *r, struct error *err) {
    document_heading(r->doc, 2, "Phase 1: hyperparameter search");
    size_t all = 0;
    for (size_t i = 0; i < r->runs; i++) {
        const char *name;
        for (size_t at = 0; (name = grid_next(&r->run[i], &at)); all++)
            TRY(add_grid(r, &r->run[i], name, err));
        TRY(report_add_schedules(r, &r->run[i], err));
    }
    if (all == 0)
        document_paragraph(r->doc, "No grid has a finished trial.");
    return STATUS_OK;
}
