// The rungs of successive halving in a report, finished and unfinished, against counting by hand.
#include <sys/stat.h>

#include "results/report.h"
#include "results/rung_record.h"
#include "tests/results/assertions.h"
#include "tests/results/temporary_folder.h"

enum { CONFIGURATIONS = 9, FOLDS = 2 };
static struct error err;

static const char sweep[] = "[sweep]\nname = s\nmethod = asha\nfirst-rung = 1\nreduction-factor = 3\n"
                            "[folds]\ncount = 5\nrun = 0, 1\n[base]\nepochs = 9\n"
                            "[random search]\npoints = 9\nlr = log-uniform 0.1 .. 1\n";

// How far each of 9 configurations has come on two folds. The value at an epoch grows with the configuration, with the
// epoch and with the fold, so that a mean over the folds after e epochs is 0.1 i + 0.01 e.
struct world {
    int epochs[CONFIGURATIONS][FOLDS];
    const char *status[CONFIGURATIONS]; // NULL: no row in trials.csv
};

static double value_at(int configuration, int fold, int epoch) {
    return 0.1 * configuration + 0.01 * (epoch + 1) + (fold ? 0.005 : -0.005);
}

static void write_epochs(const struct world *w, const char *path) {
    FILE *f = fopen(path, "w");
    fputs("trial,config,fold,epoch,lr,train_loss,train_iou,train_f1,val_loss,val_iou,val_f1,val_precision,val_recall,"
          "grad_norm\n",
          f);
    for (int i = 0; i < CONFIGURATIONS; i++)
        for (int k = 0; k < FOLDS; k++)
            for (int e = 0; e < w->epochs[i][k]; e++)
                fprintf(f, "%016x,lr=%d,%d,%d,0.1,1,0.5,0.5,1,%.17g,0.5,0.5,0.5,1\n", 16 * i + k, i, k, e,
                        value_at(i, k, e));
    fclose(f);
}

static void write_trials(const struct world *w, const char *path) {
    FILE *f = fopen(path, "w");
    fputs("trial,grid,config,fold,lr,status,best_iou,best_epoch,best_f1,final_iou,train_val_gap,parameters,epochs_run,"
          "error\n",
          f);
    for (int i = 0; i < CONFIGURATIONS; i++)
        for (int k = 0; k < FOLDS && w->status[i]; k++)
            fprintf(f, "%016x,search,lr=%d,%d,%d,%s,%.17g,0,0.5,0.5,0.1,100,%d,\n", 16 * i + k, i, k, i, w->status[i],
                    value_at(i, k, w->epochs[i][k] - 1), w->epochs[i][k]);
    fclose(f);
}

static const char *write_run(const struct world *w, const char *settings) {
    mkdir(temporary_path("run"), 0777);
    temporary_write(temporary_path("run/sweep.ini"), settings);
    write_trials(w, temporary_path("run/trials.csv"));
    write_epochs(w, temporary_path("run/epochs.csv"));
    return temporary_path("run");
}

// 9 configurations, then 3, then 1: the highest are the best.
static struct world finished(void) {
    struct world w;
    for (int i = 0; i < CONFIGURATIONS; i++) {
        w.status[i] = i == 8 ? "done" : "stopped";
        w.epochs[i][0] = w.epochs[i][1] = i == 8 ? 9 : i >= 6 ? 3 : 1;
    }
    return w;
}

static struct rung_record record_of(const struct world *w, const char *settings, struct run_data *run) {
    struct rung_record r;
    if (run_data_read(write_run(w, settings), run, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_true(rung_record_has(run, "search"));
    assert_false(rung_record_has(run, "other"));
    if (rung_record_read(run, "search", &r, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return r;
}

static void expect_rung(const struct rung *g, const int counts[8], double best, double cut, double best_stopped) {
    const int found[8] = {g->epochs,   g->configurations, g->there,     g->failed,
                          g->promoted, g->stopped,        g->undecided, g->trials};
    for (int i = 0; i < 8; i++)
        if (found[i] != counts[i])
            fail_msg("number %d of the rung to epoch %d is %d, not %d", i, g->epochs, found[i], counts[i]);
    assert_near(g->best, best, 1e-12);
    assert_near(g->cut, cut, 1e-12);
    assert_near(g->best_stopped, best_stopped, 1e-12);
}

static void all_rungs(void **state) {
    (void)state;
    struct run_data run;
    struct world w = finished();
    struct rung_record r = record_of(&w, sweep, &run);
    assert_string_equal(r.why, "");
    assert_int_equal(r.rungs, 3);
    expect_rung(&r.rung[0], (int[]){1, 9, 9, 0, 3, 6, 0, 18}, 0.81, 0.61, 0.51);
    expect_rung(&r.rung[1], (int[]){3, 3, 3, 0, 1, 2, 0, 6}, 0.83, 0.83, 0.73);
    expect_rung(&r.rung[2], (int[]){9, 1, 1, 0, 0, 0, 0, 2}, 0.89, NAN, NAN);
    assert_int_equal(r.rung[0].trained, 18);
    assert_int_equal(r.rung[1].trained, 12);
    assert_int_equal(r.rung[2].trained, 12);
    assert_int_equal(r.contradictions, 0);
    rung_record_free(&r);
    run_data_free(&run);
}

// Configuration 0 has not begun, 8 is half there: what the others are is decided as far as that cannot change.
static void unfinished_rungs(void **state) {
    (void)state;
    struct run_data run;
    struct world w = {{{0}}, {NULL}};
    for (int i = 1; i < CONFIGURATIONS; i++) {
        w.epochs[i][0] = w.epochs[i][1] = 1;
        w.status[i] = i < 5 ? "stopped" : NULL;
    }
    w.epochs[8][1] = 0;
    struct rung_record r = record_of(&w, sweep, &run);
    assert_string_equal(r.why, "");
    // 7 is sure of one of three places; 6 and 5 wait for 0 and 8.
    expect_rung(&r.rung[0], (int[]){1, 9, 7, 0, 1, 4, 4, 15}, 0.71, 0.71, 0.41);
    expect_rung(&r.rung[1], (int[]){3, 3, 0, 0, 0, 0, 3, 0}, NAN, NAN, NAN);
    assert_int_equal(r.contradictions, 0);
    rung_record_free(&r);
    run_data_free(&run);
}

static void what_fails_is_worst(void **state) {
    (void)state;
    struct run_data run;
    struct world w = finished();
    w.status[8] = "failed"; // after two epochs: it went on, and never came to the second rung
    w.epochs[8][0] = w.epochs[8][1] = 2;
    w.status[7] = "done";
    w.epochs[7][0] = w.epochs[7][1] = 9;
    struct rung_record r = record_of(&w, sweep, &run);
    expect_rung(&r.rung[0], (int[]){1, 9, 9, 0, 3, 6, 0, 18}, 0.81, 0.61, 0.51);
    expect_rung(&r.rung[1], (int[]){3, 3, 2, 1, 1, 2, 0, 4}, 0.73, 0.73, 0.63);
    expect_rung(&r.rung[2], (int[]){9, 1, 1, 0, 0, 0, 0, 2}, 0.79, NAN, NAN);
    assert_int_equal(r.contradictions, 0);
    rung_record_free(&r);
    run_data_free(&run);
}

static void rows_that_do_not_follow(void **state) {
    (void)state;
    struct run_data run;
    struct world w = finished();
    w.status[0] = "done"; // the worst of all
    w.epochs[0][0] = w.epochs[0][1] = 9;
    w.epochs[1][0] = w.epochs[1][1] = 2; // stopped, but not where the rung ends
    struct rung_record r = record_of(&w, sweep, &run);
    assert_int_equal(r.contradictions, 2);
    rung_record_free(&r);
    run_data_free(&run);
}

static void what_the_files_do_not_tell(void **state) {
    (void)state;
    static const struct {
        const char *settings, *why;
        bool last_under_way;
    } cases[] = {
        {"[sweep]\nmethod = asha\nfirst-rung = 1\n[folds]\nrun = 0, 1\n[base]\nepochs = 9\n[grid search]\nlr = 1, 2, 3\n",
         "sweep.ini does not say what the rungs are", false},
        {"[sweep]\nmethod = asha\nfirst-rung = 1\nreduction-factor = 3\n[folds]\nrun = 0, 1\n[base]\nepochs = 9\n"
         "[grid search]\nlr = 1, 2\noptimizer = sgd, adamw\ndecoder-channels = 8,8,8,8,8 | 4,4,4,4,4\n",
         "trials.csv has 9 configurations of this section, sweep.ini 8", false},
        {"[sweep]\nmethod = asha\nfirst-rung = 1\nreduction-factor = 3\nrun-cap = 18\n[folds]\nrun = 0, 1\n[base]\n"
         "epochs = 9\n[random search]\npoints = 20\n",
         "under run-cap", true},
        {"[sweep]\nmethod = asha\nfirst-rung = 1\nreduction-factor = 3\n[folds]\nrun = 0, 1\n[base]\nepochs = 9\n"
         "[random search]\npoints = 9\n[grid more]\nlr = 1, 2\n",
         "8 of its 9 configurations have a result", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run_data run;
        struct world w = finished();
        w.status[8] = cases[i].last_under_way ? NULL : "done";
        struct rung_record r = record_of(&w, cases[i].settings, &run);
        assert_has(r.why, cases[i].why);
        rung_record_free(&r);
        run_data_free(&run);
    }
}

static char *reported(void) {
    const char *run = temporary_path("run");
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    struct report_config config = {.run = &run, .runs = 1, .out_dir = temporary_path("out"), .terminal = out};
    if (report_write(&config, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    fclose(out);
    return text;
}

static void in_the_report(void **state) {
    (void)state;
    struct world w = finished();
    (void)write_run(&w, sweep);
    char *text = reported();
    assert_has(text, "search: rungs of successive halving\n");
    char *page;
    if (file_read(temporary_path("out/report.md"), &page, NULL, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    assert_has(page, "42 epochs were trained, 25.9 % of the 162 of a search without rungs.");
    free(page);
    assert_has_not(text, "not finished");
    assert_file_is(temporary_path("out/rungs_search.csv"),
                   "rung,to_epoch,configurations,there,failed,promoted,stopped,undecided,best,cut,best_stopped,folds,"
                   "trials,epochs_trained\n"
                   "1,1,9,9,0,3,6,0,0.81,0.6100000000000001,0.51,2,18,18\n"
                   "2,3,3,3,0,1,2,0,0.8300000000000001,0.8300000000000001,0.7300000000000001,2,6,12\n"
                   "3,9,1,1,0,,,0,0.89,,,2,2,12\n");
    free(text);
    // No trial has a result yet: the rungs are all that can be shown of the section.
    for (int i = 0; i < CONFIGURATIONS; i++)
        w.status[i] = NULL;
    (void)write_run(&w, sweep);
    text = reported();
    assert_has(text, "search: rungs of successive halving\n");
    free(text);
    // Another method has none.
    (void)write_run(&w, "[sweep]\nname = s\nmethod = grid\n[grid search]\nlr = 1, 2\n");
    text = reported();
    assert_has_not(text, "rungs of");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_rungs),           cmocka_unit_test(unfinished_rungs),
        cmocka_unit_test(what_fails_is_worst), cmocka_unit_test(rows_that_do_not_follow),
        cmocka_unit_test(in_the_report),       cmocka_unit_test(what_the_files_do_not_tell),
    };
    return cmocka_run_group_tests(tests, temporary_folder_setup, temporary_folder_teardown);
}
