#include <string.h>
#include <unistd.h>

#include "orchestrator/verbs.h"
#include "worker/evaluate.h"

static const struct option_spec specs[] = {
    {"dataset", "FILE", NULL, "dataset file (needed)"},
    {"split", "NAME", "test", "test or val"},
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
    {"backend", "NAME", "auto", "auto, onednn, reference"},
    {"threads", "N", NULL, "threads (all cores)"},
};
const struct verb_options verb_evaluate_options = {specs, sizeof specs / sizeof *specs};

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

static enum status read_config(const struct options *o, struct evaluate_config *c, struct error *err) {
    long long batch = 4, threads = sysconf(_SC_NPROCESSORS_ONLN);
    int split = 0;
    TRY(options_expect(o, 1, "one CHECKPOINT", err));
    if (!options_text(o, "dataset"))
        return error_set(err, STATUS_INVALID, "gridfold evaluate needs --dataset FILE");
    TRY(options_choice(o, "split", "test|val", &split, err));
    TRY(options_integer(o, "batch-size", 1, 4096, &batch, err));
    TRY(options_integer(o, "threads", 1, 1024, &threads, err));
    *c = (struct evaluate_config){.checkpoint = o->positional[0],
                                  .dataset = options_text(o, "dataset"),
                                  .split = split == 0 ? SPLIT_TEST : SPLIT_VAL,
                                  .backend = options_text(o, "backend"),
                                  .threads = (int)threads,
                                  .batch_size = (int)batch,
                                  .ignore_normalization = options_given(o, "renormalize"),
                                  .logits_path = options_text(o, "logits")};
    return read_overrides(o, c, err);
}

static void print_row(const char *name, int samples, const struct pooled *p) {
    printf("%-10s %7d %8.2f %8.2f %11.2f %8.2f %11lld\n", name, samples, 100 * pooled_iou(p), 100 * pooled_f1(p),
           100 * pooled_precision(p), 100 * pooled_recall(p), (long long)p->tp + (long long)p->fn);
}

static void print_result(const struct evaluate_config *c, const struct evaluate_result *r) {
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
    printf("%-10s %7s %8s %8s %11s %8s %11s\n", "level", "samples", "IoU %", "F1 %", "precision %", "recall %",
           "positive px");
    print_row("all", r->samples, &r->all);
    for (int i = 0; i < CHANGE_LEVELS; i++)
        if (r->level_samples[i] > 0)
            print_row(change_level_name((enum change_level)i), r->level_samples[i], &r->level[i]);
}

enum status verb_evaluate(int argc, char **argv, int *exit_code, struct error *err) {
    struct options o;
    struct evaluate_config config;
    struct evaluate_result result;
    (void)exit_code;
    TRY(options_parse(argc, argv, specs, sizeof specs / sizeof *specs, &o, err));
    TRY(read_config(&o, &config, err));
    TRY(evaluate_checkpoint(&config, &result, err));
    print_result(&config, &result);
    return STATUS_OK;
}
