#include "orchestrator/epoch_order.h"

#include <limits.h>
#include <stdlib.h>

#include "results/run_files.h"

struct ordered_epoch {
    const struct epoch_row *row;
    int trial_order;
    size_t index;
};

static int compare_places(const struct ordered_epoch *x, const struct ordered_epoch *y) {
    if (x->trial_order != y->trial_order)
        return x->trial_order < y->trial_order ? -1 : 1;
    return (x->row->epoch > y->row->epoch) - (x->row->epoch < y->row->epoch);
}

static int compare_epochs(const void *a, const void *b) {
    const struct ordered_epoch *x = a, *y = b;
    int places = compare_places(x, y);
    return places != 0 ? places : x->index < y->index ? -1 : 1;
}

// Marks the rows that count: a row takes the place of what stood before it of its trial from its epoch on (only a
// program that was started anew has told such).
static enum status mark_superseded(const struct plan *plan, struct ordered_epoch *order, size_t count,
                                   struct error *err) {
    int *lowest = malloc(((size_t)plan->trial_count + 1) * sizeof *lowest);
    if (!lowest)
        return error_memory(err, "the order of epochs");
    for (int i = 0; i < plan->trial_count; i++)
        lowest[i] = INT_MAX;
    for (size_t i = count; i-- > 0;) {
        int trial = order[i].trial_order;
        if (trial < 0)
            continue;
        if (order[i].row->epoch >= lowest[trial])
            order[i].trial_order = -1;
        else
            lowest[trial] = order[i].row->epoch;
    }
    free(lowest);
    return STATUS_OK;
}

static enum status write_rows(const char *path, const struct metric_columns *own, const struct ordered_epoch *order,
                              size_t count, struct error *err) {
    csv_writer *w = NULL;
    enum status status = epochs_rewrite(path, own, &w, err);
    for (size_t i = 0; i < count && status == STATUS_OK; i++)
        if (order[i].trial_order >= 0 && !(i > 0 && compare_places(&order[i], &order[i - 1]) == 0))
            status = epochs_rewrite_row(w, own, order[i].row, err);
    if (status == STATUS_OK)
        return csv_writer_commit(w, err);
    csv_writer_abandon(w);
    return status;
}

static enum status write_in_order(const char *path, const struct plan *plan, const struct metric_columns *own,
                                  const struct epoch_row *rows, size_t count, struct error *err) {
    struct ordered_epoch *order = malloc((count + 1) * sizeof *order);
    if (!order)
        return error_memory(err, path);
    for (size_t i = 0; i < count; i++) // trials stand in the order of their first rows; -1: not of this plan
        order[i] = (struct ordered_epoch){&rows[i], plan_find_trial(plan, rows[i].trial), i};
    enum status status = STATUS_OK;
    if (plan->sweep->program.kind != TRAINER_EMBEDDED)
        status = mark_superseded(plan, order, count, err);
    if (status == STATUS_OK) {
        qsort(order, count, sizeof *order, compare_epochs);
        status = write_rows(path, own, order, count, err);
    }
    free(order);
    return status;
}

enum status epoch_order_rewrite(const char *path, const struct plan *plan, struct error *err) {
    struct metric_columns own;
    struct epoch_row *rows;
    size_t count;
    TRY(epochs_read(path, &own, &rows, &count, err));
    enum status status = write_in_order(path, plan, &own, rows, count, err);
    free(rows);
    return status;
}
