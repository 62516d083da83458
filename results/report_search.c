#include <stdlib.h>
#include <string.h>

#include "results/report_plots.h"
#include "results/rung_tables.h"
#include "results/search_tables.h"

static size_t values_there(const struct grid *g) {
    size_t count = 0;
    for (size_t i = 0; i < g->points; i++)
        count += grid_value(g, i) == grid_value(g, i); // not NaN
    return count;
}

static void add_grid_figures(struct report *r, const struct run_data *run, const struct grid *g) {
    int width, height;
    char name[RUN_NAME_SIZE + 16], axes[512], note[256];
    FILE *out;
    if (g->varying == 0 || g->points < 2 || values_there(g) == 0)
        return;
    grid_axes(run, g, axes, sizeof axes);
    grid_selection_note(g, EFFECT_MOST, note, sizeof note);
    plot_effect_size(g, &width, &height);
    snprintf(name, sizeof name, "effect_%s", g->name);
    if ((out = report_figure(r, name, width, height,
                             "Grid %s: the result of every finished point over each hyperparameter%s.%s", g->name,
                             g->varying > 1 ? "; bars are means over the points that share the value" : "", note)))
        plot_effect(out, run, g);
    if (plot_heat_size(run, g, &width, &height)) {
        snprintf(name, sizeof name, "heat_%s", g->name);
        if ((out =
                 report_figure(r, name, width, height, "Grid %s: the result by %s. Empty: no result.", g->name, axes)))
            plot_heat(out, run, g);
    } else if (g->varying > 1) {
        snprintf(name, sizeof name, "parallel_%s", g->name);
        grid_selection_note(g, PARALLEL_MOST, note, sizeof note);
        plot_parallel_size(g, &width, &height);
        if ((out = report_figure(r, name, width, height,
                                 "Grid %s: a line a finished point, from its values to its result (violet to light "
                                 "green: worse to better); the best is the thick orange one, the best tenth (at most "
                                 "%d) is drawn over the others.%s",
                                 g->name, PARALLEL_TOP, note)))
            plot_parallel(out, run, g);
    }
}

static struct curve curve_of(const struct run_data *run, const struct grid *g, size_t point, size_t row) {
    char label[RUN_NAME_SIZE], fold[24] = "";
    grid_label(run, g, point, label, sizeof label);
    if (g->several_folds)
        snprintf(fold, sizeof fold, ", fold %d", g->point[point].row[row]->fold);
    strncat(label, fold, sizeof label - strlen(label) - 1);
    return report_curve(run, g->point[point].row[row], label);
}

static enum status add_grid_curves(struct report *r, const struct run_data *run, const struct grid *g,
                                   struct error *err) {
    size_t most = g->folds < REPORT_MOST_CURVES ? REPORT_MOST_CURVES / (g->folds ? g->folds : 1) : 1, count = 0;
    bool *shown = grid_selection(g, most);
    struct curve *curve = malloc((run->trials + 1) * sizeof *curve);
    char axes[512], what[RUN_NAME_SIZE + 600], note[256];
    for (size_t i = 0; i < g->points && shown && curve; i++)
        for (size_t k = 0; k < g->point[i].rows && shown[i]; k++)
            curve[count++] = curve_of(run, g, i, k);
    enum status status = shown && curve ? STATUS_OK : error_memory(err, g->name);
    if (status == STATUS_OK) {
        grid_axes(run, g, axes, sizeof axes);
        snprintf(what, sizeof what, "grid %s, by %s", g->name, axes);
        grid_selection_note(g, most, note, sizeof note);
        report_add_curves(r, g->name, what, note, curve, count);
    }
    free(shown);
    free(curve);
    return status;
}

static void add_rung_figure(struct report *r, const struct run_data *run, const struct rung_record *record) {
    char name[RUN_NAME_SIZE + 16], rest[96] = "";
    snprintf(name, sizeof name, "rungs_%s", record->name);
    if (record->points > RUNGS_MOST)
        snprintf(rest, sizeof rest, " Of those stopped at the first rung, those among the first %d are shown.",
                 RUNGS_MOST);
    FILE *out = !plot_rungs_have(record)
                    ? NULL
                    : report_figure(r, name, RUNGS_WIDTH, RUNGS_HEIGHT,
                                    "Rungs of %s: a line a configuration, from rung to rung until it is stopped.%s",
                                    record->name, rest);
    if (out)
        plot_rungs(out, run, record);
}

static enum status add_rungs(struct report *r, const struct run_data *run, const char *name, struct error *err) {
    struct rung_record record;
    if (!rung_record_has(run, name))
        return STATUS_OK;
    TRY(rung_record_read(run, name, &record, err));
    rung_tables_add(r->doc, run, &record);
    add_rung_figure(r, run, &record);
    rung_record_free(&record);
    return STATUS_OK;
}

// Of sections of which no trial has ended yet.
static enum status add_rungs_without_results(struct report *r, const struct run_data *run, struct error *err) {
    for (size_t i = 0; i < run->sections; i++) {
        const char *name;
        size_t at = 0;
        while ((name = grid_next(run, &at)) && strcmp(name, run->section[i].name) != 0)
            ;
        if (!name)
            TRY(add_rungs(r, run, run->section[i].name, err));
    }
    return STATUS_OK;
}

static enum status add_grid(struct report *r, const struct run_data *run, const char *name, struct error *err) {
    struct grid g;
    TRY(grid_read(run, name, &g, err));
    enum status status = search_tables_add(r->doc, run, &g, err);
    if (status == STATUS_OK)
        status = add_rungs(r, run, name, err);
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
        TRY(add_rungs_without_results(r, &r->run[i], err));
        TRY(report_add_schedules(r, &r->run[i], err));
    }
    if (all == 0)
        document_paragraph(r->doc, "No grid has a finished trial.");
    return STATUS_OK;
}
