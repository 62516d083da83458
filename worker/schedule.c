#include "worker/schedule.h"

#include <math.h>

static const double FLOOR = 0.01; // of the initial learning rate

double schedule_lr(enum scheduler scheduler, double lr, int epoch, int epochs) {
    double progress = (double)epoch / epochs;
    if (scheduler == SCHEDULER_LINEAR)
        return lr * (1 + (FLOOR - 1) * fmin(progress, 1));
    return lr * FLOOR + (lr - lr * FLOOR) * (1 + cos(M_PI * progress)) / 2;
}
