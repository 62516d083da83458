// Scores against counting by hand, and against a second, slower way of computing them on random maps.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/rng.h"
#include "worker/dataset/dataset.h"
#include "worker/score.h"

enum { MAX_PIXELS = 40 * 40 };
static struct error err;

// '#': 1, '.': 0, '?': ignored (in masks).
static void draw(const char *text, uint8_t *mask, double *probability) {
    for (size_t i = 0; text[i]; i++) {
        if (mask)
            mask[i] = text[i] == '#' ? 1 : text[i] == '?' ? MASK_IGNORE : 0;
        if (probability)
            probability[i] = text[i] == '#' ? 0.9 : 0.1;
    }
}

static struct score score_of(int height, int width, const char *truth, const char *predicted) {
    uint8_t mask[MAX_PIXELS];
    double probability[MAX_PIXELS];
    struct score s;
    assert_int_equal(strlen(truth), height * width);
    assert_int_equal(strlen(predicted), height * width);
    draw(truth, mask, NULL);
    draw(predicted, NULL, probability);
    assert_int_equal(score_map(probability, mask, height, width, 0.5, &s, &err), STATUS_OK);
    return s;
}

static void expect(double value, double wanted) {
    if (!(fabs(value - wanted) < 1e-12) && !(isnan(value) && isnan(wanted)))
        fail_msg("%.17g, not %.17g", value, wanted);
}

static void counts(void **state) {
    (void)state;
    struct score s = score_of(2, 6,
                              "###..?"
                              "#...?#",
                              "##.#.#"
                              "#...#.");
    assert_int_equal(s.tp, 3);
    assert_int_equal(s.fp, 1);
    assert_int_equal(s.fn, 2);
    assert_int_equal(s.tn, 4);
    expect(score_value(&s, SCORE_IOU), 3.0 / 6);
    expect(score_value(&s, SCORE_F1), 6.0 / 9);
    expect(score_value(&s, SCORE_PRECISION), 3.0 / 4);
    expect(score_value(&s, SCORE_RECALL), 3.0 / 5);
}

static void what_is_not_defined(void **state) {
    (void)state;
    struct score nothing = score_of(1, 3, "...", "..."), missed = score_of(1, 3, ".#.", "..."),
                 invented = score_of(1, 3, "...", ".#."), ignored = score_of(1, 3, "???", "###");
    for (int m = 0; m < SCORE_METRICS; m++) {
        expect(score_value(&nothing, (enum score_metric)m), NAN);
        expect(score_value(&ignored, (enum score_metric)m), NAN);
    }
    expect(score_value(&missed, SCORE_IOU), 0);
    expect(score_value(&missed, SCORE_PRECISION), NAN);
    expect(score_value(&missed, SCORE_RECALL), 0);
    expect(score_value(&missed, SCORE_BOUNDARY_F1), 0);
    expect(score_value(&invented, SCORE_PRECISION), 0);
    expect(score_value(&invented, SCORE_RECALL), NAN);
    expect(score_value(&invented, SCORE_BOUNDARY_F1), 0);
    const struct score samples[3] = {nothing, missed, score_of(1, 3, ".##", "..#")};
    size_t defined;
    expect(score_macro(samples, 3, SCORE_IOU, &defined), 0.25);
    assert_int_equal(defined, 2);
    expect(score_macro(samples, 1, SCORE_IOU, &defined), NAN);
    assert_int_equal(defined, 0);
    struct score pooled = {0};
    for (int i = 0; i < 3; i++)
        score_add(&pooled, &samples[i]);
    expect(score_value(&pooled, SCORE_IOU), 1.0 / 3); // micro
}

// A block moved by 2 pixels is within the tolerance all around. Moved by 3, its far side's 6 pixels are too far away.
static void boundaries(void **state) {
    (void)state;
    char truth[401], moved[401];
    const struct {
        int dy, dx;
        double wanted;
    } cases[] = {{0, 0, 1}, {0, 1, 1}, {0, 2, 1}, {2, 0, 1}, {0, 3, 14.0 / 20}, {9, 9, 0}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        memset(truth, '.', 400);
        memset(moved, '.', 400);
        truth[400] = moved[400] = 0;
        for (int y = 4; y < 10; y++)
            for (int x = 4; x < 10; x++) {
                truth[y * 20 + x] = '#';
                moved[(y + cases[c].dy) * 20 + x + cases[c].dx] = '#';
            }
        struct score s = score_of(20, 20, truth, moved);
        assert_int_equal(s.edge_true, 20); // a 6 x 6 block's rim
        assert_int_equal(s.edge_predicted, 20);
        expect(score_value(&s, SCORE_BOUNDARY_F1), cases[c].wanted);
    }
    // The map's edge bounds nothing, nor does a pixel that is ignored.
    struct score s = score_of(3, 4,
                              "##.."
                              "##.."
                              "##??",
                              "##.."
                              "##.."
                              "##..");
    assert_int_equal(s.edge_true, 2);
    assert_int_equal(s.edge_predicted, 2);
    s = score_of(2, 2, "####", "####");
    assert_int_equal(s.edge_true + s.edge_predicted, 0);
    expect(score_value(&s, SCORE_BOUNDARY_F1), NAN);
}

// ---- the slower way ----

static bool edge_at(const int *map, int side, int i) { // 1 positive, 0 negative, -1 ignored
    static const int step[4][2] = {{0, 1}, {0, -1}, {1, 0}, {-1, 0}};
    for (int k = 0; map[i] == 1 && k < 4; k++) {
        int y = i / side + step[k][0], x = i % side + step[k][1];
        if (y >= 0 && y < side && x >= 0 && x < side && map[y * side + x] == 0)
            return true;
    }
    return false;
}

static double share_near(const int *map, const int *other, int side) {
    double all = 0, near = 0;
    for (int i = 0; i < side * side; i++) {
        if (!edge_at(map, side, i))
            continue;
        double nearest = INFINITY;
        for (int j = 0; j < side * side; j++) {
            int dy = i / side - j / side, dx = i % side - j % side;
            if (edge_at(other, side, j))
                nearest = fmin(nearest, hypot(dy, dx));
        }
        all++;
        near += nearest <= 2;
    }
    return near / all;
}

static void random_maps(void **state) {
    (void)state;
    enum { SIDE = 12, PIXELS = SIDE * SIDE };
    struct rng r = rng_stream(3, 0, RNG_TEST, 0, 0);
    for (int round = 0; round < 200; round++) {
        double probability[PIXELS], threshold = 0.2 + 0.6 * rng_uniform(&r), density = rng_uniform(&r);
        uint8_t mask[PIXELS];
        int a[PIXELS], b[PIXELS];
        for (int i = 0; i < PIXELS; i++) {
            probability[i] = rng_uniform(&r);
            mask[i] = rng_uniform(&r) < 0.05 ? MASK_IGNORE : rng_uniform(&r) < density;
            a[i] = mask[i] == MASK_IGNORE ? -1 : probability[i] > threshold;
            b[i] = mask[i] == MASK_IGNORE ? -1 : mask[i];
        }
        struct score s;
        assert_int_equal(score_map(probability, mask, SIDE, SIDE, threshold, &s, &err), STATUS_OK);
        double p = share_near(a, b, SIDE), q = share_near(b, a, SIDE);
        if (!isnan(p) && !isnan(q))
            expect(score_value(&s, SCORE_BOUNDARY_F1), p + q > 0 ? 2 * p * q / (p + q) : 0);
    }
}

// ---- thresholds ----

static void threshold_curve(void **state) {
    (void)state;
    enum { PIXELS = 1600 };
    struct rng r = rng_stream(4, 0, RNG_TEST, 0, 0);
    double probability[PIXELS];
    uint8_t mask[PIXELS];
    for (int i = 0; i < PIXELS; i++) { // every other one exactly on a threshold
        probability[i] = i % 2 ? rng_below(&r, 101) / 100.0 : rng_uniform(&r);
        mask[i] = i % 17 == 0 ? MASK_IGNORE : rng_uniform(&r) < probability[i];
    }
    struct curve curve = {{{0}}};
    curve_add(&curve, probability, mask, PIXELS / 2);
    curve_add(&curve, probability + PIXELS / 2, mask + PIXELS / 2, PIXELS / 2);
    for (int point = 0; point < CURVE_POINTS; point++) {
        struct score s, direct;
        curve_at(&curve, point, &s);
        assert_int_equal(score_map(probability, mask, 40, 40, curve_threshold(point), &direct, &err), STATUS_OK);
        assert_int_equal(s.tp, direct.tp);
        assert_int_equal(s.fp, direct.fp);
        assert_int_equal(s.fn, direct.fn);
        assert_int_equal(s.tn, direct.tn);
    }
}

static void calibration_of_known_shares(void **state) {
    (void)state;
    // Ten pixels at 0.3 of which 2 are positive, five at 1 of which 4 are, and one that is ignored.
    double probability[16];
    uint8_t mask[16] = {1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0, MASK_IGNORE};
    for (int i = 0; i < 16; i++)
        probability[i] = i < 10 ? 0.3 : 1;
    struct calibration c = {.squares = 0};
    calibration_add(&c, probability, mask, 16);
    assert_int_equal(c.pixels[4], 10); // [4/15, 5/15)
    assert_int_equal(c.positives[4], 2);
    assert_int_equal(c.pixels[14], 5);
    expect(calibration_error(&c), 10.0 / 15 * 0.1 + 5.0 / 15 * 0.2);
    expect(calibration_brier(&c), (2 * 0.49 + 8 * 0.09 + 1) / 15);
    struct calibration none = {.squares = 0};
    expect(calibration_error(&none), NAN);
    expect(probability_of_logit(0), 0.5);
    assert_true(probability_of_logit(1e-7f) > 0.5); // the same pixels are positive at 0.5 as at logit > 0
    expect(probability_of_logit(-1000), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),          cmocka_unit_test(what_is_not_defined),
        cmocka_unit_test(boundaries),      cmocka_unit_test(random_maps),
        cmocka_unit_test(threshold_curve), cmocka_unit_test(calibration_of_known_shares),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
