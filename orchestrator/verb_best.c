// `gridfold best RUN_DIR`: the winner's hyperparameters and checkpoints, in the form of a sweep file's [base].
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/run_best.h"
#include "orchestrator/verbs.h"

static const struct option_spec specs[] = {
    {"grid", "NAME", NULL, "only among the points of this grid"},
    {"config", "NAME", NULL, "only this configuration (or grid point, by its label)"},
    {"checkpoint", NULL, NULL, "print only the path of its best fold's checkpoint"},
    {"checkpoints", NULL, NULL, "print only the paths of its checkpoints, one a fold and line"},
    {"json", NULL, NULL, "one JSON object"},
};
const struct verb_options verb_best_options = {specs, sizeof specs / sizeof *specs};

struct winner {
    struct run_data run;
    struct sweep *sweep;
    struct best_point best;
    struct hyperparameters hp;
};

static enum status find(const struct options *o, struct winner *w, struct error *err) {
    char path[PATH_SIZE];
    TRY(run_data_read(o->positional[0], &w->run, err));
    run_data_warn(&w->run, stderr);
    TRY(path_join(path, w->run.folder, "sweep.ini", err));
    TRY(sweep_parse_stored(path, &w->sweep, err));
    TRY(run_best(&w->run, options_text(o, "grid"), options_text(o, "config"), &w->best, err));
    return run_row_hyperparameters(&w->run, w->sweep, w->best.fold[0], &w->hp, err);
}

// Another program keeps what it likes in its trial's folder.
static const char *checkpoint_name(const struct winner *w) {
    return w->sweep->program.kind == TRAINER_EMBEDDED ? "best.safetensors" : "";
}

// Calls `each` for every hyperparameter: the table's, then swept ones that the table does not have.
static void for_each(const struct winner *w,
                     void (*each)(void *context, const char *key, const char *value, bool swept), void *context) {
    const struct sweep_program *p = &w->sweep->program;
    for (int i = 0; i < program_hyper_count(p); i++) {
        char value[HYPER_VALUE_SIZE];
        int hyper = program_hyper_first(p) + i;
        bool swept = false;
        for (int s = 0; s < w->run.swept.count; s++)
            swept = swept || program_hyper_find(p, w->run.swept.name[s]) == hyper;
        hyper_format(&w->hp, hyper, value);
        each(context, program_hyper_key(p, hyper), value, swept);
    }
    for (int s = 0; s < w->run.swept.count; s++)
        if (program_hyper_find(p, w->run.swept.name[s]) < 0)
            each(context, w->run.swept.name[s], w->best.fold[0]->swept[s], true);
}

static void print_setting(void *context, const char *key, const char *value, bool swept) {
    (void)context;
    printf("%s =%s%s%s\n", key, *value ? " " : "", value, swept ? " ; swept" : "");
}

static enum status print_ini(const struct winner *w, struct error *err) {
    const struct trial_row *first = w->best.fold[0];
    const struct sweep_program *p = &w->sweep->program;
    char path[PATH_SIZE], number[32];
    program_format_metric(p, w->best.mean_iou, number);
    printf("; %s: %s%s%s, mean best %s %s over %d fold%s\n", w->run.name, first->config,
           *first->grid ? " of grid " : "", first->grid,
           p->kind == TRAINER_EMBEDDED ? "validation IoU" : program_metric_label(p), number, w->best.count,
           w->best.count == 1 ? "" : "s");
    for (int i = 0; i < w->best.count; i++) {
        const struct trial_row *row = w->best.fold[i];
        TRY(run_trial_path(&w->run, row->trial, checkpoint_name(w), path, err));
        program_format_metric(p, row->best_iou, number);
        printf("; fold %d: %s at epoch %d, %s%s\n", row->fold, number, row->best_epoch, path,
               file_exists(path) ? "" : " (missing)");
    }
    printf("[base]\n");
    for_each(w, print_setting, NULL);
    return STATUS_OK;
}

static void add_setting(void *context, const char *key, const char *value, bool swept) {
    (void)swept;
    json_object_set_new(context, key, json_string(value));
}

static enum status print_json(const struct winner *w, struct error *err) {
    const struct trial_row *first = w->best.fold[0];
    json_t *folds = json_array(), *settings = json_object();
    for (int i = 0; i < w->best.count; i++) {
        const struct trial_row *row = w->best.fold[i];
        char path[PATH_SIZE];
        TRY(run_trial_path(&w->run, row->trial, checkpoint_name(w), path, err));
        json_array_append_new(folds,
                              json_pack("{s:i, s:s, s:f, s:i, s:s}", "fold", row->fold, "trial", row->trial, "best_iou",
                                        row->best_iou, "best_epoch", row->best_epoch, "checkpoint", path));
    }
    for_each(w, add_setting, settings);
    json_t *object =
        json_pack("{s:s, s:s, s:s, s:f, s:o, s:o}", "run", w->run.name, "grid", first->grid, "config", first->config,
                  "mean_best_iou", w->best.mean_iou, "folds", folds, "hyperparameters", settings);
    int failed = !object || json_dumpf(object, stdout, JSON_INDENT(2)) != 0;
    json_decref(object);
    putchar('\n');
    return failed ? error_set(err, STATUS_INVALID, "the winner cannot be written as JSON (a name is not UTF-8?)")
                  : STATUS_OK;
}

static enum status print_paths(const struct winner *w, bool all, struct error *err) {
    const struct trial_row *only = best_point_fold(&w->run, &w->best);
    for (int i = 0; i < w->best.count; i++) {
        char path[PATH_SIZE];
        if (!all && w->best.fold[i] != only)
            continue;
        TRY(run_trial_path(&w->run, w->best.fold[i]->trial, checkpoint_name(w), path, err));
        if (!file_exists(path))
            return error_set(err, STATUS_NOT_FOUND, "%s is missing", path);
        printf("%s\n", path);
    }
    return STATUS_OK;
}

enum status verb_best(int argc, char **argv, int *exit_code, struct error *err) {
    (void)exit_code;
    struct options o;
    struct winner w = {0};
    TRY(options_parse(argc, argv, specs, sizeof specs / sizeof *specs, &o, err));
    TRY(options_expect(&o, 1, "RUN_DIR", err));
    enum status status = find(&o, &w, err);
    bool one = options_given(&o, "checkpoint"), all = options_given(&o, "checkpoints");
    if (status == STATUS_OK)
        status = one || all                  ? print_paths(&w, all, err)
                 : options_given(&o, "json") ? print_json(&w, err)
                                             : print_ini(&w, err);
    sweep_destroy(w.sweep);
    run_data_free(&w.run);
    return status;
}
