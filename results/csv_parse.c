#include "results/csv_parse.h"

#include <csv.h>
#include <stdlib.h>
#include <string.h>

struct parse {
    struct csv_table *table;
    char *free_text;       // next unused byte of table->text
    size_t pending;        // cells of the row that is being read
    size_t used, capacity; // of table->cells, in cells
    size_t line_capacity;  // of table->line
    size_t lines_of_rows;  // rows with the header
    size_t line;           // of the text that is being parsed, from 1
    size_t wrong_line, wrong_fields;
    bool out_of_memory;
};

// Doubles *array when `used` elements fill it.
static bool make_room(void **array, size_t *capacity, size_t used, size_t element) {
    if (used < *capacity)
        return true;
    size_t wanted = *capacity ? 2 * *capacity : 64;
    void *grown = realloc(*array, wanted * element);
    if (!grown)
        return false;
    *array = grown;
    *capacity = wanted;
    return true;
}

static void on_field(void *field, size_t bytes, void *data) {
    struct parse *p = data;
    void *cells = p->table->cells;
    if (p->out_of_memory || !make_room(&cells, &p->capacity, p->used, sizeof *p->table->cells)) {
        p->out_of_memory = true;
        return;
    }
    p->table->cells = cells;
    p->table->cells[p->used++] = p->free_text;
    p->pending++;
    if (bytes > 0)
        memcpy(p->free_text, field, bytes);
    p->free_text[bytes] = 0;
    p->free_text += bytes + 1;
}

static void on_row(int terminator, void *data) {
    (void)terminator;
    struct parse *p = data;
    void *line = p->table->line;
    if (p->out_of_memory || !make_room(&line, &p->line_capacity, p->lines_of_rows, sizeof *p->table->line)) {
        p->out_of_memory = true;
        return;
    }
    p->table->line = line;
    p->table->line[p->lines_of_rows++] = p->line;
    if (p->lines_of_rows == 1)
        p->table->columns = p->pending;
    else if (p->pending != p->table->columns && !p->wrong_line) {
        p->wrong_line = p->line;
        p->wrong_fields = p->pending;
    }
    p->pending = 0;
}

// Line by line, so that messages can name the line and `complete` is known. False: the text is not CSV at p->line.
static bool parse_lines(struct csv_parser *parser, struct parse *p, const char *text, size_t bytes, bool keep_last,
                        size_t *complete) {
    for (size_t at = 0; at < bytes && !p->out_of_memory;) {
        const char *newline = memchr(text + at, '\n', bytes - at);
        size_t length = newline ? (size_t)(newline - text) + 1 - at : bytes - at;
        size_t rows = p->lines_of_rows;
        p->line++;
        if (csv_parse(parser, text + at, length, on_field, on_row, p) != length)
            return !newline && !keep_last;
        at += length;
        if (p->lines_of_rows > rows)
            *complete = at;
    }
    if (keep_last && !p->out_of_memory) {
        if (csv_fini(parser, on_field, on_row, p) != 0)
            return false;
        *complete = bytes;
    }
    return true;
}

static enum status check(const struct parse *p, bool well_formed, struct error *err) {
    const struct csv_table *table = p->table;
    if (p->out_of_memory)
        return error_memory(err, table->path);
    if (!well_formed)
        return error_set(err, STATUS_FORMAT, "%s: line %zu: a quote that does not belong there: not CSV", table->path,
                         p->line);
    if (p->wrong_line)
        return error_set(err, STATUS_FORMAT, "%s: line %zu: %zu fields where the header has %zu", table->path,
                         p->wrong_line, p->wrong_fields, table->columns);
    return STATUS_OK;
}

enum status csv_parse_text(const char *path, const char *text, size_t bytes, bool keep_last, struct csv_table *table,
                           size_t *complete, struct error *err) {
    static const char bom[] = "\xEF\xBB\xBF";
    size_t skip = bytes >= 3 && memcmp(text, bom, 3) == 0 ? 3 : 0, complete_bytes = 0;
    *table =
        (struct csv_table){.path = strdup(path), .text = malloc(bytes + 2)}; // every cell ends in a byte of the text
    struct parse p = {.table = table, .free_text = table->text};
    struct csv_parser parser;
    if (!table->path || !table->text || csv_init(&parser, CSV_STRICT | CSV_STRICT_FINI) != 0) {
        csv_table_free(table);
        return error_memory(err, path);
    }
    bool well_formed = parse_lines(&parser, &p, text + skip, bytes - skip, keep_last, &complete_bytes);
    csv_free(&parser);
    enum status status = check(&p, well_formed, err);
    if (status != STATUS_OK) {
        csv_table_free(table);
        return status;
    }
    table->rows = p.lines_of_rows ? p.lines_of_rows - 1 : 0;
    if (complete)
        *complete = complete_bytes ? complete_bytes + skip : 0;
    return STATUS_OK;
}
