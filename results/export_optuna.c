// Optuna's journal: a JSON object a line, each one operation (optuna/storages/journal/_storage.py).
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "results/export.h"

enum { CREATE_STUDY = 0, SET_STUDY_SYSTEM_ATTR = 3, CREATE_TRIAL = 4, MINIMIZE = 1, MAXIMIZE = 2 };
enum { COMPLETE = 1, PRUNED = 2, FAIL = 3 };
static const char WORKER[] = "gridfold-export";

enum kind { WHOLE, REAL, CHOICE };

// A swept column as a distribution: whole or real numbers from the lowest to the highest that was tried, or a choice.
struct parameter {
    enum kind kind;
    double low, high;
    json_t *choices;
};

static void add_choices(const struct run_data *run, int column, json_t *choices) {
    for (size_t i = 0; i < run->trials; i++) {
        const char *text = run->trial[i].swept[column];
        bool known = false;
        for (size_t k = 0; k < json_array_size(choices) && !known; k++)
            known = strcmp(json_string_value(json_array_get(choices, k)), text) == 0;
        if (!known)
            json_array_append_new(choices, json_string(text));
    }
}

static struct parameter parameter_of(const struct run_data *run, int column) {
    struct parameter p = {.kind = WHOLE, .low = INFINITY, .high = -INFINITY, .choices = json_array()};
    for (size_t i = 0; i < run->trials && p.kind != CHOICE; i++) {
        const char *text = run->trial[i].swept[column];
        char *end;
        double value = strtod(text, &end);
        bool number = end != text && !*end && isfinite(value);
        p.kind = !number ? CHOICE : value != floor(value) ? REAL : p.kind;
        p.low = number ? fmin(p.low, value) : p.low;
        p.high = number ? fmax(p.high, value) : p.high;
    }
    if (p.kind == CHOICE)
        add_choices(run, column, p.choices);
    return p;
}

// Optuna keeps a distribution as a text that is JSON itself.
static json_t *distribution_of(const struct parameter *p) {
    json_t *d;
    if (p->kind == CHOICE)
        d = json_pack("{s:s, s:{s:O}}", "name", "CategoricalDistribution", "attributes", "choices", p->choices);
    else if (p->kind == WHOLE)
        d = json_pack("{s:s, s:{s:b, s:i, s:I, s:I}}", "name", "IntDistribution", "attributes", "log", 0, "step", 1,
                      "low", (json_int_t)p->low, "high", (json_int_t)p->high);
    else
        d = json_pack("{s:s, s:{s:n, s:f, s:f, s:b}}", "name", "FloatDistribution", "attributes", "step", "low", p->low,
                      "high", p->high, "log", 0);
    char *text = json_dumps(d, JSON_COMPACT);
    json_t *out = text ? json_string(text) : NULL;
    free(text);
    json_decref(d);
    return out;
}

// A choice by its place, a number as it is.
static json_t *internal_value(const struct parameter *p, const char *text) {
    if (p->kind != CHOICE)
        return json_real(strtod(text, NULL));
    for (size_t k = 0; k < json_array_size(p->choices); k++)
        if (strcmp(json_string_value(json_array_get(p->choices, k)), text) == 0)
            return json_integer((json_int_t)k);
    return NULL;
}

static json_t *time_text(double seconds) {
    time_t t = (time_t)seconds;
    struct tm utc;
    char text[40];
    gmtime_r(&t, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S+00:00", &utc);
    return json_string(text);
}

static json_t *intermediate_values(const struct run_data *run, const char *trial) {
    json_t *values = json_object();
    size_t count;
    const struct epoch_row *epoch = run_data_epochs(run, trial, &count);
    for (size_t i = 0; i < count; i++) {
        char key[16];
        double value = run_data_metric(run, &epoch[i]);
        snprintf(key, sizeof key, "%d", epoch[i].epoch);
        if (isfinite(value))
            json_object_set_new(values, key, json_real(value));
    }
    return values;
}

static bool has_status(const struct trial_row *row, const char *status) {
    return strcmp(row->status, status) == 0;
}

static int state_of(const struct trial_row *row) {
    if (!isfinite(row->best_iou) || has_status(row, "failed") || has_status(row, "diverged"))
        return has_status(row, "stopped") ? PRUNED : FAIL;
    return has_status(row, "done") ? COMPLETE : PRUNED;
}

static void set_number(json_t *attributes, const char *key, double value) {
    if (isfinite(value))
        json_object_set_new(attributes, key, json_real(value));
}

// What the epoch of the best value had besides it.
static void add_best_epoch(const struct run_data *run, const struct trial_row *row, json_t *attributes) {
    static const char *const names[] = {"train_loss", "val_loss", "val_precision", "val_recall"};
    size_t count;
    const struct epoch_row *epoch = run_data_epochs(run, row->trial, &count);
    for (size_t i = 0; i < count; i++) {
        if (epoch[i].epoch != row->best_epoch)
            continue;
        for (size_t k = 0; k < sizeof names / sizeof *names; k++)
            set_number(attributes, names[k], epoch_row_number(&epoch[i], &run->own, names[k]));
        for (int k = 0; k < run->own.count; k++)
            set_number(attributes, run->own.name[k], epoch[i].own[k]);
    }
}

static json_t *attributes_of(const struct run_data *run, const struct trial_row *row) {
    json_t *attributes =
        json_pack("{s:s, s:s, s:s, s:i, s:s, s:i}", "trial", row->trial, "grid", row->grid, "config", row->config,
                  "fold", row->fold, "status", row->status, "epochs_run", row->epochs_run);
    if (*row->error)
        json_object_set_new(attributes, "error", json_string(row->error));
    if (row->best_epoch >= 0)
        json_object_set_new(attributes, "best_epoch", json_integer(row->best_epoch));
    if (row->parameters > 0)
        json_object_set_new(attributes, "parameters", json_integer(row->parameters));
    set_number(attributes, "best_f1", row->best_f1);
    set_number(attributes, *run->swept.final_column ? run->swept.final_column : "final_iou", row->final_iou);
    set_number(attributes, "train_val_gap", row->train_val_gap);
    add_best_epoch(run, row, attributes);
    return attributes;
}

static json_t *trial_of(const struct run_data *run, const export_times *times, const struct trial_row *row,
                        const struct parameter *parameters) {
    json_t *distributions = json_object(), *params = json_object();
    int state = state_of(row);
    double begun = export_time(times, row->trial, -1), ended = export_time(times, row->trial, row->epochs_run - 1);
    for (int i = 0; i < run->swept.count; i++) {
        json_object_set_new(distributions, run->swept.name[i], distribution_of(&parameters[i]));
        json_object_set_new(params, run->swept.name[i], internal_value(&parameters[i], row->swept[i]));
    }
    return json_pack("{s:i, s:s, s:i, s:o, s:o, s:i, s:o, s:n, s:o, s:o, s:o, s:{}, s:o}", "op_code", CREATE_TRIAL,
                     "worker_id", WORKER, "study_id", 0, "datetime_start", time_text(begun), "datetime_complete",
                     time_text(ended > begun ? ended : begun), "state", state, "value",
                     state != FAIL && isfinite(row->best_iou) ? json_real(row->best_iou) : json_null(), "values",
                     "distributions", distributions, "params", params, "user_attrs", attributes_of(run, row),
                     "system_attrs", "intermediate_values", intermediate_values(run, row->trial));
}

// Takes the object.
static bool print_line(FILE *out, json_t *line) {
    bool ok = line && json_dumpf(line, out, JSON_COMPACT) == 0 && fputc('\n', out) != EOF;
    json_decref(line);
    return ok;
}

// The rows in the order of the file.
static bool print_trials(const struct run_data *run, const export_times *times, const struct parameter *parameters,
                         FILE *out) {
    bool ok = true;
    for (size_t i = 0; i < run->trials && ok; i++)
        if (run_data_is_first(run, &run->trial[i]))
            ok = print_line(out, trial_of(run, times, &run->trial[i], parameters));
    return ok;
}

static bool print_journal(const struct run_data *run, const export_times *times, FILE *out) {
    struct parameter parameters[RUN_MAX_SWEPT];
    bool ok =
        print_line(out, json_pack("{s:i, s:s, s:s, s:[i]}", "op_code", CREATE_STUDY, "worker_id", WORKER, "study_name",
                                  run->name, "directions", run->metric.minimize ? MINIMIZE : MAXIMIZE)) &&
        print_line(out, json_pack("{s:i, s:s, s:i, s:{s:[s]}}", "op_code", SET_STUDY_SYSTEM_ATTR, "worker_id", WORKER,
                                  "study_id", 0, "system_attr", "study:metric_names",
                                  *run->metric.name ? run->metric.name : "val_iou"));
    for (int i = 0; i < run->swept.count; i++)
        parameters[i] = parameter_of(run, i);
    ok = ok && print_trials(run, times, parameters, out);
    for (int i = 0; i < run->swept.count; i++)
        json_decref(parameters[i].choices);
    return ok;
}

enum status export_optuna(const struct run_data *run, const char *path, size_t *trials, struct error *err) {
    *trials = 0;
    if (run->trials == 0)
        return error_set(err, STATUS_NOT_FOUND, "%s has no trial with a result yet: there is nothing to export",
                         run->folder);
    char *text = NULL;
    size_t bytes = 0;
    export_times *times = export_times_create(run);
    FILE *out = open_memstream(&text, &bytes);
    bool ok = times && out && print_journal(run, times, out);
    if (out)
        ok = fclose(out) == 0 && ok;
    enum status status =
        ok ? file_write(path, text, bytes, err)
           : error_set(err, STATUS_INVALID, "%s cannot be written: a name is not UTF-8, or no memory", path);
    *trials = ok ? run->distinct_trials : 0;
    free(times);
    free(text);
    return status;
}
