// Learning-rate schedules and pooled metrics against numbers worked out by hand and by PyTorch's formulas.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <math.h>

#include "worker/metrics.h"
#include "worker/schedule.h"

static void assert_near(double a, double b) {
    if (fabs(a - b) > 1e-12 * fmax(1, fabs(b)))
        fail_msg("%.17g is not %.17g", a, b);
}

static void schedules_fall_to_one_percent(void **state) {
    (void)state;
    assert_near(schedule_lr(SCHEDULER_LINEAR, 0.01, 0, 200), 0.01);
    assert_near(schedule_lr(SCHEDULER_LINEAR, 0.01, 100, 200), 0.00505);
    assert_near(schedule_lr(SCHEDULER_LINEAR, 0.01, 200, 200), 0.0001);
    assert_near(schedule_lr(SCHEDULER_COSINE, 0.01, 0, 200), 0.01);
    assert_near(schedule_lr(SCHEDULER_COSINE, 0.01, 100, 200), 0.00505);
    assert_near(schedule_lr(SCHEDULER_COSINE, 0.01, 50, 200), 0.0001 + 0.0099 * (1 + M_SQRT1_2) / 2);
    assert_near(schedule_lr(SCHEDULER_COSINE, 0.01, 200, 200), 0.0001);
}

static void metrics_pool_counts_not_ratios(void **state) {
    (void)state;
    struct pooled p = {0};
    pooled_add(&p, &(struct loss_sums){.loss = 0.5, .tp = 6, .fp = 2, .fn = 2, .tn = 0});
    pooled_add(&p, &(struct loss_sums){.loss = 0.1, .tp = 0, .fp = 0, .fn = 10, .tn = 20});
    assert_near(pooled_loss(&p), (0.5 * 10 + 0.1 * 30) / 40);
    assert_near(pooled_iou(&p), 6 / (20 + 1e-7));
    assert_near(pooled_precision(&p), 6 / (8 + 1e-7));
    assert_near(pooled_recall(&p), 6 / (18 + 1e-7));
    double precision = 6 / (8 + 1e-7), recall = 6 / (18 + 1e-7);
    assert_near(pooled_f1(&p), 2 * precision * recall / (precision + recall + 1e-7));
}

static void nothing_counted_is_zero_not_nan(void **state) {
    (void)state;
    struct pooled p = {0};
    assert_true(isnan(pooled_loss(&p)));
    assert_near(pooled_iou(&p), 0);
    assert_near(pooled_f1(&p), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules_fall_to_one_percent),
        cmocka_unit_test(metrics_pool_counts_not_ratios),
        cmocka_unit_test(nothing_counted_is_zero_not_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
