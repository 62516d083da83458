// Learning-rate schedules, stepped once an epoch.
#ifndef GRIDFOLD_WORKER_SCHEDULE_H
#define GRIDFOLD_WORKER_SCHEDULE_H

enum scheduler { SCHEDULER_LINEAR, SCHEDULER_COSINE };

// Learning rate of epoch 0, 1, ...: both fall from lr to 1 % of it over `epochs`. Linear: torch LinearLR(1, 0.01,
// epochs); cosine: CosineAnnealingLR (Loshchilov and Hutter 2017, without restarts).
double schedule_lr(enum scheduler scheduler, double lr, int epoch, int epochs);

#endif
