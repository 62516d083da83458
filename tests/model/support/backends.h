// Which backends a test runs on.
#ifndef GRIDFOLD_TESTS_MODEL_SUPPORT_BACKENDS_H
#define GRIDFOLD_TESTS_MODEL_SUPPORT_BACKENDS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/backend.h"

// What is computed in: GRIDFOLD_TEST_PRECISION = fp32 (also when it is not set), tf32 or bf16.
static inline enum precision test_precision(void) {
    const char *wanted = getenv("GRIDFOLD_TEST_PRECISION");
    if (!wanted || strcmp(wanted, "fp32") == 0)
        return PRECISION_FP32;
    if (strcmp(wanted, "tf32") == 0)
        return PRECISION_TF32;
    if (strcmp(wanted, "bf16") == 0)
        return PRECISION_BF16;
    fprintf(stderr, "GRIDFOLD_TEST_PRECISION is fp32, tf32 or bf16, not %s\n", wanted);
    exit(2);
}

// Those of GRIDFOLD_TEST_BACKENDS, or all of the build, separated by commas; those that this machine cannot run (no
// GPU, not this precision) are left out, and said to be skipped.
static inline void test_backends(char *names, size_t size) {
    const char *wanted = getenv("GRIDFOLD_TEST_BACKENDS");
    char all[256];
    size_t used = 0;
    snprintf(all, sizeof all, "%s", wanted ? wanted : backend_list());
    names[0] = 0;
    for (char *rest = all, *name; (name = strtok_r(rest, ", ", &rest));) {
        struct error err;
        backend *b = NULL;
        if (backend_create(name, &(struct backend_config){.threads = 1, .precision = test_precision()}, &b, &err) ==
            STATUS_OK)
            used += (size_t)snprintf(names + used, size - used, "%s%s", used ? ", " : "", name);
        else
            fprintf(stderr, "skipped: %s: %s\n", name, err.message);
        backend_destroy(b);
    }
}

#endif
