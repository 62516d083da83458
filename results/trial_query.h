// Rows of trials.csv, filtered and sorted by any of its columns: `gridfold trials`.
//
// Cells are texts, as in the file. Two cells that are both numbers compare as numbers, others as texts. One thread.
#ifndef GRIDFOLD_RESULTS_TRIAL_QUERY_H
#define GRIDFOLD_RESULTS_TRIAL_QUERY_H

#include <stdbool.h>
#include <stddef.h>

#include "model/base/status.h"

// A table of texts that the list does not own, and which of its rows are listed, in which order.
struct trial_list {
    size_t columns, rows;
    const char *const *names; // columns
    const char *const *cells; // cells[row * columns + column]
    size_t *order;            // rows that are listed, first to last; malloc'ed
    size_t count;             // how many
};

// Lists every row in the order of the table. STATUS_MEMORY.
NODISCARD enum status trial_list_create(size_t columns, const char *const *names, size_t rows, const char *const *cells,
                                        struct trial_list *list, struct error *err);
void trial_list_free(struct trial_list *list);

// Keeps the rows for which every clause holds: "status = done and best_iou > 0.5". Operators: = != < <= > >=, and ~ for
// "contains"; a value may stand in double quotes. An empty cell is in no order: only = and != hold for it.
// STATUS_INVALID says what is wrong and names the nearest column.
NODISCARD enum status trial_list_filter(struct trial_list *list, const char *expression, struct error *err);

// Stable, ascending; "-KEY": descending. Empty cells come last either way.
NODISCARD enum status trial_list_sort(struct trial_list *list, const char *key, struct error *err);

#endif
