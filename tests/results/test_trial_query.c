#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "results/trial_query.h"

static struct error err;

enum { COLUMNS = 4, ROWS = 5 };
static const char *const names[COLUMNS] = {"trial", "config", "best_iou", "status"};
static const char *const cells[ROWS * COLUMNS] = {
    "a", "lr=0.01, sgd",  "0.5",  "done",   //
    "b", "plain",         "",     "failed", //
    "c", "plain",         "0.25", "done",   //
    "d", "lr=0.1, sgd",   "1e-1", "done",   //
    "e", "this and that", "0.5",  "diverged",
};

static void expect(const char *filter, const char *sort, const char *wanted) {
    struct trial_list list;
    char there[ROWS + 1] = "";
    assert_int_equal(trial_list_create(COLUMNS, names, ROWS, cells, &list, &err), STATUS_OK);
    if (filter && trial_list_filter(&list, filter, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    if (sort && trial_list_sort(&list, sort, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    for (size_t i = 0; i < list.count; i++)
        there[i] = cells[list.order[i] * COLUMNS][0];
    assert_string_equal(there, wanted);
    trial_list_free(&list);
}

static void filters(void **state) {
    (void)state;
    expect(NULL, NULL, "abcde");
    expect("status = done", NULL, "acd");
    expect("status==done", NULL, "acd");
    expect("status != done", NULL, "be");
    expect("best_iou > 0.1", NULL, "ace");
    expect("best_iou >= 0.1", NULL, "acde");
    expect("best_iou < 0.5", NULL, "cd"); // an empty cell is not below
    expect("best_iou <= .25", NULL, "cd");
    expect("best_iou = 0.50", NULL, "ae"); // as numbers
    expect("best_iou = \"\"", NULL, "b");
    expect("best_iou != \"\" and status = diverged", NULL, "e");
    expect("config ~ sgd and best_iou>0.2", NULL, "a");
    expect("config = \"lr=0.01, sgd\"", NULL, "a");
    expect("config = lr=0.01, sgd", NULL, "a");
    expect("config = \"this and that\" and status = diverged", NULL, "e");
    expect("trial >= c", NULL, "cde"); // as texts
    expect("trial = zz", NULL, "");
}

static void sorts(void **state) {
    (void)state;
    expect(NULL, "best_iou", "dcaeb");
    expect(NULL, "-best_iou", "aecdb");
    expect(NULL, "config", "adbce");
    expect("status = done", "-best_iou", "acd");
}

static void refuse(const char *filter, const char *words) {
    struct trial_list list;
    assert_int_equal(trial_list_create(COLUMNS, names, ROWS, cells, &list, &err), STATUS_OK);
    assert_int_equal(trial_list_filter(&list, filter, &err), STATUS_INVALID);
    if (!strstr(err.message, words))
        fail_msg("'%s' is not in: %s", words, err.message);
    trial_list_free(&list);
}

static void refusals(void **state) {
    (void)state;
    refuse("best_iuo > 0.5", "no column 'best_iuo'; the nearest is 'best_iou'");
    refuse("best_iou", "one of = != < <= > >= ~ is wanted at ''");
    refuse("best_iou >", "a value is wanted");
    refuse("", "the name of a column is wanted");
    refuse("config = \"lr", "a closing quote is wanted at 'lr'");
    refuse("config = \"lr\" or trial = a", "'and' or the end is wanted at 'or trial = a'");
    refuse("status = done and ", "the name of a column is wanted");
    struct trial_list list;
    assert_int_equal(trial_list_create(COLUMNS, names, ROWS, cells, &list, &err), STATUS_OK);
    assert_int_equal(trial_list_sort(&list, "-satus", &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "the nearest is 'status'"));
    trial_list_free(&list);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters),
        cmocka_unit_test(sorts),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
