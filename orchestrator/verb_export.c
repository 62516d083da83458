#include "orchestrator/verbs.h"
#include "results/export.h"

static const struct option_spec specs[] = {
    {"tensorboard", "DIR", NULL, "write an event file a trial: scalars by epoch, and the HParams tags"},
    {"optuna", "FILE", NULL, "write a journal file that Optuna and optuna-dashboard open"},
};
const struct verb_options verb_export_options = {specs, sizeof specs / sizeof *specs};

static enum status export_all(const struct options *o, const struct run_data *run, struct error *err) {
    const char *tensorboard = options_text(o, "tensorboard"), *optuna = options_text(o, "optuna");
    size_t trials;
    if (tensorboard) {
        TRY(export_tensorboard(run, tensorboard, &trials, err));
        printf("%s: event files of %zu trials\n", tensorboard, trials);
    }
    if (optuna) {
        TRY(export_optuna(run, optuna, &trials, err));
        printf("%s: a study of %zu trials\n", optuna, trials);
    }
    return STATUS_OK;
}

enum status verb_export(int argc, char **argv, int *exit_code, struct error *err) {
    (void)exit_code;
    struct options o;
    struct run_data run;
    TRY(options_parse(argc, argv, specs, sizeof specs / sizeof *specs, &o, err));
    TRY(options_expect(&o, 1, "RUN_DIR", err));
    if (!options_text(&o, "tensorboard") && !options_text(&o, "optuna"))
        return error_set(err, STATUS_INVALID, "gridfold export needs --tensorboard DIR or --optuna FILE");
    TRY(run_data_read(o.positional[0], &run, err));
    run_data_warn(&run, stderr);
    enum status status = export_all(&o, &run, err);
    run_data_free(&run);
    return status;
}
