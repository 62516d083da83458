// When things happened: events.csv, sorted so that each of many trials finds its own.
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "results/export.h"

struct moment {
    const char *trial;
    int epoch; // -1: any event
    size_t row;
    double time;
};

struct export_times {
    size_t count;
    struct moment moment[];
};

static int by_trial_and_epoch(const void *a, const void *b) {
    const struct moment *x = a, *y = b;
    int order = strcmp(x->trial, y->trial);
    order = order ? order : (x->epoch > y->epoch) - (x->epoch < y->epoch);
    return order ? order : (x->row > y->row) - (x->row < y->row);
}

struct event_columns {
    int time, trial, epoch, event;
};

static void add_row(export_times *times, const struct csv_table *t, const struct event_columns *c, size_t row) {
    struct tm tm = {0};
    const char *epoch = csv_table_cell(t, row, c->epoch);
    struct moment moment = {.trial = csv_table_cell(t, row, c->trial), .epoch = -1, .row = row};
    if (!*moment.trial || !strptime(csv_table_cell(t, row, c->time), "%Y-%m-%dT%H:%M:%SZ", &tm))
        return;
    moment.time = (double)timegm(&tm);
    times->moment[times->count++] = moment;
    if (!*epoch || strcmp(csv_table_cell(t, row, c->event), "epoch") != 0)
        return;
    moment.epoch = (int)strtol(epoch, NULL, 10);
    times->moment[times->count++] = moment;
}

export_times *export_times_create(const struct run_data *run) {
    const struct csv_table *t = &run->events;
    export_times *times = calloc(1, sizeof *times + (2 * t->rows + 1) * sizeof *times->moment);
    if (!times || t->columns == 0)
        return times;
    struct event_columns c = {csv_table_column(t, "time"), csv_table_column(t, "trial"), csv_table_column(t, "epoch"),
                              csv_table_column(t, "event")};
    for (size_t row = 0; row < t->rows && c.time >= 0 && c.trial >= 0 && c.epoch >= 0 && c.event >= 0; row++)
        add_row(times, t, &c, row);
    qsort(times->moment, times->count, sizeof *times->moment, by_trial_and_epoch);
    return times;
}

double export_time(const export_times *times, const char *trial, int epoch) {
    const struct moment key = {.trial = trial, .epoch = epoch};
    size_t low = 0, high = times->count;
    while (low < high) { // the first that is not before the key
        size_t middle = low + (high - low) / 2;
        if (by_trial_and_epoch(&times->moment[middle], &key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    const struct moment *found = &times->moment[low];
    return low < times->count && found->epoch == epoch && strcmp(found->trial, trial) == 0 ? found->time : 0;
}
