#include "results/same_data.h"

#include <stdio.h>
#include <string.h>

// The samples' own columns: the order of rows and columns is no difference of the data.
static const char *fold_of(const struct csv_table *folds, const char *sample) {
    int id = csv_table_column(folds, "sample"), fold = csv_table_column(folds, "fold");
    for (size_t i = 0; i < folds->rows && id >= 0 && fold >= 0; i++)
        if (strcmp(csv_table_cell(folds, i, id), sample) == 0)
            return csv_table_cell(folds, i, fold);
    return NULL;
}

// Files that do not say which sample is where have to be the same.
static bool same_cells(const struct csv_table *a, const struct csv_table *b, char *why, size_t size) {
    bool same = a->columns == b->columns && a->rows == b->rows;
    for (size_t i = 0; same && i < (a->rows + 1) * a->columns; i++)
        same = strcmp(a->cells[i], b->cells[i]) == 0;
    if (!same)
        snprintf(why, size, "their folds.csv differ");
    return same;
}

bool same_samples(const struct csv_table *a, const struct csv_table *b, char *why, size_t size) {
    int id = csv_table_column(a, "sample"), fold = csv_table_column(a, "fold");
    if (id < 0 || fold < 0)
        return same_cells(a, b, why, size);
    if (a->rows != b->rows) {
        snprintf(why, size, "their folds.csv list %zu and %zu samples", a->rows, b->rows);
        return false;
    }
    for (size_t i = 0; i < a->rows; i++) {
        const char *sample = csv_table_cell(a, i, id), *there = fold_of(b, sample);
        if (there && strcmp(there, csv_table_cell(a, i, fold)) == 0)
            continue;
        snprintf(why, size,
                 there ? "sample '%.60s' is in fold %s of one and fold %s of the other"
                       : "sample '%.60s' (fold %s) is not in the other's folds.csv",
                 sample, csv_table_cell(a, i, fold), there ? there : "");
        return false;
    }
    return true;
}

bool same_data(const struct run_data *a, const struct run_data *b, char *why, size_t size) {
    static const char *const facts[] = {"dataset", "seed", "folds count"};
    why[0] = 0;
    if (a->folds.columns > 0 && b->folds.columns > 0)
        return same_samples(&a->folds, &b->folds, why, size);
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        const char *x = run_fact(&a->settings, facts[i]), *y = run_fact(&b->settings, facts[i]);
        if (!x || !y || strcmp(x, y) == 0)
            continue;
        snprintf(why, size, "%s is '%.80s' in one and '%.80s' in the other", facts[i], x, y);
        return false;
    }
    return true;
}
