#include "results/search_tables.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/metric_cells.h"
#include "results/observations.h"
#include "results/statistics_tables.h"

enum { MOST_ROWS = 500 }; // of a grid that a page or a terminal shows

// A program that is not the embedded trainer has none to count.
static bool has_parameters(const struct grid *g) {
    for (size_t i = 0; i < g->points; i++)
        if (g->point[i].row[0]->parameters > 0)
            return true;
    return false;
}

// Where all points have as many, one line says it.
static bool parameters_vary(const struct grid *g) {
    for (size_t i = 0; i < g->points; i++)
        if (g->point[i].row[0]->parameters != g->point[0].row[0]->parameters)
            return true;
    return false;
}

static void add_columns(table *t, const struct run_data *run, const struct grid *g) {
    if (g->varying == 0)
        table_column(t, TABLE_LEFT, "config", "Configuration");
    for (int c = 0; c < run->swept.count; c++) {
        char name[sizeof run->swept.name[c]];
        memcpy(name, run->swept.name[c], sizeof name);
        for (char *underscore = name; (underscore = strchr(underscore, '_'));)
            *underscore = '-';
        if (g->varies[c])
            table_column(t, TABLE_LEFT, run->swept.name[c], name);
    }
    if (g->several_folds)
        table_column(t, TABLE_RIGHT, "folds_done", "Folds");
    char header[64];
    snprintf(header, sizeof header, "%s %s", g->several_folds ? "Mean" : "Best", metric_name(&run->metric));
    table_column(t, TABLE_RIGHT, "best_iou", header);
    if (!g->several_folds)
        table_column(t, TABLE_RIGHT, "best_epoch", "Best epoch");
    if (metric_is_share(&run->metric))
        table_column(t, TABLE_RIGHT, "best_f1", g->several_folds ? "Mean F1" : "Best F1");
    table_column(t, TABLE_RIGHT, "difference", "vs first");
    if (parameters_vary(g))
        table_column(t, TABLE_RIGHT, "parameters", "Parameters");
    table_column(t, TABLE_LEFT, "observation", "Observation");
    table_column(t, TABLE_LEFT, "status", NULL);
    if (!parameters_vary(g))
        table_column(t, TABLE_RIGHT, "parameters", NULL);
    if (g->several_folds) {
        table_column(t, TABLE_RIGHT, "iou_sd_population", NULL);
        table_column(t, TABLE_RIGHT, "f1_sd_population", NULL);
    }
}

static void add_mean(table *t, const struct metric *m, const struct grid *g, const struct fold_summary *s,
                     double single) {
    if (g->several_folds)
        metric_mean_cell(t, m, s->mean, s->sd_population);
    else
        metric_cell(t, m, single);
}

// 54606337 -> "54.61M (54,606,337)"
static void format_parameters(int64_t parameters, char out[80]) {
    char digits[32], grouped[48];
    size_t length = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)parameters), used = 0;
    for (size_t i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            grouped[used++] = ',';
        grouped[used++] = digits[i];
    }
    grouped[used] = 0;
    if (parameters >= 1000000)
        snprintf(out, 80, "%.2fM (%s)", (double)parameters / 1e6, grouped);
    else
        snprintf(out, 80, "%s", grouped);
}

static void add_parameters(table *t, int64_t parameters) {
    char text[80];
    format_parameters(parameters, text);
    table_value(t, parameters > 0 ? (double)parameters : NAN, "%s", text);
}

// "done", or the first other status there is.
static const char *status_of(const struct grid_point *p) {
    for (size_t i = 0; i < p->series.count; i++)
        if (!fold_is_done(&p->series.fold[i]))
            return *p->series.fold[i].status ? p->series.fold[i].status : "not done";
    return "done";
}

// Appends "fold 3: ..." or, of folds that the same is to be said of, "folds 0, 2: ...".
static void say_of_folds(const struct grid_point *p, const struct observation *said, size_t count, size_t first,
                         char *text, size_t size) {
    size_t used = strlen(text), folds = 0;
    for (size_t i = first; i < count; i++)
        folds += strcmp(said[i].text, said[first].text) == 0;
    used += (size_t)snprintf(text + used, size - used, "%s%s", used ? "; " : "", folds > 1 ? "folds" : "fold");
    for (size_t i = first; i < count && used < size; i++)
        if (strcmp(said[i].text, said[first].text) == 0)
            used += (size_t)snprintf(text + used, size - used, "%s %d", i > first ? "," : "", p->row[i]->fold);
    if (used < size)
        snprintf(text + used, size - used, ": %s", said[first].text);
}

static bool is_said(const struct observation *said, size_t index) {
    for (size_t i = 0; i < index; i++)
        if (strcmp(said[i].text, said[index].text) == 0)
            return true;
    return false;
}

// What is to be said of a point's folds; of several folds, where there are findings.
static void add_observation(table *t, const struct run_data *run, const struct grid *g, const struct grid_point *p) {
    enum { MOST = 32 }; // folds: the cell holds no more
    struct observation said[MOST];
    char text[1024] = "";
    size_t count = p->rows < MOST ? p->rows : MOST;
    for (size_t i = 0; i < count; i++)
        observe_trial(run, p->row[i], &said[i]);
    for (size_t i = 0; i < count && g->several_folds; i++)
        if (said[i].findings && !is_said(said, i))
            say_of_folds(p, said, count, i, text, sizeof text);
    table_cell(t, "%s", g->several_folds || count == 0 ? text : said[0].text);
}

static void add_varying(table *t, const struct run_data *run, const struct grid *g, const struct trial_row *row) {
    if (g->varying == 0)
        table_cell(t, "%s", row->config);
    for (int c = 0; c < run->swept.count; c++)
        if (g->varies[c])
            table_cell(t, "%s", row->swept[c]);
}

// Of finished points only: what a failed or stopped trial reached is no result to compare.
static void add_difference(table *t, const struct metric *m, const struct grid *g, size_t index) {
    double value = grid_value(g, index), first = grid_value(g, 0);
    if (index == 0)
        table_label(t, isnan(first) ? "" : "0", "-");
    else
        metric_difference_cell(t, m, value - first);
}

static void add_point(table *t, const struct run_data *run, const struct grid *g, size_t index, bool vary, bool shown) {
    const struct grid_point *p = &g->point[index];
    const struct fold_result *fold = &p->series.fold[0];
    table_row(t, !shown ? TABLE_CSV_ONLY : index == g->winner && g->points > 1 ? TABLE_BOLD : TABLE_PLAIN);
    add_varying(t, run, g, p->row[0]);
    if (g->several_folds)
        table_value(t, (double)p->iou.n, p->iou.n == g->folds ? "%zu" : "%zu of %zu", p->iou.n, g->folds);
    add_mean(t, &run->metric, g, &p->iou, fold->best_iou);
    if (!g->several_folds)
        table_value(t, fold->best_epoch < 0 ? (double)NAN : fold->best_epoch, "%d", fold->best_epoch);
    if (metric_is_share(&run->metric))
        add_mean(t, &run->metric, g, &p->f1, fold->best_f1);
    add_difference(t, &run->metric, g, index);
    if (vary)
        add_parameters(t, p->row[0]->parameters);
    add_observation(t, run, g, p);
    table_cell(t, "%s", status_of(p));
    if (!vary)
        add_parameters(t, p->row[0]->parameters);
    if (g->several_folds) {
        table_value(t, p->iou.sd_population, "-");
        table_value(t, p->f1.sd_population, "-");
    }
}

static enum status add_grid(document *doc, const struct run_data *run, const struct grid *g, struct error *err) {
    bool *shown = grid_selection(g, MOST_ROWS), vary = parameters_vary(g);
    if (!shown)
        return error_memory(err, g->name);
    char name[RUN_NAME_SIZE + 16];
    snprintf(name, sizeof name, "phase1_%s", g->name);
    bool one_fold = !g->several_folds && g->points > 0;
    char where[48] = "";
    if (one_fold)
        snprintf(where, sizeof where, " (fold %d)", g->point[0].series.fold[0].fold);
    table *t = document_table(doc, name, "%s%s", g->name, where);
    add_columns(t, run, g);
    for (size_t i = 0; i < g->points; i++)
        add_point(t, run, g, i, vary, shown[i]);
    free(shown);
    if (g->points > MOST_ROWS) {
        char note[256];
        grid_selection_note(g, MOST_ROWS, note, sizeof note);
        table_note(t, "%s %s.csv has all.", note + 1, name);
    }
    if (has_parameters(g) && !vary) {
        char text[80];
        format_parameters(g->point[0].row[0]->parameters, text);
        table_note(t, "Parameters of every row: %s.", text);
    }
    if (g->several_folds)
        table_note(
            t, "Mean +- population standard deviation over the folds that are done; differences only where all are.");
    if (g->winner == g->points)
        table_note(t, "No point of this grid is done.");
    else if (isnan(grid_value(g, 0)))
        table_note(t, "The first row has no result: there are no differences to it.");
    return STATUS_OK;
}

// Several folds a point: every point against the first.
static enum status add_holm(document *doc, const struct run_data *run, const struct grid *g, struct error *err) {
    if (!g->several_folds || g->points < 3)
        return STATUS_OK;
    const struct fold_series **series = malloc(g->points * sizeof(const struct fold_series *));
    if (!series)
        return error_memory(err, g->name);
    for (size_t i = 0; i < g->points; i++) {
        series[i] = &g->point[i].series;
        grid_label(run, g, i, g->point[i].series.name, sizeof g->point[i].series.name);
    }
    enum status status = statistics_tables_add_multiple(doc, g->name, series, g->points, err);
    free(series);
    return status;
}

enum status search_tables_add(document *doc, const struct run_data *run, const struct grid *g, struct error *err) {
    TRY(add_grid(doc, run, g, err));
    return add_holm(doc, run, g, err);
}
