#include <sys/stat.h>
#include <unistd.h>

#include "orchestrator/verbs.h"
#include "worker/predict.h"

static const struct option_spec specs[] = {
    {"layout", "FILE", NULL,
     "dataset.ini that names the input's bands and steps (default: 9 bands, Q2 and Q3 of 2018..2024)"},
    {"dataset", "FILE", NULL, "dataset file to normalize by, for checkpoints without normalization"},
    {"fold", "N", "0", "its fold"},
    {"folds", "N", "5", "its number of folds"},
    {"seed", "N", "42", "its seed of the folds"},
    {"raw", NULL, NULL, "the input is normalized already"},
    {"logits", NULL, NULL, "write logits instead of probabilities"},
    {"temporal-sampling", "NAME", NULL, "for checkpoints that do not say: annual, quarterly, bi_temporal, all"},
    {"skip-aggregation", "NAME", NULL, "for checkpoints that do not say: max, mean, last"},
    {"image-size", "N", NULL, "side of a window; the checkpoint knows its own"},
    {"batch-size", "N", "4", "windows at a time"},
    {"backend", "NAME", "auto", "auto, onednn, reference"},
    {"threads", "N", NULL, "threads (all cores)"},
};
const struct verb_options verb_predict_options = {specs, sizeof specs / sizeof *specs};

static void show_progress(void *context, int done, int total) {
    (void)context;
    fprintf(stderr, "\r%d of %d windows%s", done, total, done == total ? "\n" : "");
}

static enum status read_numbers(const struct options *o, struct predict_config *c, struct error *err) {
    long long fold = 0, folds = 5, seed = 42, size = -1, batch = 4, threads = sysconf(_SC_NPROCESSORS_ONLN);
    TRY(options_integer(o, "folds", 2, 1000, &folds, err));
    TRY(options_integer(o, "fold", 0, folds - 1, &fold, err));
    TRY(options_integer(o, "seed", 0, INT64_MAX, &seed, err));
    TRY(options_integer(o, "image-size", 32, 8192, &size, err));
    TRY(options_integer(o, "batch-size", 1, 4096, &batch, err));
    TRY(options_integer(o, "threads", 1, 1024, &threads, err));
    c->fold = (int)fold;
    c->folds = (int)folds;
    c->seed = (uint64_t)seed;
    c->image_size = (int)size;
    c->batch_size = (int)batch;
    c->threads = (int)threads;
    return STATUS_OK;
}

// Tiles are not to be overwritten by what was made of them.
static enum status check_output(const char *input, const char *output, struct error *err) {
    struct stat in, out;
    if (stat(input, &in) == 0 && stat(output, &out) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino)
        return error_set(err, STATUS_INVALID, "%s is an input; give another name for the output", output);
    return STATUS_OK;
}

static enum status read_config(const struct options *o, struct predict_config *c, struct error *err) {
    TRY(options_expect(o, 3, "CHECKPOINT IN.tif OUT.tif", err));
    TRY(check_output(o->positional[1], o->positional[2], err));
    TRY(check_output(o->positional[0], o->positional[2], err));
    *c = (struct predict_config){.checkpoint = o->positional[0],
                                 .input = o->positional[1],
                                 .output = o->positional[2],
                                 .dataset_ini = options_text(o, "layout"),
                                 .dataset = options_text(o, "dataset"),
                                 .backend = options_text(o, "backend"),
                                 .sampling = -1,
                                 .skip = -1,
                                 .raw = options_given(o, "raw"),
                                 .logits = options_given(o, "logits"),
                                 .progress = isatty(STDERR_FILENO) ? show_progress : NULL};
    TRY(read_numbers(o, c, err));
    TRY(options_choice(o, "temporal-sampling", hyper_choices(HYPER_temporal_sampling), &c->sampling, err));
    return options_choice(o, "skip-aggregation", hyper_choices(HYPER_skip_aggregation), &c->skip, err);
}

enum status verb_predict(int argc, char **argv, int *exit_code, struct error *err) {
    struct options o;
    struct predict_config config;
    struct predict_result result;
    (void)exit_code;
    TRY(options_parse(argc, argv, specs, sizeof specs / sizeof *specs, &o, err));
    TRY(read_config(&o, &config, err));
    TRY(predict_raster(&config, &result, err));
    printf("%s: %d x %d pixels, %d windows\n", config.output, result.height, result.width, result.windows);
    return STATUS_OK;
}
