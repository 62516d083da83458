#include "results/rung_tables.h"

#include <math.h>

#include "results/metric_cells.h"

static void add_columns(table *t) {
    static const char *const columns[][2] = {
        {"rung", "Rung"},         {"to_epoch", "To epoch"},         {"configurations", "Configurations"},
        {"there", "There"},       {"failed", "No value"},           {"promoted", "Go on"},
        {"stopped", "Stopped"},   {"undecided", "Undecided"},       {"best", "Best mean"},
        {"cut", "Mean at cut"},   {"best_stopped", "Best stopped"}, {"folds", "Folds"},
        {"trials", "Trials run"}, {"epochs_trained", "Epochs"},
    };
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        table_column(t, TABLE_RIGHT, columns[i][0], columns[i][1]);
}

static void add_rung(table *t, const struct metric *m, const struct rung_record *r, int index) {
    const struct rung *g = &r->rung[index];
    bool last = index + 1 == r->rungs;
    table_row(t, TABLE_PLAIN);
    table_cell(t, "%d", index + 1);
    table_cell(t, "%d", g->epochs);
    table_cell(t, "%d", g->configurations);
    table_cell(t, "%d", g->there);
    table_cell(t, "%d", g->failed);
    table_value(t, last ? (double)NAN : g->promoted, "%d", g->promoted);
    table_value(t, last ? (double)NAN : g->stopped, "%d", g->stopped);
    table_cell(t, "%d", g->undecided);
    metric_cell(t, m, g->best);
    metric_cell(t, m, g->cut);
    metric_cell(t, m, g->best_stopped);
    table_cell(t, "%d", r->folds);
    table_cell(t, "%d", g->trials);
    table_cell(t, "%lld", g->trained);
}

static void add_notes(table *t, const struct rung_record *r) {
    long long trained = 0, whole = (long long)r->configurations * r->folds * r->rung[r->rungs - 1].epochs;
    int undecided = 0;
    for (int i = 0; i < r->rungs; i++) {
        trained += r->rung[i].trained;
        undecided += r->rung[i].undecided;
    }
    table_note(
        t,
        "A configuration's mean is that of its folds' best values up to the rung's epoch; the cut is the last that "
        "goes on, beside it the best that is stopped. %lld epochs were trained, %.1f %% of the %lld of a search "
        "without rungs.",
        trained, 100.0 * (double)trained / (double)whole, whole);
    if (undecided > 0)
        table_note(t,
                   "The search is not finished: what is not there yet may still go on or be stopped, and means are of "
                   "what is there.");
    if (r->contradictions > 0)
        table_note(
            t,
            "Attention: the rows of %d %s in trials.csv do not follow from epochs.csv (trials that were retried, "
            "or files of different runs; gridfold verify names them). The table is what follows from "
            "epochs.csv.",
            r->contradictions, r->contradictions == 1 ? "configuration" : "configurations");
}

void rung_tables_add(document *doc, const struct run_data *run, const struct rung_record *r) {
    char name[RUN_NAME_SIZE + 16];
    snprintf(name, sizeof name, "rungs_%s", r->name);
    table *t = document_table(doc, name, "%s: rungs of successive halving", r->name);
    if (*r->why) {
        table_note(t, "No rungs are shown: %s.", r->why);
        return;
    }
    add_columns(t);
    for (int i = 0; i < r->rungs; i++)
        add_rung(t, &run->metric, r, i);
    add_notes(t, r);
}
