#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/nearest.h"
#include "worker/dataset/layout.h"

static const char *const keys[] = {"bands", "steps", "ignore"};
enum { KEY_COUNT = sizeof keys / sizeof keys[0], LIST_SIZE = 4096 };

struct parse {
    FILE *file;
    int line; // of the file, counted by the reader
    bool continued, too_long;
    char lists[KEY_COUNT][LIST_SIZE];
    int lines[KEY_COUNT]; // where each key stands, 0: absent
    int bad_line;
    char problem[256];
};

// fgets for inih that counts lines, sees continuations, and notices what inih's line buffer would cut.
static char *read_line(char *text, int size, void *user) {
    struct parse *p = user;
    char *line = fgets(text, size, p->file);
    if (!line)
        return NULL;
    p->line++;
    p->continued = isspace((unsigned char)line[0]);
    if (!strchr(line, '\n') && !feof(p->file) && !p->too_long) {
        p->too_long = true;
        if (!p->bad_line) {
            p->bad_line = p->line;
            snprintf(p->problem, sizeof p->problem, "line too long; go on with the list in an indented line");
        }
    }
    return line;
}

__attribute__((format(printf, 2, 3))) static int refuse(struct parse *p, const char *format, ...) {
    if (p->bad_line)
        return 0;
    va_list args;
    va_start(args, format);
    vsnprintf(p->problem, sizeof p->problem, format, args);
    va_end(args);
    p->bad_line = p->line;
    return 0;
}

static int take_value(void *user, const char *section, const char *name, const char *value) {
    struct parse *p = user;
    if (strcmp(section, "dataset") != 0)
        return refuse(p, "key '%.40s' stands outside [dataset]", name);
    int key = 0;
    while (key < KEY_COUNT && strcmp(keys[key], name) != 0)
        key++;
    if (key == KEY_COUNT)
        return refuse(p, "unknown key '%.40s' (did you mean '%s'?)", name, text_nearest(name, keys, KEY_COUNT));
    if (p->lines[key] && !p->continued)
        return refuse(p, "'%s' is given twice", name);
    char *list = p->lists[key];
    size_t used = strlen(list), comma = used > 0 && list[used - 1] != ',' && value[0] != ',';
    int n = snprintf(list + used, LIST_SIZE - used, "%s%s", comma ? "," : "", value);
    if (n < 0 || (size_t)n >= LIST_SIZE - used)
        return refuse(p, "'%s' is too long", name);
    p->lines[key] = p->lines[key] ? p->lines[key] : p->line;
    return 1;
}

static enum status at_line(const char *path, int line, struct error *err) {
    return error_prefix(err, "%s, line %d", path, line);
}

static enum status interpret(const char *path, const struct parse *p, struct dataset_ini *ini, struct error *err) {
    if (p->lines[0] && layout_parse_bands(&ini->layout, p->lists[0], err) != STATUS_OK)
        return at_line(path, p->lines[0], err);
    if (p->lines[1] && layout_parse_steps(&ini->layout, p->lists[1], err) != STATUS_OK)
        return at_line(path, p->lines[1], err);
    if (!p->lines[2])
        return STATUS_OK;
    char *end;
    ini->ignore = strtod(p->lists[2], &end);
    ini->has_ignore = true;
    if (end == p->lists[2] || *end)
        return error_set(err, STATUS_INVALID, "%s, line %d: ignore = '%.40s' is not a number", path, p->lines[2],
                         p->lists[2]);
    return STATUS_OK;
}

enum status dataset_ini_read(const char *path, struct dataset_ini *ini, struct error *err) {
    *ini = (struct dataset_ini){0};
    layout_default(&ini->layout);
    struct parse *p = calloc(1, sizeof *p);
    if (!p)
        return error_memory(err, path);
    p->file = fopen(path, "re");
    if (!p->file) {
        int why = errno;
        free(p);
        return why == ENOENT ? STATUS_OK : error_set(err, STATUS_IO, "cannot read %s: %s", path, strerror(why));
    }
    int line = ini_parse_stream(read_line, p, take_value, p);
    fclose(p->file);
    enum status status;
    if (p->bad_line)
        status = error_set(err, STATUS_INVALID, "%s, line %d: %s", path, p->bad_line, p->problem);
    else if (line != 0)
        status = error_set(err, STATUS_INVALID, "%s, line %d: neither a [section] nor key = value", path, line);
    else
        status = interpret(path, p, ini, err);
    free(p);
    return status;
}
