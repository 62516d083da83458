#include "results/run_data.h"

#include <ini.h>
#include <math.h>
#include <search.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "model/base/utf8.h"

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

static int items_of(const char *value, char separator) {
    int items = 1;
    for (; *value; value++)
        items += *value == separator;
    return items;
}

static struct run_section *need_section(struct run_data *run, const char *name) {
    if (run->sections > 0 && strcmp(run->section[run->sections - 1].name, name) == 0)
        return &run->section[run->sections - 1];
    struct run_section *larger = realloc(run->section, (run->sections + 1) * sizeof *larger);
    if (!larger)
        return NULL;
    run->section = larger;
    larger[run->sections] = (struct run_section){.points = 1};
    take(larger[run->sections].name, sizeof larger->name, name);
    return &larger[run->sections++];
}

// A key of [grid NAME] or [random NAME]. False: out of memory.
static bool use_section(struct run_data *run, const char *name, bool random, const char *key, const char *value) {
    enum { MOST = 1000000 };
    struct run_section *s = need_section(run, name);
    if (!s)
        return false;
    // Lists of a hyperparameter that is a list itself are separated by bars.
    int items = items_of(value, strchr(value, '|') || strcmp(key, "decoder-channels") == 0 ? '|' : ',');
    if (strcmp(key, "folds") == 0)
        s->folds = items;
    else if (random && strcmp(key, "points") == 0)
        s->points = strtol(value, NULL, 10);
    else if (!random)
        s->points = s->points < MOST ? s->points * items : MOST;
    return true;
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
    else if (strcmp(section, "folds") == 0 && strcmp(key, "run") == 0)
        run->run_folds = items_of(value, ',');
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
    else if (strncmp(section, "grid ", 5) == 0 || strncmp(section, "random ", 7) == 0)
        kept = use_section(run, strchr(section, ' ') + 1, *section == 'r', key, value);
    r->out_of_memory = r->out_of_memory || !kept;
    if (!r->manifest)
        use_setting(run, section, key, value);
    return 1;
}

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

// A log whose last line has no newline (the writer died in it, and its reader drops the line), and text that is no
// UTF-8, which is shown with '?' in its place.
static enum status note_text(struct run_data *run, const char *path, bool log, struct error *err) {
    char *text;
    size_t bytes;
    TRY(file_read(path, &text, &bytes, err));
    bool torn = log && bytes > 0 && text[bytes - 1] != '\n';
    size_t wrong = utf8_count_wrong(text);
    free(text);
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    if (torn && !add_notice(run, "%s: the last line has no end (its writer died in it): it is left out.", name))
        return error_memory(err, path);
    if (wrong > 0 && !add_notice(run, "%s: %zu %s no UTF-8 text: '?' stands for %s.", name, wrong,
                                 wrong == 1 ? "byte is" : "bytes are", wrong == 1 ? "it" : "each"))
        return error_memory(err, path);
    return STATUS_OK;
}

static enum status read_settings(struct run_data *run, const char *file, bool manifest, bool *found,
                                 struct error *err) {
    char path[PATH_SIZE];
    TRY(path_join(path, run->folder, file, err));
    *found = file_exists(path);
    if (!*found)
        return STATUS_OK;
    struct facts_reader reader = {run, manifest, false};
    TRY(note_text(run, path, false, err));
    int line = ini_parse(path, on_setting, &reader);
    if (line < 0)
        return error_set(err, STATUS_IO, "cannot read %s", path);
    if (line > 0)
        reader.out_of_memory = !add_notice(run, "%s: line %d is no INI line.", file, line) || reader.out_of_memory;
    return reader.out_of_memory ? error_memory(err, path) : STATUS_OK;
}

// CSV files

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

static bool is_result(const struct trial_row *row) {
    return strcmp(row->status, "done") == 0;
}

// A trial that was stopped and resumed has two rows: the last one takes the place of the first.
static enum status keep_last_rows(struct run_data *run, struct error *err) {
    void *places = NULL; // of the rows that are kept
    size_t kept = 0, two_results = 0;
    bool complete = true;
    for (size_t i = 0; i < run->trials && complete; i++) {
        struct trial_row **there = tsearch(&run->trial[i], &places, by_place);
        complete = there != NULL;
        if (complete && *there == &run->trial[i])
            *there = &run->trial[kept++];
        else if (complete && is_result(*there) && is_result(&run->trial[i]))
            two_results++;
        if (complete && *there != &run->trial[i])
            **there = run->trial[i];
    }
    tdestroy(places, keep_node);
    if (!complete)
        return error_memory(err, "trials");
    run->trials = kept;
    if (two_results > 0 && !add_notice(run,
                                       "trials.csv has %zu finished trials twice in one place: the last row of each is "
                                       "shown.",
                                       two_results))
        return error_memory(err, "trials");
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

// What the report can do without: a file that cannot be read is left out, which is said.
static enum status leave_out(struct run_data *run, enum status status, const char *consequence, struct error *err) {
    if (status != STATUS_FORMAT)
        return status;
    return add_notice(run, "%s: the file is left out: %s.", err->message, consequence) ? STATUS_OK
                                                                                       : error_memory(err, run->folder);
}

// Numbers a hundred times too large, or of another file, would look like results.
static enum status check_trial_shares(const struct run_data *run, const char *path, struct error *err) {
    for (size_t i = 0; i < run->trials && metric_is_share(&run->metric); i++) {
        const struct trial_row *row = &run->trial[i];
        const double shares[] = {row->best_iou, row->best_f1, row->final_iou};
        for (size_t k = 0; k < 3; k++)
            if (isfinite(shares[k]) && (shares[k] < 0 || shares[k] > 1))
                return error_set(err, STATUS_FORMAT, "%s: trial %s: %s is %g, not a share of 0 to 1", path, row->trial,
                                 (const char *const[]){"best_iou", "best_f1", "final_iou"}[k], shares[k]);
    }
    return STATUS_OK;
}

static enum status read_trials(struct run_data *run, const char *path, struct error *err) {
    struct stat file;
    if (stat(path, &file) == 0 && file.st_size == 0)
        return add_notice(run, "trials.csv is empty, not even a header line stands there: no trial has a result.")
                   ? STATUS_OK
                   : error_memory(err, path);
    TRY(trials_read(path, &run->swept, &run->trial, &run->trials, err));
    if (*run->swept.metric) // sweep.ini need not name it
        take(run->metric.name, sizeof run->metric.name, run->swept.metric);
    TRY(check_trial_shares(run, path, err));
    TRY(keep_last_rows(run, err));
    return note_text(run, path, true, err);
}

static enum status check_epoch_shares(const struct run_data *run, const char *path, struct error *err) {
    for (size_t i = 0; i < run->epochs && metric_is_share(&run->metric); i++) {
        const struct epoch_row *e = &run->epoch[i];
        const double shares[] = {e->train_iou, e->val_iou};
        for (size_t k = 0; k < 2; k++)
            if (isfinite(shares[k]) && (shares[k] < 0 || shares[k] > 1))
                return error_set(err, STATUS_FORMAT, "%s: trial %s, epoch %d: %s is %g, not a share of 0 to 1", path,
                                 e->trial, e->epoch, k ? "val_iou" : "train_iou", shares[k]);
    }
    return STATUS_OK;
}

static enum status read_epochs(struct run_data *run, const char *path, struct error *err) {
    TRY(epochs_read(path, &run->own, &run->epoch, &run->epochs, err));
    enum status status = check_epoch_shares(run, path, err);
    if (status != STATUS_OK) {
        free(run->epoch);
        run->epoch = NULL;
        run->epochs = 0;
        return status;
    }
    TRY(sort_epochs(run, err));
    return note_text(run, path, true, err);
}

static enum status read_table(struct run_data *run, const char *path, struct csv_table *table, struct error *err) {
    enum status status = csv_table_read(path, table, err);
    if (status != STATUS_OK) {
        *table = (struct csv_table){0};
        return status;
    }
    return note_text(run, path, true, err);
}

static enum status read_events(struct run_data *run, const char *path, struct error *err) {
    static const char *const needed[] = {"time", "trial", "epoch", "event", "host", "worker", "detail"};
    TRY(read_table(run, path, &run->events, err));
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (csv_table_column(&run->events, needed[i]) < 0) {
            csv_table_free(&run->events);
            return error_set(err, STATUS_FORMAT, "%s: line 1: no column '%s'", path, needed[i]);
        }
    return STATUS_OK;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

// Every sample once, on a fold of 0 to 999 or held out. Other columns than these are no matter.
static enum status check_folds(const struct csv_table *t, struct error *err) {
    int sample = csv_table_column(t, "sample"), fold = csv_table_column(t, "fold");
    const char **samples = malloc((t->rows + 1) * sizeof *samples);
    enum status status = samples ? STATUS_OK : error_memory(err, t->path);
    for (size_t i = 0; i < t->rows && fold >= 0 && status == STATUS_OK; i++) {
        const char *cell = csv_table_cell(t, i, fold);
        if (strcmp(cell, "test") != 0 && (strlen(cell) > 3 || !*cell || cell[strspn(cell, "0123456789")]))
            status = error_set(err, STATUS_FORMAT, "%s: line %zu: '%.40s' is no fold", t->path, t->line[i + 1], cell);
    }
    for (size_t i = 0; i < t->rows && sample >= 0 && status == STATUS_OK; i++)
        samples[i] = csv_table_cell(t, i, sample);
    if (sample >= 0 && status == STATUS_OK)
        qsort(samples, t->rows, sizeof *samples, by_text);
    for (size_t i = 1; i < t->rows && sample >= 0 && status == STATUS_OK; i++)
        if (strcmp(samples[i - 1], samples[i]) == 0)
            status = error_set(err, STATUS_FORMAT, "%s: sample '%.80s' stands there twice", t->path, samples[i]);
    free(samples);
    return status;
}

static enum status read_folds(struct run_data *run, const char *path, struct error *err) {
    TRY(read_table(run, path, &run->folds, err));
    enum status status = check_folds(&run->folds, err);
    if (status != STATUS_OK)
        csv_table_free(&run->folds);
    return status;
}

static enum status read_tables(struct run_data *run, bool *found, struct error *err) {
    char path[PATH_SIZE];
    TRY(path_join(path, run->folder, "trials.csv", err));
    if (file_exists(path)) {
        TRY(read_trials(run, path, err));
        *found = true;
    }
    TRY(path_join(path, run->folder, "epochs.csv", err));
    if (file_exists(path)) {
        TRY(leave_out(run, read_epochs(run, path, err), "there are no curves, and no rule looks at epochs", err));
        *found = true;
    }
    TRY(path_join(path, run->folder, "events.csv", err));
    if (file_exists(path))
        TRY(leave_out(run, read_events(run, path, err), "when and where trials ran is not known", err));
    TRY(path_join(path, run->folder, "folds.csv", err));
    if (file_exists(path)) {
        TRY(leave_out(run, read_folds(run, path, err), "which sample is in which fold is not known", err));
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
    free(run->section);
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

void run_data_warn(const struct run_data *run, FILE *out) {
    for (size_t i = 0; i < run->notices; i++)
        fprintf(out, "attention: %s\n", run->notice[i]);
}
