#include <string.h>

#include "orchestrator/run.h"
#include "orchestrator/verbs.h"

static enum status load(int argc, char **argv, struct sweep **sweep, struct error *err) {
    struct options o;
    *sweep = NULL;
    TRY(options_parse(argc, argv, NULL, 0, &o, err));
    if (o.positional_count == 0)
        return error_set(err, STATUS_INVALID, "gridfold run needs SWEEP.ini [key=value ...]; see gridfold run --help");
    return sweep_parse(o.positional[0], o.positional + 1, o.positional_count - 1, sweep, err);
}

// The run says itself what went wrong, on rank 0.
enum status verb_run(int argc, char **argv, int *exit_code, struct error *err) {
    (void)err;
    *exit_code = run_sweep(argc, argv, load);
    return STATUS_OK;
}

enum status verb_trainer(int argc, char **argv, int *exit_code, struct error *err) {
    (void)err;
    const char *what = argc > 1 ? argv[1] : "";
    if (strcmp(what, "devices") == 0)
        *exit_code = run_trainer_devices(argc > 2 && strcmp(argv[2], "memory") == 0);
    else
        *exit_code = strcmp(what, "member") == 0 ? run_trainer_member() : run_trainer_process();
    return STATUS_OK;
}
