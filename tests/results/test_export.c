// Exports by their bytes: checksums from RFC 3720, records as TensorBoard's own protocol buffers serialize them, the
// lines of an Optuna journal. tests/interop/ reads the same with the real readers.
#include "results/export.h"
#include "results/tfrecord.h"
#include "tests/results/assertions.h"
#include "tests/results/temporary_folder.h"

static struct error err;

static void checksums(void **state) {
    (void)state;
    uint8_t bytes[32] = {0};
    assert_int_equal(crc32c(bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(crc32c(bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(bytes, 32), 0x46dd794e);
    assert_int_equal(crc32c("123456789", 9), 0xe3069283);
    assert_int_equal(crc32c("", 0), 0);
    assert_int_equal(crc32c_masked(0), 0xa282ead8);
}

static void expect_bytes(struct wire *w, const char *hex) {
    static char there[1024];
    assert_false(w->failed);
    for (size_t i = 0; i < w->size && 2 * i + 2 < sizeof there; i++)
        snprintf(there + 2 * i, 3, "%02x", w->data[i]);
    assert_string_equal(there, hex);
    wire_free(w);
}

static void records(void **state) {
    (void)state;
    struct wire w = {0};
    event_version(&w, 1700000000);
    expect_bytes(&w, "1800000000000000a37f4b220900000040fc54d9411a0d627261696e2e4576656e743a32eced8f9d");
    event_scalar(&w, 1700000000.5, 300, "iou/val", 0.25);
    expect_bytes(&w, "1e00000000000000d9dc12320900002040fc54d94110ac022a100a0e0a07696f752f76616c150000803e0acfec9c");
    const struct hparam lr = {"lr", "0.01"};
    event_session_start(&w, 1700000000, "g", &lr, 1);
    expect_bytes(&w, "6100000000000000008f90640900000040fc54d9412a560a540a1c5f68706172616d735f2f73657373696f6e5f737461"
                     "72745f696e666f42060801120212004a2c0a2a0a0768706172616d73121f1a1d0a0f0a026c721209117b14ae47e17a84"
                     "3f2201672900000040fc54d9419df44de0");
    event_session_end(&w, 1700000000, SESSION_SUCCESS);
    expect_bytes(&w, "4d000000000000003d63d4a60900000040fc54d9412a420a400a1a5f68706172616d735f2f73657373696f6e5f656e64"
                     "5f696e666f42060801120212004a1a0a180a0768706172616d73120d220b08011100000040fc54d941e56a21b4");
}

// A run of two trials: one is done, one diverged.
static struct run_data small_run(void) {
    struct run_data run;
    temporary_write(temporary_path("trials.csv"),
                    "trial,grid,config,fold,lr,optimizer,status,best_iou,best_epoch,best_f1,final_iou,train_val_gap,"
                    "parameters,epochs_run,error\n"
                    "aaaaaaaaaaaaaaaa,rate,lr=0.01,1,0.01,sgd,done,0.5,1,0.625,0.5,0.125,100,2,\n"
                    "aaaaaaaaaaaaaaaa,other,again,1,0.01,sgd,done,0.5,1,0.625,0.5,0.125,100,2,\n"
                    "bbbbbbbbbbbbbbbb,rate,lr=1,1,1,adamw,diverged,,,,,,100,0,loss is nan\n");
    temporary_write(temporary_path("epochs.csv"),
                    "trial,config,fold,epoch,lr,train_loss,train_iou,train_f1,val_loss,val_iou,val_f1,val_precision,"
                    "val_recall,grad_norm\n"
                    "aaaaaaaaaaaaaaaa,lr=0.01,1,0,0.01,0.5,0.1,0.2,0.6,0.25,0.3,0.4,0.5,1\n"
                    "aaaaaaaaaaaaaaaa,lr=0.01,1,1,0.01,0.375,0.2,0.3,0.5,0.5,0.6,0.75,,2\n");
    temporary_write(temporary_path("events.csv"), "time,trial,epoch,event,host,worker,device,attempt,seconds,detail\n"
                                                  "2023-11-14T22:13:20Z,aaaaaaaaaaaaaaaa,,assigned,h,1,,1,,\n"
                                                  "2023-11-14T22:13:30Z,aaaaaaaaaaaaaaaa,0,epoch,h,1,,1,10,\n"
                                                  "2023-11-14T22:13:40Z,aaaaaaaaaaaaaaaa,1,epoch,h,1,,1,10,\n");
    temporary_write(temporary_path("sweep.ini"), "[sweep]\nname = small\n");
    if (run_data_read(temporary_folder, &run, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return run;
}

static void tensorboard(void **state) {
    (void)state;
    struct run_data run = small_run();
    size_t trials, bytes, records = 0;
    char *file;
    assert_int_equal(export_tensorboard(&run, temporary_path("tb"), &trials, &err), STATUS_OK);
    assert_int_equal(trials, 1); // the other one has no epoch
    const char *path =
        temporary_path("tb/lr=0.01,fold=1,aaaaaaaaaaaaaaaa/events.out.tfevents.1700000000.aaaaaaaaaaaaaaaa");
    assert_int_equal(file_read(path, &file, &bytes, &err), STATUS_OK);
    for (size_t at = 0; at < bytes; records++) {
        uint64_t length;
        uint32_t length_sum, sum;
        memcpy(&length, file + at, 8);
        memcpy(&length_sum, file + at + 8, 4);
        assert_true(at + 16 + length <= bytes);
        memcpy(&sum, file + at + 12 + length, 4);
        assert_int_equal(length_sum, crc32c_masked(crc32c(file + at, 8)));
        assert_int_equal(sum, crc32c_masked(crc32c(file + at + 12, length)));
        at += 16 + length;
    }
    assert_int_equal(records, 1 + 1 + 10 + 9 + 1); // version, start, scalars (one has no recall), end
    free(file);
    run_data_free(&run);
}

static void optuna(void **state) {
    (void)state;
    struct run_data run = small_run();
    size_t trials;
    const char *path = temporary_path("journal.log");
    assert_int_equal(export_optuna(&run, path, &trials, &err), STATUS_OK);
    assert_int_equal(trials, 2);
    assert_file_is(
        path,
        "{\"op_code\":0,\"worker_id\":\"gridfold-export\",\"study_name\":\"small\",\"directions\":[2]}\n"
        "{\"op_code\":3,\"worker_id\":\"gridfold-export\",\"study_id\":0,\"system_attr\":"
        "{\"study:metric_names\":[\"val_iou\"]}}\n"
        "{\"op_code\":4,\"worker_id\":\"gridfold-export\",\"study_id\":0,\"datetime_start\":"
        "\"2023-11-14T22:13:20+00:00\",\"datetime_complete\":\"2023-11-14T22:13:40+00:00\",\"state\":1,\"value\":0.5,"
        "\"values\":null,\"distributions\":{\"lr\":\"{\\\"name\\\":\\\"FloatDistribution\\\",\\\"attributes\\\":"
        "{\\\"step\\\":null,\\\"low\\\":0.01,\\\"high\\\":1.0,\\\"log\\\":false}}\",\"optimizer\":\"{\\\"name\\\":"
        "\\\"CategoricalDistribution\\\",\\\"attributes\\\":{\\\"choices\\\":[\\\"sgd\\\",\\\"adamw\\\"]}}\"},"
        "\"params\":{\"lr\":0.01,\"optimizer\":0},\"user_attrs\":{\"trial\":\"aaaaaaaaaaaaaaaa\",\"grid\":\"rate\","
        "\"config\":\"lr=0.01\",\"fold\":1,\"status\":\"done\",\"epochs_run\":2,\"best_epoch\":1,"
        "\"parameters\":100,\"best_f1\":0.625,\"final_iou\":0.5,\"train_val_gap\":0.125,\"train_loss\":0.375,"
        "\"val_loss\":0.5,\"val_precision\":0.75},\"system_attrs\":{},"
        "\"intermediate_values\":{\"0\":0.25,\"1\":0.5}}\n"
        "{\"op_code\":4,\"worker_id\":\"gridfold-export\",\"study_id\":0,\"datetime_start\":"
        "\"1970-01-01T00:00:00+00:00\",\"datetime_complete\":\"1970-01-01T00:00:00+00:00\",\"state\":3,\"value\":null,"
        "\"values\":null,\"distributions\":{\"lr\":\"{\\\"name\\\":\\\"FloatDistribution\\\",\\\"attributes\\\":"
        "{\\\"step\\\":null,\\\"low\\\":0.01,\\\"high\\\":1.0,\\\"log\\\":false}}\",\"optimizer\":\"{\\\"name\\\":"
        "\\\"CategoricalDistribution\\\",\\\"attributes\\\":{\\\"choices\\\":[\\\"sgd\\\",\\\"adamw\\\"]}}\"},"
        "\"params\":{\"lr\":1.0,\"optimizer\":1},\"user_attrs\":{\"trial\":\"bbbbbbbbbbbbbbbb\",\"grid\":\"rate\","
        "\"config\":\"lr=1\",\"fold\":1,\"status\":\"diverged\",\"epochs_run\":0,"
        "\"error\":\"loss is nan\",\"parameters\":100},\"system_attrs\":{},"
        "\"intermediate_values\":{}}\n");
    run_data_free(&run);
}

// A run of another program: its own metrics, and an unknown way to end.
static struct run_data command_run(void) {
    struct run_data run;
    temporary_write(temporary_path("sweep.ini"), "[sweep]\nname = mine\ntrainer = command\ndirection = min\n");
    temporary_write(temporary_path("trials.csv"),
                    "trial,grid,config,fold,depth,status,best_rmse,best_epoch,best_f1,final_rmse,train_val_gap,"
                    "parameters,epochs_run,error\n"
                    "aaaaaaaaaaaaaaaa,g,depth=3,0,3,done,0.5,1,,0.75,,0,3,\n"
                    "bbbbbbbbbbbbbbbb,g,depth=4,0,4,shelved,0.875,0,,0.875,,0,1,\n");
    temporary_write(temporary_path("epochs.csv"),
                    "trial,config,fold,epoch,lr,train_loss,train_iou,train_f1,val_loss,val_iou,val_f1,val_precision,"
                    "val_recall,grad_norm,rmse,mae\n"
                    "aaaaaaaaaaaaaaaa,depth=3,0,0,,,,,,,,,,,0.875,4\n"
                    "aaaaaaaaaaaaaaaa,depth=3,0,1,,,,,0.25,,,,,,0.5,3\n"
                    "aaaaaaaaaaaaaaaa,depth=3,0,2,,,,,,,,,,,0.75,nan\n"
                    "bbbbbbbbbbbbbbbb,depth=4,0,0,,,,,,,,,,,0.875,5\n");
    if (run_data_read(temporary_folder, &run, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return run;
}

static size_t count_of(const char *bytes, size_t size, const char *text) {
    size_t found = 0, length = strlen(text);
    for (size_t at = 0; at + length <= size; at++)
        found += memcmp(bytes + at, text, length) == 0;
    return found;
}

static void metrics_of_another_program(void **state) {
    (void)state;
    struct run_data run = command_run();
    size_t trials, bytes;
    char *text;
    assert_string_equal(metric_name(&run.metric), "rmse"); // sweep.ini does not say
    assert_int_equal(export_tensorboard(&run, temporary_path("tb"), &trials, &err), STATUS_OK);
    assert_int_equal(trials, 2);
    const char *path =
        temporary_path("tb/depth=3,fold=0,aaaaaaaaaaaaaaaa/events.out.tfevents.0000000000.aaaaaaaaaaaaaaaa");
    assert_int_equal(file_read(path, &text, &bytes, &err), STATUS_OK);
    assert_int_equal(count_of(text, bytes, "rmse"), 3);
    assert_int_equal(count_of(text, bytes, "mae"), 2);
    assert_int_equal(count_of(text, bytes, "loss/val"), 1);
    assert_int_equal(count_of(text, bytes, "iou/val"), 0);
    free(text);
    path = temporary_path("journal.log");
    assert_int_equal(export_optuna(&run, path, &trials, &err), STATUS_OK);
    assert_int_equal(file_read(path, &text, NULL, &err), STATUS_OK);
    assert_has(text, "\"study_name\":\"mine\",\"directions\":[1]}");
    assert_has(text, "{\"study:metric_names\":[\"rmse\"]}");
    assert_has(text, "\"state\":1,\"value\":0.5,");
    assert_has(text, "\"best_epoch\":1,\"final_rmse\":0.75,\"val_loss\":0.25,\"rmse\":0.5,\"mae\":3.0}");
    assert_has(text, "\"intermediate_values\":{\"0\":0.875,\"1\":0.5,\"2\":0.75}}");
    assert_has(text, "\"state\":2,\"value\":0.875,"); // neither complete nor failed
    assert_has(text, "\"status\":\"shelved\"");
    free(text);
    run_data_free(&run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums),
        cmocka_unit_test(records),
        cmocka_unit_test_setup_teardown(tensorboard, temporary_folder_setup, temporary_folder_teardown),
        cmocka_unit_test_setup_teardown(optuna, temporary_folder_setup, temporary_folder_teardown),
        cmocka_unit_test_setup_teardown(metrics_of_another_program, temporary_folder_setup, temporary_folder_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
