// The keys of [sweep] that say what trains: trainer, command, metrics, metric, direction, resume, max-epochs.
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "model/base/nearest.h"
#include "orchestrator/sweep_read.h"

static const char *const kinds[] = {
#define X(name, text) text,
    TRAINER_KINDS(X)
#undef X
};
enum { KINDS = sizeof kinds / sizeof *kinds };

const char *sweep_trainer_name(enum trainer_kind kind) {
    return kinds[kind];
}

enum status sweep_read_trainer(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    for (int i = 0; i < KINDS; i++) {
        if (strcmp(e->value, kinds[i]) != 0)
            continue;
        r->sweep->program.kind = (enum trainer_kind)i;
        return STATUS_OK;
    }
    return sweep_ini_error(r->ini, e->line, r->err,
                           "trainer = %.80s: must be embedded, command or none; the nearest is %s", e->value,
                           text_nearest(e->value, kinds, KINDS));
}

enum status sweep_read_command(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    struct sweep_program *p = &r->sweep->program;
    if (strlen(e->value) >= sizeof p->command)
        return sweep_ini_error(r->ini, e->line, r->err, "command is longer than %zu bytes; put it into a script",
                               sizeof p->command - 1);
    snprintf(p->command, sizeof p->command, "%s", e->value);
    return STATUS_OK;
}

static enum status check_metric_name(struct sweep_reader *r, const struct sweep_ini_entry *e, const char *name,
                                     size_t length) {
    bool plain = length > 0 && length < METRIC_NAME_SIZE;
    for (size_t i = 0; i < length; i++)
        plain = plain && (isalnum((unsigned char)name[i]) || strchr("_-.@/", name[i]));
    if (plain)
        return STATUS_OK;
    return sweep_ini_error(r->ini, e->line, r->err,
                           "%s: '%.*s' is no name of a column: letters, digits and _ - . @ /, at most %d of them",
                           e->key, (int)(length < 80 ? length : 80), name, METRIC_NAME_SIZE - 1);
}

enum status sweep_read_metric(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    TRY(check_metric_name(r, e, e->value, strlen(e->value)));
    snprintf(r->sweep->program.metric, METRIC_NAME_SIZE, "%s", e->value);
    return STATUS_OK;
}

enum status sweep_read_metrics(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    struct sweep_program *p = &r->sweep->program;
    for (const char *at = e->value;;) {
        at += strspn(at, " \t");
        size_t item = strcspn(at, ","), length = item;
        while (length > 0 && isspace((unsigned char)at[length - 1]))
            length--;
        TRY(check_metric_name(r, e, at, length));
        if (p->metric_count == METRICS_MAX)
            return sweep_ini_error(r->ini, e->line, r->err, "metrics: more than %d; take fewer", METRICS_MAX);
        snprintf(p->metrics[p->metric_count++], METRIC_NAME_SIZE, "%.*s", (int)length, at);
        if (!at[item])
            return STATUS_OK;
        at += item + 1;
    }
}

static enum status read_choice(struct sweep_reader *r, const struct sweep_ini_entry *e, const char *no, const char *yes,
                               bool *out) {
    *out = strcmp(e->value, yes) == 0;
    if (*out || strcmp(e->value, no) == 0)
        return STATUS_OK;
    return sweep_ini_error(r->ini, e->line, r->err, "%s = %.80s: must be %s or %s", e->key, e->value, no, yes);
}

enum status sweep_read_direction(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    return read_choice(r, e, "max", "min", &r->sweep->program.minimize);
}

enum status sweep_read_resume(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    return read_choice(r, e, "no", "yes", &r->sweep->program.resume);
}

enum status sweep_read_max_epochs(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    unsigned long long count = 0;
    TRY(sweep_read_whole(r, e, 1, 1000000, &count));
    r->sweep->program.max_epochs = r->sweep->base.epochs = (int)count;
    return STATUS_OK;
}

// ---- what belongs together ----

static int line_of(const struct sweep_reader *r, const char *key) {
    int section = sweep_ini_section_find(r->ini, "sweep", "");
    const struct sweep_ini_entry *e = section < 0 ? NULL : sweep_ini_find(r->ini, section, key);
    return e ? e->line : -1;
}

static enum status refuse_keys(struct sweep_reader *r, const char *const *keys, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (line_of(r, keys[i]) >= 0)
            return sweep_ini_error(r->ini, line_of(r, keys[i]), r->err,
                                   "%s has no meaning with trainer = %s; remove it", keys[i],
                                   kinds[r->sweep->program.kind]);
    return STATUS_OK;
}

static enum status check_embedded(struct sweep_reader *r) {
    static const char *const others[] = {"command", "metrics", "direction", "resume", "max-epochs"};
    struct sweep_program *p = &r->sweep->program;
    TRY(refuse_keys(r, others, sizeof others / sizeof *others));
    if (*p->metric && strcmp(p->metric, "val_iou") != 0 && strcmp(p->metric, "val-iou") != 0)
        return sweep_ini_error(r->ini, line_of(r, "metric"), r->err,
                               "metric = %s: the only metric is val_iou; take that", p->metric);
    snprintf(p->metric, sizeof p->metric, "val_iou");
    return STATUS_OK;
}

static enum status check_none(struct sweep_reader *r) {
    static const char *const others[] = {
        "command",        "metrics",        "metric",           "direction",         "resume",    "dataset", "backend",
        "gpus-per-trial", "sync-batchnorm", "trainers-per-gpu", "device-memory-gib", "max-epochs"};
    struct sweep_program *p = &r->sweep->program;
    TRY(refuse_keys(r, others, sizeof others / sizeof *others));
    snprintf(p->metric, sizeof p->metric, "value");
    snprintf(p->metrics[p->metric_count++], METRIC_NAME_SIZE, "%s", p->metric);
    return STATUS_OK;
}

static enum status check_command(struct sweep_reader *r) {
    static const char *const others[] = {"dataset", "backend", "gpus-per-trial", "sync-batchnorm", "device-memory-gib"};
    struct sweep_program *p = &r->sweep->program;
    int line = line_of(r, "trainer");
    TRY(refuse_keys(r, others, sizeof others / sizeof *others));
    if (!*p->command)
        return sweep_ini_error(r->ini, line, r->err, "no command; add command = PROGRAM ARGUMENTS... to [sweep]");
    if (!*p->metric && p->metric_count > 0)
        snprintf(p->metric, sizeof p->metric, "%s", p->metrics[0]);
    if (!*p->metric)
        return sweep_ini_error(r->ini, line, r->err,
                               "no metric; add metric = NAME (a column that the command prints) to [sweep]");
    if (p->metric_count == 0)
        snprintf(p->metrics[p->metric_count++], METRIC_NAME_SIZE, "%s", p->metric);
    bool found = false;
    for (int i = 0; i < p->metric_count; i++) {
        found = found || strcmp(p->metrics[i], p->metric) == 0;
        if (strcmp(p->metrics[i], "epoch") == 0)
            return sweep_ini_error(r->ini, line_of(r, "metrics"), r->err,
                                   "metrics: the column 'epoch' is read by itself; remove it from the list");
        for (int j = 0; j < i; j++)
            if (strcmp(p->metrics[i], p->metrics[j]) == 0)
                return sweep_ini_error(r->ini, line_of(r, "metrics"), r->err, "metrics: %s stands twice; name it once",
                                       p->metrics[i]);
    }
    if (!found)
        return sweep_ini_error(r->ini, line_of(r, "metric"), r->err, "metric = %s is not among metrics; add it there",
                               p->metric);
    return STATUS_OK;
}

enum status sweep_check_trainer(struct sweep_reader *r) {
    switch (r->sweep->program.kind) {
    case TRAINER_COMMAND:
        return check_command(r);
    case TRAINER_NONE:
        return check_none(r);
    default:
        return check_embedded(r);
    }
}

// ---- hyperparameters of the sweep's own ----

static enum status unknown(struct sweep_reader *r, const struct sweep_ini_entry *e) {
    const struct sweep_ini_section *s = &r->ini->sections[e->section];
    const char *nearest = program_hyper_nearest(&r->sweep->program, e->key);
    if (!*nearest)
        return sweep_ini_error(r->ini, e->line, r->err, "unknown key '%s' in [%s %s]; declare it in [base]", e->key,
                               s->kind, s->name);
    return sweep_ini_error(r->ini, e->line, r->err, "unknown key '%s' in [%s%s%s]; the nearest is '%s'", e->key,
                           s->kind, *s->name ? " " : "", s->name, nearest);
}

enum status sweep_find_hyper(struct sweep_reader *r, const struct sweep_ini_entry *e, int *hyper) {
    struct sweep_program *p = &r->sweep->program;
    bool declares = p->kind != TRAINER_EMBEDDED && strcmp(r->ini->sections[e->section].kind, "config") != 0;
    *hyper = program_hyper_find(p, e->key);
    if (*hyper >= 0)
        return STATUS_OK;
    if (!declares)
        return unknown(r, e);
    if (program_name_is_reserved(e->key))
        return sweep_ini_error(r->ini, e->line, r->err,
                               "'%s' is given to every trial and cannot be swept; take another "
                               "name",
                               e->key);
    int own;
    if (own_key_declare(&p->own, e->key, &own, r->err) != STATUS_OK)
        return sweep_ini_error_prefix(r->ini, e->line, r->err);
    *hyper = HYPER_COUNT + own;
    return STATUS_OK;
}

static bool axes_have(const struct sweep_axis *axes, int count, int hyper) {
    for (int i = 0; i < count; i++)
        if (axes[i].hyper == hyper)
            return true;
    return false;
}

static enum status check_value(struct sweep_reader *r, int own) {
    const struct sweep *s = r->sweep;
    const char *key = s->program.own.key[own];
    char value[OWN_VALUE_SIZE];
    own_value(s->base.own, own, value, sizeof value);
    if (*value)
        return STATUS_OK;
    for (int i = 0; i < s->grid_count; i++)
        if (!axes_have(s->grids[i].axes, s->grids[i].axis_count, HYPER_COUNT + own))
            return sweep_ini_error(r->ini, s->grids[i].line, r->err, "[grid %s] has no %s; give it a value in [base]",
                                   s->grids[i].name, key);
    for (int i = 0; i < s->config_count; i++)
        if (!*s->configs[i].from && !axes_have(s->configs[i].settings, s->configs[i].setting_count, HYPER_COUNT + own))
            return sweep_ini_error(r->ini, s->configs[i].line, r->err,
                                   "[config %s] has no %s; give it a value in [base]", s->configs[i].name, key);
    return STATUS_OK;
}

enum status sweep_check_own(struct sweep_reader *r) {
    const struct sweep *s = r->sweep;
    if (s->program.kind == TRAINER_EMBEDDED)
        return STATUS_OK;
    for (int i = 0; i < s->program.own.count; i++)
        TRY(check_value(r, i));
    if (s->program.kind != TRAINER_COMMAND)
        return STATUS_OK;
    struct program_place place = {.trial = "", .folder = s->output, .until = s->program.max_epochs};
    struct trial_program program;
    if (program_fill(&s->program, &s->base, &place, &program, r->err) != STATUS_OK)
        return sweep_ini_error_prefix(r->ini, line_of(r, "command"), r->err);
    return STATUS_OK;
}
