// A run folder whose files are damaged: what can be stood behind is reported, what is left out is named, and text of
// any encoding and curves of any length make a page that can be read.
#include <sys/stat.h>

#include "results/report.h"
#include "results/run_data.h"
#include "model/base/utf8.h"
#include "tests/results/assertions.h"
#include "tests/results/temporary_folder.h"

static struct error err;

static const char sweep_ini[] = "[sweep]\nname = r\ndataset = d.safetensors\nseed = 1\n[folds]\ncount = 2\nrun = all\n"
                                "[compare]\nbaseline = a\ncandidate = b\n";
static const char trials_header[] =
    "trial,grid,config,fold,lr,status,best_iou,best_epoch,best_f1,final_iou,train_val_gap,parameters,epochs_run,error\n";
static const char trials_rows[] = "a0,,a,0,1,done,0.5,0,0.6,0.5,0.1,100,1,\na1,,a,1,1,done,0.4,0,0.6,0.4,0.1,100,1,\n"
                                  "b0,,b,0,2,done,0.7,0,0.8,0.7,0.1,100,1,\nb1,,b,1,2,done,0.8,0,0.8,0.8,0.1,100,1,\n";
static const char epochs_header[] = "trial,config,fold,epoch,lr,train_loss,train_iou,train_f1,val_loss,val_iou,val_f1,"
                                    "val_precision,val_recall,grad_norm\n";
static const char epochs_rows[] =
    "a0,a,0,0,1,1,0.6,0.6,1,0.5,0.6,0.5,0.5,1\na1,a,1,0,1,1,0.5,0.6,1,0.4,0.6,0.5,0.5,1\n"
    "b0,b,0,0,1,1,0.8,0.6,1,0.7,0.6,0.5,0.5,1\nb1,b,1,0,1,1,0.9,0.6,1,0.8,0.6,0.5,0.5,1\n";
static const char events[] = "time,trial,epoch,event,host,worker,device,attempt,seconds,detail\n"
                             "2026-01-14T09:00:00Z,a0,,assigned,h,1,,1,0,a\n2026-01-14T09:00:09Z,a0,,done,h,1,,1,9,\n";
static const char folds[] = "sample,change_level,positive_share,fold\ns1,low,0.01,0\ns2,low,0.02,1\n";

static void write_in(const char *file, const char *a, const char *b) {
    char path[64], text[8192];
    snprintf(path, sizeof path, "r/%s", file);
    snprintf(text, sizeof text, "%s%s", a, b);
    temporary_write(temporary_path(path), text);
}

static int sound_run(void **state) {
    if (temporary_folder_setup(state) != 0 || mkdir(temporary_path("r"), 0777) != 0)
        return -1;
    write_in("sweep.ini", sweep_ini, "");
    write_in("manifest.ini", "[run]\nversion = 1\n", "");
    write_in("trials.csv", trials_header, trials_rows);
    write_in("epochs.csv", epochs_header, epochs_rows);
    write_in("events.csv", events, "");
    write_in("folds.csv", folds, "");
    return 0;
}

static enum status report(char **terminal) {
    const char *run = temporary_path("r");
    size_t bytes;
    FILE *out = open_memstream(terminal, &bytes);
    struct report_config config = {.run = &run, .runs = 1, .out_dir = temporary_path("out"), .terminal = out};
    enum status status = report_write(&config, &err);
    fclose(out);
    return status;
}

static void expect(const char *part) {
    char *text;
    if (report(&text) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_has(text, part);
    assert_has(text, "Paired t-test: t"); // what trials.csv says stands
    free(text);
}

static void expect_refusal(const char *part) {
    char *text;
    assert_int_equal(report(&text), STATUS_FORMAT);
    assert_has(err.message, part);
    assert_string_equal(text, "");
    free(text);
}

static void a_sound_run_has_nothing_to_say(void **state) {
    (void)state;
    char *text;
    assert_int_equal(report(&text), STATUS_OK);
    assert_has_not(text, "Attention");
    assert_has(text, "4: 4 done");
    free(text);
}

static void files_that_are_left_out(void **state) {
    (void)state;
    static const struct {
        const char *file, *text, *says;
    } cases[] = {
        {"epochs.csv", "", "epochs.csv: empty: a CSV file begins with a header line"},
        {"epochs.csv", "trial,config\na,b\n", "epochs.csv: line 1: 2 columns, not 14"},
        {"events.csv", "", "events.csv: empty: a CSV file begins with a header line"},
        {"events.csv", "time,trial,epoch\n1,2\n", "events.csv: line 2: 2 fields where the header has 3"},
        {"events.csv", "time,trial,epoch\n1,2,3\n", "events.csv: line 1: no column 'event'"},
        {"folds.csv", "", "folds.csv: empty: a CSV file begins with a header line"},
        {"folds.csv", "sample,fold\ns1,0\ns1,0\n", "folds.csv: sample 's1' stands there twice"},
        {"folds.csv", "sample,fold\ns1,0\ns2,1000000000\n", "folds.csv: line 3: '1000000000' is no fold"},
        {"manifest.ini", "[run]\nno line of an INI file\n", "manifest.ini: line 2 is no INI line."},
        {"events.csv", "time,trial,epoch,event,host,worker,device,attempt,seconds,detail\n2026",
         "events.csv: the last"},
        {"folds.csv", "sample,fold\ns1,0\ns2,1\ns3", "folds.csv: the last line has no end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_in(cases[i].file, cases[i].text, "");
        char *text, flat[32768] = "";
        if (report(&text) != STATUS_OK)
            fail_msg("%s: %s", cases[i].file, err.message);
        size_t used = 0; // lines are wrapped: one space for every gap
        for (const char *c = text; *c && used + 1 < sizeof flat; c++)
            if (!strchr(" \n", *c))
                flat[used++] = *c;
            else if (used > 0 && flat[used - 1] != ' ')
                flat[used++] = ' ';
        if (!strstr(flat, cases[i].says))
            fail_msg("'%s' is not said: %s", cases[i].says, text);
        assert_has(text, "Paired t-test: t");
        free(text);
        write_in("epochs.csv", epochs_header, epochs_rows);
        write_in("events.csv", events, "");
        write_in("folds.csv", folds, "");
        write_in("manifest.ini", "[run]\nversion = 1\n", "");
    }
    char row[] = "a0,a,0,0,1,1,0.6,0.6,1,57.62,0.6,0.5,0.5,1\n";
    write_in("epochs.csv", epochs_header, row);
    expect("val_iou is 57.62");
}

static void trials_that_cannot_be_stood_behind(void **state) {
    (void)state;
    char *text;
    write_in("trials.csv", trials_header, "a0,,a,0,1,done,57.62,0,0.6,0.5,0.1,100,1,\n");
    expect_refusal("trials.csv: trial a0: best_iou is 57.62, not a share of 0 to 1");
    write_in("trials.csv", trials_header, "a0,,a,0,1,done,0.5,0,0.6,-0.25,0.1,100,1,\n");
    expect_refusal("final_iou is -0.25, not a share of 0 to 1");
    write_in("trials.csv", "trial,grid\n", "a0,\n");
    expect_refusal("trials.csv: line 1: 2 columns, not 13");
    write_in("trials.csv", "", "");
    assert_int_equal(report(&text), STATUS_OK);
    assert_has(text, "trials.csv is empty, not even a header line stands there");
    free(text);
}

static void rows_that_contradict_each_other(void **state) {
    (void)state;
    char rows[1024];
    snprintf(rows, sizeof rows, "%sa0,,a,0,1,done,0.6,0,0.6,0.5,0.1,100,1,\n", trials_rows);
    write_in("trials.csv", trials_header, rows);
    expect("trials.csv has 1 finished trials twice in one place");
    snprintf(rows, sizeof rows, "%sa0,g,lr=1,0,1,done,0.25,0,0.6,0.5,0.1,100,1,\n", trials_rows);
    write_in("trials.csv", trials_header, rows);
    expect("Attention: 1 row of trials.csv has another result than the first row of the same trial");
}

// Whatever a status is called: it is shown, and is no result.
static void another_status(void **state) {
    (void)state;
    char *text;
    write_in("trials.csv", trials_header,
             "a0,,a,0,1,shelved,0.5,0,0.6,0.5,0.1,100,1,\na1,,a,1,1,done,0.4,0,0.6,0.4,0.1,100,1,\n"
             "g0,g,lr=1,0,1,done,0.4,0,0.6,0.4,0.1,100,1,\ng1,g,lr=2,0,2,shelved,0.9,0,0.9,0.9,0.1,100,1,\n");
    assert_int_equal(report(&text), STATUS_OK);
    assert_has(text, "4: 2 shelved, 2 done");
    assert_has(text, "status 'shelved'");
    assert_has(text, "over the done ones of 2 folds");
    assert_has(text, "* 1    40.00 %"); // the winner is the one that is done
    free(text);
}

static void the_same_run_twice(void **state) {
    (void)state;
    const char *runs[] = {temporary_path("r"), temporary_path("r/")};
    struct report_config config = {.run = runs, .runs = 2, .out_dir = temporary_path("out")};
    assert_int_equal(report_write(&config, &err), STATUS_INVALID);
    assert_has(err.message, "are the same run: name it once");
}

static void an_evaluation_of_other_checkpoints(void **state) {
    (void)state;
    mkdir(temporary_path("r/report"), 0777);
    mkdir(temporary_path("r/report/test"), 0777);
    static const char header[] = "config,model,samples,iou,f1,precision,recall,boundary_f1,macro_iou,ece,trial,epoch\n";
    char rows[512];
    snprintf(rows, sizeof rows,
             "a,fold 0,8,0.3333,0.5,0.5,0.5,0.5,0.5,0.1,a0,0\na,ensemble,8,0.5,0.5,0.5,0.5,0.5,0.5,0.1,,\n");
    write_in("report/test/test_folds.csv", header, rows);
    expect("33.33 %");
    write_in("report/test/test_threshold.csv", "config,model,threshold\na,ensemble\n", "");
    expect("the evaluation of run r is damaged");
    snprintf(rows, sizeof rows, "a,fold 0,8,0.3333,0.5,0.5,0.5,0.5,0.5,0.1,a0,7\n");
    write_in("report/test/test_folds.csv", header, rows);
    char *text;
    assert_int_equal(report(&text), STATUS_OK);
    assert_has(text, "Attention: run r was evaluated with other checkpoints (trial a0 at epoch 7");
    assert_has_not(text, "33.33 %");
    free(text);
}

static void characters(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
    } cases[] = {
        {"a", 1},           {"\xC3\xA9", 2},     {"\xE2\x82\xAC", 3},     {"\xF0\x9F\x8C\x8D", 4}, {"\xE9", 0},
        {"\xC0\xAF", 0},    {"\xE0\x80\xAF", 0}, {"\xED\xA0\x80", 0},     {"\xF4\x90", 0},         {"\xF5\x80", 0},
        {"\x80", 0},        {"\xE2\x82", 0},     {"\xF4\x8F\xBF\xBF", 4}, {"\xF0\x8F\xBF\xBF", 0}, {"\xC3", 0},
        {"\xEF\xBF\xBF", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(utf8_character(cases[i].text), cases[i].bytes);
    char text[] = "caf\xE9 \xC3\xA9t\xC3";
    assert_int_equal(utf8_count_wrong(text), 2);
    utf8_mend(text);
    assert_string_equal(text, "caf? \xC3\xA9t?");
}

static void names_of_another_encoding(void **state) {
    (void)state;
    char *page;
    write_in("trials.csv", trials_header,
             "a0,g,caf\xE9,0,\xE9t\xE9,done,0.5,0,0.6,0.5,0.1,100,1,\n"
             "a1,g,x,0,2,done,0.4,0,0.6,0.4,0.1,100,1,\n");
    char *text;
    assert_int_equal(report(&text), STATUS_OK);
    assert_has(text, "trials.csv: 3 bytes are no UTF-8 text: '?' stands for each.");
    assert_has_not(text, "gnuplot failed");
    free(text);
    assert_int_equal(file_read(temporary_path("out/report.html"), &page, NULL, &err), STATUS_OK);
    assert_has(page, "?t?");
    assert_int_equal(utf8_count_wrong(page), 0);
    free(page);
    assert_int_equal(file_read(temporary_path("out/phase1_g.csv"), &page, NULL, &err), STATUS_OK);
    assert_int_equal(utf8_count_wrong(page), 0);
    free(page);
}

// Thousands of epochs: a curve is thinned, its highest value and its best epoch are not lost.
static void long_curves(void **state) {
    (void)state;
    enum { EPOCHS = 20000 };
    FILE *f = fopen(temporary_path("r/epochs.csv"), "w");
    assert_non_null(f);
    fputs(epochs_header, f);
    for (int fold = 0; fold < 2; fold++)
        for (int e = 0; e < EPOCHS; e++)
            fprintf(f, "a%d,a,%d,%d,1,1,0.5,0.5,1,%s,0.5,0.5,0.5,1\n", fold, fold, e,
                    e == 12345 ? "0.875"
                    : e == 777 ? "0.0625"
                               : "0.25");
    fclose(f);
    write_in(
        "trials.csv", trials_header,
        "a0,,a,0,1,done,0.875,12345,0.6,0.25,0.1,100,20000,\na1,,a,1,1,done,0.875,12345,0.6,0.25,0.1,100,20000,\n");
    char *text, *script;
    size_t bytes;
    assert_int_equal(report(&text), STATUS_OK);
    free(text);
    assert_int_equal(file_read(temporary_path("out/plots/iou_a.gp"), &script, &bytes, &err), STATUS_OK);
    assert_has(script, "\n12345 50 87.5\n");
    assert_has(script, "\n777 50 6.25\n");
    assert_true(bytes < 100000);
    free(script);
    assert_int_equal(file_read(temporary_path("out/report.md"), &text, NULL, &err), STATUS_OK);
    assert_has(text, "Of long curves the lowest and the highest validation value of every short stretch are drawn.");
    free(text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, sound_run, temporary_folder_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_sound_run_has_nothing_to_say),
        TEST(files_that_are_left_out),
        TEST(trials_that_cannot_be_stood_behind),
        TEST(rows_that_contradict_each_other),
        TEST(another_status),
        TEST(the_same_run_twice),
        TEST(an_evaluation_of_other_checkpoints),
        cmocka_unit_test(characters),
        TEST(names_of_another_encoding),
        TEST(long_curves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
