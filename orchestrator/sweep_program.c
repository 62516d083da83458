#include "orchestrator/sweep_program.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/base/nearest.h"
#include "orchestrator/command_template.h"

const char *program_hyper_key(const struct sweep_program *p, int hyper) {
    return hyper < HYPER_COUNT ? hyper_key(hyper) : p->own.key[hyper - HYPER_COUNT];
}

int program_hyper_find(const struct sweep_program *p, const char *key) {
    if (p->kind == TRAINER_EMBEDDED)
        return hyper_find(key);
    int own = own_key_find(&p->own, key);
    return own >= 0 ? HYPER_COUNT + own : -1;
}

const char *program_hyper_nearest(const struct sweep_program *p, const char *key) {
    const char *keys[OWN_MAX];
    if (p->kind == TRAINER_EMBEDDED)
        return hyper_nearest(key);
    for (int i = 0; i < p->own.count; i++)
        keys[i] = p->own.key[i];
    return p->own.count > 0 ? text_nearest(key, keys, (size_t)p->own.count) : "";
}

void program_hyper_column(const struct sweep_program *p, int hyper, char *out, size_t size) {
    snprintf(out, size, "%s", program_hyper_key(p, hyper));
    for (char *c = out; *c; c++)
        if (*c == '-')
            *c = '_';
}

int program_hyper_count(const struct sweep_program *p) {
    return p->kind == TRAINER_EMBEDDED ? HYPER_COUNT : p->own.count;
}

int program_hyper_first(const struct sweep_program *p) {
    return p->kind == TRAINER_EMBEDDED ? 0 : HYPER_COUNT;
}

bool program_knows_epochs(const struct sweep_program *p) {
    return p->kind == TRAINER_EMBEDDED || p->max_epochs > 0;
}

double program_score(const struct sweep_program *p, double metric) {
    return p->minimize ? -metric : metric;
}

bool program_is_better(const struct sweep_program *p, double a, double b) {
    return isfinite(a) && (!isfinite(b) || program_score(p, a) > program_score(p, b));
}

static bool is_iou(const struct sweep_program *p) {
    return strcmp(p->metric, "val_iou") == 0;
}

void program_format_metric(const struct sweep_program *p, double value, char out[32]) {
    if (is_iou(p))
        snprintf(out, 32, "%.2f %%", 100 * value);
    else
        snprintf(out, 32, "%.6g", value);
}

const char *program_metric_label(const struct sweep_program *p) {
    return is_iou(p) ? "val IoU" : p->metric;
}

void program_metric_columns(const struct sweep_program *p, struct metric_columns *extra) {
    *extra = (struct metric_columns){0};
    for (int i = 0; i < p->metric_count; i++)
        if (!epoch_column_is_fixed(p->metrics[i]))
            snprintf(extra->name[extra->count++], sizeof extra->name[0], "%s", p->metrics[i]);
}

void program_trial_id(const struct sweep_program *p, const struct hyperparameters *hp, int folds, int fold,
                      uint64_t seed, char id[TRIAL_ID_SIZE]) {
    if (p->kind == TRAINER_EMBEDDED)
        trial_id(hp, folds, fold, seed, id);
    else
        own_trial_id(&p->own, hp->own, p->command, folds, fold, seed, id);
}

// ---- a trial's arguments and variables ----

struct trial_values {
    const struct sweep_program *program;
    const struct hyperparameters *hp;
    const struct program_place *place;
};

static const char *const reserved[] = {"trial", "folder", "fold", "folds", "seed", "threads", "until"};
enum { RESERVED = sizeof reserved / sizeof *reserved, UNTIL = RESERVED - 1 };

bool program_name_is_reserved(const char *key) {
    for (int i = 0; i < RESERVED; i++)
        if (strcmp(key, reserved[i]) == 0)
            return true;
    return false;
}

static void place_value(const struct program_place *place, int which, char *value, size_t size) {
    switch (which) {
    case 0:
        snprintf(value, size, "%s", place->trial);
        break;
    case 1:
        snprintf(value, size, "%s", place->folder);
        break;
    case 2:
        snprintf(value, size, "%d", place->fold);
        break;
    case 3:
        snprintf(value, size, "%d", place->folds);
        break;
    case 4:
        snprintf(value, size, "%" PRIu64, place->seed);
        break;
    case 5:
        snprintf(value, size, "%d", place->threads);
        break;
    default:
        snprintf(value, size, "%d", place->until);
    }
}

static bool look_up(const void *context, const char *name, char *value, size_t size) {
    const struct trial_values *v = context;
    for (int i = 0; i < RESERVED; i++) {
        if (strcmp(name, reserved[i]) != 0)
            continue;
        if (i == UNTIL && v->place->until == 0)
            return false;
        place_value(v->place, i, value, size);
        return true;
    }
    int own = own_key_find(&v->program->own, name);
    if (own >= 0)
        own_value(v->hp->own, own, value, size);
    return own >= 0;
}

// GRIDFOLD_LEARNING_RATE=0.1
static enum status add_variable(const char *key, const char *value, char *out, size_t size, size_t *used,
                                struct error *err) {
    char name[OWN_KEY_SIZE];
    snprintf(name, sizeof name, "%s", key);
    for (char *c = name; *c; c++)
        *c = (char)(*c == '-' ? '_' : toupper((unsigned char)*c));
    *used += (size_t)snprintf(out + *used, size - *used, "GRIDFOLD_%s=%s\n", name, value);
    return *used < size ? STATUS_OK : error_set(err, STATUS_INVALID, "the environment of a trial is too long");
}

static enum status fill_variables(const struct trial_values *v, char *out, size_t size, struct error *err) {
    size_t used = 0;
    *out = '\0';
    for (int i = 0; i < RESERVED; i++) {
        char value[2048];
        if (i == UNTIL && v->place->until == 0)
            continue;
        place_value(v->place, i, value, sizeof value);
        TRY(add_variable(reserved[i], value, out, size, &used, err));
    }
    for (int i = 0; i < v->program->own.count; i++) {
        char value[OWN_VALUE_SIZE];
        own_value(v->hp->own, i, value, sizeof value);
        TRY(add_variable(v->program->own.key[i], value, out, size, &used, err));
    }
    return STATUS_OK;
}

static enum status unknown_place(const struct sweep_program *p, const char *name, struct error *err) {
    const char *names[OWN_MAX + RESERVED];
    size_t count = 0;
    if (strcmp(name, reserved[UNTIL]) == 0)
        return error_set(err, STATUS_INVALID, "command: {until} needs max-epochs = N in [sweep]");
    for (int i = 0; i < p->own.count; i++)
        names[count++] = p->own.key[i];
    for (int i = 0; i < RESERVED; i++)
        names[count++] = reserved[i];
    return error_set(
        err, STATUS_INVALID,
        "command: there is no {%s}; the nearest is {%s} (braces that mean themselves are written {{ and }})", name,
        text_nearest(name, names, count));
}

enum status program_fill(const struct sweep_program *p, const struct hyperparameters *hp,
                         const struct program_place *place, struct trial_program *out, struct error *err) {
    out->kind = p->kind;
    if (p->kind != TRAINER_COMMAND)
        return STATUS_OK;
    struct trial_values values = {p, hp, place};
    char unknown[64];
    size_t used = 0;
    out->minimize = p->minimize;
    out->resume = p->resume;
    out->epochs = p->max_epochs;
    for (int i = 0; i < p->metric_count; i++) {
        used +=
            (size_t)snprintf(out->metrics + used, sizeof out->metrics - used, "%s%s", i > 0 ? "," : "", p->metrics[i]);
        if (strcmp(p->metrics[i], p->metric) == 0)
            out->metric = i;
    }
    if (command_expand(p->command, look_up, &values, out->arguments, sizeof out->arguments, unknown, err) != STATUS_OK)
        return *unknown ? unknown_place(p, unknown, err) : err->status;
    return fill_variables(&values, out->variables, sizeof out->variables, err);
}
