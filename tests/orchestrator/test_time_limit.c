// When a job that has to end asks its trials to stop, and how long it starts new ones.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "orchestrator/time_limit.h"

static void test_no_limit(void **state) {
    (void)state;
    struct time_limit l = {.began = 5};
    time_limit_learn(&l.pause, 100);
    assert_true(isinf(time_limit_stop(&l)) && isinf(time_limit_last_start(&l)));
}

static void test_what_a_stop_takes(void **state) {
    (void)state;
    struct time_limit l = {.began = 1000, .end = 1000 + 4 * 3600};
    assert_true(time_limit_stop(&l) == l.end - 30); // nothing measured yet
    assert_true(time_limit_last_start(&l) == l.end - 30);
    time_limit_learn(&l.pause, 7);
    time_limit_learn(&l.pause, 3);
    time_limit_learn(&l.startup, 40);
    assert_true(time_limit_stop(&l) == l.end - 30 - 14);
    assert_true(time_limit_last_start(&l) == l.end - 30 - 14 - 60);
    struct time_limit brief = {.began = 0, .end = 10};
    assert_true(time_limit_stop(&brief) == 8);
}

static void test_environment(void **state) {
    (void)state;
    char text[32];
    unsetenv(TIME_LIMIT_VARIABLE);
    unsetenv("SLURM_JOB_END_TIME");
    assert_true(isinf(time_limit_from_environment()));
    setenv("SLURM_JOB_END_TIME", "soon", 1);
    assert_true(isinf(time_limit_from_environment()));
    snprintf(text, sizeof text, "%lld", (long long)time(NULL) + 500);
    setenv("SLURM_JOB_END_TIME", text, 1);
    assert_true(fabs(time_limit_from_environment() - 500) <= 2);
    snprintf(text, sizeof text, "%lld", (long long)time(NULL) + 100);
    setenv(TIME_LIMIT_VARIABLE, text, 1); // the nearer one
    assert_true(fabs(time_limit_from_environment() - 100) <= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_no_limit), cmocka_unit_test(test_what_a_stop_takes),
                                       cmocka_unit_test(test_environment)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
