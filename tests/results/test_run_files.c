#include <math.h>

#include "results/run_files.h"
#include "tests/results/assertions.h"
#include "tests/results/temporary_folder.h"

static struct error err;

static void epochs_round_trip(void **state) {
    (void)state;
    const char *path = temporary_path("epochs.csv");
    struct epoch_row row = {
        "0123456789abcdef", "lr=0.01, sgd", 3, 7, 0.01, 0.5, 0.25, 0.4, 0.6, 0.2, 0.3, 0.35, NAN, 1.5, {0}};
    csv_log *log;
    assert_int_equal(epochs_open(path, NULL, &log, &err), STATUS_OK);
    assert_int_equal(epochs_append(log, &row, &err), STATUS_OK);
    row.epoch = 8;
    assert_int_equal(epochs_append(log, &row, &err), STATUS_OK);
    csv_log_close(log);
    static const char expected[] =
        "trial,config,fold,epoch,lr,train_loss,train_iou,train_f1,val_loss,val_iou,val_f1,val_precision,val_recall,"
        "grad_norm\n0123456789abcdef,\"lr=0.01, sgd\",3,7,0.01,0.5,0.25,0.4,0.6,0.2,0.3,0.35,,1.5\n"
        "0123456789abcdef,\"lr=0.01, sgd\",3,8,0.01,0.5,0.25,0.4,0.6,0.2,0.3,0.35,,1.5\n";
    assert_file_is(path, expected);

    struct epoch_row *rows;
    size_t count;
    assert_int_equal(epochs_read(path, NULL, &rows, &count, &err), STATUS_OK);
    assert_int_equal(count, 2);
    assert_string_equal(rows[1].trial, row.trial);
    assert_string_equal(rows[1].config, row.config);
    assert_int_equal(rows[1].fold, 3);
    assert_int_equal(rows[1].epoch, 8);
    assert_true(rows[1].val_iou == 0.2 && rows[1].grad_norm == 1.5 && isnan(rows[1].val_recall));
    const char *copy = temporary_path("copy.csv");
    csv_writer *w;
    assert_int_equal(epochs_rewrite(copy, NULL, &w, &err), STATUS_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(epochs_rewrite_row(w, NULL, &rows[i], &err), STATUS_OK);
    assert_int_equal(csv_writer_commit(w, &err), STATUS_OK);
    assert_file_is(copy, expected);
    free(rows);
}

static void epochs_without_a_whole_last_line(void **state) {
    (void)state;
    const char *path = temporary_path("epochs.csv");
    temporary_write(path,
                    "trial,config,fold,epoch,lr,train_loss,train_iou,train_f1,val_loss,val_iou,val_f1,val_precision,"
                    "val_recall,grad_norm\na,c,0,0,1,1,1,1,1,1,1,1,1,1\na,c,0,1,1,1,1,1,1,1,1,1,1,1");
    struct epoch_row *rows;
    size_t count;
    assert_int_equal(epochs_read(path, NULL, &rows, &count, &err), STATUS_OK);
    assert_int_equal(count, 1);
    free(rows);
    temporary_write(path, "trial,config,fold,epoch,rate,train_loss\n");
    assert_int_equal(epochs_read(path, NULL, &rows, &count, &err), STATUS_FORMAT);
    assert_has(err.message, "epochs.csv: line 1: column 5 is 'rate', not 'lr'");
}

// Columns of a program that is not the embedded trainer: behind the fixed ones, or in those of the same name.
static void own_metrics_round_trip(void **state) {
    (void)state;
    const char *path = temporary_path("own.csv");
    struct metric_columns own = {.count = 2, .name = {"accuracy", "auc"}}, read;
    struct epoch_row row;
    epoch_row_empty(&row);
    snprintf(row.trial, sizeof row.trial, "aa");
    snprintf(row.config, sizeof row.config, "x=1");
    *epoch_row_value(&row, &own, "auc") = 0.75;
    *epoch_row_value(&row, &own, "val_loss") = 0.5;
    assert_null(epoch_row_value(&row, &own, "recall"));
    assert_null(epoch_row_value(&row, &own, "epoch")); // no metric
    csv_log *log;
    assert_int_equal(epochs_open(path, &own, &log, &err), STATUS_OK);
    assert_int_equal(epochs_append(log, &row, &err), STATUS_OK);
    csv_log_close(log);
    assert_file_is(path, "trial,config,fold,epoch,lr,train_loss,train_iou,train_f1,val_loss,val_iou,val_f1,"
                         "val_precision,val_recall,grad_norm,accuracy,auc\naa,x=1,0,0,,,,,0.5,,,,,,,0.75\n");
    struct epoch_row *rows;
    size_t count;
    assert_int_equal(epochs_read(path, &read, &rows, &count, &err), STATUS_OK);
    assert_int_equal(count, 1);
    assert_int_equal(read.count, 2);
    assert_true(*epoch_row_value(&rows[0], &read, "auc") == 0.75 && isnan(rows[0].val_iou));
    free(rows);
    assert_int_equal(epochs_open(path, NULL, &log, &err), STATUS_MISMATCH);
}

static void other_metric_names_its_columns(void **state) {
    (void)state;
    const char *path = temporary_path("trials.csv");
    struct swept_columns swept = {.count = 1, .name = {"depth"}}, read;
    swept_set_metric(&swept, "rmse");
    struct trial_row row = {.trial = "aa",
                            .config = "c",
                            .swept_count = 1,
                            .swept = {"3"},
                            .status = "done",
                            .best_iou = 0.5,
                            .best_f1 = NAN,
                            .final_iou = 0.75,
                            .train_val_gap = NAN};
    csv_log *log;
    assert_int_equal(trials_open(path, &swept, &log, &err), STATUS_OK);
    assert_int_equal(trials_append(log, &row, &err), STATUS_OK);
    csv_log_close(log);
    assert_file_is(path, "trial,grid,config,fold,depth,status,best_rmse,best_epoch,best_f1,final_rmse,train_val_gap,"
                         "parameters,epochs_run,error\naa,,c,0,3,done,0.5,0,,0.75,,0,0,\n");
    struct trial_row *rows;
    size_t count;
    assert_int_equal(trials_read(path, &read, &rows, &count, &err), STATUS_OK);
    assert_string_equal(read.metric, "rmse");
    assert_true(rows[0].best_iou == 0.5 && rows[0].final_iou == 0.75);
    free(rows);
}

static void trials_round_trip(void **state) {
    (void)state;
    const char *path = temporary_path("trials.csv");
    struct swept_columns swept = {.count = 2, .name = {"lr", "lstm_hidden_dim"}};
    struct trial_row row[2] = {
        {.trial = "aa",
         .grid = "learning-rate",
         .config = "lr=0.01",
         .fold = 3,
         .swept_count = 2,
         .swept = {"0.01", "512"},
         .status = "done",
         .best_iou = 0.5137,
         .best_f1 = 0.6,
         .final_iou = 0.4,
         .train_val_gap = 0.1,
         .best_epoch = 29,
         .epochs_run = 200,
         .parameters = 94978561},
        {.trial = "bb",
         .grid = "image-size",
         .config = "image-size=128",
         .fold = 3,
         .swept_count = 2,
         .swept = {"0.01", "512"},
         .status = "failed",
         .best_iou = NAN,
         .best_f1 = NAN,
         .final_iou = NAN,
         .train_val_gap = NAN,
         .best_epoch = -1,
         .parameters = 94978561,
         .error = "tile a is 65 x 66, smaller than 128"},
    };
    csv_log *log;
    assert_int_equal(trials_open(path, &swept, &log, &err), STATUS_OK);
    assert_int_equal(trials_append(log, &row[0], &err), STATUS_OK);
    assert_int_equal(trials_append(log, &row[1], &err), STATUS_OK);
    row[0].swept_count = 1;
    assert_int_equal(trials_append(log, &row[0], &err), STATUS_INTERNAL);
    csv_log_close(log);
    static const char expected[] =
        "trial,grid,config,fold,lr,lstm_hidden_dim,status,best_iou,best_epoch,best_f1,final_iou,train_val_gap,parameters,"
        "epochs_run,error\naa,learning-rate,lr=0.01,3,0.01,512,done,0.5137,29,0.6,0.4,0.1,94978561,200,\n"
        "bb,image-size,image-size=128,3,0.01,512,failed,,,,,,94978561,0,\"tile a is 65 x 66, smaller than 128\"\n";
    assert_file_is(path, expected);

    struct trial_row *rows;
    struct swept_columns read;
    size_t count;
    assert_int_equal(trials_read(path, &read, &rows, &count, &err), STATUS_OK);
    assert_int_equal(count, 2);
    assert_int_equal(read.count, 2);
    assert_string_equal(read.name[1], "lstm_hidden_dim");
    assert_string_equal(rows[0].swept[1], "512");
    assert_int_equal(rows[0].swept_count, 2);
    assert_int_equal(rows[0].best_epoch, 29);
    assert_int_equal(rows[1].best_epoch, -1);
    assert_true(isnan(rows[1].best_iou));
    assert_string_equal(rows[1].error, row[1].error);
    const char *copy = temporary_path("copy.csv");
    csv_writer *w;
    assert_int_equal(trials_rewrite(copy, &read, &w, &err), STATUS_OK);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(trials_rewrite_row(w, &read, &rows[i], &err), STATUS_OK);
    assert_int_equal(csv_writer_commit(w, &err), STATUS_OK);
    assert_file_is(copy, expected);
    free(rows);
}

static void malformed_trials_are_named(void **state) {
    (void)state;
    static const char header[] = "trial,grid,config,fold,lr,status,best_iou,best_epoch,best_f1,final_iou,train_val_gap,"
                                 "parameters,epochs_run,error\n";
    static const struct {
        const char *row, *message;
    } cases[] = {
        {"a,g,c,x,1,done,,,,,,1,1,\n", "trials.csv: line 2: fold is 'x': not a whole number"},
        {"a,g,c,99999999999,1,done,,,,,,1,1,\n", "line 2: fold is '99999999999': too large"},
        {"a,g,c,1,1,done,abc,,,,,1,1,\n", "line 2: best_iou is 'abc', not a number"},
        {"a,g,c,1,1,a status too long,,,,,,1,1,\n", "line 2: status is 'a status too long': too long"},
        {"a,g,c,1,1,done,,,,,,1,1,,\n", "line 2: 15 fields where the header has 14"},
    };
    const char *path = temporary_path("trials.csv");
    struct swept_columns swept;
    struct trial_row *rows;
    size_t count;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[512];
        snprintf(text, sizeof text, "%s%s", header, cases[i].row);
        temporary_write(path, text);
        assert_int_equal(trials_read(path, &swept, &rows, &count, &err), STATUS_FORMAT);
        assert_has(err.message, cases[i].message);
    }
    temporary_write(path, "trial,grid,config,fold,lr,best,status\n");
    assert_int_equal(trials_read(path, &swept, &rows, &count, &err), STATUS_FORMAT);
    assert_has(err.message, "line 1");
    temporary_write(path, "trial,grid,config,fold,lr,status,best_iou,best_epoch,best_f1,final_iou,gap,parameters,"
                          "epochs_run,error\n");
    assert_int_equal(trials_read(path, &swept, &rows, &count, &err), STATUS_FORMAT);
    assert_has(err.message, "column 11 is 'gap', not 'train_val_gap'");
}

static void events_round_trip(void **state) {
    (void)state;
    const char *path = temporary_path("events.csv");
    struct event_row row = {"2026-01-14T09:00:00Z",     "aa", -1, "failed", "node1", -1, "", 2, 1.25,
                            "killed: signal 9, \"oom\""};
    csv_log *log;
    assert_int_equal(events_open(path, &log, &err), STATUS_OK);
    assert_int_equal(events_append(log, &row, &err), STATUS_OK);
    csv_log_close(log);
    struct event_row *rows;
    size_t count;
    assert_int_equal(events_read(path, &rows, &count, &err), STATUS_OK);
    assert_int_equal(count, 1);
    assert_int_equal(rows[0].epoch, -1);
    assert_int_equal(rows[0].worker, -1);
    assert_int_equal(rows[0].attempt, 2);
    assert_string_equal(rows[0].detail, row.detail);
    free(rows);
    assert_int_equal(epochs_open(path, NULL, &log, &err), STATUS_MISMATCH);
}

static void folds_are_written(void **state) {
    (void)state;
    const char *path = temporary_path("folds.csv");
    const struct fold_row rows[] = {{"a", "low", 0.04, 0}, {"b", "high", 0.5, 4}, {"c", "moderate", 0.1, -1}};
    assert_int_equal(folds_write(path, rows, 3, &err), STATUS_OK);
    assert_file_is(path, "sample,change_level,positive_share,fold\na,low,0.04,0\nb,high,0.5,4\nc,moderate,0.1,test\n");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, temporary_folder_setup, temporary_folder_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(epochs_round_trip),      TEST(epochs_without_a_whole_last_line),
        TEST(own_metrics_round_trip), TEST(other_metric_names_its_columns),
        TEST(trials_round_trip),      TEST(malformed_trials_are_named),
        TEST(events_round_trip),      TEST(folds_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
