#include "orchestrator/sweep_ini.h"

#include <ctype.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status sweep_ini_error_prefix(const struct sweep_ini *ini, int line, struct error *err) {
    if (line == SWEEP_INI_COMMAND_LINE)
        return error_prefix(err, "command line");
    return error_prefix(err, "%s:%d", ini->path, line);
}

enum status sweep_ini_error(const struct sweep_ini *ini, int line, struct error *err, const char *format, ...) {
    char message[ERROR_MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    (void)error_set(err, STATUS_INVALID, "%s", message);
    return sweep_ini_error_prefix(ini, line, err);
}

void sweep_ini_free(struct sweep_ini *ini) {
    for (int i = 0; i < ini->entry_count; i++)
        free(ini->entries[i].value);
    free(ini->entries);
    free(ini->sections);
    *ini = (struct sweep_ini){0};
}

int sweep_ini_section_find(const struct sweep_ini *ini, const char *kind, const char *name) {
    for (int i = 0; i < ini->section_count; i++)
        if (strcmp(ini->sections[i].kind, kind) == 0 && strcmp(ini->sections[i].name, name) == 0)
            return i;
    return -1;
}

static struct sweep_ini_entry *find_entry(const struct sweep_ini *ini, int section, const char *key) {
    for (int i = 0; i < ini->entry_count; i++)
        if (ini->entries[i].section == section && strcmp(ini->entries[i].key, key) == 0)
            return &ini->entries[i];
    return NULL;
}

const struct sweep_ini_entry *sweep_ini_find(const struct sweep_ini *ini, int section, const char *key) {
    return find_entry(ini, section, key);
}

static enum status add_section(struct sweep_ini *ini, const char *kind, const char *name, int line, struct error *err) {
    struct sweep_ini_section *larger = realloc(ini->sections, (size_t)(ini->section_count + 1) * sizeof *larger);
    if (!larger)
        return error_memory(err, "the sweep file's sections");
    ini->sections = larger;
    struct sweep_ini_section *s = &larger[ini->section_count++];
    s->line = line;
    snprintf(s->kind, sizeof s->kind, "%s", kind);
    snprintf(s->name, sizeof s->name, "%s", name);
    return STATUS_OK;
}

static enum status add_entry(struct sweep_ini *ini, int section, const char *key, const char *value, int line,
                             struct error *err) {
    char *copy = strdup(value);
    struct sweep_ini_entry *larger = realloc(ini->entries, (size_t)(ini->entry_count + 1) * sizeof *larger);
    if (larger)
        ini->entries = larger;
    if (!copy || !larger) {
        free(copy);
        return error_memory(err, "the sweep file's entries");
    }
    struct sweep_ini_entry *e = &larger[ini->entry_count++];
    *e = (struct sweep_ini_entry){.section = section, .value = copy, .line = line};
    snprintf(e->key, sizeof e->key, "%s", key);
    return STATUS_OK;
}

// Keys are written with hyphens or with underscores.
static void hyphenate(const char *key, char out[SWEEP_INI_KEY]) {
    snprintf(out, SWEEP_INI_KEY, "%s", key);
    for (char *c = out; *c; c++)
        if (*c == '_')
            *c = '-';
}

// ---- reading ----

// inih gives its handler neither line numbers nor sections without entries: the reader that feeds it notes both.
struct reader {
    struct sweep_ini *ini;
    const char *at;
    int line;
    enum status status; // of the first error
    int error_line;
    struct error *err;
};

static void note(struct reader *r, enum status status) {
    r->status = status;
    r->error_line = r->line;
}

static const char *skip_blanks(const char *text) {
    return text + strspn(text, " \t\r\f\v");
}

// Copies `length` bytes without the blanks around them; false: they do not fit.
static bool copy_trimmed(const char *text, size_t length, char *out, size_t size) {
    while (length > 0 && isspace((unsigned char)*text))
        text++, length--;
    while (length > 0 && isspace((unsigned char)text[length - 1]))
        length--;
    if (length >= size)
        return false;
    memcpy(out, text, length);
    out[length] = '\0';
    return true;
}

static enum status note_section(struct reader *r, const char *head) {
    char kind[SWEEP_NAME_SIZE], name[SWEEP_NAME_SIZE];
    head += strspn(head, " \t");
    size_t first = strcspn(head, " \t]");
    const char *end = strchr(head, ']');
    if (!end)
        return STATUS_OK; // inih reports it
    if (!copy_trimmed(head, first, kind, sizeof kind) ||
        !copy_trimmed(head + first, (size_t)(end - head) - first, name, sizeof name))
        return sweep_ini_error(r->ini, r->line, r->err, "section name is longer than %d bytes; take a shorter one",
                               SWEEP_NAME_SIZE - 1);
    int earlier = sweep_ini_section_find(r->ini, kind, name);
    if (earlier >= 0)
        return sweep_ini_error(r->ini, r->line, r->err, "section [%s%s%s] stands already in line %d; join the two",
                               kind, *name ? " " : "", name, r->ini->sections[earlier].line);
    return add_section(r->ini, kind, name, r->line, r->err);
}

// An ini_reader: one line of r->at, as fgets.
static char *read_line(char *out, int size, void *stream) {
    struct reader *r = stream;
    if (!*r->at)
        return NULL;
    r->line++;
    size_t length = strcspn(r->at, "\n");
    bool fits = length + 2 <= (size_t)size;
    size_t taken = fits ? length : (size_t)size - 2;
    memcpy(out, r->at, taken);
    memcpy(out + taken, "\n", 2);
    r->at += length + (r->at[length] == '\n');
    if (r->status != STATUS_OK)
        return out;
    if (!fits)
        note(r, sweep_ini_error(r->ini, r->line, r->err, "line is longer than %d bytes; split it", size - 2));
    const char *start = r->line == 1 && strncmp(out, "\xEF\xBB\xBF", 3) == 0 ? out + 3 : out;
    start = skip_blanks(start);
    if (fits && *start == '[')
        note(r, note_section(r, start + 1));
    return out;
}

static enum status take_entry(struct reader *r, const char *name, const char *value) {
    struct sweep_ini *ini = r->ini;
    int section = ini->section_count - 1;
    if (section < 0)
        return sweep_ini_error(ini, r->line, r->err,
                               "'%s' stands before the first section; put it under [sweep] or [base]", name);
    char key[SWEEP_INI_KEY];
    hyphenate(name, key);
    const struct sweep_ini_entry *earlier = find_entry(ini, section, key);
    if (earlier)
        return sweep_ini_error(ini, r->line, r->err, "'%s' stands already in line %d; keep one of the two", key,
                               earlier->line);
    return add_entry(ini, section, key, value, r->line, r->err);
}

// An ini_handler. Returns nonzero: go on (to the end, as inih cannot be stopped; what comes after an error is not
// looked at).
static int on_entry(void *user, const char *section, const char *name, const char *value) {
    (void)section;
    struct reader *r = user;
    if (r->status == STATUS_OK)
        note(r, take_entry(r, name, value));
    return 1;
}

enum status sweep_ini_parse(const char *text, const char *path, struct sweep_ini *ini, struct error *err) {
    *ini = (struct sweep_ini){.path = path};
    struct reader r = {.ini = ini, .at = text, .err = err, .status = STATUS_OK};

    // inih's settings are global: whoever else reads INI files gets them back as they were.
    bool multiline = ini_allow_multiline, stack = ini_use_stack;
    int max_line = ini_max_line, initial = ini_initial_alloc;
    ini_allow_multiline = false;
    ini_use_stack = false;
    ini_max_line = ini_initial_alloc = SWEEP_INI_LINE;
    int malformed = ini_parse_stream(read_line, &r, on_entry, &r);
    ini_allow_multiline = multiline;
    ini_use_stack = stack;
    ini_max_line = max_line;
    ini_initial_alloc = initial;

    enum status status = r.status;
    if (malformed < 0)
        status = error_memory(err, "the sweep file");
    else if (malformed > 0 && (status == STATUS_OK || malformed < r.error_line))
        status = sweep_ini_error(ini, malformed, err, "is neither [section] nor key = value; mend or remove the line");
    if (status != STATUS_OK)
        sweep_ini_free(ini);
    return status;
}

enum status sweep_ini_set(struct sweep_ini *ini, const char *kind, const char *name, const char *key, const char *value,
                          struct error *err) {
    int section = sweep_ini_section_find(ini, kind, name);
    if (section < 0) {
        TRY(add_section(ini, kind, name, SWEEP_INI_COMMAND_LINE, err));
        section = ini->section_count - 1;
    }
    char hyphens[SWEEP_INI_KEY];
    hyphenate(key, hyphens);
    struct sweep_ini_entry *old = find_entry(ini, section, hyphens);
    if (!old)
        return add_entry(ini, section, hyphens, value, SWEEP_INI_COMMAND_LINE, err);
    char *copy = strdup(value);
    if (!copy)
        return error_memory(err, "an override");
    free(old->value);
    old->value = copy;
    old->line = SWEEP_INI_COMMAND_LINE;
    return STATUS_OK;
}
