// The metric that decides: validation IoU, or one of another program.
#ifndef GRIDFOLD_RESULTS_METRIC_H
#define GRIDFOLD_RESULTS_METRIC_H

#include <stdbool.h>

struct metric {
    char name[48]; // "": validation IoU, a share of 1
    bool minimize; // the smallest is the best
};

const char *metric_name(const struct metric *m); // "IoU", "rmse"
bool metric_is_share(const struct metric *m);
// a is better than b; NaN is no better than anything.
bool metric_better(const struct metric *m, double a, double b);

#endif
