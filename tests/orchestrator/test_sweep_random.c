// [random NAME]: what is read, what is refused, what is drawn.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "orchestrator/sweep_random.h"

static const char head[] = "[sweep]\nname = t\ndataset = /dev/null\noutput = out\nseed = 7\n";

static enum status parse(const char *body, struct sweep **s, struct error *err) {
    char text[4096];
    snprintf(text, sizeof text, "%s%s", head, body);
    return sweep_parse_text(text, "t.ini", NULL, 0, s, err);
}

static struct sweep *parsed(const char *body) {
    struct sweep *s;
    struct error err;
    if (parse(body, &s, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return s;
}

static const char search[] =
    "[random search]\npoints = 2000\nlr = log-uniform 0.0001 .. 0.1\nmomentum = uniform 0 .. 0.5\n"
    "lstm-layers = int 1 .. 4\nlstm-hidden-dim = log-int 8 .. 512\noptimizer = sgd, adamw\n";

static double value_of(const struct sweep *s, int axis, int point) {
    char text[HYPER_VALUE_SIZE];
    sweep_point_value(s, &s->grids[0], axis, point, text);
    return strtod(text, NULL);
}

// Over 2,000 draws a share lies within 4 standard deviations (4 * sqrt(p (1 - p) / 2000) < 0.045) of its probability.
static double share_below(const struct sweep *s, int axis, double limit) {
    int below = 0;
    for (int i = 0; i < 2000; i++)
        below += value_of(s, axis, i) < limit;
    return below / 2000.0;
}

static void test_distributions(void **state) {
    (void)state;
    struct sweep *s = parsed(search);
    assert_int_equal(sweep_grid_points(&s->grids[0]), 2000);
    for (int i = 0; i < 2000; i++) {
        assert_true(value_of(s, 0, i) >= 0.0001 && value_of(s, 0, i) <= 0.1);
        assert_true(value_of(s, 1, i) >= 0 && value_of(s, 1, i) <= 0.5);
        double layers = value_of(s, 2, i), width = value_of(s, 3, i);
        assert_true(layers >= 1 && layers <= 4 && layers == floor(layers));
        assert_true(width >= 8 && width <= 512 && width == floor(width));
    }
    assert_true(fabs(share_below(s, 0, 0.001) - 1.0 / 3) < 0.045); // a third of the decades
    assert_true(fabs(share_below(s, 1, 0.1) - 0.2) < 0.045);
    for (int layers = 2; layers <= 4; layers++)
        assert_true(fabs(share_below(s, 2, layers) - (layers - 1) / 4.0) < 0.045);
    assert_true(fabs(share_below(s, 3, 64) - 0.5) < 0.045);
    int adamw = 0;
    for (int i = 0; i < 2000; i++) {
        char text[HYPER_VALUE_SIZE];
        sweep_point_value(s, &s->grids[0], 4, i, text);
        adamw += strcmp(text, "adamw") == 0;
    }
    assert_true(abs(adamw - 1000) < 90);
    sweep_destroy(s);
}

// More points, other keys, another order of keys: what was drawn stays.
static void test_draws_stand_alone(void **state) {
    (void)state;
    struct sweep *a = parsed(search);
    struct sweep *b =
        parsed("[random search]\nweight-decay = uniform 0 .. 1\npoints = 3\nlr = log-uniform 0.0001 .. 0.1\n");
    struct sweep *c = parsed("[random other]\npoints = 3\nlr = log-uniform 0.0001 .. 0.1\n");
    for (int i = 0; i < 3; i++) {
        assert_true(value_of(a, 0, i) == value_of(b, 1, i));
        assert_true(value_of(a, 0, i) != value_of(c, 0, i));
    }
    char text[HYPER_VALUE_SIZE]; // pinned: the same on every machine
    sweep_point_value(a, &a->grids[0], 0, 0, text);
    assert_string_equal(text, "0.000429");
    sweep_destroy(a);
    sweep_destroy(b);
    sweep_destroy(c);
}

static void test_text_reads_back(void **state) {
    (void)state;
    struct sweep *a = parsed(search), *b;
    struct error err;
    assert_non_null(strstr(a->text, "[random search]\npoints = 2000\nlr = log-uniform 0.0001 .. 0.1\n"));
    assert_int_equal(sweep_parse_text(a->text, "t.ini", NULL, 0, &b, &err), STATUS_OK);
    assert_string_equal(a->text, b->text);
    assert_true(value_of(a, 0, 5) == value_of(b, 0, 5));
    sweep_destroy(a);
    sweep_destroy(b);
}

static void test_mistakes(void **state) {
    (void)state;
    static const struct {
        const char *body, *message;
    } cases[] = {
        {"[random a]\nlr = uniform 0.1 .. 0.2\n", "t.ini:6: [random a] has no points; say how many"},
        {"[random a]\npoints = 3\n", "t.ini:6: [random a] is empty; add a range such as lr = log-uniform"},
        {"[random a]\npoints = 0\nlr = 1\n", "t.ini:7: points = 0: must be a whole number in 1 .. 100000"},
        {"[random a]\npoints = 3\nlr = uniform 0.1\n", "t.ini:8: lr = uniform 0.1: write it as uniform LOW .. HIGH"},
        {"[random a]\npoints = 3\nlr = uniform 0.2 .. 0.1\n", "the first number must be smaller than the second"},
        {"[random a]\npoints = 3\nlr = log-uniform 0 .. 0.1\n", "a logarithmic range starts above 0"},
        {"[random a]\npoints = 3\nlstm-layers = int 1.5 .. 3\n", "the ends must be whole numbers"},
        {"[random a]\npoints = 3\nlstm-layers = uniform 1 .. 3\n",
         "draws such as this cannot be taken: lstm-layers = "},
        {"[random a]\npoints = 3\nlr = uniform 1 .. 20000\n", "must lie in 1e-12 .. 1000"},
        {"[grid a]\nlr = uniform 0.1 .. 0.2\n", "is not a number"},
        {"[grid a]\nlr = 0.1\n[random a]\npoints = 2\nlr = uniform 0.1 .. 0.2\n", "there is a [random a]; rename one"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sweep *s;
        struct error err;
        assert_int_equal(parse(cases[i].body, &s, &err), STATUS_INVALID);
        if (!strstr(err.message, cases[i].message))
            fail_msg("'%s' is not in '%s'", cases[i].message, err.message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_distributions),
        cmocka_unit_test(test_draws_stand_alone),
        cmocka_unit_test(test_text_reads_back),
        cmocka_unit_test(test_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
