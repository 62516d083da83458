// How a metric is written in tables: IoU as percent and percentage points, any other as a plain number.
#ifndef GRIDFOLD_RESULTS_METRIC_CELLS_H
#define GRIDFOLD_RESULTS_METRIC_CELLS_H

#include "results/metric.h"
#include "results/table.h"

// The next cell of a row: "57.62 %" or "0.1234"; "+32.01 pp" or "+0.1234"; "57.62 +- 10.73 %".
void metric_cell(table *t, const struct metric *m, double value);
void metric_difference_cell(table *t, const struct metric *m, double difference);
void metric_mean_cell(table *t, const struct metric *m, double mean, double sd);

#endif
