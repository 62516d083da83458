// Input that a report cannot stand behind is said in words: half a run folder, torn lines, missing folds, other data,
// values that are not numbers, names that try to be markup or commands. And a machine without gnuplot.
#include <sys/stat.h>
#include <unistd.h>

#include "results/report.h"
#include "tests/results/assertions.h"
#include "tests/results/temporary_folder.h"

static struct error err;

static const char trials_header[] =
    "trial,grid,config,fold,lr,status,best_iou,best_epoch,best_f1,final_iou,train_val_gap,parameters,epochs_run,error\n";
static const char epochs_header[] = "trial,config,fold,epoch,lr,train_loss,train_iou,train_f1,val_loss,val_iou,val_f1,"
                                    "val_precision,val_recall,grad_norm\n";

static void write_file(const char *folder, const char *name, const char *header, const char *rows) {
    char path[128], text[4096];
    mkdir(temporary_path(folder), 0777);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(text, sizeof text, "%s%s", header, rows);
    temporary_write(temporary_path(path), text);
}

static void write_sweep(const char *folder, const char *more) {
    char text[512];
    snprintf(text, sizeof text, "[sweep]\nname = %s\ndataset = d.safetensors\nseed = 1\n%s", folder, more);
    write_file(folder, "sweep.ini", "", text);
}

static enum status report(const char *a, const char *b, char **terminal) {
    const char *runs[] = {temporary_path(a), b ? temporary_path(b) : NULL};
    size_t bytes;
    FILE *out = open_memstream(terminal, &bytes);
    struct report_config config = {.run = runs, .runs = b ? 2 : 1, .out_dir = temporary_path("out"), .terminal = out};
    enum status status = report_write(&config, &err);
    fclose(out);
    return status;
}

static void assert_report_says(const char *a, const char *b, const char *const *parts) {
    char *text;
    if (report(a, b, &text) != STATUS_OK)
        fail_msg("%s", err.message);
    for (; *parts; parts++)
        assert_has(text, *parts);
    free(text);
}

#define SAYS(a, b, ...) assert_report_says(a, b, (const char *const[]){__VA_ARGS__, NULL})

static void half_a_run_folder(void **state) {
    (void)state;
    write_sweep("r", "[folds]\ncount = 2\nrun = all\n[compare]\nbaseline = a\ncandidate = b\n");
    SAYS("r", NULL, "No grid has a finished trial.", "Not possible yet: 'a' has no finished trial.",
         "There is no manifest.ini", "was not evaluated on held-out samples");
    write_file("r", "epochs.csv", epochs_header, "t0,a,0,0,0.1,1,0.2,0.3,1,0.25,0.4,0.5,0.5,1\nt0,a,0,1,0.1,1,0.2");
    SAYS("r", NULL, "epochs.csv: the last line has no end", "  t0        0              1          25.00 %  a");
    assert_false(file_exists(temporary_path("out/statistics.csv")));
}

static void trials_without_their_epochs(void **state) {
    (void)state;
    write_sweep("r", "");
    write_file("r", "trials.csv", trials_header,
               "t0,,a,0,1,done,0.5,1,0.6,0.5,0.1,100,3,\nt1,,a,1,1,done,0.5,1,0.6,0.5,0.1,100,1,\n");
    SAYS("r", NULL, "There is no epochs.csv with rows");
    write_file("r", "epochs.csv", epochs_header,
               "t0,a,0,0,0.1,1,0.2,0.3,1,0.25,0.4,0.5,0.5,1\nt0,a,0,1,0.1,1,0.2,0.3,1,0.45,0.4,0.5,0.5,1\n"
               "t1,a,1,0,0.1,1,0.2,0.3,1,0.25,0.4,0.5,0.5,1\n");
    SAYS("r", NULL, "Attention: 1 finished trial has another number of epochs in epochs.csv than trials.csv says",
         "Attention: 1 finished trial has another best IoU in epochs.csv than in trials.csv");
}

static void a_torn_line_in_the_middle(void **state) {
    (void)state;
    write_sweep("r", "");
    write_file("r", "trials.csv", trials_header, "t0,,a,0,1,do\nt1,,a,1,1,done,0.5,1,0.6,0.5,0.1,100,2,\n");
    char *text;
    assert_int_equal(report("r", NULL, &text), STATUS_FORMAT);
    assert_has(err.message, "trials.csv: line 2: 6 fields where the header has 14");
    assert_string_equal(text, "");
    assert_false(file_exists(temporary_path("out")));
    free(text);
}

static void missing_folds(void **state) {
    (void)state;
    write_sweep("r",
                "[folds]\ncount = 5\nrun = all\n[config b]\nfolds = 0, 1\n[compare]\nbaseline = a\ncandidate = b\n");
    write_file("r", "trials.csv", trials_header,
               "t0,,a,0,1,done,0.5,1,,,,100,5,\nt1,,a,1,1,done,0.6,1,,,,100,5,\nt3,,a,3,1,done,0.7,1,,,,100,5,\n"
               "u0,,b,0,2,done,0.7,1,,,,100,5,\nu1,,b,1,2,done,0.9,1,,,,100,5,\n");
    char *text;
    assert_int_equal(report("r", NULL, &text), STATUS_OK);
    assert_has(text, "Missing: fold 2, 4. The mean is not that of the whole cross-validation.");
    assert_has(text, "Not possible yet: fold 3 of 'a' has no partner in 'b'.");
    assert_null(strstr(strstr(text, "Missing") + 1, "Missing")); // b has all it was to have
    free(text);
}

static void runs_of_other_data(void **state) {
    (void)state;
    static const char header[] = "sample,change_level,positive_share,fold\n";
    write_sweep("r1", "");
    write_sweep("r2", "[compare]\nbaseline = a\ncandidate = b\n");
    write_file("r1", "trials.csv", trials_header, "t0,,a,0,1,done,0.5,1,,,,100,5,\nt1,,a,1,1,done,0.6,1,,,,100,5,\n");
    write_file("r2", "trials.csv", trials_header, "u0,,b,0,2,done,0.7,1,,,,100,5,\nu1,,b,1,2,done,0.9,1,,,,100,5,\n");
    SAYS("r1", "r2", "Paired t-test: t"); // nothing says that they differ
    write_file("r1", "folds.csv", header, "s1,low,0.01,0\ns2,low,0.02,1\ns3,low,0.02,test\n");
    write_file("r2", "folds.csv", header, "s3,low,0.02,test\ns2,low,0.02,1\ns1,low,0.01,0\n");
    SAYS("r1", "r2", "Paired t-test: t"); // the order of the samples is no difference
    write_file("r2", "folds.csv", header, "s1,low,0.01,1\ns2,low,0.02,0\ns3,low,0.02,test\n");
    SAYS("r1", "r2", "Attention: runs r1 and r2 are not of the same data (sample 's1' is in fold 0 of one and fold 1",
         "Not possible yet: runs r1 and r2 are not of the same data: sample 's1'");
    assert_false(file_exists(temporary_path("out/statistics.csv")));

    // The same by `compare`, which finds folds.csv beside the files.
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    assert_int_equal(compare_files(temporary_path("r1/trials.csv"), temporary_path("r2/trials.csv"), out, &err),
                     STATUS_MISMATCH);
    assert_has(err.message, "are not of the same data: sample 's1' is in fold 0 of one and fold 1 of the other");
    unlink(temporary_path("r2/folds.csv"));
    assert_int_equal(compare_files(temporary_path("r1/trials.csv"), temporary_path("r2/trials.csv"), out, &err),
                     STATUS_OK);
    fclose(out);
    assert_has(text, "Whether a fold is the same samples in both files could not be checked");
    free(text);

    unlink(temporary_path("r1/folds.csv"));
    write_file("r2", "sweep.ini", "",
               "[sweep]\nname = r2\ndataset = other.safetensors\n[compare]\nbaseline = a\ncandidate = b\n");
    SAYS("r1", "r2", "not of the same data (dataset is 'd.safetensors' in one and");
}

static void values_that_are_no_numbers(void **state) {
    (void)state;
    write_sweep("r", "[compare]\nbaseline = a\ncandidate = b\n");
    write_file("r", "trials.csv", trials_header,
               "t0,,a,0,1,done,nan,1,,,,100,2,\nt1,,a,1,1,done,0.6,1,,,,100,2,\n"
               "u0,,b,0,2,done,0.7,1,,,,100,2,\nu1,,b,1,2,done,0.9,1,,,,100,2,\n"
               "g0,g,lr=3,0,3,done,inf,1,,,,100,2,\ng1,g,lr=4,0,4,done,0.3,1,,,,100,2,\n");
    write_file("r", "epochs.csv", epochs_header,
               "u0,b,0,0,0.1,1,0.2,0.3,1,0.25,0.4,0.5,0.5,1\nu0,b,0,1,0.1,nan,0.2,0.3,1,0.7,0.4,0.5,0.5,inf\n");
    char *text;
    assert_int_equal(report("r", NULL, &text), STATUS_OK);
    static const char *const parts[] = {
        "done, but its best value is missing",
        "done, but its best value is not finite",
        "No mean: a fold that is done has no best value.",
        "Not possible yet: fold 0 of 'a' has no best_iou.",
        "not finite at epoch 1",
        "The first row has no result: there are no differences to it.",
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_has(text, parts[i]);
    assert_has_not(text, " nan");
    assert_has_not(text, " inf");
    free(text);
}

static void results_from_elsewhere(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"config,fold,best_iou\na,0,57.62\n", "line 2: best_iou is 57.62, not a share between 0 and 1"},
        {"config,fold,best_iou\na,0,inf\n", "line 2: best_iou is inf, not a share between 0 and 1"},
        {"config,fold,best_iou\na,0,0.5\na,0,0.6\n", "fold 0 of 'a' stands there twice"},
        {"config,fold,best_iou\na,x,0.5\n", "line 2: fold is 'x', not a number"},
        {"config,fold,best_iou\na,,0.5\n", "line 2: fold is '', not a whole number"},
        {"config,fold,iou\na,0,0.5\n", "no column 'best_iou'"},
        {"config,best_iou\na,0.5\n", "no column 'fold'"},
        {"config,fold,best_iou\n", "no rows"},
        {"", "empty"},
        {"config,fold,best_iou\na,0\n", "line 2: 2 fields where the header has 3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text;
        temporary_write(temporary_path("x.csv"), cases[i].text);
        assert_int_equal(report("x.csv", NULL, &text), STATUS_FORMAT);
        assert_has(err.message, cases[i].message);
        assert_false(file_exists(temporary_path("out")));
        free(text);
    }
    temporary_write(temporary_path("x.csv"), "fold,best_rmse,lr\n0,3.25,0.1\n1,1.5,0.1");
    SAYS("x.csv", NULL, "Configuration x: 2 folds", "Best rmse", "* Mean  2.375 +- 0.88");
}

// A sweep of another program: another metric decides, and the smallest is the best.
static void another_metric(void **state) {
    (void)state;
    char header[512];
    write_sweep("r", "trainer = command\nmetric = rmse\ndirection = min\n");
    write_file("r", "trials.csv",
               "trial,grid,config,fold,rate,status,best_rmse,best_epoch,best_f1,final_rmse,train_val_gap,parameters,"
               "epochs_run,error\n",
               "t0,g,rate=0.5,0,0.5,done,12.5,1,,13,,0,2,\nt1,g,rate=0.1,0,0.1,done,3.25,1,,3.25,,0,2,\n"
               "t2,g,rate=0.9,0,0.9,stopped,1,0,,,,0,1,\n");
    snprintf(header, sizeof header, "%.*s,rmse\n", (int)strlen(epochs_header) - 1, epochs_header);
    write_file("r", "epochs.csv", header,
               "t0,rate=0.5,0,0,,,,,,,,,,,20\nt0,rate=0.5,0,1,,,,,,,,,,,12.5\nt1,rate=0.1,0,0,,,,,,,,,,,9\n"
               "t1,rate=0.1,0,1,,,,,,,,,,,3.25\nu0,x,0,0,,,,,,,,,,,7\nu0,x,0,1,,,,,,,,,,,8\n");
    SAYS("r", NULL, "  rate  Best rmse  Best epoch  vs first  Observation\n",
         "* 0.1        3.25           1     -9.25  ", "  0.9           1           0         -  stopped after 1 epoch",
         "Best rmse so far", "  u0        0              2                 7  x");
    char *page, *script;
    assert_int_equal(file_read(temporary_path("out/report.html"), &page, NULL, &err), STATUS_OK);
    assert_has_not(page, "IoU (%)");
    free(page);
    assert_int_equal(file_read(temporary_path("out/plots/metric_g.gp"), &script, NULL, &err), STATUS_OK);
    assert_has(script, "set ylabel 'rmse'");
    assert_has(script, "\n1 nan 12.5\n");
    free(script);
}

// Names come from other people's files: they stay text in the page, and no command to gnuplot.
static void names_stay_names(void **state) {
    (void)state;
    char *page, *text;
    write_sweep("r", "");
    write_file("r", "trials.csv", trials_header,
               "t0,g,<script>alert(1)</script>,0,'`touch PWNED`',done,0.5,1,,,,100,2,\n"
               "t1,g,b,0,\"it's \"\"quoted\"\" & <b>\",done,0.6,1,,,,100,2,\n");
    write_file("r", "epochs.csv", epochs_header,
               "t0,a,0,0,0.1,1,0.2,0.3,1,0.25,0.4,0.5,0.5,1\nt0,a,0,1,0.1,1,0.2,0.3,1,0.5,0.4,0.5,0.5,1\n");
    assert_int_equal(report("r", NULL, &text), STATUS_OK);
    assert_has_not(text, "gnuplot failed");
    free(text);
    assert_int_equal(file_read(temporary_path("out/report.html"), &page, NULL, &err), STATUS_OK);
    assert_has(page, "it's &quot;quoted&quot; &amp; &lt;b&gt;");
    assert_has_not(page, "<script>alert");
    assert_has_not(page, "<b>");
    free(page);
    assert_false(file_exists(temporary_path("out/PWNED")));
    assert_false(file_exists("PWNED"));
}

// The page asks for nothing: no address but the names of namespaces, no file but data in it.
static void the_page_is_self_contained(void **state) {
    (void)state;
    static const char *const run = TEST_SOURCE_DIR "/results/data/run";
    struct report_config config = {.run = &run, .runs = 1, .out_dir = temporary_path("out")};
    char *page;
    assert_int_equal(report_write(&config, &err), STATUS_OK);
    assert_int_equal(file_read(temporary_path("out/report.html"), &page, NULL, &err), STATUS_OK);
    for (const char *at = page; (at = strstr(at, "http")); at += 4)
        if (strncmp(at, "http://www.w3.org/", 18) != 0 && strncmp(at, "http-equiv", 10) != 0)
            fail_msg("the page names %.60s", at);
    assert_has_not(page, "src=\"plots");
    assert_has_not(page, "url(");
    assert_has_not(page, "@import");
    assert_has(page, "default-src 'none'");
    assert_has(page, "<svg role=\"img\"");
    assert_has(page, "<td class=\"r\" data-v=\"0.5137\">51.37 %</td>");
    size_t symbols = 0;
    for (const char *at = page; (at = strstr(at, "<defs>")); at++)
        symbols++;
    assert_int_equal(symbols, 1);
    free(page);
}

static void without_gnuplot(void **state) {
    (void)state;
    static const char *const run = TEST_SOURCE_DIR "/results/data/run";
    struct report_config config = {.run = &run, .runs = 1, .out_dir = temporary_path("out")};
    const char *path = getenv("PATH");
    char *before = strdup(path ? path : ""), *page, *text;
    assert_int_equal(report_write(&config, &err), STATUS_OK);
    setenv("PATH", temporary_folder, 1);
    size_t bytes;
    config.terminal = open_memstream(&text, &bytes);
    enum status status = report_write(&config, &err);
    fclose(config.terminal);
    assert_int_equal(status, STATUS_OK);
    assert_has(text, "gnuplot is not installed (Debian: apt-get install gnuplot-nox): the report has no plots.");
    assert_int_equal(file_read(temporary_path("out/report.html"), &page, NULL, &err), STATUS_OK);
    assert_has(page, "gnuplot is not installed");
    assert_has_not(page, "<svg"); // nor the pictures of the report before
    assert_false(file_exists(temporary_path("out/plots/slope.png")));
    free(page);
    free(text);

    // One that fails is told from one that is absent.
    temporary_write(temporary_path("gnuplot"), "#!/bin/sh\necho 'line 3: no such terminal' >&2\nexit 1\n");
    chmod(temporary_path("gnuplot"), 0755);
    config.terminal = open_memstream(&text, &bytes);
    status = report_write(&config, &err);
    fclose(config.terminal);
    setenv("PATH", before, 1);
    free(before);
    assert_int_equal(status, STATUS_OK);
    assert_has(text, "gnuplot failed (line 3: no such terminal): plots are missing.");
    free(text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, temporary_folder_setup, temporary_folder_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(half_a_run_folder),         TEST(trials_without_their_epochs),
        TEST(a_torn_line_in_the_middle), TEST(missing_folds),
        TEST(runs_of_other_data),        TEST(values_that_are_no_numbers),
        TEST(results_from_elsewhere),    TEST(another_metric),
        TEST(names_stay_names),          TEST(the_page_is_self_contained),
        TEST(without_gnuplot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
