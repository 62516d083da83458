// gridfold with a trainer that trains nothing: `fake_gridfold run SWEEP.ini`, and the hidden `fake_gridfold trainer`.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/run.h"

static enum status load(int argc, char **argv, struct sweep **sweep, struct error *err) {
    return sweep_parse(argv[2], (const char *const *)argv + 3, argc - 3, sweep, err);
}

// As if the GPUs of FAKE_GPUS, "GPU-a,GPU-b", were there.
static int print_devices(void) {
    const char *list = getenv("FAKE_GPUS");
    for (const char *at = list ? list : ""; *at; at += strcspn(at, ",") + (strchr(at, ',') != NULL))
        printf("%.*s\t1\t1\ta fake\n", (int)strcspn(at, ","), at);
    return 0;
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "trainer") == 0 && strcmp(argv[2], "devices") == 0)
        return print_devices();
    if (argc > 1 && strcmp(argv[1], "trainer") == 0)
        return run_trainer_process();
    if (argc > 2 && strcmp(argv[1], "run") == 0)
        return run_sweep(argc, argv, load);
    fprintf(stderr, "usage: fake_gridfold run SWEEP.ini [key=value ...]\n");
    return 2;
}
