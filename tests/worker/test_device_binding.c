// Which GPU a worker gets.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/device_binding.h"

static void test_choice(void **state) {
    (void)state;
    static const struct {
        const char *visible;
        int devices, rank;
        const char *wanted;                               // NULL: nothing to choose
    } cases[] = {{NULL, 4, 0, "0"},    {NULL, 4, 4, "0"}, // the master of four workers is rank 0: they get 1, 2, 3, 0
                 {NULL, 4, 6, "2"},    {NULL, 1, 3, NULL},   {NULL, 0, 3, NULL},
                 {"2,5,7", 8, 1, "5"}, {"2,5,7", 8, 5, "7"}, {"GPU-aa,GPU-bb", 8, 2, "GPU-aa"},
                 {"3", 8, 1, NULL}, // the user has chosen
                 {"", 8, 1, NULL},     {NULL, 8, -1, NULL}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64] = "";
        bool chosen = device_binding_choose(cases[i].visible, cases[i].devices, cases[i].rank, out, sizeof out);
        assert_int_equal(chosen, cases[i].wanted != NULL);
        if (chosen)
            assert_string_equal(out, cases[i].wanted);
    }
    char small[4];
    assert_false(device_binding_choose("GPU-aa,GPU-bb", 8, 0, small, sizeof small));
}

static void test_environment(void **state) {
    (void)state;
    setenv("CUDA_VISIBLE_DEVICES", "4,6", 1);
    device_binding_apply(); // no rank
    assert_string_equal(getenv("CUDA_VISIBLE_DEVICES"), "4,6");
    setenv("SLURM_LOCALID", "0", 1);
    setenv("OMPI_COMM_WORLD_LOCAL_RANK", "1", 1);
    device_binding_apply();
    assert_string_equal(getenv("CUDA_VISIBLE_DEVICES"), "6");
    unsetenv("OMPI_COMM_WORLD_LOCAL_RANK");
}

int main(void) {
    unsetenv("OMPI_COMM_WORLD_LOCAL_RANK");
    unsetenv("SLURM_LOCALID");
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_choice), cmocka_unit_test(test_environment)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
