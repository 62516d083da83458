#include "worker/command_output.h"

#include <csv.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARSER_OPTIONS = CSV_STRICT | CSV_STRICT_FINI };
enum { FIELDS_MAX = 256, FIELD_SIZE = 64, LINE_MAX_BYTES = 1 << 16 };

// The fields of one line; longer ones are cut, which makes them neither a wanted name nor a number.
struct fields {
    int count;
    char text[FIELDS_MAX][FIELD_SIZE];
};

struct command_output {
    struct command_sink sink;
    int count;
    char metrics[METRICS_MAX][METRIC_NAME_SIZE];
    int columns; // of the header; 0: none yet
    int column[METRICS_MAX];
    int epoch_column; // -1: none
    int epochs;
    char *line;
    size_t size, capacity;
    struct fields fields;
    struct csv_parser parser;
};

enum status command_output_create(const char *metrics, const struct command_sink *sink, command_output **out,
                                  struct error *err) {
    command_output *o = calloc(1, sizeof *o);
    if (!o || csv_init(&o->parser, PARSER_OPTIONS) != 0) {
        free(o);
        return error_memory(err, "a program's output");
    }
    o->sink = *sink;
    o->epoch_column = -1;
    for (const char *at = metrics; *at && o->count < METRICS_MAX;) {
        size_t length = strcspn(at, ",");
        snprintf(o->metrics[o->count++], METRIC_NAME_SIZE, "%.*s", (int)length, at);
        at += length + (at[length] == ',');
    }
    *out = o;
    return STATUS_OK;
}

void command_output_destroy(command_output *o) {
    if (!o)
        return;
    csv_free(&o->parser);
    free(o->line);
    free(o);
}

bool command_output_has_header(const command_output *o) {
    return o->columns > 0;
}

bool command_output_numbers_epochs(const command_output *o) {
    return o->epoch_column >= 0;
}

// ---- one line ----

static void on_field(void *text, size_t bytes, void *context) {
    struct fields *f = context;
    if (f->count < FIELDS_MAX)
        snprintf(f->text[f->count], FIELD_SIZE, "%.*s", (int)(bytes < INT_MAX ? bytes : INT_MAX), (char *)text);
    f->count++;
}

// False: the line is no CSV.
static bool split(command_output *o, const char *line, size_t bytes) {
    o->fields.count = 0;
    bool ok = csv_parse(&o->parser, line, bytes, on_field, NULL, &o->fields) == bytes;
    ok = csv_fini(&o->parser, on_field, NULL, &o->fields) == 0 && ok;
    if (!ok) { // it is left in the middle of a field
        csv_free(&o->parser);
        (void)!csv_init(&o->parser, PARSER_OPTIONS);
    }
    return ok && o->fields.count > 0 && o->fields.count <= FIELDS_MAX;
}

static int find_field(const struct fields *f, const char *name) {
    for (int i = 0; i < f->count; i++)
        if (strcmp(f->text[i], name) == 0)
            return i;
    return -1;
}

static bool take_header(command_output *o) {
    int column[METRICS_MAX];
    for (int i = 0; i < o->count; i++)
        if ((column[i] = find_field(&o->fields, o->metrics[i])) < 0)
            return false;
    if (o->columns == 0) { // a program may print its header again
        memcpy(o->column, column, sizeof column);
        o->columns = o->fields.count;
        o->epoch_column = find_field(&o->fields, "epoch");
    }
    return true;
}

static bool read_number(const char *text, double *value) {
    char *end;
    *value = NAN;
    if (!*text)
        return true;
    *value = strtod(text, &end);
    return end != text && !*end;
}

static bool read_epoch(const command_output *o, struct command_epoch *e) {
    *e = (struct command_epoch){.epoch = o->epochs, .count = o->count};
    if (o->columns == 0 || o->fields.count != o->columns)
        return false;
    for (int i = 0; i < o->count; i++)
        if (!read_number(o->fields.text[o->column[i]], &e->values[i]))
            return false;
    if (o->epoch_column < 0)
        return true;
    const char *text = o->fields.text[o->epoch_column];
    char *end;
    long epoch = strtol(text, &end, 10);
    e->epoch = (int)epoch;
    return end != text && !*end && epoch >= 0 && epoch <= 10000000;
}

static enum status take_line(command_output *o, struct error *err) {
    struct command_epoch e;
    size_t bytes = o->size;
    o->size = 0;
    while (bytes > 0 && strchr("\r\n", o->line[bytes - 1]))
        bytes--;
    if (split(o, o->line, bytes)) {
        if (take_header(o))
            return STATUS_OK;
        if (read_epoch(o, &e)) {
            o->epochs++;
            return o->sink.epoch(o->sink.context, &e, err);
        }
    }
    return STATUS_UNSUPPORTED; // not ours
}

static enum status end_line(command_output *o, struct error *err) {
    size_t bytes = o->size;
    enum status status = take_line(o, err);
    if (status != STATUS_UNSUPPORTED)
        return status;
    o->sink.other(o->sink.context, o->line, bytes);
    return STATUS_OK;
}

// ---- the stream ----

static bool reserve(command_output *o, size_t bytes) {
    if (o->size + bytes <= o->capacity)
        return true;
    char *grown = realloc(o->line, 2 * (o->size + bytes));
    if (!grown)
        return false;
    o->line = grown;
    o->capacity = 2 * (o->size + bytes);
    return true;
}

enum status command_output_add(command_output *o, const char *bytes, size_t count, struct error *err) {
    while (count > 0) {
        const char *end = memchr(bytes, '\n', count);
        size_t length = end ? (size_t)(end - bytes) + 1 : count;
        if (!reserve(o, length))
            return error_memory(err, "a program's output");
        memcpy(o->line + o->size, bytes, length);
        o->size += length;
        bytes += length;
        count -= length;
        if (end) {
            TRY(end_line(o, err));
        } else if (o->size > LINE_MAX_BYTES) { // no line of numbers is so long
            o->sink.other(o->sink.context, o->line, o->size);
            o->size = 0;
        }
    }
    return STATUS_OK;
}

enum status command_output_end(command_output *o, struct error *err) {
    return o->size > 0 ? end_line(o, err) : STATUS_OK;
}
