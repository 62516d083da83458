// `gridfold predict`: from a checkpoint, or the folds of a run, and a GeoTIFF to a map.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "orchestrator/run_best.h"
#include "orchestrator/verbs.h"
#include "worker/predict.h"

static const struct option_spec specs[] = {
    {"ensemble", "RUN_DIR", NULL, "the mean of the folds of a run instead of one CHECKPOINT"},
    {"config", "NAME", NULL, "of that run: this configuration (default: the winner)"},
    {"mask", "FILE", NULL, "write the mask too: 1 where the probability exceeds the threshold, 0, 255 nodata"},
    {"threshold", "P", "0.5", "of the mask and the picture"},
    {"picture", "FILE", NULL, "write a PNG: true colour at both ends, truth, prediction"},
    {"truth", "FILE", NULL, "of the picture: a mask GeoTIFF of the same size"},
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
    {"overlap", "PERCENT", "50",
     "of neighbouring windows; with less it is faster: 25 needs 4 windows where 50 needs 9"},
    {"batch-size", "N", "4", "windows at a time"},
    {"backend", "NAME", "auto", "where to compute; gridfold info lists what there is"},
    {"threads", "N", NULL, "threads (all cores)"},
};
const struct verb_options verb_predict_options = {specs, sizeof specs / sizeof *specs};

// On a terminal one line that changes; in a log ten lines for a large image and none for a small one.
static void show_progress(void *context, int done, int total) {
    int *tenths = context, now = (int)(10LL * done / total);
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%d of %d windows%s", done, total, done == total ? "\n" : "");
    else if (total >= 1000 && now > *tenths)
        fprintf(stderr, "%d of %d windows\n", done, total);
    *tenths = now;
}

static enum status read_numbers(const struct options *o, struct predict_config *c, struct error *err) {
    long long fold = 0, folds = 5, seed = 42, size = -1, batch = 4, overlap = 50,
              threads = sysconf(_SC_NPROCESSORS_ONLN);
    TRY(options_integer(o, "folds", 2, 1000, &folds, err));
    TRY(options_integer(o, "fold", 0, folds - 1, &fold, err));
    TRY(options_integer(o, "seed", 0, INT64_MAX, &seed, err));
    TRY(options_integer(o, "image-size", 32, 8192, &size, err));
    TRY(options_integer(o, "batch-size", 1, 4096, &batch, err));
    TRY(options_integer(o, "overlap", 0, PREDICT_MOST_OVERLAP, &overlap, err));
    TRY(options_integer(o, "threads", 1, 1024, &threads, err));
    c->fold = (int)fold;
    c->folds = (int)folds;
    c->seed = (uint64_t)seed;
    c->image_size = (int)size;
    c->batch_size = (int)batch;
    c->overlap = (int)overlap;
    c->threads = (int)threads;
    char *end;
    const char *text = options_text(o, "threshold");
    c->threshold = strtod(text, &end);
    if (end == text || *end || !(c->threshold >= 0 && c->threshold <= 1))
        return error_set(err, STATUS_INVALID, "--threshold %s: a number from 0 to 1 is needed", text);
    return STATUS_OK;
}

// Tiles are not to be overwritten by what was made of them.
static enum status check_output(const char *input, const char *output, struct error *err) {
    struct stat in, out;
    if (input && output && stat(input, &in) == 0 && stat(output, &out) == 0 && in.st_dev == out.st_dev &&
        in.st_ino == out.st_ino)
        return error_set(err, STATUS_INVALID, "%s is an input; give another name for the output", output);
    return STATUS_OK;
}

static enum status check_outputs(const struct predict_config *c, struct error *err) {
    const char *outputs[3] = {c->output, c->mask, c->picture};
    for (int i = 0; i < 3; i++) {
        TRY(check_output(c->input, outputs[i], err));
        TRY(check_output(c->truth, outputs[i], err));
        for (int k = 0; k < c->checkpoint_count; k++)
            TRY(check_output(c->checkpoints[k], outputs[i], err));
        for (int k = 0; k < i; k++)
            if (outputs[i] && outputs[k] && strcmp(outputs[i], outputs[k]) == 0)
                return error_set(err, STATUS_INVALID, "%s is named for two outputs", outputs[i]);
    }
    if (c->truth && !c->picture)
        return error_set(err, STATUS_INVALID, "--truth is of the picture; name that with --picture FILE");
    if (c->logits && (c->mask || c->picture))
        return error_set(err, STATUS_INVALID, "--logits makes no mask or picture; leave it out");
    return STATUS_OK;
}

// What a prediction is made with: where the names of checkpoints stand.
struct members {
    char path[PREDICT_MAX_MEMBERS][PATH_SIZE];
    const char *checkpoints[PREDICT_MAX_MEMBERS];
};

static enum status find_members(const struct options *o, struct members *m, struct predict_config *c,
                                struct error *err) {
    const char *folder = options_text(o, "ensemble");
    struct run_data run;
    struct best_point best;
    if (!folder) {
        if (options_given(o, "config"))
            return error_set(err, STATUS_INVALID, "--config is of a run; name that with --ensemble RUN_DIR");
        TRY(options_expect(o, 3, "CHECKPOINT IN.tif OUT.tif", err));
        m->checkpoints[0] = o->positional[0];
        c->checkpoint_count = 1;
        return STATUS_OK;
    }
    TRY(options_expect(o, 2, "IN.tif OUT.tif beside --ensemble RUN_DIR", err));
    TRY(run_data_read(folder, &run, err));
    enum status status = run_best(&run, NULL, options_text(o, "config"), &best, err);
    for (int i = 0; status == STATUS_OK && i < best.count && i < PREDICT_MAX_MEMBERS; i++) {
        status = run_trial_path(&run, best.fold[i]->trial, "best.safetensors", m->path[i], err);
        m->checkpoints[i] = m->path[i];
        c->checkpoint_count = i + 1;
    }
    run_data_free(&run);
    return status;
}

static enum status read_config(const struct options *o, struct members *m, struct predict_config *c,
                               struct error *err) {
    *c = (struct predict_config){.checkpoints = m->checkpoints,
                                 .mask = options_text(o, "mask"),
                                 .picture = options_text(o, "picture"),
                                 .truth = options_text(o, "truth"),
                                 .dataset_ini = options_text(o, "layout"),
                                 .dataset = options_text(o, "dataset"),
                                 .backend = options_text(o, "backend"),
                                 .sampling = -1,
                                 .skip = -1,
                                 .raw = options_given(o, "raw"),
                                 .logits = options_given(o, "logits"),
                                 .progress = show_progress};
    TRY(find_members(o, m, c, err));
    c->input = o->positional[o->positional_count - 2];
    c->output = o->positional[o->positional_count - 1];
    TRY(check_outputs(c, err));
    TRY(read_numbers(o, c, err));
    TRY(options_choice(o, "temporal-sampling", hyper_choices(HYPER_temporal_sampling), &c->sampling, err));
    return options_choice(o, "skip-aggregation", hyper_choices(HYPER_skip_aggregation), &c->skip, err);
}

enum status verb_predict(int argc, char **argv, int *exit_code, struct error *err) {
    struct options o;
    struct predict_config config;
    struct predict_result r;
    int tenths = 0;
    (void)exit_code;
    TRY(options_parse(argc, argv, specs, sizeof specs / sizeof *specs, &o, err));
    struct members *members = calloc(1, sizeof *members);
    if (!members)
        return error_memory(err, "checkpoints");
    enum status status = read_config(&o, members, &config, err);
    config.context = &tenths;
    if (status == STATUS_OK)
        status = predict_raster(&config, &r, err);
    free(members);
    TRY(status);
    printf("%s: %d x %d pixels, %d windows", config.output, r.height, r.width, r.windows);
    if (config.checkpoint_count > 1)
        printf(", mean of %d checkpoints", config.checkpoint_count);
    if (r.missing > 0)
        printf(", %zu pixels without data", r.missing);
    printf("\n");
    return STATUS_OK;
}
