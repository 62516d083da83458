// `gridfold evaluate`: one checkpoint on a split, or the folds of a run.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/base/file.h"
#include "orchestrator/evaluate_run.h"
#include "orchestrator/verbs.h"
#include "worker/evaluate.h"
#include "worker/score.h"

static const struct option_spec specs[] = {
    {"dataset", "FILE", NULL, "dataset file; a run knows its own, a checkpoint needs it"},
    {"split", "NAME", "test", "test or val"},
    {"config", "NAME", NULL, "of a run: this configuration (default: the [compare] pair, else the winner)"},
    {"out", "DIR", NULL, "of a run: where the files go (default: report/test or report/val in it)"},
    {"fold", "N", NULL, "fold of the validation split; the checkpoint knows its own"},
    {"folds", "N", NULL, "number of folds; the checkpoint knows its own"},
    {"seed", "N", NULL, "seed of the folds; the checkpoint knows its own"},
    {"temporal-sampling", "NAME", NULL, "for checkpoints that do not say: annual, quarterly, bi_temporal, all"},
    {"skip-aggregation", "NAME", NULL, "for checkpoints that do not say: max, mean, last"},
    {"image-size", "N", NULL, "side of the centre crop; the checkpoint knows its own"},
    {"batch-size", "N", "4", "samples at a time"},
    {"renormalize", NULL, NULL,
     "normalize by the fold's training samples even where the checkpoint has its own numbers"},
    {"logits", "FILE", NULL, "write logits and masks to this safetensors file"},
    {"backend", "NAME", "auto", "where to compute; gridfold info lists what there is"},
    {"threads", "N", NULL, "threads (all cores)"},
};
const struct verb_options verb_evaluate_options = {specs, sizeof specs / sizeof *specs};

// ---- one checkpoint ----

// Options with the meaning "as the checkpoint says" when absent.
static enum status read_overrides(const struct options *o, struct evaluate_config *c, struct error *err) {
    long long fold = -1, folds = -1, seed = -1, size = -1;
    TRY(options_integer(o, "fold", 0, 1000, &fold, err));
    TRY(options_integer(o, "folds", 2, 1000, &folds, err));
    TRY(options_integer(o, "seed", 0, INT64_MAX, &seed, err));
    TRY(options_integer(o, "image-size", 32, 8192, &size, err));
    c->fold = (int)fold;
    c->folds = (int)folds;
    c->seed = seed;
    c->image_size = (int)size;
    c->sampling = c->skip = -1;
    TRY(options_choice(o, "temporal-sampling", hyper_choices(HYPER_temporal_sampling), &c->sampling, err));
    return options_choice(o, "skip-aggregation", hyper_choices(HYPER_skip_aggregation), &c->skip, err);
}

// By change level, and after them all of the split.
static enum status measure(const struct evaluate_result *r, struct score scores[CHANGE_LEVELS + 1],
                           int samples[CHANGE_LEVELS + 1], struct error *err) {
    size_t pixels = (size_t)r->side * (size_t)r->side;
    double *probability = malloc(pixels * sizeof *probability);
    enum status status = probability ? STATUS_OK : error_memory(err, "probabilities");
    for (int i = 0; i < r->samples && status == STATUS_OK; i++) {
        struct score score;
        for (size_t p = 0; p < pixels; p++)
            probability[p] = probability_of_logit(r->logits[(size_t)i * pixels + p]);
        status = score_map(probability, r->mask + (size_t)i * pixels, r->side, r->side, 0.5, &score, err);
        if (status != STATUS_OK)
            break;
        const int rows[2] = {(int)r->level[i], CHANGE_LEVELS};
        for (int k = 0; k < 2; k++) {
            score_add(&scores[rows[k]], &score);
            samples[rows[k]]++;
        }
    }
    free(probability);
    return status;
}

static void print_percent(const struct score *s, enum score_metric metric, int width) {
    double value = score_value(s, metric);
    if (isnan(value))
        printf(" %*s", width, "-");
    else
        printf(" %*.2f", width, 100 * value);
}

static void print_row(const char *name, int samples, const struct score *s) {
    printf("%-10s %7d", name, samples);
    print_percent(s, SCORE_IOU, 8);
    print_percent(s, SCORE_F1, 8);
    print_percent(s, SCORE_PRECISION, 11);
    print_percent(s, SCORE_RECALL, 8);
    print_percent(s, SCORE_BOUNDARY_F1, 13);
    printf(" %11lld\n", (long long)s->tp + (long long)s->fn);
}

static void print_head(const struct evaluate_config *c, const struct evaluate_result *r) {
    const struct checkpoint_info *info = &r->info;
    printf("%s\n", c->checkpoint);
    if (info->has_trial)
        printf("trial %s, epoch %d, fold %d of %d\n", info->trial, info->epoch, info->fold, info->folds);
    if (c->split == SPLIT_VAL && (!info->has_trial || c->fold >= 0))
        printf(
            "note: validation samples of fold %d of %d, seed %llu; whether the checkpoint has seen them in training is not known\n",
            info->fold, info->folds, (unsigned long long)info->seed);
    if (!info->has_normalization)
        printf("note: normalized by the training samples of fold %d\n", info->fold);
    printf("%s split, %d samples, pixels pooled (micro); loss %.6f\n\n", c->split == SPLIT_TEST ? "test" : "validation",
           r->samples, pooled_loss(&r->all));
}

static enum status print_result(const struct evaluate_config *c, const struct evaluate_result *r, struct error *err) {
    struct score scores[CHANGE_LEVELS + 1] = {{0}};
    int samples[CHANGE_LEVELS + 1] = {0};
    TRY(measure(r, scores, samples, err));
    print_head(c, r);
    printf("%-10s %7s %8s %8s %11s %8s %13s %11s\n", "level", "samples", "IoU %", "F1 %", "precision %", "recall %",
           "boundary F1 %", "positive px");
    print_row("all", samples[CHANGE_LEVELS], &scores[CHANGE_LEVELS]);
    for (int i = 0; i < CHANGE_LEVELS; i++)
        if (samples[i] > 0)
            print_row(change_level_name((enum change_level)i), samples[i], &scores[i]);
    return STATUS_OK;
}

static enum status evaluate_one(const struct options *o, struct evaluate_config *c, struct error *err) {
    struct evaluate_result result;
    if (options_given(o, "config") || options_given(o, "out"))
        return error_set(err, STATUS_INVALID, "--config and --out are for a run folder, and %s is a file",
                         o->positional[0]);
    if (!c->dataset)
        return error_set(err, STATUS_INVALID, "gridfold evaluate needs --dataset FILE for a checkpoint");
    TRY(read_overrides(o, c, err));
    enum status status = evaluate_checkpoint(c, &result, err);
    if (status == STATUS_OK && options_text(o, "logits"))
        status = evaluate_write_logits(&result, options_text(o, "logits"), err);
    if (status == STATUS_OK)
        status = print_result(c, &result, err);
    evaluate_result_free(&result);
    return status;
}

// ---- a run ----

static enum status evaluate_folder(const struct options *o, const struct evaluate_config *c, struct error *err) {
    static const char *const alone[] = {"fold",       "folds",       "seed",  "temporal-sampling", "skip-aggregation",
                                        "image-size", "renormalize", "logits"};
    for (size_t i = 0; i < sizeof alone / sizeof *alone; i++)
        if (options_given(o, alone[i]))
            return error_set(err, STATUS_INVALID, "--%s is for a single checkpoint; the checkpoints of a run say it",
                             alone[i]);
    struct evaluate_run_config run = {.folder = c->checkpoint,
                                      .config = options_text(o, "config"),
                                      .dataset = c->dataset,
                                      .out = options_text(o, "out"),
                                      .split = c->split,
                                      .backend = c->backend,
                                      .threads = c->threads,
                                      .batch_size = c->batch_size};
    return evaluate_run(&run, stdout, err);
}

enum status verb_evaluate(int argc, char **argv, int *exit_code, struct error *err) {
    struct options o;
    long long batch = 4, threads = sysconf(_SC_NPROCESSORS_ONLN);
    int split = 0;
    (void)exit_code;
    TRY(options_parse(argc, argv, specs, sizeof specs / sizeof *specs, &o, err));
    TRY(options_expect(&o, 1, "one CHECKPOINT or RUN_DIR", err));
    TRY(options_choice(&o, "split", "test|val", &split, err));
    TRY(options_integer(&o, "batch-size", 1, 4096, &batch, err));
    TRY(options_integer(&o, "threads", 1, 1024, &threads, err));
    struct evaluate_config c = {.checkpoint = o.positional[0],
                                .dataset = options_text(&o, "dataset"),
                                .split = split == 0 ? SPLIT_TEST : SPLIT_VAL,
                                .backend = options_text(&o, "backend"),
                                .threads = (int)threads,
                                .batch_size = (int)batch,
                                .ignore_normalization = options_given(&o, "renormalize")};
    return file_is_directory(c.checkpoint) ? evaluate_folder(&o, &c, err) : evaluate_one(&o, &c, err);
}
