// The hyperparameter table: defaults, ranges, canonical text, nearest keys, trial ids.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "worker/hyperparameters.h"

static void test_defaults_are_the_baseline(void **state) {
    (void)state;
    struct hyperparameters hp = hyperparameters_default();
    struct error err;
    assert_true(hp.lr == 0.001);
    assert_int_equal(hp.optimizer, 0);
    assert_int_equal(hp.lstm_hidden_dim, 512);
    assert_int_equal(hp.decoder_channels[0], 256);
    assert_int_equal(hp.decoder_channels[4], 16);
    assert_true(hp.adam_epsilon == 1e-8);
    assert_string_equal(hp.pretrained_encoder, "");
    assert_int_equal(hyperparameters_check(&hp, &err), STATUS_OK);
}

static void test_every_default_is_canonical(void **state) {
    (void)state;
    struct hyperparameters hp = hyperparameters_default();
    for (int i = 0; i < HYPER_COUNT; i++) {
        char text[HYPER_VALUE_SIZE];
        hyper_format(&hp, i, text);
        assert_string_equal(text, hyper_default_text(i));
    }
}

static void test_set_and_format(void **state) {
    (void)state;
    static const struct {
        int index;
        const char *text, *canonical;
    } cases[] = {
        {HYPER_lr, "1e-2", "0.01"},
        {HYPER_lr, "0.010000", "0.01"},
        {HYPER_lr, "0.1", "0.1"},
        {HYPER_lr, "0.30000000000000004", "0.30000000000000004"},
        {HYPER_lr, "+1E-05", "1e-05"},
        {HYPER_lr, "1e2", "100"},
        {HYPER_clip_norm, "12.50", "12.5"},
        {HYPER_weight_decay, "-0", "0"},
        {HYPER_epochs, "0300", "300"},
        {HYPER_optimizer, "adamw", "adamw"},
        {HYPER_temporal_sampling, "bi-temporal", "bi_temporal"},
        {HYPER_temporal_sampling, "all", "all"},
        {HYPER_conv1_rgb, "as_published", "as-published"},
        {HYPER_decoder_channels, " 16, 16 ,8,8,  8", "16,16,8,8,8"},
        {HYPER_init_checkpoint, "runs/a b/best.safetensors", "runs/a b/best.safetensors"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hyperparameters hp = hyperparameters_default();
        struct error err;
        char text[HYPER_VALUE_SIZE];
        assert_int_equal(hyper_set(&hp, cases[i].index, cases[i].text, &err), STATUS_OK);
        hyper_format(&hp, cases[i].index, text);
        assert_string_equal(text, cases[i].canonical);
    }
}

static void test_what_is_refused(void **state) {
    (void)state;
    static const struct {
        int index;
        const char *text, *message;
    } cases[] = {
        {HYPER_lr, "12000", "lr = 12000: must lie in 1e-12 .. 1000"},
        {HYPER_lr, "0", "lr = 0: must lie in 1e-12 .. 1000"},
        {HYPER_lr, "nan", "lr = nan: is not a number; write one like 0.001"},
        {HYPER_lr, "0x1p-3", "lr = 0x1p-3: is not a number; write one like 0.001"},
        {HYPER_lr, "1e999", "lr = 1e999: must lie in 1e-12 .. 1000"},
        {HYPER_lr, "", "lr = : is not a number; write one like 0.001"},
        {HYPER_lr, "0.1 0.2", "lr = 0.1 0.2: is not a number; write one like 0.001"},
        {HYPER_epochs, "2.5", "epochs = 2.5: is not a whole number; write one like 200"},
        {HYPER_epochs, "0", "epochs = 0: must lie in 1 .. 1000000"},
        {HYPER_epochs, "99999999999999999999", "epochs = 99999999999999999999: must lie in 1 .. 1000000"},
        {HYPER_epochs, "4294967297", "epochs = 4294967297: must lie in 1 .. 1000000"},
        {HYPER_optimizer, "adam", "optimizer = adam: must be one of sgd|adamw"},
        {HYPER_optimizer, "", "optimizer = : must be one of sgd|adamw"},
        {HYPER_decoder_channels, "1,2,3,4",
         "decoder-channels = 1,2,3,4: must be 5 whole numbers like 256,128,64,32,16"},
        {HYPER_decoder_channels, "1,2,3,4,5,6",
         "decoder-channels = 1,2,3,4,5,6: must be 5 whole numbers like 256,128,64,32,16"},
        {HYPER_decoder_channels, "1,2,,4,5",
         "decoder-channels = 1,2,,4,5: must be 5 whole numbers like 256,128,64,32,16"},
        {HYPER_decoder_channels, "1,2,0,4,5", "decoder-channels = 1,2,0,4,5: must lie in 1 .. 65536"},
        {HYPER_init_checkpoint, "a\nb", "init-checkpoint: holds a line break; take a path without one"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct hyperparameters hp = hyperparameters_default(), before = hp;
        struct error err;
        assert_int_equal(hyper_set(&hp, cases[i].index, cases[i].text, &err), STATUS_INVALID);
        assert_string_equal(err.message, cases[i].message);
        assert_memory_equal(&hp, &before, sizeof hp);
    }
}

static void test_image_size_is_a_multiple_of_32(void **state) {
    (void)state;
    struct hyperparameters hp = hyperparameters_default();
    struct error err;
    hp.image_size = 100;
    assert_int_equal(hyperparameters_check(&hp, &err), STATUS_INVALID);
    assert_string_equal(err.message, "image-size = 100: must be a multiple of 32; take 96");
}

static void test_names(void **state) {
    (void)state;
    char column[64];
    assert_int_equal(hyper_find("lstm-hidden-dim"), HYPER_lstm_hidden_dim);
    assert_int_equal(hyper_find("lstm_hidden_dim"), HYPER_lstm_hidden_dim);
    assert_int_equal(hyper_find("lstm-hidden"), -1);
    assert_int_equal(hyper_find(""), -1);
    hyper_column(HYPER_lstm_hidden_dim, column, sizeof column);
    assert_string_equal(column, "lstm_hidden_dim");
    assert_string_equal(hyper_nearest("lerning"), "lr");
    assert_string_equal(hyper_nearest("batchsize"), "batch-size");
    assert_string_equal(hyper_nearest("LSTM_HIDDEN_DIMS"), "lstm-hidden-dim");
}

// Ids name folders and rows of earlier runs: these may change only when the table itself changes.
static void test_trial_id(void **state) {
    (void)state;
    struct hyperparameters hp = hyperparameters_default();
    struct error err;
    char id[TRIAL_ID_SIZE], other[TRIAL_ID_SIZE];
    trial_id(&hp, 5, 3, 42, id);
    assert_string_equal(id, "fc7612d0b6a2c493");
    trial_id(&hp, 5, 2, 42, other);
    assert_string_not_equal(id, other);
    trial_id(&hp, 4, 3, 42, other);
    assert_string_not_equal(id, other);
    trial_id(&hp, 5, 3, 43, other);
    assert_string_not_equal(id, other);
    assert_int_equal(hyper_set(&hp, HYPER_lr, "1e-3", &err), STATUS_OK);
    trial_id(&hp, 5, 3, 42, other);
    assert_string_equal(id, other);
}

// No two settings share an id: each hyperparameter alone changes it.
static void test_every_hyperparameter_is_part_of_the_id(void **state) {
    (void)state;
    static const char *const changed[] = {"adamw", "cosine",          "all", "mean", "nearest", "off", "as-published",
                                          "96",    "256,128,64,32,8", "0.5", "3",    "tf32"};
    struct hyperparameters base = hyperparameters_default();
    char id[TRIAL_ID_SIZE], other[TRIAL_ID_SIZE];
    trial_id(&base, 5, 3, 42, id);
    for (int i = 0; i < HYPER_COUNT; i++) {
        struct hyperparameters hp = base;
        struct error err;
        size_t c = 0;
        while (c < sizeof changed / sizeof *changed && hyper_set(&hp, i, changed[c], &err) != STATUS_OK)
            c++;
        assert_true(c < sizeof changed / sizeof *changed);
        trial_id(&hp, 5, 3, 42, other);
        assert_string_not_equal(id, other);
    }
}

static void test_copy(void **state) {
    (void)state;
    for (int i = 0; i < HYPER_COUNT; i++) {
        struct hyperparameters from, to, expected = hyperparameters_default();
        memset(&from, 1, sizeof from);
        to = expected;
        hyper_copy(&to, &from, i);
        assert_memory_not_equal(&to, &expected, sizeof to);
        hyper_copy(&to, &expected, i);
        assert_memory_equal(&to, &expected, sizeof to);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_are_the_baseline),
        cmocka_unit_test(test_every_default_is_canonical),
        cmocka_unit_test(test_set_and_format),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_image_size_is_a_multiple_of_32),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_trial_id),
        cmocka_unit_test(test_every_hyperparameter_is_part_of_the_id),
        cmocka_unit_test(test_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
