#include "orchestrator/epoch_order.h"

#include <stdlib.h>
#include <string.h>

#include "results/run_files.h"

struct ordered_epoch {
    const struct epoch_row *row;
    int trial_order;
    size_t index;
};

static int compare_epochs(const void *a, const void *b) {
    const struct ordered_epoch *x = a, *y = b;
    if (x->trial_order != y->trial_order)
        return x->trial_order < y->trial_order ? -1 : 1;
    if (x->row->epoch != y->row->epoch)
        return x->row->epoch < y->row->epoch ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

// The place of the trial's first row in the plan; -1: it is not of this plan.
static int trial_order(const struct plan *plan, const char *id) {
    for (int i = 0; i < plan->row_count; i++)
        if (strcmp(plan->trials[plan->rows[i].trial].id, id) == 0)
            return i;
    return -1;
}

static enum status write_in_order(const char *path, const struct plan *plan, const struct epoch_row *rows, size_t count,
                                  struct error *err) {
    struct ordered_epoch *order = malloc((count + 1) * sizeof *order);
    struct epoch_row *sorted = malloc((count + 1) * sizeof *sorted);
    enum status status = order && sorted ? STATUS_OK : error_memory(err, path);
    size_t kept = 0, written = 0;
    for (size_t i = 0; i < count && status == STATUS_OK; i++) {
        bool repeated = i > 0 && strcmp(rows[i].trial, rows[i - 1].trial) == 0;
        int place = repeated ? order[i - 1].trial_order : trial_order(plan, rows[i].trial);
        order[i] = (struct ordered_epoch){&rows[i], place, i};
    }
    if (status == STATUS_OK) {
        qsort(order, count, sizeof *order, compare_epochs);
        kept = count;
    }
    for (size_t i = 0; i < kept; i++) {
        bool again =
            i > 0 && order[i].trial_order == order[i - 1].trial_order && order[i].row->epoch == order[i - 1].row->epoch;
        if (order[i].trial_order >= 0 && !again)
            sorted[written++] = *order[i].row;
    }
    if (status == STATUS_OK)
        status = epochs_write(path, sorted, written, err);
    free(order);
    free(sorted);
    return status;
}

enum status epoch_order_rewrite(const char *path, const struct plan *plan, struct error *err) {
    struct epoch_row *rows;
    size_t count;
    TRY(epochs_read(path, &rows, &count, err));
    enum status status = write_in_order(path, plan, rows, count, err);
    free(rows);
    return status;
}
