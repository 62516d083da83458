#include "orchestrator/verify.h"

#include <dirent.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/verify_parts.h"

static void say(struct verification *v, const char *prefix, const char *format, va_list args) {
    fputs(prefix, v->out);
    vfprintf(v->out, format, args);
    fputc('\n', v->out);
}

void verify_finding(struct verification *v, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(v, "", format, args);
    va_end(args);
    v->result->findings++;
}

void verify_note(struct verification *v, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(v, "note: ", format, args);
    va_end(args);
}

bool verify_hyperparameters(const struct verification *v, const struct trial_row *row, struct hyperparameters *hp) {
    struct error why;
    *hp = v->sweep->base;
    for (int i = 0; i < v->swept.count; i++) {
        int index = program_hyper_find(&v->sweep->program, v->swept.name[i]);
        if (index < 0 || hyper_set(hp, index, row->swept[i], &why) != STATUS_OK)
            return false;
    }
    return true;
}

// ---- settings ----

static int ignore_value(void *user, const char *section, const char *key, const char *value) {
    (void)user, (void)section, (void)key, (void)value;
    return 1;
}

static void check_settings(struct verification *v) {
    struct error why;
    char path[PATH_SIZE];
    if (path_join(path, v->folder, "sweep.ini", &why) != STATUS_OK ||
        sweep_parse_stored(path, &v->sweep, &why) != STATUS_OK) {
        verify_finding(v, "%s", why.message);
        v->sweep = NULL;
    }
    if (path_join(path, v->folder, "manifest.ini", &why) != STATUS_OK)
        return;
    int line = file_exists(path) ? ini_parse(path, ignore_value, NULL) : 0;
    if (!file_exists(path))
        verify_finding(v, "%s is missing", path);
    else if (line != 0)
        verify_finding(v, "%s: line %d is no INI line", path, line);
}

static void open_dataset(struct verification *v) {
    struct error why;
    if (v->sweep && v->sweep->program.kind == TRAINER_EMBEDDED &&
        dataset_open(v->sweep->dataset, &v->ds, &why) != STATUS_OK) {
        v->ds = NULL;
        verify_note(v, "the dataset cannot be compared: %s", why.message);
    }
}

// ---- what belongs to no trial ----

static void check_plan(struct verification *v) {
    struct error why;
    if (!v->sweep || !v->trials_read || !v->epochs_read)
        return; // said already
    if (run_status_read(v->folder, &v->standing, &why) != STATUS_OK) {
        v->standing.sweep = NULL;
        verify_finding(v, "%s", why.message); // events.csv is left
        return;
    }
    if (*v->standing.plan_missing && v->ds)
        verify_note(v, "not all of the plan is known: %s", v->standing.plan_missing);
    for (int i = 0; i < v->standing.count && !*v->standing.plan_missing; i++)
        if (!v->standing.trials[i].planned)
            verify_finding(v, "trial %s (%s) is not one of the sweep's plan", v->standing.trials[i].trial,
                           v->standing.trials[i].config);
}

static void check_strays(struct verification *v) {
    char path[PATH_SIZE];
    struct error why;
    if (!v->standing.sweep || path_join(path, v->folder, "trials", &why) != STATUS_OK)
        return;
    DIR *d = opendir(path);
    for (const struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.' && !run_status_find(&v->standing, e->d_name))
            verify_finding(v, "%s/%s belongs to no trial of the run", path, e->d_name);
    if (d)
        closedir(d);
}

static void count_unfinished(struct verification *v) {
    int counts[STANDING_STATES];
    if (!v->standing.sweep || run_status_is_complete(&v->standing))
        return;
    run_status_count(&v->standing, counts);
    verify_note(v, "the run is not complete: %d of %d trials have no result yet%s",
                counts[STANDING_WAITING] + counts[STANDING_RUNNING] + counts[STANDING_PAUSED], v->standing.count,
                v->standing.alive ? ", a process is at it" : "");
}

static enum status verify_all(struct verification *v, struct error *err) {
    check_settings(v);
    open_dataset(v);
    TRY(verify_read_tables(v, err));
    TRY(verify_folds(v, err));
    verify_epochs(v);
    TRY(verify_trials(v, err));
    check_plan(v);
    verify_rungs(v);
    if (!v->sweep || v->sweep->program.kind == TRAINER_EMBEDDED)
        verify_checkpoints(v);
    check_strays(v);
    count_unfinished(v);
    return STATUS_OK;
}

enum status verify_run(const char *folder, FILE *out, struct verify_result *result, struct error *err) {
    *result = (struct verify_result){0};
    if (!file_is_directory(folder))
        return error_set(err, STATUS_NOT_FOUND, "%s: no such run folder", folder);
    struct verification v = {.folder = folder, .out = out, .result = result};
    enum status status = verify_all(&v, err);
    run_status_free(&v.standing);
    dataset_close(v.ds);
    sweep_destroy(v.sweep);
    free(v.trials);
    free(v.epochs);
    free(v.by_trial);
    return status;
}
