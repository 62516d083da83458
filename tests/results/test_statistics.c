#include "results/statistics.h"
#include "tests/results/assertions.h"

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
}

// Expected values: numpy 2 and scipy.stats.ttest_rel, permutation_test(permutation_type='samples').
static void agrees_with_scipy(void **state) {
    (void)state;
    static const struct {
        size_t n;
        double a[12], b[12];
        double mean_a, population_a, sample_a, mean, se, t, p, low, high, d, permutation;
    } cases[] = {
        {2,
         {0.5376, 0.728},
         {0.6102, 0.7389},
         0.6328,
         0.0952,
         0.13463313113791867,
         0.04175000000000001,
         0.030849999999999985,
         1.353322528363048,
         0.4051279580841373,
         -0.35023641611098916,
         0.4337364161109892,
         0.9569435369380349,
         0.5},
        {5,
         {0.3101, 0.7115, 0.1037, 0.6749, 0.6579},
         {0.3481, 0.8605, 0.2394, 0.7854, 0.6649},
         0.49162,
         0.24208231988313397,
         0.27065626170476825,
         0.08804,
         0.027895816890709614,
         3.156028745991687,
         0.034314647829105746,
         0.010588795738295353,
         0.16549120426170463,
         1.411418962996166,
         0.0625},
        {8,
         {0.4532, 0.4874, 0.7969, 0.6549, 0.5355, 0.7923, 0.2507, 0.2121},
         {0.2765, 0.4645, 0.7626, 0.5862, 0.2338, 0.6884, 0.1958, 0.1734},
         0.522875,
         0.20677370934187936,
         0.22105039341419738,
         -0.10022500000000001,
         0.03370377124935088,
         -2.9737028316061305,
         0.02069878321610845,
         -0.17992175486635073,
         -0.020528245133649287,
         -1.0513627187311665,
         0.0078125},
        {12,
         {0.4478, 0.2733, 0.1083, 0.2347, 0.5844, 0.2404, 0.3587, 0.1026, 0.681, 0.2081, 0.2873, 0.7162},
         {0.4742, 0.1708, 0.1359, 0.3906, 0.4497, 0.3463, 0.3906, 0.0585, 0.901, 0.3043, 0.1874, 0.7437},
         0.35356666666666664,
         0.20061911812077024,
         0.20953983493417766,
         0.02585000000000001,
         0.03125689378506618,
         0.8270175589984742,
         0.4258037756134891,
         -0.04294595937149122,
         0.09464595937149124,
         0.2387394051561581,
         0.41748046875},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct paired_statistics s;
        assert_int_equal(statistics_paired(cases[i].a, cases[i].b, cases[i].n, &s, &err), STATUS_OK);
        assert_near(statistics_mean(cases[i].a, cases[i].n), cases[i].mean_a, 1e-10);
        assert_near(statistics_sd_population(cases[i].a, cases[i].n), cases[i].population_a, 1e-10);
        assert_near(statistics_sd_sample(cases[i].a, cases[i].n), cases[i].sample_a, 1e-10);
        assert_near(s.mean, cases[i].mean, 1e-10);
        assert_near(s.standard_error, cases[i].se, 1e-10);
        assert_near(s.t, cases[i].t, 1e-10);
        assert_near(s.p, cases[i].p, 1e-10);
        assert_near(s.ci_low, cases[i].low, 1e-10);
        assert_near(s.ci_high, cases[i].high, 1e-10);
        assert_near(s.cohen_d, cases[i].d, 1e-10);
        assert_near(s.permutation_p, cases[i].permutation, 0);
    }
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
        cmocka_unit_test(equal_differences_have_no_t),
        cmocka_unit_test(many_pairs_have_no_exact_test),
        cmocka_unit_test(bad_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
