// How long a trainer may be silent (worker/silence.h), on a clock of the test's own.
#include "worker/silence.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define assert_seconds(got, want) assert_true(fabs((got) - (want)) < 1e-9)

// Dataset read for ten minutes, then a step every `step` seconds for one epoch of ten steps and half of another.
static struct silence trained(double step) {
    struct silence s;
    double now = 1000;
    silence_begin(&s, 0);
    silence_sign(&s, now, false, 0);
    now += 600;
    for (int i = 1; i <= 15; i++) {
        silence_sign(&s, now, i == 10, i % 10);
        now += step;
    }
    return s;
}

static void a_given_limit_holds(void **state) {
    (void)state;
    struct silence s;
    silence_begin(&s, 2.5);
    assert_seconds(silence_limit(&s), 2.5);
    silence_sign(&s, 10, false, 1);
    silence_sign(&s, 500, true, 0);
    assert_seconds(silence_limit(&s), 2.5);
}

static void half_an_hour_until_an_epoch_is_over(void **state) {
    (void)state;
    struct silence s;
    silence_begin(&s, 0);
    assert_seconds(silence_limit(&s), 1800);
    silence_sign(&s, 10, false, 1);
    silence_sign(&s, 11, false, 2);
    assert_seconds(silence_limit(&s), 1800);
    silence_sign(&s, 12, true, 0);
    assert_seconds(silence_limit(&s), 300);
}

// An epoch that a resumed trial tells again from its record was not trained now: the first step is still to come.
static void an_epoch_told_again_does_not_count(void **state) {
    (void)state;
    struct silence s;
    silence_begin(&s, 0);
    silence_sign(&s, 10, false, 0);
    silence_sign(&s, 900, false, 0);
    assert_seconds(silence_limit(&s), 1800);
    assert_seconds(s.longest, 0);
}

static void twenty_times_the_longest_silence(void **state) {
    (void)state;
    struct silence short_steps = trained(1), long_steps = trained(40);
    assert_seconds(silence_limit(&short_steps), 300);
    assert_seconds(silence_limit(&long_steps), 800);
    silence_sign(&long_steps, 1600 + 15 * 40 + 35, false, 6); // a checkpoint took its time: 75 s
    assert_seconds(silence_limit(&long_steps), 1500);
    silence_sign(&long_steps, 1600 + 16 * 40 + 35, false, 7); // and is remembered
    assert_seconds(silence_limit(&long_steps), 1500);
}

// The time in which the dataset is read is no measure of a step: 600 s would make 12,000.
static void what_lies_before_the_first_step_is_not_measured(void **state) {
    (void)state;
    assert_seconds(trained(1).longest, 1);
}

static void a_trial_does_not_inherit(void **state) {
    (void)state;
    struct silence s = trained(100);
    assert_seconds(silence_limit(&s), 2000);
    silence_begin(&s, 0);
    assert_seconds(silence_limit(&s), 1800);
    silence_sign(&s, 1e6, true, 0);
    assert_seconds(silence_limit(&s), 300);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_given_limit_holds),
        cmocka_unit_test(half_an_hour_until_an_epoch_is_over),
        cmocka_unit_test(an_epoch_told_again_does_not_count),
        cmocka_unit_test(twenty_times_the_longest_silence),
        cmocka_unit_test(what_lies_before_the_first_step_is_not_measured),
        cmocka_unit_test(a_trial_does_not_inherit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
