// `gridfold train`: a sweep of one config, so that one trial runs, resumes and is reported as many do.

#include "orchestrator/run.h"
#include "orchestrator/verbs.h"

static const struct option_spec specs[] = {
    {"dataset", "FILE", NULL, "dataset file, from gridfold import; needed"},
    {"output", "DIR", "runs/train", "run folder"},
    {"fold", "N", "0", "fold to validate on"},
    {"folds", "N", "5", "folds of the dataset"},
    {"seed", "N", "42", "seed of folds, initialisation and augmentation"},
    {"backend", "NAME", "auto", "where to compute; gridfold info lists what there is"},
    {"threads", "N", "auto", "threads"},
    {"gpus-per-trial", "N", "1", "GPUs that train it together; on CPUs processes, of so many threads each"},
    {"sync-batchnorm", "on|off", "on", "with several: batch norm's statistics are those of the whole batch"},
    {"checkpoint-seconds", "S", "60", "time between checkpoints"},
#define X(type, field, key, def, min, max, choices, help) {key, sizeof(choices) > 1 ? (choices) : #type, def, help},
    HYPERPARAMETERS(X)
#undef X
};
enum { SPECS = sizeof specs / sizeof *specs, FIRST_HYPER = SPECS - HYPER_COUNT };
const struct verb_options verb_train_options = {specs, SPECS};

static const struct {
    const char *option, *target;
} settings[] = {
    {"dataset", "sweep.dataset"},
    {"output", "sweep.output"},
    {"folds", "folds.count"},
    {"fold", "folds.run"},
    {"seed", "sweep.seed"},
    {"backend", "sweep.backend"},
    {"threads", "sweep.threads"},
    {"checkpoint-seconds", "sweep.checkpoint-seconds"},
    {"gpus-per-trial", "sweep.gpus-per-trial"},
    {"sync-batchnorm", "sweep.sync-batchnorm"},
};
enum { SETTINGS = sizeof settings / sizeof *settings, WORD_SIZE = 64 + PATH_SIZE };

static enum status add_word(char (*words)[WORD_SIZE], int *count, const char *key, const char *value,
                            struct error *err) {
    int length = snprintf(words[(*count)++], WORD_SIZE, "%s=%s", key, value);
    if (length >= WORD_SIZE)
        return error_set(err, STATUS_INVALID, "%s is longer than %d bytes; take a shorter one", key, PATH_SIZE);
    return STATUS_OK;
}

static enum status load(int argc, char **argv, struct sweep **sweep, struct error *err) {
    struct options o;
    *sweep = NULL;
    TRY(options_parse(argc, argv, specs, SPECS, &o, err));
    TRY(options_expect(&o, 0, "no words beside its options", err));
    if (!options_text(&o, "dataset"))
        return error_set(err, STATUS_INVALID, "--dataset FILE is missing; gridfold import makes one");

    char words[SETTINGS + HYPER_COUNT][WORD_SIZE];
    const char *overrides[SETTINGS + HYPER_COUNT];
    int count = 0;
    for (int i = 0; i < SETTINGS; i++)
        TRY(add_word(words, &count, settings[i].target, options_text(&o, settings[i].option), err));
    for (int i = FIRST_HYPER; i < SPECS; i++)
        if (o.given[i])
            TRY(add_word(words, &count, specs[i].name, o.values[i], err));
    for (int i = 0; i < count; i++)
        overrides[i] = words[i];
    return sweep_parse_text("[sweep]\nname = train\n[config train]\n", "", overrides, count, sweep, err);
}

enum status verb_train(int argc, char **argv, int *exit_code, struct error *err) {
    (void)err;
    *exit_code = run_sweep(argc, argv, load);
    return STATUS_OK;
}
