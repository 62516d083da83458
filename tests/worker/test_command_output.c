// Epochs among whatever else a program prints.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/command_output.h"

struct heard {
    char epochs[512], others[512];
};

static enum status on_epoch(void *context, const struct command_epoch *e, struct error *err) {
    struct heard *h = context;
    (void)err;
    snprintf(h->epochs + strlen(h->epochs), sizeof h->epochs - strlen(h->epochs), "%d:", e->epoch);
    for (int i = 0; i < e->count; i++)
        snprintf(h->epochs + strlen(h->epochs), sizeof h->epochs - strlen(h->epochs), " %g", e->values[i]);
    strcat(h->epochs, "\n");
    return STATUS_OK;
}

static void on_other(void *context, const char *text, size_t bytes) {
    struct heard *h = context;
    snprintf(h->others + strlen(h->others), sizeof h->others - strlen(h->others), "%.*s", (int)bytes, text);
}

// Whatever the pieces in which the text comes.
static void expect(const char *metrics, const char *text, const char *epochs, const char *others) {
    for (size_t piece = 1; piece <= strlen(text) + 1; piece += 3) {
        struct heard h = {"", ""};
        struct command_sink sink = {&h, on_epoch, on_other};
        struct error err;
        command_output *o;
        assert_int_equal(command_output_create(metrics, &sink, &o, &err), STATUS_OK);
        for (size_t at = 0; at < strlen(text); at += piece) {
            size_t bytes = strlen(text) - at < piece ? strlen(text) - at : piece;
            assert_int_equal(command_output_add(o, text + at, bytes, &err), STATUS_OK);
        }
        assert_int_equal(command_output_end(o, &err), STATUS_OK);
        assert_string_equal(h.epochs, epochs);
        assert_string_equal(h.others, others);
        command_output_destroy(o);
    }
}

static void test_epochs_among_words(void **state) {
    (void)state;
    expect("acc", "loading\nloss,acc\n0.5,0.25\nan epoch, they say\n0.25,0.5\ndone\n", "0: 0.25\n1: 0.5\n",
           "loading\nan epoch, they say\ndone\n");
    expect("acc,loss", "loss,acc\n0.5,0.25", "0: 0.25 0.5\n", "");
    expect("acc", " acc \r\n 1e-3 \r\nnan\r\n\r\n", "0: 0.001\n1: nan\n", "\r\n");
}

static void test_numbered_epochs(void **state) {
    (void)state;
    expect("acc", "epoch,acc\n3,0.5\n4,0.6\nx,0.7\n-1,0.7\n", "3: 0.5\n4: 0.6\n", "x,0.7\n-1,0.7\n");
}

static void test_what_is_no_epoch(void **state) {
    (void)state;
    expect("acc", "1,2\nloss,auc\n0.1,0.2\n", "", "1,2\nloss,auc\n0.1,0.2\n"); // no header of ours
    expect("acc", "acc,loss\n0.1\n0.1,0.2,0.3\nhigh,0.2\n0.3,low\n", "0: 0.3\n", "0.1\n0.1,0.2,0.3\nhigh,0.2\n");
    expect("acc", "acc,\"a \"\"b\"\"\"\n1,\"x\ny\"\n2,z\n", "0: 2\n", "1,\"x\ny\"\n"); // a field ends with its line
    expect("acc", "acc\n1\nacc\n2\n", "0: 1\n1: 2\n", "");                             // the header again
}

static void test_long_line(void **state) {
    (void)state;
    struct heard h = {"", ""};
    struct command_sink sink = {&h, on_epoch, on_other};
    struct error err;
    command_output *o;
    assert_int_equal(command_output_create("acc", &sink, &o, &err), STATUS_OK);
    char *text = malloc(1 << 18);
    memset(text, 'x', 1 << 18);
    memcpy(text + (1 << 18) - 7, "\nacc\n1\n", 7);
    for (size_t at = 0; at < 1 << 18; at += 1 << 14)
        assert_int_equal(command_output_add(o, text + at, 1 << 14, &err), STATUS_OK);
    assert_string_equal(h.epochs, "0: 1\n");
    assert_true(command_output_has_header(o) && !command_output_numbers_epochs(o));
    free(text);
    command_output_destroy(o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epochs_among_words),
        cmocka_unit_test(test_numbered_epochs),
        cmocka_unit_test(test_what_is_no_epoch),
        cmocka_unit_test(test_long_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
