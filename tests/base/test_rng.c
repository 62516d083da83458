// Counted randomness: the generator's known answers, and that its distributions are what they say.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/rng.h"

enum { DRAWS = 100000 };

// Known answers of the Random123 distribution for Philox4x32-10.
static void philox_known_answers(void **state) {
    (void)state;
    const struct {
        uint32_t key[2], counter[4], expected[4];
    } cases[] = {
        {{0, 0}, {0, 0, 0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0xa4093822, 0x299f31d0},
         {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rng r = {.used = 4};
        memcpy(r.key, cases[i].key, sizeof r.key);
        memcpy(r.counter, cases[i].counter, sizeof r.counter);
        for (int k = 0; k < 4; k++)
            assert_int_equal(rng_u32(&r), cases[i].expected[k]);
    }
}

static void streams_are_functions_of_their_arguments(void **state) {
    (void)state;
    const struct rng base = rng_stream(42, 0, RNG_INIT, 0, 0);
    const struct rng others[] = {
        rng_stream(43, 0, RNG_INIT, 0, 0),          rng_stream(42, 1, RNG_INIT, 0, 0),
        rng_stream(42, 0, RNG_SHUFFLE, 0, 0),       rng_stream(42, 0, RNG_INIT, 1, 0),
        rng_stream(42, 0, RNG_INIT, 0, 1),          rng_stream(42ull << 32 | 42, 0, RNG_INIT, 0, 0),
        rng_stream(42, 0, RNG_INIT, 0, 0xffffffff),
    };
    struct rng a = base, again = rng_stream(42, 0, RNG_INIT, 0, 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(rng_u32(&a), rng_u32(&again));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct rng first = base, second = others[i];
        int equal = 0;
        for (int k = 0; k < 100; k++)
            equal += rng_u32(&first) == rng_u32(&second);
        assert_int_equal(equal, 0);
    }
}

static void a_stream_may_be_drawn_in_pieces(void **state) {
    (void)state;
    struct rng whole = rng_stream(42, 0, RNG_INIT, 0, 7), piece = whole;
    double normal[10];
    for (int i = 0; i < 10; i++)
        normal[i] = rng_normal(&whole);
    for (int i = 9; i >= 0; i--) {
        rng_seek(&piece, (uint32_t)i); // four words a normal number
        assert_true(rng_normal(&piece) == normal[i]);
    }
    rng_seek(&piece, 3);
    rng_seek(&whole, 3);
    for (int i = 0; i < 9; i++)
        assert_true(rng_uniform(&piece) == rng_uniform(&whole));
}

// Odd lengths, and so many numbers that some must be drawn a second time.
static void many_at_once_are_the_same_bits(void **state) {
    (void)state;
    enum { MANY = 1000001 };
    static float x[MANY];
    static const size_t lengths[] = {0, 1, 63, 129, MANY};
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        const struct rng stream = rng_stream(42, 0, RNG_INIT, 0, (uint32_t)k);
        struct rng rng = stream;
        rng_seek(&rng, 3);
        rng_fill_normal(&stream, 3, lengths[k], 0.0123, x);
        for (size_t i = 0; i < lengths[k]; i++)
            assert_true(x[i] == (float)(rng_normal(&rng) * 0.0123));
        rng_seek(&rng, 3);
        rng_fill_uniform(&stream, 3, lengths[k], 0.0123, x);
        for (size_t i = 0; i < lengths[k]; i++)
            assert_true(x[i] == (float)((2 * rng_uniform(&rng) - 1) * 0.0123));
    }
}

static void uniform(void **state) {
    (void)state;
    struct rng r = rng_stream(1, 0, RNG_TEST, 0, 0);
    double sum = 0, squares = 0, low = 1, high = 0;
    for (int i = 0; i < DRAWS; i++) {
        double x = rng_uniform(&r);
        assert_true(x >= 0 && x < 1);
        sum += x;
        squares += x * x;
        low = fmin(low, x);
        high = fmax(high, x);
    }
    double mean = sum / DRAWS, variance = squares / DRAWS - mean * mean;
    assert_true(fabs(mean - 0.5) < 0.005 && fabs(variance - 1 / 12.0) < 0.002);
    assert_true(low < 1e-3 && high > 1 - 1e-3);
}

static void normal(void **state) {
    (void)state;
    struct rng r = rng_stream(1, 0, RNG_TEST, 0, 1);
    double moments[5] = {0};
    for (int i = 0; i < DRAWS; i++) {
        double x = rng_normal(&r), power = 1;
        assert_true(isfinite(x));
        for (int k = 1; k <= 4; k++)
            moments[k] += (power *= x) / DRAWS;
    }
    assert_true(fabs(moments[1]) < 0.02 && fabs(moments[2] - 1) < 0.03);
    assert_true(fabs(moments[3]) < 0.06 && fabs(moments[4] - 3) < 0.2);
}

static void below(void **state) {
    (void)state;
    struct rng r = rng_stream(1, 0, RNG_TEST, 0, 2);
    int counts[7] = {0};
    for (int i = 0; i < DRAWS; i++) {
        uint32_t x = rng_below(&r, 7);
        assert_true(x < 7);
        counts[x]++;
    }
    double chi = 0, expected = DRAWS / 7.0;
    for (int k = 0; k < 7; k++)
        chi += (counts[k] - expected) * (counts[k] - expected) / expected;
    assert_true(chi < 22.5); // 6 degrees of freedom, p = 0.001
    for (int i = 0; i < 100; i++)
        assert_int_equal(rng_below(&r, 1), 0);
    // Where a plain remainder would favour the lower half three to two.
    int lower = 0;
    for (int i = 0; i < DRAWS; i++)
        lower += rng_below(&r, 0xC0000000u) < 0x60000000u;
    assert_true(abs(lower - DRAWS / 2) < 1000);
}

static void shuffle(void **state) {
    (void)state;
    int first[5] = {0};
    for (uint32_t i = 0; i < 10000; i++) {
        struct rng r = rng_stream(1, 0, RNG_SHUFFLE, i, 0);
        int a[] = {0, 1, 2, 3, 4}, seen = 0;
        rng_shuffle(&r, a, 5);
        for (int k = 0; k < 5; k++)
            seen |= 1 << a[k];
        assert_int_equal(seen, 31);
        first[a[0]]++;
    }
    for (int k = 0; k < 5; k++)
        assert_true(abs(first[k] - 2000) < 200);
    struct rng r = rng_stream(1, 0, RNG_SHUFFLE, 0, 0);
    rng_shuffle(&r, NULL, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_known_answers),
        cmocka_unit_test(streams_are_functions_of_their_arguments),
        cmocka_unit_test(a_stream_may_be_drawn_in_pieces),
        cmocka_unit_test(many_at_once_are_the_same_bits),
        cmocka_unit_test(uniform),
        cmocka_unit_test(normal),
        cmocka_unit_test(below),
        cmocka_unit_test(shuffle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
