#include "worker/score.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "worker/dataset/dataset.h"

double probability_of_logit(float logit) {
    return 1 / (1 + exp(-(double)logit));
}

// ---- boundaries ----

enum { NEGATIVE, POSITIVE, UNKNOWN };

static bool is_negative(const uint8_t *map, int height, int width, int y, int x) {
    return y >= 0 && y < height && x >= 0 && x < width && map[y * width + x] == NEGATIVE;
}

static void find_edges(const uint8_t *map, int height, int width, bool *edge) {
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            edge[y * width + x] =
                map[y * width + x] == POSITIVE &&
                (is_negative(map, height, width, y - 1, x) || is_negative(map, height, width, y + 1, x) ||
                 is_negative(map, height, width, y, x - 1) || is_negative(map, height, width, y, x + 1));
}

static bool has_edge_near(const bool *edge, int height, int width, int y, int x) {
    for (int dy = -SCORE_TOLERANCE; dy <= SCORE_TOLERANCE; dy++)
        for (int dx = -SCORE_TOLERANCE; dx <= SCORE_TOLERANCE; dx++) {
            int v = y + dy, u = x + dx;
            if (dy * dy + dx * dx <= SCORE_TOLERANCE * SCORE_TOLERANCE && v >= 0 && v < height && u >= 0 && u < width &&
                edge[v * width + u])
                return true;
        }
    return false;
}

static void match_edges(const bool *edge, const bool *other, int height, int width, int64_t *all, int64_t *matched) {
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            if (!edge[y * width + x])
                continue;
            ++*all;
            *matched += has_edge_near(other, height, width, y, x);
        }
}

static enum status score_edges(const uint8_t *predicted, const uint8_t *truth, int height, int width,
                               struct score *score, struct error *err) {
    size_t pixels = (size_t)height * (size_t)width;
    bool *a = malloc(pixels * sizeof *a), *b = malloc(pixels * sizeof *b);
    if (a && b) {
        find_edges(predicted, height, width, a);
        find_edges(truth, height, width, b);
        match_edges(a, b, height, width, &score->edge_predicted, &score->edge_predicted_matched);
        match_edges(b, a, height, width, &score->edge_true, &score->edge_true_matched);
    }
    bool fits = a && b;
    free(a);
    free(b);
    return fits ? STATUS_OK : error_memory(err, "boundaries");
}

enum status score_map(const double *probability, const uint8_t *mask, int height, int width, double threshold,
                      struct score *score, struct error *err) {
    size_t pixels = (size_t)height * (size_t)width;
    uint8_t *predicted = malloc(2 * pixels), *truth = predicted + pixels;
    if (!predicted)
        return error_memory(err, "a prediction");
    *score = (struct score){0};
    for (size_t i = 0; i < pixels; i++) {
        bool positive = probability[i] > threshold, counts = mask[i] != MASK_IGNORE;
        predicted[i] = !counts ? UNKNOWN : positive ? POSITIVE : NEGATIVE;
        truth[i] = !counts ? UNKNOWN : mask[i] ? POSITIVE : NEGATIVE;
        score->tp += counts && positive && mask[i];
        score->fp += counts && positive && !mask[i];
        score->fn += counts && !positive && mask[i];
        score->tn += counts && !positive && !mask[i];
    }
    enum status status = score_edges(predicted, truth, height, width, score, err);
    free(predicted);
    return status;
}

void score_add(struct score *to, const struct score *from) {
    to->tp += from->tp;
    to->fp += from->fp;
    to->fn += from->fn;
    to->tn += from->tn;
    to->edge_predicted += from->edge_predicted;
    to->edge_predicted_matched += from->edge_predicted_matched;
    to->edge_true += from->edge_true;
    to->edge_true_matched += from->edge_true_matched;
}

// ---- metrics ----

const char *score_metric_name(enum score_metric metric) {
    static const char *const names[SCORE_METRICS] = {"iou", "f1", "precision", "recall", "boundary_f1"};
    return names[metric];
}

static double ratio(double over, double under) {
    return under > 0 ? over / under : NAN;
}

static double boundary_f1(const struct score *s) {
    if (s->edge_predicted == 0 || s->edge_true == 0)
        return s->edge_predicted + s->edge_true > 0 ? 0 : NAN;
    double precision = ratio((double)s->edge_predicted_matched, (double)s->edge_predicted),
           recall = ratio((double)s->edge_true_matched, (double)s->edge_true);
    return precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
}

double score_value(const struct score *s, enum score_metric metric) {
    double tp = (double)s->tp, fp = (double)s->fp, fn = (double)s->fn;
    switch (metric) {
    case SCORE_IOU:
        return ratio(tp, tp + fp + fn);
    case SCORE_F1:
        return ratio(2 * tp, 2 * tp + fp + fn);
    case SCORE_PRECISION:
        return ratio(tp, tp + fp);
    case SCORE_RECALL:
        return ratio(tp, tp + fn);
    case SCORE_BOUNDARY_F1:
        return boundary_f1(s);
    case SCORE_METRICS:
        break;
    }
    return NAN;
}

double score_macro(const struct score *samples, size_t count, enum score_metric metric, size_t *defined) {
    double sum = 0;
    *defined = 0;
    for (size_t i = 0; i < count; i++) {
        double value = score_value(&samples[i], metric);
        if (isnan(value))
            continue;
        sum += value;
        ++*defined;
    }
    return ratio(sum, (double)*defined);
}

// ---- thresholds ----

double curve_threshold(int point) {
    return (point + 1) / 100.0;
}

static int thresholds_below(double probability) {
    int k = (int)(probability * 100);
    k = k < 0 ? 0 : k > CURVE_POINTS ? CURVE_POINTS : k;
    while (k > 0 && !(probability > curve_threshold(k - 1))) // p * 100 is rounded
        k--;
    while (k < CURVE_POINTS && probability > curve_threshold(k))
        k++;
    return k;
}

void curve_add(struct curve *curve, const double *probability, const uint8_t *mask, size_t pixels) {
    for (size_t i = 0; i < pixels; i++)
        if (mask[i] != MASK_IGNORE)
            curve->above[mask[i] != 0][thresholds_below(probability[i])]++;
}

void curve_at(const struct curve *curve, int point, struct score *out) {
    *out = (struct score){0};
    for (int k = 0; k <= CURVE_POINTS; k++) {
        bool positive = k > point; // exceeds this threshold and all below it
        out->tp += positive ? curve->above[1][k] : 0;
        out->fp += positive ? curve->above[0][k] : 0;
        out->fn += positive ? 0 : curve->above[1][k];
        out->tn += positive ? 0 : curve->above[0][k];
    }
}

// ---- calibration ----

void calibration_add(struct calibration *c, const double *probability, const uint8_t *mask, size_t pixels) {
    for (size_t i = 0; i < pixels; i++) {
        if (mask[i] == MASK_IGNORE)
            continue;
        double p = probability[i], miss = p - (mask[i] ? 1 : 0);
        int bin = (int)(p * CALIBRATION_BINS);
        bin = bin < CALIBRATION_BINS ? bin : CALIBRATION_BINS - 1;
        c->pixels[bin]++;
        c->positives[bin] += mask[i] ? 1 : 0;
        c->probability_sum[bin] += p;
        c->squares += miss * miss;
    }
}

static double calibration_pixels(const struct calibration *c) {
    double pixels = 0;
    for (int b = 0; b < CALIBRATION_BINS; b++)
        pixels += (double)c->pixels[b];
    return pixels;
}

double calibration_error(const struct calibration *c) {
    double sum = 0;
    for (int b = 0; b < CALIBRATION_BINS; b++)
        sum += fabs((double)c->positives[b] - c->probability_sum[b]); // n |positives / n - sum / n|
    return ratio(sum, calibration_pixels(c));
}

double calibration_brier(const struct calibration *c) {
    return ratio(c->squares, calibration_pixels(c));
}
