#include "orchestrator/sweep_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/nearest.h"
#include "orchestrator/sweep_read.h"

void sweep_destroy(struct sweep *s) {
    if (!s)
        return;
    for (int i = 0; s->grids && i < SWEEP_MAX_GRIDS; i++)
        for (int j = 0; j < s->grids[i].axis_count; j++)
            free(s->grids[i].axes[j].values);
    for (int i = 0; s->configs && i < s->config_count; i++)
        for (int j = 0; j < s->configs[i].setting_count; j++)
            free(s->configs[i].settings[j].values);
    free(s->grids);
    free(s->configs);
    free(s->text);
    free(s);
}

// ---- overrides ----

// Where the words before a key's last dot lead: "folds", "grid learning-rate".
static enum status find_override_section(const struct sweep_ini *ini, const char *text, char kind[SWEEP_NAME_SIZE],
                                         char name[SWEEP_NAME_SIZE], struct error *err) {
    size_t first = strcspn(text, " ");
    snprintf(kind, SWEEP_NAME_SIZE, "%.*s", (int)(first < SWEEP_NAME_SIZE ? first : SWEEP_NAME_SIZE - 1), text);
    snprintf(name, SWEEP_NAME_SIZE, "%s", text + first + strspn(text + first, " "));
    static const char *const plain[] = {"sweep", "folds", "base", "compare"};
    for (size_t i = 0; !*name && i < sizeof plain / sizeof *plain; i++)
        if (strcmp(kind, plain[i]) == 0)
            return STATUS_OK;
    if (sweep_ini_section_find(ini, kind, name) >= 0)
        return STATUS_OK;

    enum { LABEL = 2 * SWEEP_NAME_SIZE + 2 };
    char(*labels)[LABEL] = calloc((size_t)ini->section_count + 1, LABEL);
    const char **names = calloc((size_t)ini->section_count + 1, sizeof *names);
    if (labels && names) {
        for (int i = 0; i < ini->section_count; i++) {
            const struct sweep_ini_section *s = &ini->sections[i];
            snprintf(labels[i], LABEL, "%s%s%s", s->kind, *s->name ? " " : "", s->name);
            names[i] = labels[i];
        }
        (void)sweep_ini_error(ini, SWEEP_INI_COMMAND_LINE, err, "'%.80s': the file has no [%.80s]; the nearest is [%s]",
                              text, text, text_nearest(text, names, (size_t)ini->section_count));
    } else {
        (void)error_memory(err, "an override");
    }
    free(labels);
    free(names);
    return err->status;
}

static bool is_base_key(const struct sweep_ini *ini, const char *key) {
    char hyphens[SWEEP_INI_KEY];
    snprintf(hyphens, sizeof hyphens, "%.*s", SWEEP_INI_KEY - 1, key);
    for (char *c = hyphens; *c; c++)
        *c = *c == '_' ? '-' : *c;
    int base = sweep_ini_section_find(ini, "base", "");
    return base >= 0 && sweep_ini_find(ini, base, hyphens);
}

static enum status apply_override(struct sweep_ini *ini, const char *word, struct error *err) {
    const char *equals = strchr(word, '=');
    if (!equals || equals == word)
        return sweep_ini_error(ini, SWEEP_INI_COMMAND_LINE, err, "'%.80s' is not KEY=VALUE; write it like lr=0.01",
                               word);
    char target[2 * SWEEP_NAME_SIZE + SWEEP_INI_KEY], kind[SWEEP_NAME_SIZE] = "base", name[SWEEP_NAME_SIZE] = "";
    if ((size_t)(equals - word) >= sizeof target || strpbrk(word, "\r\n") || strstr(equals, " ;"))
        return sweep_ini_error(ini, SWEEP_INI_COMMAND_LINE, err,
                               "'%.80s': is too long or holds a line break or ' ;'; take another value", word);
    snprintf(target, sizeof target, "%.*s", (int)(equals - word), word);
    char *key = strrchr(target, '.');
    if (key) {
        *key++ = '\0';
        TRY(find_override_section(ini, target, kind, name, err));
    } else {
        key = target;
        bool of_sweep = sweep_is_sweep_key(key);
        if (!of_sweep && hyper_find(key) < 0 && !is_base_key(ini, key))
            return sweep_ini_error(ini, SWEEP_INI_COMMAND_LINE, err,
                                   "unknown key '%.64s'; the nearest is '%s' (other sections: SECTION.KEY=VALUE)", key,
                                   hyper_nearest(key));
        if (of_sweep)
            snprintf(kind, sizeof kind, "sweep");
    }
    const char *value = equals + 1 + strspn(equals + 1, " \t");
    return sweep_ini_set(ini, kind, name, key, value, err);
}

// ---- the whole file ----

static enum status check_sections(const struct sweep_ini *ini, struct error *err) {
    static const char *const kinds[] = {"sweep", "folds", "base", "grid", "random", "config", "compare"};
    enum { KINDS = sizeof kinds / sizeof *kinds };
    for (int i = 0; i < ini->section_count; i++) {
        const struct sweep_ini_section *s = &ini->sections[i];
        int kind = 0;
        while (kind < KINDS && strcmp(kinds[kind], s->kind) != 0)
            kind++;
        if (kind == KINDS)
            return sweep_ini_error(ini, s->line, err, "unknown section [%s%s%s]; the nearest is [%s]", s->kind,
                                   *s->name ? " " : "", s->name, text_nearest(s->kind, kinds, KINDS));
        bool named = strcmp(s->kind, "grid") == 0 || strcmp(s->kind, "random") == 0 || strcmp(s->kind, "config") == 0;
        if (!named && *s->name)
            return sweep_ini_error(ini, s->line, err, "[%s %s]: [%s] has no name; write [%s]", s->kind, s->name,
                                   s->kind, s->kind);
    }
    return STATUS_OK;
}

static enum status read_all(struct sweep_reader *r, const char *kind,
                            enum status (*read)(struct sweep_reader *r, int section)) {
    for (int i = 0; i < r->ini->section_count; i++)
        if (strcmp(r->ini->sections[i].kind, kind) == 0)
            TRY(read(r, i));
    return STATUS_OK;
}

// Of both kinds, in the order of the file: later ones refer to earlier ones.
static enum status read_grids(struct sweep_reader *r) {
    for (int i = 0; i < r->ini->section_count; i++)
        if (strcmp(r->ini->sections[i].kind, "grid") == 0 || strcmp(r->ini->sections[i].kind, "random") == 0)
            TRY(sweep_read_grid(r, i));
    return STATUS_OK;
}

static void list_swept(struct sweep *s) {
    bool swept[HYPER_ALL] = {false};
    for (int i = 0; i < s->grid_count; i++)
        for (int j = 0; j < s->grids[i].axis_count; j++)
            swept[s->grids[i].axes[j].hyper] = true;
    for (int i = 0; i < s->config_count; i++)
        for (int j = 0; j < s->configs[i].setting_count; j++)
            swept[s->configs[i].settings[j].hyper] = true;
    for (int i = 0; i < HYPER_ALL; i++)
        if (swept[i])
            s->swept[s->swept_count++] = i;
}

static enum status read_sections(struct sweep_reader *r) {
    struct sweep *s = r->sweep;
    TRY(check_sections(r->ini, r->err));
    TRY(sweep_read_sweep(r));
    TRY(sweep_read_folds(r));
    TRY(read_all(r, "base", sweep_read_base));
    TRY(read_grids(r));
    TRY(read_all(r, "config", sweep_read_config));
    TRY(sweep_read_compare(r));
    TRY(sweep_check_own(r));
    if (s->grid_count + s->config_count == 0)
        return sweep_ini_error(r->ini, 1, r->err, "nothing to run; add a [grid NAME] or a [config NAME]");
    TRY(sweep_check_method(r));
    list_swept(s);
    s->text = sweep_write_text(s);
    return s->text ? STATUS_OK : error_memory(r->err, "the sweep's text");
}

static struct sweep *new_sweep(const char *path) {
    struct sweep *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    snprintf(s->path, sizeof s->path, "%s", path);
    snprintf(s->backend, sizeof s->backend, "auto");
    s->seed = 42;
    s->checkpoint_seconds = 60;
    s->max_attempts = 3;
    s->reduction_factor = 3;
    s->members = 1;
    s->sync_batchnorm = true;
    s->worker_timeout = 60;
    s->master_timeout = 120;
    s->folds = 5;
    s->base = hyperparameters_default();
    s->compare_baseline = s->compare_candidate = -1;
    s->grids = calloc(SWEEP_MAX_GRIDS, sizeof *s->grids);
    s->configs = calloc(SWEEP_MAX_CONFIGS, sizeof *s->configs);
    if (s->grids && s->configs)
        return s;
    sweep_destroy(s);
    return NULL;
}

static enum status parse(const char *text, const char *path, const char *const *overrides, int override_count,
                         bool stored, struct sweep **sweep, struct error *err) {
    *sweep = NULL;
    struct sweep_ini ini;
    TRY(sweep_ini_parse(text, *path ? path : "command line", &ini, err));
    enum status status = STATUS_OK;
    struct sweep *s = new_sweep(path);
    if (!s)
        TRY_OR_FAIL(error_memory(err, "the sweep"));
    for (int i = 0; i < override_count; i++)
        TRY_OR_FAIL(apply_override(&ini, overrides[i], err));
    struct sweep_reader r = {.ini = &ini, .sweep = s, .stored = stored, .err = err};
    TRY_OR_FAIL(read_sections(&r));
    *sweep = s;
    s = NULL;
fail:
    sweep_destroy(s);
    sweep_ini_free(&ini);
    return status;
}

enum status sweep_parse_text(const char *text, const char *path, const char *const *overrides, int override_count,
                             struct sweep **sweep, struct error *err) {
    return parse(text, path, overrides, override_count, false, sweep, err);
}

static enum status parse_file(const char *path, const char *const *overrides, int override_count, bool stored,
                              struct sweep **sweep, struct error *err) {
    char *text;
    size_t bytes;
    *sweep = NULL;
    if (strlen(path) >= PATH_SIZE)
        return error_set(err, STATUS_INVALID, "the sweep file's path is longer than %d bytes", PATH_SIZE - 1);
    TRY(file_read(path, &text, &bytes, err));
    enum status status = strlen(text) == bytes
                             ? parse(text, path, overrides, override_count, stored, sweep, err)
                             : error_set(err, STATUS_FORMAT, "%s: holds a zero byte; it is no text file", path);
    free(text);
    return status;
}

enum status sweep_parse(const char *path, const char *const *overrides, int override_count, struct sweep **sweep,
                        struct error *err) {
    return parse_file(path, overrides, override_count, false, sweep, err);
}

enum status sweep_parse_stored(const char *path, struct sweep **sweep, struct error *err) {
    return parse_file(path, NULL, 0, true, sweep, err);
}
