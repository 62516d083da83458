// Which GPUs a rank has, what they are called, and which of them its trainer sees.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "worker/agent.h"
#include "worker/devices.h"

static const char two[] = "GPU-aa\t85899345920\t84000000000\tNVIDIA H100 80GB HBM3\n"
                          "GPU-bb\t42949672960\t0\tNVIDIA A100-SXM4-40GB\n";

struct expected {
    const char *visible, *printed, *entries, *ids;
    int in_files;
    bool usable;
};

static void expect(const struct expected *e) {
    struct visible_devices d;
    char entries[256] = "", ids[256] = "";
    devices_merge(e->visible, e->printed, e->in_files, &d);
    for (int i = 0; i < d.count; i++) {
        snprintf(entries + strlen(entries), sizeof entries - strlen(entries), "%s ", d.at[i].entry);
        snprintf(ids + strlen(ids), sizeof ids - strlen(ids), "%s ", d.at[i].id);
    }
    assert_string_equal(entries, e->entries);
    assert_string_equal(ids, e->ids);
    assert_int_equal(d.usable, e->usable);
}

static void test_names(void **state) {
    (void)state;
    static const struct expected cases[] = {
        {NULL, two, "0 1 ", "GPU-aa GPU-bb ", 2, true},
        {NULL, two, "0 1 ", "GPU-aa GPU-bb ", 0, true}, // a container without the driver's files
        {"3,1", two, "3 1 ", "GPU-aa GPU-bb ", 8, true},
        {"GPU-a, GPU-b", two, "GPU-a GPU-b ", "GPU-aa GPU-bb ", 8, true}, // shortened
        {"MIG-1,MIG-2", two, "MIG-1 MIG-2 ", "MIG-1 MIG-2 ", 8, true},    // instances may share a GPU's number
        {"3,9,1", "GPU-aa\t1\t0\tx\n", "3 ", "GPU-aa ", 8, true},         // there is no 9: CUDA stops there
        {"2,-1,3", NULL, "2 ", "2 ", 8, false},
        {"GPU-a,GPU-b", NULL, "GPU-a GPU-b ", "GPU-a GPU-b ", 0, false},
        {NULL, NULL, "0 1 2 3 ", "0 1 2 3 ", 4, false},
        {"", NULL, "", "", 4, false},
        {"NoDevFiles", "", "NoDevFiles ", "NoDevFiles ", 0, false}, // Slurm's word for none; CUDA finds none
        {NULL, NULL, "", "", 0, false},
        {NULL, "", "0 1 ", "0 1 ", 2, false}, // a build without CUDA
        {NULL, "no\tnumbers\n", "0 ", "0 ", 1, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect(&cases[i]);
}

static void test_what_they_are(void **state) {
    (void)state;
    struct visible_devices d;
    devices_merge(NULL, two, 2, &d);
    assert_string_equal(d.at[0].name, "NVIDIA H100 80GB HBM3");
    assert_string_equal(d.at[1].name, "NVIDIA A100-SXM4-40GB");
    assert_true(d.at[0].bytes == 85899345920 && d.at[0].free_bytes == 84000000000 && d.at[1].free_bytes == 0);
}

// This program is the one that is asked: see main.
static void test_asking(void **state) {
    (void)state;
    struct message_hello hello = {0};
    setenv("CUDA_VISIBLE_DEVICES", "5,7", 1);
    setenv("TEST_GPUS", two, 1);
    setenv("OMPI_COMM_WORLD_LOCAL_RANK", "3", 1);
    agent_describe_host(&hello);
    agent_describe_gpus(true, &hello);
    assert_string_equal(hello.gpus, "5,7");
    assert_string_equal(hello.gpu_ids, "GPU-aa,GPU-bb");
    assert_string_equal(hello.gpu, "NVIDIA H100 80GB HBM3");
    assert_true(hello.gpus_usable);
    assert_int_equal(hello.local_rank, 3);
    setenv("TEST_GPUS", "fails", 1);
    memset(&hello, 0, sizeof hello);
    agent_describe_host(&hello);
    agent_describe_gpus(false, &hello);
    assert_string_equal(hello.gpu_ids, "5,7");
    assert_false(hello.gpus_usable);
    assert_int_equal(hello.local_rank, -1);
    unsetenv("OMPI_COMM_WORLD_LOCAL_RANK");
    unsetenv("CUDA_VISIBLE_DEVICES");
}

int main(int argc, char **argv) {
    if (argc == 3 && strcmp(argv[1], "trainer") == 0 && strcmp(argv[2], "devices") == 0) {
        const char *text = getenv("TEST_GPUS");
        if (!text || strcmp(text, "fails") == 0)
            return 1;
        printf("%s", text);
        return 0;
    }
    unsetenv("SLURM_LOCALID");
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_names), cmocka_unit_test(test_what_they_are),
                                       cmocka_unit_test(test_asking)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
