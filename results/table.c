#include "results/table.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "results/csv_file.h"
#include "results/table_internal.h"
#include "model/base/utf8.h"

// Makes room for one more element; NULL when there is none.
static void *grown(void *array, size_t count, size_t element, bool *failed) {
    if (*failed)
        return NULL;
    void *larger = realloc(array, (count + 1) * element);
    if (!larger)
        *failed = true;
    return larger;
}

static char *formatted(const char *format, va_list args, bool *failed) {
    char *text = NULL;
    if (*failed || vasprintf(&text, format, args) < 0) {
        *failed = true;
        return NULL;
    }
    utf8_mend(text); // pages, Markdown and CSV are UTF-8, whatever a file held
    return text;
}

static char *copied(const char *text, bool *failed) {
    char *copy = *failed ? NULL : strdup(text);
    if (copy)
        utf8_mend(copy);
    else
        *failed = true;
    return copy;
}

document *document_create(void) {
    document *doc = calloc(1, sizeof *doc);
    if (doc)
        doc->spare.failed = true;
    return doc;
}

static void table_destroy(table *t) {
    if (!t)
        return;
    for (size_t i = 0; i < t->columns; i++) {
        free(t->column[i].key);
        free(t->column[i].header);
    }
    for (size_t i = 0; i < t->rows * t->columns; i++) {
        free(t->cell[i].text);
        free(t->cell[i].csv);
    }
    for (size_t i = 0; i < t->notes; i++)
        free(t->note[i]);
    free(t->column);
    free(t->cell);
    free(t->flags);
    free(t->note);
    free(t->name);
    free(t->title);
    free(t);
}

void document_destroy(document *doc) {
    if (!doc)
        return;
    for (size_t i = 0; i < doc->blocks; i++) {
        free(doc->block[i].text);
        free(doc->block[i].path);
        table_destroy(doc->block[i].table);
    }
    free(doc->block);
    free(doc);
}

static void add_block(document *doc, struct block block) {
    struct block *larger = grown(doc->block, doc->blocks, sizeof *larger, &doc->failed);
    if (!larger) {
        free(block.text);
        free(block.path);
        table_destroy(block.table);
        return;
    }
    doc->block = larger;
    doc->block[doc->blocks++] = block;
}

void document_heading(document *doc, int level, const char *format, ...) {
    va_list args;
    va_start(args, format);
    add_block(doc, (struct block){BLOCK_HEADING, level, formatted(format, args, &doc->failed), NULL, NULL});
    va_end(args);
}

void document_paragraph(document *doc, const char *format, ...) {
    va_list args;
    va_start(args, format);
    add_block(doc, (struct block){.kind = BLOCK_PARAGRAPH, .text = formatted(format, args, &doc->failed)});
    va_end(args);
}

void document_figure(document *doc, const char *path, const char *caption, ...) {
    va_list args;
    va_start(args, caption);
    char *text = formatted(caption, args, &doc->failed);
    va_end(args);
    add_block(doc, (struct block){.kind = BLOCK_FIGURE, .text = text, .path = copied(path, &doc->failed)});
}

void document_details(document *doc, const char *summary, ...) {
    va_list args;
    va_start(args, summary);
    add_block(doc, (struct block){.kind = BLOCK_DETAILS, .text = formatted(summary, args, &doc->failed)});
    va_end(args);
}

void document_details_end(document *doc) {
    add_block(doc, (struct block){.kind = BLOCK_DETAILS_END});
}

static bool name_is_taken(const document *doc, const char *name) {
    for (size_t i = 0; i < doc->blocks; i++)
        if (doc->block[i].table && strcmp(doc->block[i].table->name, name) == 0)
            return true;
    return false;
}

static char *file_stem(document *doc, const char *name) {
    char stem[128], unique[sizeof stem + 16];
    snprintf(stem, sizeof stem, "%s", name);
    for (char *c = stem; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._-=+", *c))
            *c = '-';
    snprintf(unique, sizeof unique, "%s", stem);
    for (int n = 2; name_is_taken(doc, unique); n++)
        snprintf(unique, sizeof unique, "%s_%d", stem, n);
    return copied(unique, &doc->failed);
}

table *document_table(document *doc, const char *name, const char *title, ...) {
    table *t = doc->failed ? NULL : calloc(1, sizeof *t);
    if (!t) {
        doc->failed = true;
        return &doc->spare;
    }
    va_list args;
    va_start(args, title);
    t->title = formatted(title, args, &t->failed);
    va_end(args);
    t->name = file_stem(doc, name);
    add_block(doc, (struct block){.kind = BLOCK_TABLE, .table = t});
    return doc->failed ? &doc->spare : t;
}

void table_column(table *t, enum table_alignment alignment, const char *key, const char *header) {
    struct column *larger = grown(t->column, t->columns, sizeof *larger, &t->failed);
    if (!larger)
        return;
    t->column = larger;
    t->column[t->columns++] =
        (struct column){copied(key, &t->failed), header ? copied(header, &t->failed) : NULL, alignment};
    t->shown += header != NULL;
}

void table_row(table *t, int flags) {
    int *larger = grown(t->flags, t->rows, sizeof *larger, &t->failed);
    if (!larger)
        return;
    t->flags = larger;
    struct cell *cells = grown(t->cell, (t->rows + 1) * t->columns, sizeof *cells, &t->failed);
    if (!cells)
        return;
    t->cell = cells;
    memset(t->cell + t->rows * t->columns, 0, t->columns * sizeof *cells);
    t->flags[t->rows++] = flags;
    t->filled = 0;
}

// Takes both texts.
static void add_cell(table *t, char *text, char *csv) {
    if (t->failed || t->rows == 0 || t->filled == t->columns) {
        free(text);
        free(csv);
        return;
    }
    t->cell[(t->rows - 1) * t->columns + t->filled++] = (struct cell){text, csv};
}

void table_cell(table *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    add_cell(t, formatted(format, args, &t->failed), NULL);
    va_end(args);
}

void table_label(table *t, const char *key, const char *text) {
    char *copy = copied(text, &t->failed);
    add_cell(t, copy, copied(key, &t->failed));
}

// A difference that rounds to nothing has no sign to show but the plus.
static void unsign_zero(char *text, const char *format) {
    if (text && strncmp(format, "%+", 2) == 0 && text[0] == '-' && text[1 + strspn(text + 1, "0.")] == ' ')
        text[0] = '+';
}

void table_value(table *t, double value, const char *format, ...) {
    char number[32];
    csv_format_number(value, number);
    va_list args;
    va_start(args, format);
    char *text = isfinite(value) ? formatted(format, args, &t->failed) : copied("-", &t->failed);
    va_end(args);
    unsign_zero(text, format);
    add_cell(t, text, copied(number, &t->failed));
}

void table_note(table *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    char *text = formatted(format, args, &t->failed);
    va_end(args);
    char **larger = grown(t->note, t->notes, sizeof *larger, &t->failed);
    if (!larger) {
        free(text);
        return;
    }
    t->note = larger;
    t->note[t->notes++] = text;
}
