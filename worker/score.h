// What a map of probabilities is worth beside a mask: counts, boundary, thresholds, calibration. Definitions with their
// sources: docs/evaluation.md.
//
// Maps are row-major (height, width); a mask holds 0, 1 or MASK_IGNORE, whose pixels count in nothing. Ratios are NaN
// where nothing stands under the line (trials.csv guards them by 1e-7 instead, which differs after the sixth digit).
// Pure; any thread.
#ifndef GRIDFOLD_WORKER_SCORE_H
#define GRIDFOLD_WORKER_SCORE_H

#include <stddef.h>
#include <stdint.h>

#include "model/base/status.h"

// Pixels, and boundary pixels with a counterpart within SCORE_TOLERANCE pixels.
enum { SCORE_TOLERANCE = 2 };
struct score {
    int64_t tp, fp, fn, tn;
    int64_t edge_predicted, edge_predicted_matched; // boundary pixels of the prediction
    int64_t edge_true, edge_true_matched;           // of the mask
};

// Positive where probability > threshold. Adds nothing to what *score holds: it is set.
//
// Boundary: a positive pixel of which one of the four neighbours within the map is negative (the map's edge bounds
// nothing: an object goes on beyond it). It is matched when a boundary pixel of the other map lies within a Euclidean
// distance of SCORE_TOLERANCE pixels. Csurka, Larlus, Perronnin: "What is a good evaluation measure for semantic
// segmentation?", BMVC 2013; with this tolerance and mask boundaries, the F measure of Perazzi et al., CVPR 2016
// (DAVIS). STATUS_MEMORY.
NODISCARD enum status score_map(const double *probability, const uint8_t *mask, int height, int width, double threshold,
                                struct score *score, struct error *err);

// Pooling scores before dividing gives the micro average.
void score_add(struct score *to, const struct score *from);

// Fractions.
enum score_metric {
    SCORE_IOU,         // tp / (tp + fp + fn)
    SCORE_F1,          // 2 tp / (2 tp + fp + fn)
    SCORE_PRECISION,   // tp / (tp + fp)
    SCORE_RECALL,      // tp / (tp + fn)
    SCORE_BOUNDARY_F1, // 2 P R / (P + R) of the matched shares; 0 when only one side has a boundary
    SCORE_METRICS
};
const char *score_metric_name(enum score_metric metric); // "iou", "f1", "precision", "recall", "boundary_f1"
double score_value(const struct score *score, enum score_metric metric);

// The macro average: the mean of a metric over the samples where it is defined, and how many those are. NaN: none.
double score_macro(const struct score *samples, size_t count, enum score_metric metric, size_t *defined);

// Counts at the thresholds 0.01, 0.02 .. 0.99, gathered in one pass over the pixels.
enum { CURVE_POINTS = 99 };
struct curve {
    int64_t above[2][CURVE_POINTS + 1]; // [truth][k]: pixels whose probability exceeds exactly k thresholds
};
void curve_add(struct curve *curve, const double *probability, const uint8_t *mask, size_t pixels);
double curve_threshold(int point);                                      // (point + 1) / 100
void curve_at(const struct curve *curve, int point, struct score *out); // tp, fp, fn, tn

// Reliability of the probability of land-take, in bins of equal width: [0, 1/15), .., [14/15, 1]. Naeini et al., AAAI
// 2015; Guo et al., ICML 2017 (there of the predicted class; here of the positive class, so that the rare class shows).
enum { CALIBRATION_BINS = 15 };
struct calibration {
    int64_t pixels[CALIBRATION_BINS], positives[CALIBRATION_BINS];
    double probability_sum[CALIBRATION_BINS], squares; // squares: of probability - truth
};
void calibration_add(struct calibration *c, const double *probability, const uint8_t *mask, size_t pixels);
double calibration_error(const struct calibration *c); // ECE: sum over bins of n/N |positive share - mean probability|
double calibration_brier(const struct calibration *c); // mean of (probability - truth)^2

double probability_of_logit(float logit);

#endif
