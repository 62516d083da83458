// What the pictures of a grid have in common: the values of one hyperparameter, and the results of the points.
#ifndef GRIDFOLD_RESULTS_PLOT_VALUES_H
#define GRIDFOLD_RESULTS_PLOT_VALUES_H

#include <stdbool.h>
#include <stddef.h>

#include "results/grid.h"
#include "results/run_data.h"

// The values of one hyperparameter in a grid: numbers by size, words in the order in which they come. More numbers than
// twelve (a random search draws them) are a scale, whose single values are not listed.
struct plot_values {
    const char **value; // free it
    size_t count;
    bool numbers, scale, logarithmic;
    double least, most; // of numbers
};

// Of a swept column. Out of memory: no values.
struct plot_values plot_values_of(const struct grid *g, int column);
// Which of them; count: none.
size_t plot_values_index(const struct plot_values *v, const char *value);
// False: the text is no finite number.
bool plot_number(const char *text, double *number);
// The point's result as an axis shows it: percent where it is a share; NaN: none.
double plot_result(const struct run_data *run, const struct grid *g, size_t point);

#endif
