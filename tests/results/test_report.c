#include <sys/stat.h>
#include <unistd.h>

#include "results/csv_file.h"
#include "results/report.h"
#include "tests/results/assertions.h"
#include "tests/results/temporary_folder.h"

static struct error err;
static const char *const run_folder = TEST_SOURCE_DIR "/results/data/run";

// Reports into the temporary folder; returns what the terminal got, or NULL when it failed.
static char *reported(const char *const *runs, int count) {
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    enum status status = report_write(
        &(struct report_config){.run = runs, .runs = count, .out_dir = temporary_path("out"), .terminal = out}, &err);
    fclose(out);
    if (status == STATUS_OK)
        return text;
    free(text);
    return NULL;
}

static char *file_text(const char *name) {
    char *text;
    if (file_read(temporary_path(name), &text, NULL, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return text;
}

static void assert_all(const char *text, const char *const *parts, size_t count) {
    for (size_t i = 0; i < count; i++)
        assert_has(text, parts[i]);
}

static void terminal_text(void **state) {
    (void)state;
    char *text = reported(&run_folder, 1);
    assert_non_null(text);
    static const char *const parts[] = {
        "Sweep report: small\n===================\n",
        "  0           2            1                     1               0\n",
        "  lstm_hidden_dim  512       256\n",
        "learning-rate (fold 3)\n",
        "  lr      Best IoU  Best epoch  Best F1   vs first  Observation\n",
        "  0.0001   22.38 %           0  36.57 %          -  did not learn: best at epoch 0\n",
        "  0.001    39.80 %         166  56.94 %  +17.42 pp  converged slowly: best only at epoch 166 of 200\n",
        "* 0.01     51.37 %          29  67.87 %  +28.99 pp  peaks early, at epoch 29 of 200 and falls by\n",
        "  Parameters of every row: 94.98M (94,978,561).\n",
        "* 256               53.77 %          40  69.94 %         -    54.61M (54,606,337)  peaks at epoch\n",
        // Diverged: its best so far is no result to compare.
        "  1024              60.00 %           4  75.00 %         -  218.19M (218,190,337)  diverged: epoch\n",
        "failed: tile 17 is",
        "  No point of this grid is done.\n",
        "* sgd             2  55.00 +- 5.00 %  70.83 +- 4.17 %         -  fold 0: peaks early,",
        // One of two folds: no mean to compare.
        "  adamw      1 of 2  70.00 +- 0.00 %  82.35 +- 0.00 %         -  fold 0: peaks early,",
        "Attention: epochs.csv: the last line has no end",
        "* Mean  57.62 +- 10.73 %           -  72.49 +- 9.11 %\n",
        "+32.01 pp (+125 %)",
        "Paired t-test: t                                               5.687\n",
        "  g1        3              3          33.00 %  epochs=300\n",
        "1 planned trial has not started.",
    };
    assert_all(text, parts, sizeof parts / sizeof *parts);
    assert_has_not(text, "  a1 "); // it has epochs and a result
    // Phase 1 comes before Phase 2, and statistics before overfitting.
    assert_true(strstr(text, "Phase 1") < strstr(text, "Phase 2"));
    assert_true(strstr(text, "Statistics of") < strstr(text, "\nOverfitting\n"));
    free(text);
}

static void markdown_text(void **state) {
    (void)state;
    free(reported(&run_folder, 1));
    char *text = file_text("out/report.md");
    static const char *const parts[] = {
        "# Sweep report: small\n\n## Configuration and data\n\n### Run small\n\n| Property | Value |\n|---|---|\n",
        "| **0.01** | **51.37 %** | **29** | **67.87 %** | **+28.99 pp** | **peaks early, at epoch 29 of 200 and falls",
        " by 13.4 points; train-val gap +30.0 points (over 25)** |\n",
        "| image-size=128 | - | - | - | - | failed: tile 17 is 65 x 66 pixels, smaller than image-size 128 |\n",
        "| **Mean** | **57.62 \xC2\xB1 10.73 %** | **-** | **72.49 \xC2\xB1 9.11 %** |  |\n",
    };
    assert_all(text, parts, sizeof parts / sizeof *parts);
    free(text);
}

static void csv_files(void **state) {
    (void)state;
    free(reported(&run_folder, 1));
    assert_file_is(temporary_path("out/phase1_learning-rate.csv"),
                   "lr,best_iou,best_epoch,best_f1,difference,observation,status,parameters\n"
                   "0.0001,0.2238,0,0.3657,0,did not learn: best at epoch 0,done,94978561\n"
                   "0.001,0.398,166,0.5694,0.17420000000000002,converged slowly: best only at epoch 166 of "
                   "200,done,94978561\n"
                   "0.01,0.5137,29,0.6787,0.28990000000000005,\"peaks early, at epoch 29 of 200 and falls by 13.4 "
                   "points; train-val gap +30.0 points (over 25)\",done,94978561\n");
    static const char *const tables[] = {
        "phase1_lstm-dim",   "phase1_image-size", "phase1_optimizer", "phase2_baseline", "phase2_optimized",
        "comparison",        "improvement",       "statistics",       "overfitting",     "health_small",
        "observation_rules", "manifest_small",    "base_small",       "configurations",  "data",
        "unfinished_small"};
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        char name[64];
        snprintf(name, sizeof name, "out/%s.csv", tables[i]);
        struct csv_table table;
        if (csv_table_read(temporary_path(name), &table, &err) != STATUS_OK)
            fail_msg("%s", err.message);
        assert_true(table.rows > 0);
        csv_table_free(&table);
    }
    struct csv_table table;
    assert_int_equal(csv_table_read(temporary_path("out/statistics.csv"), &table, &err), STATUS_OK);
    assert_string_equal(csv_table_cell(&table, 4, 0), "t");
    double t;
    assert_int_equal(csv_table_number(&table, 4, 1, &t, &err), STATUS_OK);
    assert_near(t, 5.687248491991162, 1e-10);
    csv_table_free(&table);
}

static void write_run(const char *name, const char *sweep, const char *rows) {
    char path[128];
    mkdir(temporary_path(name), 0777);
    snprintf(path, sizeof path, "%s/sweep.ini", name);
    temporary_write(temporary_path(path), sweep);
    snprintf(path, sizeof path, "%s/trials.csv", name);
    if (!rows)
        return;
    char text[2048];
    snprintf(text, sizeof text,
             "trial,grid,config,fold,lr,status,best_iou,best_epoch,best_f1,final_iou,train_val_gap,parameters,"
             "epochs_run,error\n%s",
             rows);
    temporary_write(temporary_path(path), text);
}

// A report of a running sweep says what is missing, and leaves no table of an earlier one.
static void missing_folds_are_said(void **state) {
    (void)state;
    free(reported(&run_folder, 1));
    write_run("r", "[sweep]\nname = r\n[compare]\nbaseline = a\ncandidate = b\n",
              "x0,,a,0,1,done,0.5,1,,,,100,5,\nx1,,a,1,1,done,0.5,1,,,,100,5,\ny0,,b,0,2,done,0.7,1,,,,100,5,\n");
    const char *run = temporary_path("r");
    char *text = reported(&run, 1);
    assert_non_null(text);
    assert_has(text, "Not possible yet: fold 1 of 'a' has no partner in 'b'.");
    assert_has(text, "No grid has a finished trial.");
    free(text);
    assert_false(file_exists(temporary_path("out/statistics.csv")));
    assert_false(file_exists(temporary_path("out/comparison.csv")));
    assert_true(file_exists(temporary_path("out/phase2_a.csv")));

    write_run("r", "[sweep]\nname = r\n[compare]\nbaseline = a\ncandidate = c\n",
              "x0,,a,0,1,failed,,,,,,100,5,no memory\n");
    text = reported(&run, 1);
    assert_has(text, "Not possible yet: 'c' has no finished trial.");
    assert_has(text, "failed: no memory");
    free(text);
}

static void configurations_of_two_runs(void **state) {
    (void)state;
    write_run("r1", "[sweep]\nname = first\n", "x0,,a,0,1,done,0.5,1,,,,100,5,\nx1,,a,1,1,done,0.6,1,,,,100,5,\n");
    write_run("r2", "[sweep]\nname = second\n[compare]\nbaseline = a\ncandidate = b\n",
              "y0,,b,0,2,done,0.7,1,,,,100,5,\ny1,,b,1,2,done,0.9,1,,,,100,5,\n");
    const char *runs[] = {temporary_path("r1"), temporary_path("r2")};
    char *text = reported(runs, 2);
    assert_non_null(text);
    assert_has(text, "Sweep report: first, second");
    assert_has(text, "+25.00 pp (+45 %)");
    free(text);

    // The same name in both runs: told apart, and each run compares its own.
    write_run("r1", "[sweep]\nname = first\n", "x0,,a,0,1,done,0.5,1,,,,100,5,\n");
    write_run("r2", "[sweep]\nname = second\n[compare]\nbaseline = a\ncandidate = b\n",
              "z0,,a,0,1,done,0.1,1,,,,100,5,\nz1,,a,1,1,done,0.3,1,,,,100,5,\n"
              "y0,,b,0,2,done,0.7,1,,,,100,5,\ny1,,b,1,2,done,0.8,1,,,,100,5,\n");
    text = reported(runs, 2);
    assert_has(text, "Configuration a (first): 1 fold\n");
    assert_has(text, "Configuration a (second): 2 folds\n");
    assert_has(text, "+55.00 pp");
    free(text);
}

static void no_run_folder_is_an_error(void **state) {
    (void)state;
    const char *run = temporary_path("absent");
    assert_null(reported(&run, 1));
    assert_has(err.message, "absent: no such run folder");
    run = temporary_folder;
    assert_null(reported(&run, 1));
    assert_has(err.message, "it has no sweep.ini");
    write_run("r", "[sweep]\nname = r\n", NULL);
    run = temporary_path("r");
    char *text = reported(&run, 1);
    assert_non_null(text);
    assert_has(text, "No [config NAME] section has a finished trial");
    free(text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, temporary_folder_setup, temporary_folder_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(terminal_text),
        TEST(markdown_text),
        TEST(csv_files),
        TEST(missing_folds_are_said),
        TEST(configurations_of_two_runs),
        TEST(no_run_folder_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
