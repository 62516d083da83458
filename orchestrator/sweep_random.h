// [random NAME]: a grid whose points are drawn instead of multiplied out.
//
//     [random search]
//     points = 50                          how many configurations
//     lr = log-uniform 0.0001 .. 0.1       a real number; `uniform` too
//     lstm-hidden-dim = log-int 64 .. 512  a whole number, both ends included; `int` too
//     optimizer = sgd, adamw               one of a list
//
// A draw depends on the sweep's seed, the section's name, the key and the point's number alone: not on the number of
// ranks, on results, on other keys, or on how many points there are, so that more points add to those that were there.
// Real numbers are rounded to four significant digits. Everything else is a grid's: folds, references, winners, tables.
#ifndef GRIDFOLD_ORCHESTRATOR_SWEEP_RANDOM_H
#define GRIDFOLD_ORCHESTRATOR_SWEEP_RANDOM_H

#include <stdio.h>

#include "orchestrator/sweep_read.h"

// Reads "KIND LOW .. HIGH" into axis->range; *found is false when the value is of no such form. The ends, and what lies
// between them, must be values of the hyperparameter.
enum status sweep_read_range(struct sweep_reader *r, const struct sweep_ini_entry *e, struct sweep_axis *axis,
                             bool *found);
void sweep_write_range(FILE *f, const struct sweep_range *range);

// How many points a grid has: its `points`, or the product of its lists (a reference counts as one value).
int sweep_grid_points(const struct sweep_grid *grid);
// The value of an axis (which is no reference) at a point of the grid, as text.
void sweep_point_value(const struct sweep *sweep, const struct sweep_grid *grid, int axis, int point,
                       char out[HYPER_VALUE_SIZE]);

#endif
