// Optuna's journal: a JSON object a line, each one operation (optuna/storages/journal/_storage.py).
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "results/export.h"

enum { CREATE_STUDY = 0, CREATE_TRIAL = 4, MINIMIZE = 1, MAXIMIZE = 2 };
enum { COMPLETE = 1, PRUNED = 2, FAIL = 3 };
static const char WORKER[] = "gridfold-export";

enum kind { WHOLE, REAL, CHOICE };

// A swept column as a distribution: whole or real numbers from the lowest to the highest that was tried, or a choice.
struct parameter {
    enum kind kind;
    double low, high;
    json_t *choices;
};

static struct parameter parameter_of(const struct trial_row *const *rows, size_t count, int column) {
    struct parameter p = {.kind = WHOLE, .low = INFINITY, .high = -INFINITY, .choices = json_array()};
    for (size_t i = 0; i < count; i++) {
        const char *text = rows[i]->swept[column];
        char *end;
        double value = strtod(text, &end);
        bool number = end != text && !*end && isfinite(value), known = false;
        p.kind = !number ? CHOICE : p.kind == WHOLE && value != floor(value) ? REAL : p.kind;
        p.low = number ? fmin(p.low, value) : p.low;
        p.high = number ? fmax(p.high, value) : p.high;
        for (size_t k = 0; k < json_array_size(p.choices) && !known; k++)
            known = strcmp(json_string_value(json_array_get(p.choices, k)), text) == 0;
        if (!known)
            json_array_append_new(p.choices, json_string(text));
    }
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
    for (size_t i = 0; i < run->epochs; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", run->epoch[i].epoch);
        if (strcmp(run->epoch[i].trial, trial) == 0 && !isnan(run->epoch[i].val_iou))
            json_object_set_new(values, key, json_real(run->epoch[i].val_iou));
    }
    return values;
}

static int state_of(const struct trial_row *row) {
    bool value = !isnan(row->best_iou);
    if (strcmp(row->status, "done") == 0 && value)
        return COMPLETE;
    return strcmp(row->status, "stopped") == 0 ? PRUNED : FAIL;
}

static json_t *trial_of(const struct run_data *run, const struct trial_row *row, const struct parameter *parameters) {
    json_t *distributions = json_object(), *params = json_object();
    int state = state_of(row);
    double begun = export_time(run, row->trial, -1), ended = export_time(run, row->trial, row->epochs_run - 1);
    for (int i = 0; i < run->swept.count; i++) {
        json_object_set_new(distributions, run->swept.name[i], distribution_of(&parameters[i]));
        json_object_set_new(params, run->swept.name[i], internal_value(&parameters[i], row->swept[i]));
    }
    return json_pack("{s:i, s:s, s:i, s:o, s:o, s:i, s:o, s:n, s:o, s:o, s:{s:s, s:s, s:s, s:i, s:s, s:s}, s:{}, s:o}",
                     "op_code", CREATE_TRIAL, "worker_id", WORKER, "study_id", 0, "datetime_start", time_text(begun),
                     "datetime_complete", time_text(ended > begun ? ended : begun), "state", state, "value",
                     state != FAIL && !isnan(row->best_iou) ? json_real(row->best_iou) : json_null(), "values",
                     "distributions", distributions, "params", params, "user_attrs", "trial", row->trial, "grid",
                     row->grid, "config", row->config, "fold", row->fold, "status", row->status, "error", row->error,
                     "system_attrs", "intermediate_values", intermediate_values(run, row->trial));
}

// Takes the object.
static bool print_line(FILE *out, json_t *line) {
    bool ok = line && json_dumpf(line, out, JSON_COMPACT) == 0 && fputc('\n', out) != EOF;
    json_decref(line);
    return ok;
}

static bool print_journal(const struct run_data *run, const struct trial_row *const *rows, size_t count, FILE *out) {
    struct parameter parameters[RUN_MAX_SWEPT];
    bool ok =
        print_line(out, json_pack("{s:i, s:s, s:s, s:[i]}", "op_code", CREATE_STUDY, "worker_id", WORKER, "study_name",
                                  run->name, "directions", run->metric.minimize ? MINIMIZE : MAXIMIZE));
    for (int i = 0; i < run->swept.count; i++)
        parameters[i] = parameter_of(rows, count, i);
    for (size_t i = 0; i < count && ok; i++)
        ok = print_line(out, trial_of(run, rows[i], parameters));
    for (int i = 0; i < run->swept.count; i++)
        json_decref(parameters[i].choices);
    return ok;
}

enum status export_optuna(const struct run_data *run, const char *path, size_t *trials, struct error *err) {
    *trials = 0;
    if (run->trials == 0)
        return error_set(err, STATUS_NOT_FOUND, "%s has no trial with a result yet: there is nothing to export",
                         run->folder);
    const struct trial_row **rows = malloc(run->trials * sizeof *rows);
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    bool ok = rows && out;
    if (ok) {
        export_rows(run, rows, trials);
        ok = print_journal(run, rows, *trials, out);
    }
    if (out)
        ok = fclose(out) == 0 && ok;
    enum status status =
        ok ? file_write(path, text, bytes, err)
           : error_set(err, STATUS_INVALID, "%s cannot be written: a name is not UTF-8, or no memory", path);
    free(rows);
    free(text);
    return status;
}
