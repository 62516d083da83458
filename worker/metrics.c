#include "worker/metrics.h"

#include <math.h>

static const double GUARD = 1e-7;

void pooled_add(struct pooled *p, const struct loss_sums *batch) {
    int64_t pixels = batch->tp + batch->fp + batch->fn + batch->tn;
    p->tp += batch->tp;
    p->fp += batch->fp;
    p->fn += batch->fn;
    p->tn += batch->tn;
    p->loss_sum += batch->loss * (double)pixels;
    p->pixels += pixels;
}

double pooled_loss(const struct pooled *p) {
    return p->pixels > 0 ? p->loss_sum / (double)p->pixels : NAN;
}

double pooled_iou(const struct pooled *p) {
    return (double)p->tp / ((double)(p->tp + p->fp + p->fn) + GUARD);
}

double pooled_precision(const struct pooled *p) {
    return (double)p->tp / ((double)(p->tp + p->fp) + GUARD);
}

double pooled_recall(const struct pooled *p) {
    return (double)p->tp / ((double)(p->tp + p->fn) + GUARD);
}

double pooled_f1(const struct pooled *p) {
    double precision = pooled_precision(p), recall = pooled_recall(p);
    return 2 * precision * recall / (precision + recall + GUARD);
}
