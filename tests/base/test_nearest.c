// Edit distances and the nearest of several names.
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/nearest.h"

static void distances(void **state) {
    (void)state;
    assert_int_equal(text_edit_distance("", ""), 0);
    assert_int_equal(text_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(text_edit_distance("sitting", "kitten"), 3);
    assert_int_equal(text_edit_distance("", "abc"), 3);
    assert_int_equal(text_edit_distance("abc", ""), 3);
    assert_int_equal(text_edit_distance("a_b", "A-B"), 0);
}

static void long_words_are_cut(void **state) {
    (void)state;
    char a[1001], b[1001];
    memset(a, 'a', sizeof a - 1);
    memset(b, 'b', sizeof b - 1);
    a[1000] = b[1000] = '\0';
    assert_int_equal(text_edit_distance(a, b), 128);
    assert_int_equal(text_edit_distance(a, a), 0);
}

static void nearest(void **state) {
    (void)state;
    static const char *const names[] = {"bands", "steps", "ignore", "step"};
    assert_string_equal(text_nearest("band", names, 4), "bands");
    assert_string_equal(text_nearest("IGNOER", names, 4), "ignore");
    assert_string_equal(text_nearest("step", names, 4), "step");
    assert_string_equal(text_nearest("stepx", names, 4), "steps"); // as near as "step": the first
    assert_string_equal(text_nearest("x", names, 0), "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(distances),
        cmocka_unit_test(long_words_are_cut),
        cmocka_unit_test(nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
