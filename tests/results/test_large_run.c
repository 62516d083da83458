// A run of many trials: the right rows, and in a time that grows with their number and not with its square.
#include <time.h>

#include "results/grid.h"
#include "tests/results/assertions.h"
#include "tests/results/temporary_folder.h"

enum { TRIALS = 40000, PLANNED = 1000 };
static struct error err;

static FILE *begin(const char *name, const char *header) {
    FILE *f = fopen(temporary_path(name), "w");
    assert_non_null(f);
    fprintf(f, "%s\n", header);
    return f;
}

static double value_of(int trial) {
    return (double)((trial * 7919) % TRIALS) / TRIALS;
}

// Every trial was stopped and resumed; one is under way, and some have not begun.
static int write_run(void **state) {
    if (temporary_folder_setup(state) != 0)
        return -1;
    FILE *trials = begin("trials.csv", "trial,grid,config,fold,x,y,status,best_iou,best_epoch,best_f1,final_iou,"
                                       "train_val_gap,parameters,epochs_run,error"),
         *epochs = begin("epochs.csv", "trial,config,fold,epoch,lr,train_loss,train_iou,train_f1,val_loss,val_iou,"
                                       "val_f1,val_precision,val_recall,grad_norm"),
         *events = begin("events.csv", "time,trial,epoch,event,host,worker,device,attempt,seconds,detail");
    for (int i = 0; i < TRIALS; i++)
        fprintf(trials, "%016x,g,p%d,0,%d,%d,stopped,0.1,0,,0.1,,7,1,\n", i, i, i % 200, i / 200);
    for (int i = 0; i < TRIALS; i++)
        fprintf(trials, "%016x,g,p%d,0,%d,%d,done,%.17g,0,,0.1,,7,1,\n", i, i, i % 200, i / 200, value_of(i));
    for (int i = TRIALS; i >= 0; i--) // the last one has no row in trials.csv
        fprintf(epochs, "%016x,p%d,0,0,0.1,1,0.5,0.5,1,0.25,0.5,0.5,0.5,1\n", i, i);
    for (int again = 0; again < 2; again++)
        for (int i = 0; i < TRIALS + 1 + PLANNED; i++)
            fprintf(events, "2026-01-14T09:00:00Z,%016x,,planned,h,,,1,,\n", i);
    return fclose(trials) | fclose(epochs) | fclose(events);
}

static void check_selection(const struct grid *g) {
    size_t count = 0, best = 0;
    bool *shown = grid_selection(g, 100);
    assert_non_null(shown);
    for (size_t i = 0; i < g->points; i++)
        count += shown[i];
    for (size_t i = 0; i < 50; i++)
        best += shown[g->ranked[i]];
    assert_true(count == 100 || count == 101); // the first may be one of them
    assert_int_equal(best, 50);
    assert_true(shown[0] && shown[g->ranked[g->points - 1]]);
    free(shown);
    shown = grid_selection(g, g->points);
    assert_non_null(shown);
    for (size_t i = 0; i < g->points; i++)
        assert_true(shown[i]);
    free(shown);
}

static void check_grid(const struct run_data *run) {
    struct grid g;
    assert_int_equal(grid_read(run, "g", &g, &err), STATUS_OK);
    assert_int_equal(g.points, TRIALS);
    assert_int_equal(g.folds, 1);
    assert_int_equal(g.ranked[0], g.winner);
    for (size_t i = 0; i < g.points; i++) {
        assert_ptr_equal(g.point[i].row[0], &run->trial[i]); // the order of the file
        assert_true(grid_value(&g, i) == value_of((int)i));
        assert_true(i == 0 || grid_value(&g, g.ranked[i - 1]) > grid_value(&g, g.ranked[i]));
    }
    check_selection(&g);
    grid_free(&g);
}

static void a_large_run(void **state) {
    (void)state;
    struct run_data run;
    struct unfinished_trial *unfinished;
    size_t count, not_started;
    clock_t began = clock();
    assert_int_equal(run_data_read(temporary_folder, &run, &err), STATUS_OK);
    assert_int_equal(run.trials, TRIALS);
    assert_int_equal(run.distinct_trials, TRIALS);
    for (size_t i = 0; i < run.trials; i++) {
        assert_string_equal(run.trial[i].status, "done");
        assert_true(run_data_is_first(&run, &run.trial[i]));
    }
    assert_int_equal(run_data_unfinished(&run, &unfinished, &count, &not_started, &err), STATUS_OK);
    assert_int_equal(count, 1);
    assert_int_equal(not_started, PLANNED);
    assert_string_equal(unfinished[0].config, "p40000");
    free(unfinished);
    check_grid(&run);
    run_data_free(&run);
    // A second at most, with sanitizers some; a loop over all pairs of rows takes minutes.
    assert_true((double)(clock() - began) / CLOCKS_PER_SEC < 20);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_large_run, write_run, temporary_folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
