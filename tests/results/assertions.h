// What the tests of results/ check in common.
#ifndef GRIDFOLD_TESTS_RESULTS_ASSERTIONS_H
#define GRIDFOLD_TESTS_RESULTS_ASSERTIONS_H

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/file.h"

#define assert_has(text, part)                                                                                         \
    do {                                                                                                               \
        if (!strstr((text), (part)))                                                                                   \
            fail_msg("no '%s' in:\n%s", (part), (text));                                                               \
    } while (0)

#define assert_has_not(text, part)                                                                                     \
    do {                                                                                                               \
        if (strstr((text), (part)))                                                                                    \
            fail_msg("'%s' in:\n%s", (part), (text));                                                                  \
    } while (0)

// NaN equals NaN.
#define assert_near(value, expected, tolerance)                                                                        \
    do {                                                                                                               \
        double near_a_ = (value), near_b_ = (expected);                                                                \
        if (!(fabs(near_a_ - near_b_) <= (tolerance)) && !(isnan(near_a_) && isnan(near_b_)))                          \
            fail_msg("%s is %.17g, not %.17g", #value, near_a_, near_b_);                                              \
    } while (0)

static inline void assert_file_is(const char *path, const char *expected) {
    struct error error;
    char *text;
    if (file_read(path, &text, NULL, &error) != STATUS_OK)
        fail_msg("%s", error.message);
    assert_string_equal(text, expected);
    free(text);
}

#endif
