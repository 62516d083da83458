#include "results/run_data.h"

#include <ini.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// Settings and manifest

struct facts_reader {
    struct run_data *run;
    bool manifest; // every key is a fact; else only those of [sweep] and [folds]
    bool out_of_memory;
};

static bool add_fact(struct run_data *run, const char *key, const char *value) {
    struct run_fact *larger = realloc(run->fact, (run->facts + 1) * sizeof *larger);
    if (!larger)
        return false;
    run->fact = larger;
    run->fact[run->facts] = (struct run_fact){strdup(key), strdup(value)};
    return run->fact[run->facts].key && run->fact[run->facts++].value;
}

static void take(char *out, size_t size, const char *value) {
    snprintf(out, size, "%s", value);
}

// Anything else is another reader's business. Returns nonzero: go on.
static int on_setting(void *user, const char *section, const char *key, const char *value) {
    struct facts_reader *r = user;
    struct run_data *run = r->run;
    bool sweep = strcmp(section, "sweep") == 0, compare = strcmp(section, "compare") == 0;
    if (r->manifest || (sweep && strcmp(key, "output") != 0) || strcmp(section, "folds") == 0) {
        char label[128];
        bool plain = sweep || !*section;
        snprintf(label, sizeof label, "%s%s%s", plain ? "" : section, plain ? "" : " ", key);
        r->out_of_memory = r->out_of_memory || !add_fact(run, label, value);
    }
    if (sweep && strcmp(key, "name") == 0)
        take(run->name, sizeof run->name, value);
    else if (!r->manifest && compare && strcmp(key, "baseline") == 0)
        take(run->baseline, sizeof run->baseline, value);
    else if (!r->manifest && compare && strcmp(key, "candidate") == 0)
        take(run->candidate, sizeof run->candidate, value);
    return 1;
}

static enum status read_settings(struct run_data *run, const char *file, bool manifest, bool *found,
                                 struct error *err) {
    char path[PATH_SIZE];
    TRY(path_join(path, run->folder, file, err));
    *found = file_exists(path);
    if (!*found)
        return STATUS_OK;
    struct facts_reader reader = {run, manifest, false};
    if (ini_parse(path, on_setting, &reader) < 0)
        return error_set(err, STATUS_IO, "cannot read %s", path);
    return reader.out_of_memory ? error_memory(err, path) : STATUS_OK;
}

// CSV files

static bool same_row(const struct trial_row *a, const struct trial_row *b) {
    return a->fold == b->fold && strcmp(a->trial, b->trial) == 0 && strcmp(a->grid, b->grid) == 0 &&
           strcmp(a->config, b->config) == 0;
}

// A trial that was stopped and resumed has two rows: the last one takes the place of the first.
static void keep_last_rows(struct run_data *run) {
    size_t kept = 0;
    for (size_t i = 0; i < run->trials; i++) {
        size_t at = 0;
        while (at < kept && !same_row(&run->trial[at], &run->trial[i]))
            at++;
        if (at != i)
            run->trial[at] = run->trial[i];
        kept += at == kept;
    }
    run->trials = kept;
}

static enum status read_tables(struct run_data *run, bool *found, struct error *err) {
    char path[PATH_SIZE];
    TRY(path_join(path, run->folder, "trials.csv", err));
    if (file_exists(path)) {
        TRY(trials_read(path, &run->swept, &run->trial, &run->trials, err));
        keep_last_rows(run);
        *found = true;
    }
    TRY(path_join(path, run->folder, "epochs.csv", err));
    if (file_exists(path)) {
        TRY(epochs_read(path, &run->epoch, &run->epochs, err));
        *found = true;
    }
    TRY(path_join(path, run->folder, "events.csv", err));
    if (file_exists(path))
        TRY(csv_table_read(path, &run->events, err));
    TRY(path_join(path, run->folder, "folds.csv", err));
    if (file_exists(path)) {
        TRY(csv_table_read(path, &run->folds, err));
        *found = true;
    }
    return STATUS_OK;
}

static void name_by_folder(struct run_data *run) {
    size_t length = strlen(run->folder);
    while (length > 1 && run->folder[length - 1] == '/')
        run->folder[--length] = 0;
    const char *slash = strrchr(run->folder, '/');
    snprintf(run->name, sizeof run->name, "%.*s", (int)sizeof run->name - 1,
             slash && slash[1] ? slash + 1 : run->folder);
}

static enum status read_all(const char *folder, struct run_data *run, struct error *err) {
    bool settings, tables = false, manifest;
    if (!file_is_directory(folder))
        return error_set(err, STATUS_NOT_FOUND, "%s: no such run folder", folder);
    if (snprintf(run->folder, sizeof run->folder, "%s", folder) >= (int)sizeof run->folder)
        return error_set(err, STATUS_INVALID, "path too long: %s", folder);
    name_by_folder(run);
    TRY(read_settings(run, "sweep.ini", false, &settings, err));
    TRY(read_settings(run, "manifest.ini", true, &manifest, err));
    TRY(read_tables(run, &tables, err));
    if (!settings && !tables)
        return error_set(err, STATUS_NOT_FOUND,
                         "%s: no run folder: it has no sweep.ini, trials.csv, epochs.csv or folds.csv", folder);
    return STATUS_OK;
}

enum status run_data_read(const char *folder, struct run_data *run, struct error *err) {
    *run = (struct run_data){0};
    enum status status = read_all(folder, run, err);
    if (status != STATUS_OK)
        run_data_free(run);
    return status;
}

void run_data_free(struct run_data *run) {
    for (size_t i = 0; i < run->facts; i++) {
        free(run->fact[i].key);
        free(run->fact[i].value);
    }
    free(run->fact);
    free(run->trial);
    free(run->epoch);
    csv_table_free(&run->events);
    csv_table_free(&run->folds);
    *run = (struct run_data){0};
}

// Unfinished trials

static bool has_result(const struct run_data *run, const char *trial) {
    for (size_t i = 0; i < run->trials; i++)
        if (strcmp(run->trial[i].trial, trial) == 0)
            return true;
    return false;
}

// count: none.
static size_t index_of(const struct unfinished_trial *trials, size_t count, const char *trial) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(trials[i].trial, trial) == 0)
            return i;
    return count;
}

static void add_epoch(const struct run_data *run, const struct epoch_row *row, struct unfinished_trial *trials,
                      size_t *count) {
    struct unfinished_trial *t = &trials[index_of(trials, *count, row->trial)];
    if (t == &trials[*count]) {
        if (has_result(run, row->trial))
            return;
        ++*count;
        *t = (struct unfinished_trial){.fold = row->fold, .best_iou = NAN};
        take(t->trial, sizeof t->trial, row->trial);
        take(t->config, sizeof t->config, row->config);
    }
    t->epochs = row->epoch + 1 > t->epochs ? row->epoch + 1 : t->epochs;
    t->best_iou = fmax(t->best_iou, row->val_iou);
}

// The trial of a "planned" event; NULL for other events.
static const char *planned_trial(const struct csv_table *events, size_t row, int event, int trial) {
    return strcmp(csv_table_cell(events, row, event), "planned") == 0 ? csv_table_cell(events, row, trial) : NULL;
}

static size_t count_not_started(const struct run_data *run, const struct unfinished_trial *started, size_t count) {
    const struct csv_table *events = &run->events;
    int event = events->columns ? csv_table_column(events, "event") : -1;
    int trial = events->columns ? csv_table_column(events, "trial") : -1;
    size_t not_started = 0;
    for (size_t i = 0; event >= 0 && trial >= 0 && i < events->rows; i++) {
        const char *id = planned_trial(events, i, event, trial);
        if (!id || has_result(run, id) || index_of(started, count, id) < count)
            continue;
        bool again = false; // planned anew when the sweep was resumed
        for (size_t before = 0; before < i && !again; before++) {
            const char *other = planned_trial(events, before, event, trial);
            again = other && strcmp(other, id) == 0;
        }
        not_started += !again;
    }
    return not_started;
}

enum status run_data_unfinished(const struct run_data *run, struct unfinished_trial **trials, size_t *count,
                                size_t *not_started, struct error *err) {
    *count = 0;
    *trials = malloc((run->epochs + 1) * sizeof **trials);
    if (!*trials)
        return error_memory(err, run->folder);
    for (size_t i = 0; i < run->epochs; i++)
        add_epoch(run, &run->epoch[i], *trials, count);
    *not_started = count_not_started(run, *trials, *count);
    return STATUS_OK;
}
