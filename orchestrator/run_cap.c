#include "orchestrator/run_cap.h"

#include <stdlib.h>

#include "model/base/rng.h"
#include "orchestrator/sweep_random.h"

// A configuration: its rows in the plan.
struct point {
    int first, rows;
    uint32_t place; // where it comes among the points of its grid
};

// The rows from `first` on that are of one configuration.
static int rows_of_point(const struct plan *p, int first) {
    const struct plan_row *a = &p->rows[first];
    int row = first;
    while (row < p->row_count && p->rows[row].grid == a->grid && p->rows[row].config == a->config &&
           p->rows[row].point == a->point)
        row++;
    return row - first;
}

static int compare_places(const void *a, const void *b) {
    const struct point *x = a, *y = b;
    if (x->place != y->place)
        return x->place < y->place ? -1 : 1;
    return x->first < y->first ? -1 : 1;
}

// [random] points are drawn as they stand.
static bool is_shuffled(const struct plan *p, const struct plan_row *row) {
    return p->sweep->method == METHOD_RANDOM && row->grid >= 0 && p->sweep->grids[row->grid].points == 0;
}

static uint32_t draw_place(const struct plan *p, const struct plan_row *row) {
    struct rng rng = rng_stream(p->sweep->seed, 0, RNG_SEARCH, (uint32_t)row->point, (uint32_t)row->grid);
    return rng_below(&rng, UINT32_MAX);
}

// The points of the grid or config that begins at `row`, in the order in which they are taken; *row becomes the row
// behind them.
static int list_points(const struct plan *p, int *row, struct point *points) {
    int count = 0, first = *row;
    while (*row < p->row_count && p->rows[*row].grid == p->rows[first].grid &&
           p->rows[*row].config == p->rows[first].config) {
        const struct plan_row *at = &p->rows[*row];
        points[count++] = (struct point){*row, rows_of_point(p, *row), is_shuffled(p, at) ? draw_place(p, at) : 0};
        *row += points[count - 1].rows;
    }
    qsort(points, (size_t)count, sizeof *points, compare_places);
    return count;
}

// Trials of the point that no point before it has.
static int new_trials(const struct plan *p, const struct point *point) {
    int count = 0;
    for (int i = point->first; i < point->first + point->rows; i++)
        count += p->trials[p->rows[i].trial].withheld;
    return count;
}

static void take_points(struct plan *p, struct point *points) {
    int left = p->sweep->run_cap;
    for (int row = 0; row < p->row_count;) {
        int count = list_points(p, &row, points);
        for (int i = 0; i < count; i++) {
            left -= new_trials(p, &points[i]);
            if (left < 0)
                return;
            for (int j = points[i].first; j < points[i].first + points[i].rows; j++)
                p->trials[p->rows[j].trial].withheld = false;
        }
    }
}

enum status run_cap_apply(struct plan *p, struct error *err) {
    p->withheld = 0;
    if (p->sweep->run_cap == 0)
        return STATUS_OK;
    struct point *points = malloc(((size_t)p->row_count + 1) * sizeof *points);
    if (!points)
        return error_memory(err, "the run cap");
    for (int i = 0; i < p->trial_count; i++)
        p->trials[i].withheld = !*p->trials[i].refused; // those are not run, and cost nothing
    take_points(p, points);
    free(points);
    for (int i = 0; i < p->trial_count; i++)
        p->withheld += p->trials[i].withheld;
    if (p->withheld == p->trial_count && p->trial_count > 0)
        return error_set(err, STATUS_INVALID,
                         "run-cap = %d: the first configuration has %d trials, one a fold, and is run whole or not at "
                         "all",
                         p->sweep->run_cap, rows_of_point(p, 0));
    return STATUS_OK;
}
