#include "results/statistics.h"
#include "tests/results/assertions.h"
#include "tests/results/scipy_numbers.h"

static struct error err;

// The experiment report's folds, and its digits.
static void report_digits(void **state) {
    (void)state;
    static const double baseline[] = {0.2469, 0.2182, 0.2289, 0.4107, 0.1759};
    static const double optimized[] = {0.5244, 0.6639, 0.6911, 0.6073, 0.3944};
    assert_near(statistics_mean(optimized, 5), 0.5762, 0.00005);
    assert_near(statistics_sd_population(optimized, 5), 0.1073, 0.00005);
    assert_near(statistics_mean(baseline, 5), 0.2561, 0.00005);
    assert_near(statistics_sd_population(baseline, 5), 0.0807, 0.00005);
    assert_near(statistics_sd_population(optimized, 5) / statistics_mean(optimized, 5), 0.186, 0.0005);
    assert_near(statistics_sd_population(baseline, 5) / statistics_mean(baseline, 5), 0.315, 0.0005);
    assert_near(statistics_sd_sample(optimized, 5) / statistics_mean(optimized, 5), 0.208, 0.0005);
    assert_near(statistics_sd_sample(baseline, 5) / statistics_mean(baseline, 5), 0.352, 0.0005);
    struct paired_statistics s;
    assert_int_equal(statistics_paired(baseline, optimized, 5, &s, &err), STATUS_OK);
    assert_near(s.mean, 0.3201, 1e-12);
    assert_near(s.standard_error, 0.0563, 0.00005);
    assert_near(s.t, 5.687, 0.0005);
    assert_near(s.degrees, 4, 0);
    assert_near(s.p, 0.0047, 0.00005);
    assert_near(s.ci_low, 0.164, 0.0005);
    assert_near(s.ci_high, 0.476, 0.0005);
    assert_near(s.cohen_d, 2.54, 0.005);
    assert_near(s.permutation_p, 0.0625, 0);
    assert_near(s.permutation_least, 0.0625, 0);
    assert_string_equal(statistics_effect_name(s.cohen_d), "large");
    assert_near(s.ranks.p, 0.0625, 0);
    assert_near(s.hedges_g, 2.029, 0.0005);
    assert_near(statistics_corrected(&s, 0.25).t, 3.791, 0.0005);
    assert_near(statistics_least_effect(5), 1.2417, 0.00005);
}

// Random pairs, some with ties and differences of 0.
static void agrees_with_scipy(void **state) {
    (void)state;
    size_t tied = 0, zero = 0;
    for (size_t i = 0; i < sizeof scipy_cases / sizeof *scipy_cases; i++) {
        const struct scipy_case *c = &scipy_cases[i];
        struct paired_statistics s;
        assert_int_equal(statistics_paired(c->a, c->b, c->n, &s, &err), STATUS_OK);
        assert_near(s.mean, c->mean, 1e-10);
        assert_near(s.standard_error, c->se, 1e-10);
        assert_near(s.t, c->t, 1e-10 * fmax(1, fabs(c->t)));
        assert_near(s.p, c->p, 1e-10);
        assert_near(s.ci_low, c->low, 1e-10);
        assert_near(s.ci_high, c->high, 1e-10);
        assert_near(s.cohen_d, c->d, 1e-10);
        assert_near(s.hedges_g, c->g, 1e-10);
        if (!isnan(c->flips))
            assert_near(s.permutation_p, c->flips, 1e-10);
        assert_near(fmin(s.ranks.w_plus, s.ranks.w_minus), c->w, 1e-10);
        assert_near(s.ranks.p, c->w_p, 1e-10);
        assert_int_equal(s.ranks.used + s.ranks.zeros, c->n);
        struct corrected_t corrected = statistics_corrected(&s, scipy_ratio);
        assert_near(corrected.standard_error, c->corrected_se, 1e-10);
        assert_near(corrected.t, c->corrected_t, 1e-10 * fmax(1, fabs(c->corrected_t)));
        assert_near(corrected.p, c->corrected_p, 1e-10);
        tied += s.ranks.ties > 0;
        zero += s.ranks.zeros > 0;
    }
    assert_true(tied >= 3 && zero >= 4);
}

static void holm_agrees_with_statsmodels(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof scipy_holm / sizeof *scipy_holm; i++) {
        double adjusted[12];
        assert_int_equal(statistics_holm(scipy_holm[i].p, scipy_holm[i].n, adjusted, &err), STATUS_OK);
        for (size_t k = 0; k < scipy_holm[i].n; k++)
            assert_near(adjusted[k], scipy_holm[i].adjusted[k], 1e-10);
    }
    // What was not tested is no member of the family.
    static const double p[] = {0.01, NAN, 0.03};
    double adjusted[3];
    assert_int_equal(statistics_holm(p, 3, adjusted, &err), STATUS_OK);
    assert_near(adjusted[0], 0.02, 1e-15);
    assert_true(isnan(adjusted[1]));
    assert_near(adjusted[2], 0.03, 1e-15);
}

static void equal_differences_have_no_t(void **state) {
    (void)state;
    static const double a[] = {0.1, 0.2, 0.3}, b[] = {0.2, 0.3, 0.4};
    struct paired_statistics s;
    assert_int_equal(statistics_paired(a, b, 3, &s, &err), STATUS_OK);
    assert_near(s.mean, 0.1, 1e-12);
    assert_near(s.standard_error, 0, 0);
    assert_true(isnan(s.t) && isnan(s.p) && isnan(s.cohen_d));
    assert_near(s.permutation_p, 0.25, 0);
    assert_int_equal(statistics_paired(a, a, 3, &s, &err), STATUS_OK);
    assert_near(s.mean, 0, 0);
    assert_true(isnan(s.t));
    assert_near(s.permutation_p, 1, 0);
    assert_int_equal(s.ranks.zeros, 3);
    assert_true(isnan(s.ranks.p) && isnan(s.hedges_g) && isnan(statistics_corrected(&s, 0.25).p));
}

static void many_pairs_have_no_exact_test(void **state) {
    (void)state;
    double a[21], b[21];
    for (int i = 0; i < 21; i++) {
        a[i] = 0;
        b[i] = 1 + 0.01 * i;
    }
    struct paired_statistics s;
    assert_int_equal(statistics_paired(a, b, 21, &s, &err), STATUS_OK);
    assert_true(isnan(s.permutation_p));
    assert_int_equal(statistics_paired(a, b, 20, &s, &err), STATUS_OK);
    assert_near(s.permutation_p, 0x1p-19, 0);
}

static void bad_input_is_refused(void **state) {
    (void)state;
    static const double a[] = {0.1, 0.2}, b[] = {0.1, NAN};
    struct paired_statistics s;
    assert_int_equal(statistics_paired(a, a, 1, &s, &err), STATUS_INVALID);
    assert_has(err.message, "at least 2 folds, not 1");
    assert_int_equal(statistics_paired(a, b, 2, &s, &err), STATUS_INVALID);
    assert_has(err.message, "pair 2 of 2");
    assert_true(isnan(statistics_mean(a, 0)) && isnan(statistics_sd_population(a, 0)) &&
                isnan(statistics_sd_sample(a, 1)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(report_digits),
        cmocka_unit_test(agrees_with_scipy),
        cmocka_unit_test(holm_agrees_with_statsmodels),
        cmocka_unit_test(equal_differences_have_no_t),
        cmocka_unit_test(many_pairs_have_no_exact_test),
        cmocka_unit_test(bad_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
