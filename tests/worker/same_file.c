#include "tests/worker/same_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/base/file.h"

void assert_same_file(const struct trial *a, const struct trial *b, const char *name) {
    char path_a[PATH_SIZE + 32], path_b[PATH_SIZE + 32], *text_a, *text_b;
    size_t size_a, size_b;
    struct error err;
    snprintf(path_a, sizeof path_a, "%s/%s", a->folder, name);
    snprintf(path_b, sizeof path_b, "%s/%s", b->folder, name);
    assert_int_equal(file_read(path_a, &text_a, &size_a, &err), STATUS_OK);
    assert_int_equal(file_read(path_b, &text_b, &size_b, &err), STATUS_OK);
    assert_int_equal(size_a, size_b);
    assert_memory_equal(text_a, text_b, size_a);
    free(text_a);
    free(text_b);
}
