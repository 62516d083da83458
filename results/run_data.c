#include "results/run_data.h"

#include <ini.h>
#include <math.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Settings and manifest

struct facts_reader {
    struct run_data *run;
    bool manifest; // every key is a fact of run->manifest; else of sweep.ini
    bool out_of_memory;
};

static bool add_fact(struct run_facts *facts, const char *key, const char *value) {
    struct run_fact *larger = realloc(facts->fact, (facts->count + 1) * sizeof *larger);
    if (!larger)
        return false;
    facts->fact = larger;
    facts->fact[facts->count] = (struct run_fact){strdup(key), strdup(value)};
    facts->count++;
    return larger[facts->count - 1].key && larger[facts->count - 1].value;
}

static void take(char *out, size_t size, const char *value) {
    snprintf(out, size, "%s", value);
}

// What the report itself goes by.
static void use_setting(struct run_data *run, const char *section, const char *key, const char *value) {
    bool sweep = strcmp(section, "sweep") == 0, compare = strcmp(section, "compare") == 0;
    if (sweep && strcmp(key, "name") == 0)
        take(run->name, sizeof run->name, value);
    else if (sweep && strcmp(key, "metric") == 0 && strcmp(value, "val_iou") != 0)
        take(run->metric.name, sizeof run->metric.name, value);
    else if (sweep && strcmp(key, "direction") == 0)
        run->metric.minimize = strcmp(value, "min") == 0;
    else if (compare && strcmp(key, "baseline") == 0)
        take(run->baseline, sizeof run->baseline, value);
    else if (compare && strcmp(key, "candidate") == 0)
        take(run->candidate, sizeof run->candidate, value);
}

// Anything else is another reader's business. Returns nonzero: go on.
static int on_setting(void *user, const char *section, const char *key, const char *value) {
    struct facts_reader *r = user;
    struct run_data *run = r->run;
    bool sweep = strcmp(section, "sweep") == 0, base = strcmp(section, "base") == 0, kept = true;
    char label[128];
    bool plain = !r->manifest && (sweep || base);
    snprintf(label, sizeof label, "%s%s%s", plain || !*section ? "" : section, plain || !*section ? "" : " ", key);
    if (r->manifest)
        kept = add_fact(&run->manifest, label, value);
    else if ((sweep && strcmp(key, "output") != 0) || strcmp(section, "folds") == 0)
        kept = add_fact(&run->settings, label, value);
    else if (base)
        kept = add_fact(&run->base, label, value);
    else if (strncmp(section, "config ", 7) == 0 && strcmp(key, "folds") == 0)
        kept = add_fact(&run->config_folds, section + 7, value);
    r->out_of_memory = r->out_of_memory || !kept;
    if (!r->manifest)
        use_setting(run, section, key, value);
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

__attribute__((format(printf, 2, 3))) static bool add_notice(struct run_data *run, const char *format, ...) {
    va_list args;
    char **larger = realloc(run->notice, (run->notices + 1) * sizeof *larger), *text = NULL;
    if (!larger)
        return false;
    run->notice = larger;
    va_start(args, format);
    int bytes = vasprintf(&text, format, args);
    va_end(args);
    if (bytes < 0)
        return false;
    run->notice[run->notices++] = text;
    return true;
}

// A log whose last line has no newline: the writer died in it, and its reader drops the line.
static enum status note_torn_line(struct run_data *run, const char *path, struct error *err) {
    char *text;
    size_t bytes;
    TRY(file_read(path, &text, &bytes, err));
    bool torn = bytes > 0 && text[bytes - 1] != '\n';
    free(text);
    const char *slash = strrchr(path, '/');
    if (torn && !add_notice(run, "%s: the last line has no end (its writer died in it): it is left out.",
                            slash ? slash + 1 : path))
        return error_memory(err, path);
    return STATUS_OK;
}

static int by_place(const void *a, const void *b) {
    const struct trial_row *x = a, *y = b;
    int order = strcmp(x->trial, y->trial);
    order = order ? order : (x->fold > y->fold) - (x->fold < y->fold);
    order = order ? order : strcmp(x->grid, y->grid);
    return order ? order : strcmp(x->config, y->config);
}

static void keep_node(void *row) {
    (void)row; // the tree's keys are rows of the table
}

// A trial that was stopped and resumed has two rows: the last one takes the place of the first.
static enum status keep_last_rows(struct run_data *run, struct error *err) {
    void *places = NULL; // of the rows that are kept
    size_t kept = 0;
    bool complete = true;
    for (size_t i = 0; i < run->trials && complete; i++) {
        struct trial_row **there = tsearch(&run->trial[i], &places, by_place);
        complete = there != NULL;
        if (complete && *there == &run->trial[i])
            *there = &run->trial[kept++];
        if (complete && *there != &run->trial[i])
            **there = run->trial[i];
    }
    tdestroy(places, keep_node);
    if (complete)
        run->trials = kept;
    return complete ? STATUS_OK : error_memory(err, "trials");
}

// Of rows without an id, what else they are told apart by.
static int by_identity(const struct trial_row *a, const struct trial_row *b) {
    int order = strcmp(a->trial, b->trial);
    if (order || *a->trial)
        return order;
    order = (a->fold > b->fold) - (a->fold < b->fold);
    order = order ? order : strcmp(a->config, b->config);
    for (int i = 0; i < a->swept_count && !order; i++)
        order = strcmp(a->swept[i], b->swept[i]);
    return order;
}

// Rows of one trial keep the order of the file, which their addresses tell.
static int by_identity_and_place(const void *a, const void *b) {
    const struct trial_row *const *x = a, *const *y = b;
    int order = by_identity(*x, *y);
    return order ? order : (*x > *y) - (*x < *y);
}

enum status run_data_index(struct run_data *run, struct error *err) {
    run->distinct = malloc((run->trials + 1) * sizeof(const struct trial_row *));
    run->distinct_trials = 0;
    if (!run->distinct)
        return error_memory(err, "trials");
    for (size_t i = 0; i < run->trials; i++)
        run->distinct[i] = &run->trial[i];
    qsort(run->distinct, run->trials, sizeof(const struct trial_row *), by_identity_and_place);
    for (size_t i = 0; i < run->trials; i++)
        if (i == 0 || by_identity(run->distinct[run->distinct_trials - 1], run->distinct[i]) != 0)
            run->distinct[run->distinct_trials++] = run->distinct[i];
    return STATUS_OK;
}

static int by_trial_and_epoch(const void *a, const void *b) {
    const struct epoch_row *x = a, *y = b;
    int order = strcmp(x->trial, y->trial);
    return order ? order : (x->epoch > y->epoch) - (x->epoch < y->epoch);
}

// Rows of one epoch keep the order of the file: qsort sorts pointers, whose addresses tell it.
static int by_trial_epoch_and_place(const void *a, const void *b) {
    const struct epoch_row *const *x = a, *const *y = b;
    int order = by_trial_and_epoch(*x, *y);
    return order ? order : (*x > *y) - (*x < *y);
}

static enum status sort_epochs(struct run_data *run, struct error *err) {
    const struct epoch_row **order = malloc((run->epochs + 1) * sizeof *order);
    struct epoch_row *sorted = malloc((run->epochs + 1) * sizeof *sorted);
    size_t kept = 0;
    for (size_t i = 0; i < run->epochs && order; i++)
        order[i] = &run->epoch[i];
    if (order && sorted) {
        qsort(order, run->epochs, sizeof *order, by_trial_epoch_and_place);
        for (size_t i = 0; i < run->epochs; i++) {
            bool again = kept > 0 && by_trial_and_epoch(&sorted[kept - 1], order[i]) == 0;
            sorted[again ? kept - 1 : kept] = *order[i];
            kept += !again;
        }
    }
    bool sorted_all = order && sorted;
    free(order);
    if (!sorted_all) {
        free(sorted);
        return error_memory(err, "epochs");
    }
    free(run->epoch);
    run->epoch = sorted;
    run->epochs = kept;
    return STATUS_OK;
}

static enum status read_tables(struct run_data *run, bool *found, struct error *err) {
    char path[PATH_SIZE];
    TRY(path_join(path, run->folder, "trials.csv", err));
    if (file_exists(path)) {
        TRY(trials_read(path, &run->swept, &run->trial, &run->trials, err));
        if (*run->swept.metric) // sweep.ini need not name it
            take(run->metric.name, sizeof run->metric.name, run->swept.metric);
        TRY(keep_last_rows(run, err));
        TRY(note_torn_line(run, path, err));
        *found = true;
    }
    TRY(path_join(path, run->folder, "epochs.csv", err));
    if (file_exists(path)) {
        TRY(epochs_read(path, &run->own, &run->epoch, &run->epochs, err));
        TRY(sort_epochs(run, err));
        TRY(note_torn_line(run, path, err));
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
    TRY(run_data_index(run, err));
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

static void free_facts(struct run_facts *facts) {
    for (size_t i = 0; i < facts->count; i++) {
        free(facts->fact[i].key);
        free(facts->fact[i].value);
    }
    free(facts->fact);
}

void run_data_free(struct run_data *run) {
    free_facts(&run->settings);
    free_facts(&run->base);
    free_facts(&run->manifest);
    free_facts(&run->config_folds);
    for (size_t i = 0; i < run->notices; i++)
        free(run->notice[i]);
    free(run->notice);
    free(run->distinct);
    free(run->trial);
    csv_table_free(&run->texts);
    free(run->epoch);
    csv_table_free(&run->events);
    csv_table_free(&run->folds);
    *run = (struct run_data){0};
}

// Questions

const char *run_fact(const struct run_facts *facts, const char *key) {
    for (size_t i = 0; i < facts->count; i++)
        if (strcmp(facts->fact[i].key, key) == 0)
            return facts->fact[i].value;
    return NULL;
}

static int by_id(const void *key, const void *row) {
    return strcmp(key, (*(const struct trial_row *const *)row)->trial);
}

const struct trial_row *run_data_trial(const struct run_data *run, const char *id) {
    const struct trial_row **row =
        run->distinct_trials && *id ? bsearch(id, run->distinct, run->distinct_trials, sizeof *row, by_id) : NULL;
    return row ? *row : NULL;
}

static int by_identity_alone(const void *key, const void *row) {
    return by_identity(key, *(const struct trial_row *const *)row);
}

bool run_data_is_first(const struct run_data *run, const struct trial_row *row) {
    const struct trial_row **first =
        bsearch(row, run->distinct, run->distinct_trials, sizeof *first, by_identity_alone);
    return first && *first == row;
}

double run_data_metric(const struct run_data *run, const struct epoch_row *epoch) {
    return metric_is_share(&run->metric) ? epoch->val_iou : epoch_row_number(epoch, &run->own, run->metric.name);
}

static int by_trial(const void *key, const void *row) {
    return strcmp(key, ((const struct epoch_row *)row)->trial);
}

const struct epoch_row *run_data_epochs(const struct run_data *run, const char *trial, size_t *count) {
    *count = 0;
    if (run->epochs == 0 || !*trial)
        return NULL;
    const struct epoch_row *first = bsearch(trial, run->epoch, run->epochs, sizeof *first, by_trial);
    if (!first)
        return NULL;
    while (first > run->epoch && strcmp(first[-1].trial, trial) == 0)
        first--;
    while (first + *count < run->epoch + run->epochs && strcmp(first[*count].trial, trial) == 0)
        ++*count;
    return first;
}

int run_data_planned_epochs(const struct run_data *run, const struct trial_row *trial) {
    const char *text = run_fact(&run->base, "epochs");
    for (int i = 0; i < run->swept.count; i++)
        if (strcmp(run->swept.name[i], "epochs") == 0)
            text = trial->swept[i];
    long epochs = text ? strtol(text, NULL, 10) : 0;
    return epochs > 0 && epochs < 1000000 ? (int)epochs : 0;
}

// Unfinished trials

// Epochs come by trial: a trial's rows follow each other.
static void add_epoch(const struct run_data *run, const struct epoch_row *row, struct unfinished_trial *trials,
                      size_t *count) {
    double value = run_data_metric(run, row);
    if (*count == 0 || strcmp(trials[*count - 1].trial, row->trial) != 0) {
        if (run_data_trial(run, row->trial))
            return;
        struct unfinished_trial *added = &trials[(*count)++];
        *added = (struct unfinished_trial){.fold = row->fold, .best_iou = NAN};
        take(added->trial, sizeof added->trial, row->trial);
        take(added->config, sizeof added->config, row->config);
    }
    struct unfinished_trial *t = &trials[*count - 1];
    t->epochs = row->epoch + 1 > t->epochs ? row->epoch + 1 : t->epochs;
    if (isnan(t->best_iou) || metric_better(&run->metric, value, t->best_iou))
        t->best_iou = value;
}

static int by_unfinished_id(const void *key, const void *trial) {
    return strcmp(key, ((const struct unfinished_trial *)trial)->trial);
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// The trial of a "planned" event; NULL for other events.
static const char *planned_trial(const struct csv_table *events, size_t row, int event, int trial) {
    return strcmp(csv_table_cell(events, row, event), "planned") == 0 ? csv_table_cell(events, row, trial) : NULL;
}

static enum status count_not_started(const struct run_data *run, const struct unfinished_trial *started, size_t count,
                                     size_t *not_started, struct error *err) {
    const struct csv_table *events = &run->events;
    int event = events->columns ? csv_table_column(events, "event") : -1;
    int trial = events->columns ? csv_table_column(events, "trial") : -1;
    const char **planned = malloc((events->rows + 1) * sizeof *planned);
    size_t ids = 0;
    *not_started = 0;
    if (!planned)
        return error_memory(err, run->folder);
    for (size_t i = 0; event >= 0 && trial >= 0 && i < events->rows; i++) {
        const char *id = planned_trial(events, i, event, trial);
        if (id && !run_data_trial(run, id) && !bsearch(id, started, count, sizeof *started, by_unfinished_id))
            planned[ids++] = id;
    }
    qsort(planned, ids, sizeof *planned, by_text); // a resumed sweep plans them anew
    for (size_t i = 0; i < ids; i++)
        *not_started += i == 0 || strcmp(planned[i - 1], planned[i]) != 0;
    free(planned);
    return STATUS_OK;
}

enum status run_data_unfinished(const struct run_data *run, struct unfinished_trial **trials, size_t *count,
                                size_t *not_started, struct error *err) {
    *count = 0;
    *trials = malloc((run->epochs + 1) * sizeof **trials);
    if (!*trials)
        return error_memory(err, run->folder);
    for (size_t i = 0; i < run->epochs; i++)
        add_epoch(run, &run->epoch[i], *trials, count);
    return count_not_started(run, *trials, *count, not_started, err);
}
