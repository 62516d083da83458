// [base], [grid NAME], [random NAME] and [config NAME] of a sweep file: hyperparameters, lists of them, references to
// winners.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/nearest.h"
#include "orchestrator/sweep_random.h"

bool sweep_axis_add(struct sweep_axis *axis, const char *canonical) {
    void *larger = realloc(axis->values, (size_t)(axis->value_count + 1) * HYPER_VALUE_SIZE);
    if (!larger)
        return false;
    axis->values = larger;
    snprintf(axis->values[axis->value_count++], HYPER_VALUE_SIZE, "%s", canonical);
    return true;
}

static bool is_file(int hyper) {
    return hyper == HYPER_pretrained_encoder || hyper == HYPER_init_checkpoint;
}

// Sets a value in *hp and checks it with those already there.
static enum status set_checked(struct sweep_reader *r, const struct sweep_ini_entry *e, struct hyperparameters *hp,
                               int hyper, const char *value) {
    if (hyper >= HYPER_COUNT && !*value)
        return sweep_ini_error(r->ini, e->line, r->err, "%s is empty; give it a value", e->key);
    if (hyper_set(hp, hyper, value, r->err) != STATUS_OK || hyperparameters_check(hp, r->err) != STATUS_OK)
        return sweep_ini_error_prefix(r->ini, e->line, r->err);
    if (is_file(hyper) && *value && !r->stored && !file_exists(value)) {
        (void)sweep_ini_error(r->ini, e->line, r->err, "%s %s does not exist; give the right path", e->key, value);
        return r->err->status = STATUS_NOT_FOUND;
    }
    return STATUS_OK;
}

enum status sweep_read_base(struct sweep_reader *r, int section) {
    for (int i = 0; i < r->ini->entry_count; i++) {
        const struct sweep_ini_entry *e = &r->ini->entries[i];
        if (e->section != section)
            continue;
        int hyper;
        TRY(sweep_find_hyper(r, e, &hyper));
        TRY(set_checked(r, e, &r->sweep->base, hyper, e->value));
    }
    return STATUS_OK;
}

// ---- references ----

static bool grid_has(const struct sweep_grid *grid, int hyper) {
    for (int i = 0; i < grid->axis_count; i++)
        if (grid->axes[i].hyper == hyper)
            return true;
    return false;
}

static void list_axes(const struct sweep *s, const struct sweep_grid *grid, char *out, size_t size) {
    size_t used = 0;
    *out = '\0';
    for (int i = 0; i < grid->axis_count && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i > 0 ? ", " : "",
                                 program_hyper_key(&s->program, grid->axes[i].hyper));
}

// Why "@name" is no grid that stands before: it stands later, or is none.
static enum status no_such_grid(struct sweep_reader *r, const struct sweep_ini_entry *e, const char *name) {
    int later = sweep_ini_section_find(r->ini, "grid", name);
    later = later >= 0 ? later : sweep_ini_section_find(r->ini, "random", name);
    if (later == e->section)
        return sweep_ini_error(r->ini, e->line, r->err,
                               "%s = @%.64s: a grid cannot take its own winner; name an earlier one", e->key, name);
    if (later >= 0)
        return sweep_ini_error(r->ini, e->line, r->err,
                               "%s = @%.64s: [grid %.64s] stands later, in line %d; move it up", e->key, name, name,
                               r->ini->sections[later].line);
    if (r->sweep->grid_count == 0)
        return sweep_ini_error(r->ini, e->line, r->err,
                               "%s = @%.64s: there is no grid before this line; add [grid %.64s]", e->key, name, name);
    const char *names[SWEEP_MAX_GRIDS];
    for (int i = 0; i < r->sweep->grid_count; i++)
        names[i] = r->sweep->grids[i].name;
    return sweep_ini_error(r->ini, e->line, r->err, "%s = @%.64s: there is no [grid %.64s]; the nearest is @%s", e->key,
                           name, name, text_nearest(name, names, (size_t)r->sweep->grid_count));
}

static enum status read_reference(struct sweep_reader *r, const struct sweep_ini_entry *e, struct sweep_axis *axis) {
    const char *name = e->value + 1;
    const struct sweep *s = r->sweep;
    if (strpbrk(name, ",|"))
        return sweep_ini_error(r->ini, e->line, r->err, "%s = %.80s: a reference stands alone; take it out of the list",
                               e->key, e->value);
    for (int i = 0; i < s->grid_count; i++) {
        if (strcmp(s->grids[i].name, name) != 0)
            continue;
        char swept[512];
        list_axes(s, &s->grids[i], swept, sizeof swept);
        if (!grid_has(&s->grids[i], axis->hyper))
            return sweep_ini_error(r->ini, e->line, r->err, "%s = @%s: [grid %s] does not sweep %s, but %s", e->key,
                                   name, name, e->key, swept);
        axis->reference = i;
        return STATUS_OK;
    }
    return no_such_grid(r, e, name);
}

// ---- lists ----

// Where the item's text stands, without the blanks around it.
static void trim(const char **text, size_t *length) {
    while (*length > 0 && isspace((unsigned char)**text))
        (*text)++, (*length)--;
    while (*length > 0 && isspace((unsigned char)(*text)[*length - 1]))
        (*length)--;
}

static enum status add_value(struct sweep_reader *r, const struct sweep_ini_entry *e, struct sweep_axis *axis,
                             const char *value) {
    struct hyperparameters hp = r->sweep->base;
    char canonical[HYPER_VALUE_SIZE];
    TRY(set_checked(r, e, &hp, axis->hyper, value));
    hyper_format(&hp, axis->hyper, canonical);
    for (int i = 0; i < axis->value_count; i++)
        if (strcmp(axis->values[i], canonical) == 0)
            return sweep_ini_error(r->ini, e->line, r->err, "%s: %s stands twice in the list; name it once", e->key,
                                   canonical);
    return sweep_axis_add(axis, canonical) ? STATUS_OK : error_memory(r->err, "a list of values");
}

static enum status read_list(struct sweep_reader *r, const struct sweep_ini_entry *e, struct sweep_axis *axis) {
    const char *separator = hyper_is_list(axis->hyper) ? "|" : ",";
    for (const char *at = e->value;;) {
        size_t item = strcspn(at, separator), length = item;
        const char *text = at;
        trim(&text, &length);
        if (length == 0)
            return sweep_ini_error(r->ini, e->line, r->err, "%s: a value of the list is empty; write it as %s = A%s B",
                                   e->key, e->key, separator);
        if (length >= HYPER_VALUE_SIZE)
            return sweep_ini_error(r->ini, e->line, r->err, "%s: a value is longer than %d bytes; take a shorter one",
                                   e->key, HYPER_VALUE_SIZE - 1);
        char value[HYPER_VALUE_SIZE];
        snprintf(value, sizeof value, "%.*s", (int)length, text);
        TRY(add_value(r, e, axis, value));
        if (!at[item])
            return STATUS_OK;
        at += item + 1;
    }
}

// ---- grids and configs ----

static enum status check_name(struct sweep_reader *r, const struct sweep_ini_section *s) {
    const char *allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+";
    if (!*s->name)
        return sweep_ini_error(r->ini, s->line, r->err, "[%s] has no name; write [%s NAME]", s->kind, s->kind);
    if (s->name[strspn(s->name, allowed)])
        return sweep_ini_error(r->ini, s->line, r->err,
                               "[%s %s]: a name is made of letters, digits and . _ - +; rename it", s->kind, s->name);
    if (strcmp(s->name, "this") == 0 && strcmp(s->kind, "config") != 0)
        return sweep_ini_error(r->ini, s->line, r->err, "[%s this]: @this means all grids of this file; rename it",
                               s->kind);
    return STATUS_OK;
}

enum status sweep_read_grid(struct sweep_reader *r, int section) {
    const struct sweep_ini_section *s = &r->ini->sections[section];
    struct sweep *sweep = r->sweep;
    TRY(check_name(r, s));
    if (sweep->grid_count == SWEEP_MAX_GRIDS)
        return sweep_ini_error(r->ini, s->line, r->err, "more than %d grids; split the file", SWEEP_MAX_GRIDS);

    struct sweep_grid *g = &sweep->grids[sweep->grid_count];
    g->line = s->line;
    g->run_count = sweep->run_count;
    memcpy(g->run_folds, sweep->run_folds, sizeof g->run_folds);
    snprintf(g->name, sizeof g->name, "%s", s->name);
    double points = 1;
    bool random = strcmp(s->kind, "random") == 0;
    const char *other = random ? "grid" : "random";
    if (sweep_ini_section_find(r->ini, other, s->name) >= 0)
        return sweep_ini_error(r->ini, s->line, r->err, "[%s %s]: there is a [%s %s]; rename one", s->kind, s->name,
                               other, s->name);
    for (int i = 0; i < r->ini->entry_count; i++) {
        const struct sweep_ini_entry *e = &r->ini->entries[i];
        if (e->section != section)
            continue;
        if (strcmp(e->key, "folds") == 0) {
            TRY(sweep_read_fold_list(r, e, &g->run_count, g->run_folds));
            continue;
        }
        if (random && strcmp(e->key, "points") == 0) {
            unsigned long long count;
            TRY(sweep_read_whole(r, e, 1, SWEEP_MAX_POINTS, &count));
            g->points = (int)count;
            continue;
        }
        int hyper;
        TRY(sweep_find_hyper(r, e, &hyper));
        if (g->axis_count == SWEEP_MAX_AXES)
            return sweep_ini_error(r->ini, e->line, r->err, "[grid %s] has more than %d keys; split it", g->name,
                                   SWEEP_MAX_AXES);
        struct sweep_axis *axis = &g->axes[g->axis_count++];
        *axis = (struct sweep_axis){.hyper = hyper, .reference = -1, .line = e->line};
        bool is_range = false;
        if (random)
            TRY(sweep_read_range(r, e, axis, &is_range));
        if (!is_range)
            TRY(e->value[0] == '@' ? read_reference(r, e, axis) : read_list(r, e, axis));
        points *= axis->value_count > 0 ? axis->value_count : 1;
    }
    if (random && g->points == 0)
        return sweep_ini_error(r->ini, s->line, r->err, "[random %s] has no points; say how many, as in points = 50",
                               g->name);
    if (g->axis_count == 0)
        return sweep_ini_error(r->ini, s->line, r->err, "[%s %s] is empty; add %s", s->kind, g->name,
                               random ? "a range such as lr = log-uniform 0.0001 .. 0.1"
                                      : "a list such as lr = 0.001, 0.01");
    if (!random && points > SWEEP_MAX_POINTS)
        return sweep_ini_error(r->ini, s->line, r->err, "[grid %s] has %.0f points, more than %d; take fewer values",
                               g->name, points, SWEEP_MAX_POINTS);
    sweep->grid_count++;
    return STATUS_OK;
}

static enum status read_from(struct sweep_reader *r, const struct sweep_ini_entry *e, struct sweep_config *c) {
    if (!*e->value || strlen(e->value) >= sizeof c->from)
        return sweep_ini_error(r->ini, e->line, r->err, "from = %.80s: must be a run folder, or @this", e->value);
    snprintf(c->from, sizeof c->from, "%s", e->value);
    if (strcmp(e->value, "@this") == 0)
        return r->sweep->grid_count > 0 ? STATUS_OK
                                        : sweep_ini_error(r->ini, e->line, r->err,
                                                          "from = @this: the file has no grids to take winners of; add "
                                                          "a [grid NAME] or name a run folder");
    if (e->value[0] == '@')
        return sweep_ini_error(r->ini, e->line, r->err,
                               "from = %.80s: must be a run folder, or @this; the winner of one key is KEY = %.80s",
                               e->value, e->value);
    return STATUS_OK;
}

static enum status read_config_entry(struct sweep_reader *r, const struct sweep_ini_entry *e, struct sweep_config *c) {
    if (strcmp(e->key, "from") == 0)
        return read_from(r, e, c);
    if (strcmp(e->key, "folds") == 0)
        return sweep_read_fold_list(r, e, &c->run_count, c->run_folds);
    int hyper;
    TRY(sweep_find_hyper(r, e, &hyper));
    struct sweep_axis *axis = &c->settings[c->setting_count++];
    *axis = (struct sweep_axis){.hyper = hyper, .reference = -1, .line = e->line};
    return e->value[0] == '@' ? read_reference(r, e, axis) : add_value(r, e, axis, e->value);
}

// Called when every grid has been read: a config may refer to all of them.
enum status sweep_read_config(struct sweep_reader *r, int section) {
    const struct sweep_ini_section *s = &r->ini->sections[section];
    struct sweep *sweep = r->sweep;
    TRY(check_name(r, s));
    if (sweep->config_count == SWEEP_MAX_CONFIGS)
        return sweep_ini_error(r->ini, s->line, r->err, "more than %d configs; split the file", SWEEP_MAX_CONFIGS);
    struct sweep_config *c = &sweep->configs[sweep->config_count++];
    c->line = s->line;
    c->run_count = sweep->run_count;
    memcpy(c->run_folds, sweep->run_folds, sizeof c->run_folds);
    snprintf(c->name, sizeof c->name, "%s", s->name);
    for (int i = 0; i < r->ini->entry_count; i++)
        if (r->ini->entries[i].section == section)
            TRY(read_config_entry(r, &r->ini->entries[i], c));
    if (!*c->from || strcmp(c->from, "@this") == 0 || r->stored)
        return STATUS_OK;
    enum status status = sweep_read_winners(&sweep->program, c->from, c, r->err);
    return status == STATUS_OK ? status
                               : sweep_ini_error_prefix(r->ini, sweep_ini_find(r->ini, section, "from")->line, r->err);
}
