// Segmentation metrics from pixel counts pooled over an epoch (micro average). Ratios are guarded by 1e-7, as the
// published code's.
#ifndef GRIDFOLD_WORKER_METRICS_H
#define GRIDFOLD_WORKER_METRICS_H

#include "model/backend.h"

struct pooled {
    int64_t tp, fp, fn, tn;
    double loss_sum; // sum over counted pixels
    int64_t pixels;  // that count
};

void pooled_add(struct pooled *p, const struct loss_sums *batch);
double pooled_loss(const struct pooled *p); // mean over counted pixels; NaN when there are none
double pooled_iou(const struct pooled *p);  // tp / (tp + fp + fn)
double pooled_precision(const struct pooled *p);
double pooled_recall(const struct pooled *p);
double pooled_f1(const struct pooled *p);

#endif
