#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/protocol.h"

static void encode(const struct message *m, char **frame, size_t *bytes) {
    struct error err;
    assert_int_equal(message_encode(m, frame, bytes, &err), STATUS_OK);
}

// Through a frame and back.
static void round_trip(const struct message *m, struct message *back) {
    char *frame;
    size_t bytes;
    struct error err = {0};
    encode(m, &frame, &bytes);
    struct inbox inbox = {0};
    bool got;
    assert_int_equal(inbox_add(&inbox, frame, bytes, &err), STATUS_OK);
    assert_int_equal(inbox_take(&inbox, back, &got, &err), STATUS_OK);
    assert_true(got);
    struct message none;
    assert_int_equal(inbox_take(&inbox, &none, &got, &err), STATUS_OK);
    assert_false(got);
    inbox_free(&inbox);
    free(frame);
    assert_int_equal(back->kind, m->kind);
    assert_string_equal(back->trial, m->trial);
    assert_int_equal(back->attempt, m->attempt);
    assert_int_equal(back->cause, m->cause);
}

static void test_hello(void **state) {
    (void)state;
    static struct message m = {.kind = MESSAGE_HELLO}, back;
    m.hello = (struct message_hello){.host = "node-1",
                                     .device = "a \"CPU\"",
                                     .cpus = "0-3,8",
                                     .cores = 5,
                                     .pid = 1L << 40,
                                     .local_rank = -1,
                                     .gpus = "0,MIG-2",
                                     .gpu_ids = "GPU-1f,MIG-2",
                                     .gpu = "a GPU",
                                     .gpus_usable = true};
    round_trip(&m, &back);
    assert_memory_equal(&m.hello, &back.hello, sizeof m.hello);
}

static struct message example_assign(void) {
    struct message m = {.kind = MESSAGE_ASSIGN, .trial = "0123456789abcdef", .attempt = 2};
    struct error err;
    m.assign.trial = (struct trial){.id = "0123456789abcdef",
                                    .hp = hyperparameters_default(),
                                    .folds = 5,
                                    .fold = 3,
                                    .seed = UINT64_MAX,
                                    .dataset = "/data/a b.safetensors",
                                    .backend = "auto",
                                    .threads = 7,
                                    .until = 3,
                                    .checkpoint_seconds = 0.1};
    memset(m.assign.trial.folder, 'f', sizeof m.assign.trial.folder - 1);
    m.assign.crowded = true;
    m.assign.hang_seconds = 0.25;
    assert_int_equal(hyper_set(&m.assign.trial.hp, HYPER_lr, "0.00030000000000000003", &err), STATUS_OK);
    assert_int_equal(hyper_set(&m.assign.trial.hp, HYPER_decoder_channels, "8,7,6,5,4", &err), STATUS_OK);
    assert_int_equal(hyper_set(&m.assign.trial.hp, HYPER_optimizer, "adamw", &err), STATUS_OK);
    return m;
}

static void test_assign(void **state) {
    (void)state;
    static struct message m, back;
    m = example_assign();
    round_trip(&m, &back);
    assert_string_equal(back.assign.trial.folder, m.assign.trial.folder);
    assert_string_equal(back.assign.trial.dataset, m.assign.trial.dataset);
    assert_true(back.assign.trial.seed == UINT64_MAX);
    assert_int_equal(back.assign.trial.until, 3);
    assert_true(back.assign.trial.checkpoint_seconds == 0.1);
    assert_int_equal(back.assign.trial.threads, 7);
    assert_true(back.assign.crowded);
    assert_true(back.assign.hang_seconds == 0.25);
    for (int i = 0; i < HYPER_COUNT; i++) {
        char a[HYPER_VALUE_SIZE], b[HYPER_VALUE_SIZE];
        hyper_format(&m.assign.trial.hp, i, a);
        hyper_format(&back.assign.trial.hp, i, b);
        assert_string_equal(a, b);
    }
    char a[TRIAL_ID_SIZE], b[TRIAL_ID_SIZE];
    trial_id(&m.assign.trial.hp, 5, 3, 42, a);
    trial_id(&back.assign.trial.hp, 5, 3, 42, b);
    assert_string_equal(a, b);
}

static void test_epoch_keeps_every_double(void **state) {
    (void)state;
    static struct message m = {.kind = MESSAGE_EPOCH, .trial = "a"}, back;
    m.epoch = (struct message_epoch){.replayed = true, .seconds = 1e-300};
    m.epoch.metrics = (struct epoch_metrics){.epoch = 7,
                                             .lr = 0.1,
                                             .train_loss = NAN,
                                             .train_iou = 1.0 / 3,
                                             .train_f1 = INFINITY,
                                             .val_loss = -INFINITY,
                                             .val_iou = 5e-324,
                                             .val_f1 = 1.7976931348623157e308,
                                             .val_precision = 1,
                                             .val_recall = -0.0,
                                             .grad_norm = 0.30000000000000004};
    round_trip(&m, &back);
    const struct epoch_metrics *a = &m.epoch.metrics, *b = &back.epoch.metrics;
    assert_true(isnan(b->train_loss));
    assert_true(a->lr == b->lr && a->train_iou == b->train_iou && a->train_f1 == b->train_f1);
    assert_true(a->val_loss == b->val_loss && a->val_iou == b->val_iou && a->val_f1 == b->val_f1);
    assert_true(b->val_precision == 1 && b->val_recall == 0 && signbit(b->val_recall));
    assert_true(a->grad_norm == b->grad_norm && back.epoch.seconds == 1e-300 && back.epoch.replayed);
}

static void test_result(void **state) {
    (void)state;
    static struct message m = {.kind = MESSAGE_RESULT, .trial = "a"}, back;
    m.result = (struct trial_result){
        .status = TRIAL_DIVERGED, .best_iou = NAN, .best_f1 = 0.5, .best_epoch = -1, .parameters = 218190337LL << 8};
    memset(m.result.error, 'e', sizeof m.result.error - 1);
    round_trip(&m, &back);
    assert_int_equal(back.result.status, TRIAL_DIVERGED);
    assert_true(isnan(back.result.best_iou) && back.result.best_f1 == 0.5);
    assert_int_equal(back.result.best_epoch, -1);
    assert_true(back.result.parameters == m.result.parameters);
    assert_string_equal(back.result.error, m.result.error);
}

static void test_heartbeat(void **state) {
    (void)state;
    static struct message m = {.kind = MESSAGE_HEARTBEAT, .trial = "a", .heartbeat = {.epoch = 3, .step = 7}}, back;
    round_trip(&m, &back);
    assert_int_equal(back.heartbeat.epoch, 3);
    assert_int_equal(back.heartbeat.step, 7);
}

static void test_words_that_are_not_utf8(void **state) {
    (void)state;
    static struct message m = {.kind = MESSAGE_LOST, .trial = "a", .cause = LOSS_MEMORY}, back;
    strcpy(m.reason, "bad \xff\xfe byte, \"quote\", \\ and \ttab");
    round_trip(&m, &back);
    assert_string_equal(back.reason, "bad ?? byte, \"quote\", \\ and \ttab");
}

// Two frames that come byte by byte.
static void test_pieces(void **state) {
    (void)state;
    static struct message m[2] = {{.kind = MESSAGE_STOP}, {.kind = MESSAGE_BYE, .code = 75}}, back;
    struct inbox inbox = {0};
    struct error err;
    int taken = 0;
    for (int i = 0; i < 2; i++) {
        char *frame;
        size_t bytes;
        encode(&m[i], &frame, &bytes);
        for (size_t b = 0; b < bytes; b++) {
            bool got;
            assert_int_equal(inbox_add(&inbox, frame + b, 1, &err), STATUS_OK);
            assert_int_equal(inbox_take(&inbox, &back, &got, &err), STATUS_OK);
            assert_int_equal(got, b + 1 == bytes);
            if (got)
                assert_int_equal(back.kind, m[taken++].kind);
        }
        free(frame);
    }
    assert_int_equal(taken, 2);
    assert_int_equal(back.code, 75);
    inbox_free(&inbox);
}

static enum status take_text(const char *json, size_t length, struct error *err) {
    struct inbox inbox = {0};
    unsigned char head[4] = {(unsigned char)length, (unsigned char)(length >> 8), (unsigned char)(length >> 16),
                             (unsigned char)(length >> 24)};
    static struct message m;
    bool got;
    assert_int_equal(inbox_add(&inbox, head, 4, err), STATUS_OK);
    assert_int_equal(inbox_add(&inbox, json, strlen(json), err), STATUS_OK);
    enum status status = inbox_take(&inbox, &m, &got, err);
    if (status != STATUS_OK)
        assert_false(got);
    inbox_free(&inbox);
    return status;
}

static void test_garbage(void **state) {
    (void)state;
    static const char *const bad[] = {
        "GET / HTTP/1.1",
        "[1,2]",
        "{}",
        "{\"kind\":\"dance\",\"trial\":\"\",\"attempt\":0,\"code\":0,\"reason\":\"\"}",
        "{\"kind\":\"stop\",\"trial\":\"0123456789abcdef0\",\"attempt\":0,\"code\":0,\"reason\":\"\"}",
        "{\"kind\":\"stop\",\"trial\":\"\",\"attempt\":99999999999,\"code\":0,\"reason\":\"\"}",
        "{\"kind\":\"epoch\",\"trial\":\"\",\"attempt\":0,\"code\":0,\"reason\":\"\"}",
        "{\"kind\":\"result\",\"trial\":\"\",\"attempt\":0,\"code\":0,\"reason\":\"\"}",
        "{\"kind\":\"assign\",\"trial\":\"\",\"attempt\":0,\"code\":0,\"reason\":\"\"}",
    };
    struct error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(take_text(bad[i], strlen(bad[i]), &err), STATUS_FORMAT);
    assert_int_equal(take_text("x", 0, &err), STATUS_FORMAT);
    assert_int_equal(take_text("x", 0x20202020, &err), STATUS_FORMAT);
    assert_int_equal(take_text("{", 100, &err), STATUS_OK); // the rest may come yet
}

// A worker of another version must not train with other values than were meant.
static void test_other_hyperparameters(void **state) {
    (void)state;
    static struct message m;
    struct error err;
    m = example_assign();
    char *frame;
    size_t bytes;
    encode(&m, &frame, &bytes);
    char *text = strndup(frame + 4, bytes - 4);
    char *key = strstr(text, "\"momentum\"");
    assert_non_null(key);
    memcpy(key, "\"mementos\"", 10);
    assert_int_equal(take_text(text, strlen(text), &err), STATUS_FORMAT);
    assert_non_null(strstr(err.message, "mementos"));
    free(text);
    free(frame);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_assign),
        cmocka_unit_test(test_epoch_keeps_every_double),
        cmocka_unit_test(test_result),
        cmocka_unit_test(test_heartbeat),
        cmocka_unit_test(test_words_that_are_not_utf8),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_other_hyperparameters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
