#include "orchestrator/winner.h"

#include <math.h>
#include <stdlib.h>

enum status winner_point(int points, size_t rows, const int *point, const double *best_iou, int *winner,
                         struct error *err) {
    struct {
        double sum;
        size_t count;
    } *of = calloc((size_t)points + 1, sizeof *of);
    *winner = -1;
    if (!of)
        return error_memory(err, "winners");
    for (size_t i = 0; i < rows; i++) {
        if (isnan(best_iou[i]))
            continue;
        of[point[i]].sum += best_iou[i];
        of[point[i]].count++;
    }
    double highest = 0;
    for (int p = 0; p < points; p++) {
        double mean = of[p].sum / (double)of[p].count;
        if (of[p].count == 0 || isinf(of[p].sum) || (*winner >= 0 && !(mean > highest)))
            continue;
        *winner = p;
        highest = mean;
    }
    free(of);
    return STATUS_OK;
}
