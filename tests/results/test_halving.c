// Successive halving: its rungs, and that its decisions are those of complete rungs in whatever order results come in.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/rng.h"
#include "results/halving.h"

static void test_rungs(void **state) {
    (void)state;
    struct halving h = {.first = 7, .factor = 3, .epochs = 200};
    static const int epochs[] = {7, 21, 63, 200}, sizes[] = {27, 9, 3, 1};
    assert_int_equal(halving_rungs(&h, 27), 4);
    for (int rung = 0; rung < 4; rung++) {
        assert_int_equal(halving_epochs(&h, 27, rung), epochs[rung]);
        assert_int_equal(halving_size(&h, 27, rung), sizes[rung]);
    }
    // Fewer configurations: who is left alone is not paused any more.
    assert_int_equal(halving_rungs(&h, 8), 3);
    assert_int_equal(halving_size(&h, 8, 1), 2);
    assert_int_equal(halving_epochs(&h, 8, 2), 200);
    assert_int_equal(halving_rungs(&h, 5), 2);
    assert_int_equal(halving_epochs(&h, 5, 1), 200);
    assert_int_equal(halving_rungs(&h, 1), 1);
    assert_int_equal(halving_epochs(&h, 1, 0), 200);
    assert_int_equal(halving_rungs(&h, 0), 1);
    // More than there are rungs for: several come to the end.
    assert_int_equal(halving_rungs(&h, 1000), 5);
    assert_int_equal(halving_epochs(&h, 1000, 3), 189);
    assert_int_equal(halving_size(&h, 1000, 4), 12);
    // A rung at or behind the end is none; large numbers do not overflow.
    h = (struct halving){.first = 10, .factor = 2, .epochs = 20};
    assert_int_equal(halving_rungs(&h, 8), 2);
    h = (struct halving){.first = 1000000, .factor = 1000000, .epochs = 1000000};
    assert_int_equal(halving_rungs(&h, 8), 1);
}

static struct halving_entry entry(int index, enum halving_state state, double score) {
    return (struct halving_entry){.index = index, .state = state, .score = score};
}

static enum halving_verdict verdict_of(const struct halving_entry *e, int count, int index) {
    for (int i = 0; i < count; i++)
        if (e[i].index == index)
            return e[i].verdict;
    fail_msg("entry %d is gone", index);
    return HALVING_OPEN;
}

static void test_ties_and_failures(void **state) {
    (void)state;
    struct halving_entry e[] = {entry(0, HALVING_THERE, 0.5), entry(1, HALVING_OUT, 0.9), entry(2, HALVING_THERE, 0.5),
                                entry(3, HALVING_THERE, NAN), entry(4, HALVING_THERE, 0.5)};
    halving_decide(e, 5, 0, 2);
    assert_int_equal(verdict_of(e, 5, 0), HALVING_PROMOTED); // of equals the first
    assert_int_equal(verdict_of(e, 5, 2), HALVING_PROMOTED);
    assert_int_equal(verdict_of(e, 5, 4), HALVING_STOPPED);
    assert_int_equal(verdict_of(e, 5, 1), HALVING_STOPPED);
    assert_int_equal(verdict_of(e, 5, 3), HALVING_STOPPED);
    halving_decide(e, 5, 0, 4); // a place that only failures could take stays empty
    assert_int_equal(verdict_of(e, 5, 4), HALVING_PROMOTED);
    assert_int_equal(verdict_of(e, 5, 1), HALVING_STOPPED);
    assert_int_equal(verdict_of(e, 5, 3), HALVING_STOPPED);
}

static void test_what_is_known_early(void **state) {
    (void)state;
    // Two of five go on; one is pending: it may be the best, so that the second is open, and the third is out.
    struct halving_entry e[] = {entry(0, HALVING_THERE, 0.1), entry(1, HALVING_THERE, 0.4),
                                entry(2, HALVING_PENDING, 0), entry(3, HALVING_THERE, 0.3),
                                entry(4, HALVING_THERE, 0.2)};
    halving_decide(e, 5, 0, 2);
    assert_int_equal(verdict_of(e, 5, 1), HALVING_PROMOTED);
    assert_int_equal(verdict_of(e, 5, 3), HALVING_OPEN);
    assert_int_equal(verdict_of(e, 5, 4), HALVING_STOPPED);
    assert_int_equal(verdict_of(e, 5, 0), HALVING_STOPPED);
    assert_int_equal(verdict_of(e, 5, 2), HALVING_OPEN);
    halving_decide(e, 5, 1, 2); // and another that has not even entered the rung
    assert_int_equal(verdict_of(e, 5, 1), HALVING_OPEN);
    assert_int_equal(verdict_of(e, 5, 4), HALVING_STOPPED);
}

enum { MOST = 40 };

// The rung as it is when all are there, by its definition: better is who has a higher score, or the same and a lower
// index.
static bool goes_on(const double *score, int n, int quota, int index) {
    int better = 0;
    for (int i = 0; i < n; i++)
        better += !isnan(score[i]) && (score[i] > score[index] || (score[i] == score[index] && i < index));
    return !isnan(score[index]) && better < quota;
}

static void test_any_order_gives_the_same(void **state) {
    (void)state;
    for (uint32_t round = 0; round < 3000; round++) {
        struct rng rng = rng_stream(1, 0, RNG_TEST, round, 0);
        int n = 1 + (int)rng_below(&rng, MOST), quota = 1 + (int)rng_below(&rng, (uint32_t)n), order[MOST];
        double score[MOST];
        enum halving_verdict known[MOST] = {HALVING_OPEN};
        for (int i = 0; i < n; i++) {
            order[i] = i;
            score[i] = rng_below(&rng, 8) == 0 ? (double)NAN : rng_below(&rng, 10) / 10.0; // many ties
        }
        rng_shuffle(&rng, order, (size_t)n);
        // The first `there` of the order are there, some of the others are not even in the rung.
        for (int there = 0; there <= n; there++) {
            struct halving_entry e[MOST];
            int entered = there + (int)rng_below(&rng, (uint32_t)(n - there) + 1);
            for (int i = 0; i < entered; i++)
                e[i] = i >= there               ? entry(order[i], HALVING_PENDING, 0)
                       : isnan(score[order[i]]) ? entry(order[i], HALVING_OUT, 0)
                                                : entry(order[i], HALVING_THERE, score[order[i]]);
            halving_decide(e, entered, n - entered, quota);
            for (int i = 0; i < entered; i++) {
                enum halving_verdict v = e[i].verdict;
                int index = e[i].index;
                if (known[index] != HALVING_OPEN)
                    assert_int_equal(v, known[index]);
                if (v != HALVING_OPEN)
                    assert_int_equal(v, goes_on(score, n, quota, index) ? HALVING_PROMOTED : HALVING_STOPPED);
                known[index] = v;
            }
        }
        for (int i = 0; i < n; i++)
            assert_true(known[i] != HALVING_OPEN);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rungs),
        cmocka_unit_test(test_ties_and_failures),
        cmocka_unit_test(test_what_is_known_early),
        cmocka_unit_test(test_any_order_gives_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
