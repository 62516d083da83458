#include "results/metric_cells.h"

#include <math.h>

const char *metric_name(const struct metric *m) {
    return *m->name ? m->name : "IoU";
}

bool metric_is_share(const struct metric *m) {
    return !*m->name;
}

bool metric_better(const struct metric *m, double a, double b) {
    return m->minimize ? a < b : a > b;
}

void metric_cell(table *t, const struct metric *m, double value) {
    if (metric_is_share(m))
        table_value(t, value, "%.2f %%", 100 * value);
    else
        table_value(t, value, "%.4g", value);
}

void metric_difference_cell(table *t, const struct metric *m, double difference) {
    if (metric_is_share(m))
        table_value(t, difference, "%+.2f pp", 100 * difference);
    else
        table_value(t, difference, "%+.4g", difference);
}

void metric_mean_cell(table *t, const struct metric *m, double mean, double sd) {
    if (metric_is_share(m))
        table_value(t, mean, "%.2f +- %.2f %%", 100 * mean, 100 * sd);
    else
        table_value(t, mean, "%.4g +- %.2g", mean, sd);
}
