#include "results/report.h"
#include "tests/results/assertions.h"
#include "tests/results/temporary_folder.h"

static struct error err;
static const char *const folds_csv = TEST_SOURCE_DIR "/results/data/phase2_folds.csv";

// What a comparison prints; the caller frees it.
static char *printed(const char *a, const char *b, const char *candidate, enum status expected) {
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    enum status status = candidate ? compare_folds(a, b, candidate, out, &err) : compare_files(a, b, out, &err);
    fclose(out);
    if (status != expected)
        fail_msg("%s: %s", status_text(status), err.message);
    if (status != STATUS_OK)
        assert_string_equal(text, ""); // nothing half
    return text;
}

static void assert_fits(const char *text, size_t width) {
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        if (length > width)
            fail_msg("a line of %zu characters: %.*s", length, (int)length, line);
        line += length + (line[length] == '\n');
    }
}

static void report_figures(void **state) {
    (void)state;
    char *text = printed(folds_csv, "baseline", "optimized", STATUS_OK);
    static const char *const parts[] = {
        "Mean IoU +- population SD         25.61 +- 8.07 %  57.62 +- 10.73 %          +32.01 pp (+125 %)",
        "Mean F1 +- population SD                        -   72.49 +- 9.11 %                           -",
        "CV of IoU (population SD / mean)           31.5 %            18.6 %",
        "CV of IoU (sample SD / mean)               35.2 %            20.8 %",
        "0      24.69 %    52.44 %   +27.75 pp",
        "1      21.82 %    66.39 %   +44.57 pp",
        "2      22.89 %    69.11 %   +46.22 pp",
        "3      41.07 %    60.73 %   +19.66 pp",
        "4      17.59 %    39.44 %   +21.85 pp",
        "Mean difference                                            +32.01 pp",
        "Standard error (sample SD)                                   5.63 pp",
        "Paired t-test: t                                               5.687",
        "Paired t-test: degrees of freedom                                  4",
        "Paired t-test: p (two-sided)                                  0.0047",
        "Exact sign-flip permutation: p (two-sided)                    0.0625",
        "5 folds can give no exact two-sided p below 2/2^5 = 0.0625, however",
        "95 % confidence interval of the mean difference      16.4 to 47.6 pp",
        "Cohen's d_z (sample SD of the differences)       2.54 (large effect)",
        "optimized      0      52.44 %    45.99 %   -6.45 pp      +24.50 pp",
        "optimized      3      60.73 %    37.60 %  -23.13 pp      +30.20 pp",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_has(text, parts[i]);
    assert_has_not(text, "baseline       0"); // it has no final IoU: not in the overfitting table
    assert_fits(text, 100);
    free(text);
}

static void order_turns_the_sign(void **state) {
    (void)state;
    char *text = printed(folds_csv, "optimized", "baseline", STATUS_OK);
    assert_has(text, "-32.01 pp (-56 %)");
    assert_has(text, "-5.687");
    assert_has(text, "-47.6 to -16.4 pp");
    assert_has(text, "less consistent");
    free(text);
}

static void two_files_are_paired_by_fold(void **state) {
    (void)state;
    const char *a = temporary_path("a.csv"), *b = temporary_path("b.csv");
    temporary_write(a, "fold,best_iou\n0,0.2469\n1,0.2182\n2,0.2289\n3,0.4107\n4,0.1759"); // no last newline
    temporary_write(b, "best_iou,fold\n0.3944,4\n0.6073,3\n0.6911,2\n0.6639,1\n0.5244,0\n");
    char *text = printed(a, b, NULL, STATUS_OK);
    assert_has(text, "b.csv against a.csv, 5 folds");
    assert_has(text, "5.687");
    assert_has(text, "25.61 +- 8.07 %");
    free(text);
}

static void epochs_give_the_best_epoch(void **state) {
    (void)state;
    static const char header[] = "trial,config,fold,epoch,train_iou,val_iou,val_f1\n";
    const char *a = temporary_path("a.csv"), *b = temporary_path("b.csv");
    char rows[512];
    snprintf(rows, sizeof rows,
             "%st0,x,0,0,0.2,0.30,0.4\nt1,x,1,0,0.2,0.40,0.5\nt0,x,0,1,0.5,0.20,0.3\n"
             "t1,x,1,1,0.2,0.40,0.9\n",
             header);
    temporary_write(a, rows);
    snprintf(rows, sizeof rows, "%su0,y,0,0,0.2,0.50,0.4\nu1,y,1,0,0.2,0.50,0.6\nu1,y,1,1,0.2,0.7", header); // torn
    temporary_write(b, rows);
    char *text = printed(a, b, NULL, STATUS_OK);
    assert_has(text, "y against x, 2 folds");
    assert_has(text, "0     30.00 %  50.00 %   +20.00 pp");
    assert_has(text, "1     40.00 %  50.00 %   +10.00 pp");
    assert_has(text, "45.00 +- 5.00 %"); // F1 of the first of two epochs with the same IoU
    assert_has(text, "x              0      30.00 %    20.00 %  -10.00 pp      +30.00 pp");
    free(text);
}

static void a_run_s_trials_compare_by_config(void **state) {
    (void)state;
    static const char *const trials = TEST_SOURCE_DIR "/results/data/run/trials.csv";
    char *text = printed(trials, "baseline", "optimized", STATUS_OK);
    assert_has(text, "5.687");
    free(text);
    free(printed(trials, "optimizer=sgd", "optimizer=adamw", STATUS_INVALID));
    assert_has(err.message, "fold 1 of 'optimizer=adamw' is stopped");
    free(printed(trials, "baseline", "image-size=128", STATUS_INVALID));
    assert_has(err.message, "fold 0 of 'baseline' has no partner in 'image-size=128'");
}

static void what_cannot_be_compared_is_named(void **state) {
    (void)state;
    free(printed(folds_csv, "baseline", "optimised", STATUS_NOT_FOUND));
    assert_has(err.message, "no configuration 'optimised'; there are: baseline, optimized");
    free(printed(folds_csv, "baseline", "baseline", STATUS_INVALID));
    free(printed(folds_csv, folds_csv, NULL, STATUS_INVALID));
    assert_has(err.message, "several configurations (baseline, optimized)");
    free(printed(temporary_path("absent.csv"), "a", "b", STATUS_NOT_FOUND));

    static const struct {
        const char *text, *message;
        enum status status;
    } cases[] = {
        {"config,fold,best_iou\na,0,0.1\na,1,0.2\nb,0,0.3\n", "fold 1 of 'a' has no partner in 'b'", STATUS_INVALID},
        {"config,fold,best_iou\na,0,0.1\nb,0,0.3\nb,7,0.3\n", "fold 7 of 'b' has no partner in 'a'", STATUS_INVALID},
        {"config,fold,best_iou\na,0,0.1\nb,0,0.3\n", "at least 2 folds, not 1", STATUS_INVALID},
        {"config,fold,best_iou\na,0,0.1\na,1,0.1\nb,0,0.3\nb,1,\n", "fold 1 of 'b' has no best_iou", STATUS_INVALID},
        {"config,fold,best_iou\na,0,0.1\na,0,0.1\nb,0,0.3\n", "line 3: fold 0 of 'a' stands there twice",
         STATUS_FORMAT},
        {"config,fold,best_iou\na,0,0.1\nb,0,x\n", "line 3: best_iou is 'x', not a number", STATUS_FORMAT},
        {"config,fold,best_iou\na,0.5,0.1\nb,0,1\n", "line 2: fold is '0.5', not a whole number", STATUS_FORMAT},
        {"config,fold,iou\na,0,0.1\n", "no column 'best_iou'", STATUS_FORMAT},
        {"config,best_iou\na,0.1\n", "no column 'fold'", STATUS_FORMAT},
        {"fold,best_iou\n0,0.1\n", "no column 'config'", STATUS_FORMAT},
        {"config,fold,best_iou,status,error\na,0,,failed,tile too small\nb,0,0.3,done,\n",
         "fold 0 of 'a' is failed: tile too small", STATUS_INVALID},
    };
    const char *path = temporary_path("folds.csv");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        temporary_write(path, cases[i].text);
        free(printed(path, "a", "b", cases[i].status));
        assert_has(err.message, cases[i].message);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, temporary_folder_setup, temporary_folder_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(report_figures),
        TEST(order_turns_the_sign),
        TEST(two_files_are_paired_by_fold),
        TEST(epochs_give_the_best_epoch),
        TEST(a_run_s_trials_compare_by_config),
        TEST(what_cannot_be_compared_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
