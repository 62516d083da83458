// What the CUDA backend tells of the GPUs that there are, on the stand-in for CUDA's runtime.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/cuda/standin/standin.h"
#include "worker/devices.h"

static char *print(bool memory) {
    char *text = NULL;
    size_t bytes = 0;
    struct error err;
    FILE *f = open_memstream(&text, &bytes);
    assert_non_null(f);
    assert_int_equal(devices_print(memory, f, &err), STATUS_OK);
    fclose(f);
    return text;
}

static void test_devices_are_told(void **state) {
    (void)state;
    struct visible_devices d;
    standin_set_devices(2);
    standin_set_memory((size_t)3 << 30);
    char *text = print(false);
    devices_merge("7,3", text, 0, &d);
    free(text);
    assert_true(d.usable);
    assert_int_equal(d.count, 2);
    assert_string_equal(d.at[0].entry, "7");
    assert_string_equal(d.at[0].id, "GPU-10101010-1010-1010-1010-101010101010");
    assert_string_equal(d.at[1].id, "GPU-11111111-1111-1111-1111-111111111111");
    assert_string_equal(d.at[1].name, "stand-in on the host");
    assert_true(d.at[1].bytes == (uint64_t)3 << 30 && d.at[1].free_bytes == 0);
    text = print(true);
    devices_merge(NULL, text, 0, &d);
    free(text);
    assert_string_equal(d.at[1].entry, "1");
    assert_true(d.at[1].free_bytes == (uint64_t)3 << 30);
}

static void test_none(void **state) {
    (void)state;
    standin_set_devices(0);
    char *text = print(true);
    assert_string_equal(text, "");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_devices_are_told), cmocka_unit_test(test_none)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
