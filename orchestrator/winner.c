#include "orchestrator/winner.h"

#include <math.h>

int winner_point(int points, size_t rows, const int *point, const double *best_iou) {
    int winner = -1;
    double highest = 0;
    for (int p = 0; p < points; p++) {
        double sum = 0;
        int count = 0;
        for (size_t i = 0; i < rows; i++) {
            if (point[i] != p || isnan(best_iou[i]))
                continue;
            sum += best_iou[i];
            count++;
        }
        if (count > 0 && !isinf(sum) && (winner < 0 || sum / count > highest)) {
            winner = p;
            highest = sum / count;
        }
    }
    return winner;
}
