// What each kind of picture shows: these write gnuplot commands to a stream that figures_begin gave.
#ifndef GRIDFOLD_RESULTS_PLOTS_H
#define GRIDFOLD_RESULTS_PLOTS_H

#include <stdio.h>

#include "results/grid.h"
#include "results/run_data.h"
#include "results/rung_record.h"

// Curves of one trial.
struct curve {
    char label[RUN_NAME_SIZE];
    const struct run_data *run;
    const struct metric *metric;   // the one that decides
    const struct epoch_row *epoch; // in order
    size_t count;
    int best_epoch; // -1: none
};

// Of larger grids a selection is drawn (grid_selection).
enum { EFFECT_MOST = 2000, PARALLEL_MOST = 600 };
// Of the lines of parallel coordinates the best tenth, or so many, are drawn over the others.
enum { PARALLEL_TOP = 30 };

enum { CURVES_PER_FIGURE = 16, FOLDS_PER_FIGURE = 12, SCHEDULES_PER_FIGURE = 12, HEAT_MOST = 16 };

// Training and validation by epoch, a panel a trial (at most CURVES_PER_FIGURE), all on one scale.
enum curve_kind { CURVE_METRIC, CURVE_LOSS };
void plot_curves_size(size_t curves, int *width, int *height);
void plot_curves(FILE *out, const struct curve *curve, size_t curves, enum curve_kind kind);
// "" or what to say of curves that are thinned.
const char *plot_curves_note(const struct curve *curve, size_t curves);
// False: no epoch of these has such a value.
bool plot_curves_have(const struct curve *curve, size_t curves, enum curve_kind kind);

// Folds of one configuration over each other, with their mean and +- one population standard deviation: validation and
// training IoU and loss.
enum { FOLDS_WIDTH = 940, FOLDS_HEIGHT = 640 };
void plot_folds(FILE *out, const struct curve *fold, size_t folds);

// Learning rate by epoch, one line a schedule.
enum { SCHEDULE_WIDTH = 860, SCHEDULE_HEIGHT = 360 };
void plot_schedules(FILE *out, const struct curve *curve, size_t curves);

// Best IoU of every fold, baseline to candidate, and the means. Both hold the same folds, all done.
enum { SLOPE_WIDTH = 640, SLOPE_HEIGHT = 460 };
void plot_slope(FILE *out, const struct fold_series *baseline, const struct fold_series *candidate);

// A grid: the best value of every point over each hyperparameter that varies; of two that vary a heat map; of more,
// parallel coordinates. Points without a value are left out.
void plot_effect_size(const struct grid *g, int *width, int *height);
void plot_effect(FILE *out, const struct run_data *run, const struct grid *g);
// False: no grid of two hyperparameters, or with more values than can be read.
bool plot_heat_size(const struct run_data *run, const struct grid *g, int *width, int *height);
void plot_heat(FILE *out, const struct run_data *run, const struct grid *g);
void plot_parallel_size(const struct grid *g, int *width, int *height);
void plot_parallel(FILE *out, const struct run_data *run, const struct grid *g);

// Successive halving: the mean of every configuration at each rung that it came to. Of more than RUNGS_MOST
// configurations the first, and all that went on. plot_rungs_have: false when there is nothing to draw.
enum { RUNGS_WIDTH = 860, RUNGS_HEIGHT = 420, RUNGS_MOST = 2000 };
bool plot_rungs_have(const struct rung_record *r);
void plot_rungs(FILE *out, const struct run_data *run, const struct rung_record *r);

// Trials by worker over time, from events.csv. plot_timeline_size: false when no event tells of a trial on a worker.
bool plot_timeline_size(const struct run_data *run, int *width, int *height, bool *all_workers);
void plot_timeline(FILE *out, const struct run_data *run);

#endif
