#include "results/plot_values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CATEGORIES_MOST = 12 };

bool plot_number(const char *text, double *number) {
    char *end;
    *number = strtod(text, &end);
    return *text && !*end && isfinite(*number);
}

static int by_number(const void *a, const void *b) {
    double x = strtod(*(const char *const *)a, NULL), y = strtod(*(const char *const *)b, NULL);
    return (x > y) - (x < y);
}

size_t plot_values_index(const struct plot_values *v, const char *value) {
    size_t i = 0;
    while (i < v->count && strcmp(v->value[i], value) != 0)
        i++;
    return i;
}

static void find_range(const struct grid *g, int column, struct plot_values *v) {
    v->numbers = true;
    for (size_t i = 0; i < g->points; i++) {
        double number;
        v->numbers = v->numbers && plot_number(g->point[i].row[0]->swept[column], &number);
        if (!v->numbers)
            return;
        v->least = i == 0 || number < v->least ? number : v->least;
        v->most = i == 0 || number > v->most ? number : v->most;
    }
}

// Draws that crowd at the small end of their range were made on a logarithmic scale.
static double share_below(const struct grid *g, int column, double limit) {
    size_t below = 0;
    for (size_t i = 0; i < g->points; i++) {
        double number = 0;
        below += plot_number(g->point[i].row[0]->swept[column], &number) && number < limit;
    }
    return (double)below / (double)g->points;
}

struct plot_values plot_values_of(const struct grid *g, int column) {
    struct plot_values v = {.value = malloc((g->points + 1) * sizeof(const char *))};
    find_range(g, column, &v);
    for (size_t i = 0; i < g->points && v.value && !v.scale; i++) {
        const char *value = g->point[i].row[0]->swept[column];
        if (plot_values_index(&v, value) == v.count)
            v.value[v.count++] = value;
        v.scale = v.numbers && v.count > CATEGORIES_MOST;
    }
    v.logarithmic = v.scale && v.least > 0 && share_below(g, column, (v.least + v.most) / 2) > 0.7;
    if (v.value && v.numbers)
        qsort(v.value, v.count, sizeof *v.value, by_number);
    return v;
}

double plot_result(const struct run_data *run, const struct grid *g, size_t point) {
    return (metric_is_share(&run->metric) ? 100 : 1) * grid_value(g, point);
}
