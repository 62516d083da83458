#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/base/file.h"
#include "results/csv_file.h"
#include "results/table_internal.h"

enum { GAP = 2, LEAST_WRAPPED = 16 };

const char *table_text(const table *t, size_t row, size_t column) {
    const char *text = t->cell[row * t->columns + column].text;
    return text ? text : "";
}

enum status document_check(const document *doc, struct error *err) {
    bool failed = doc->failed;
    for (size_t i = 0; i < doc->blocks; i++)
        failed = failed || (doc->block[i].table && doc->block[i].table->failed);
    return failed ? error_memory(err, "report") : STATUS_OK;
}

bool document_has_picture(const char *folder, const char *path, const char *extension) {
    char file[PATH_SIZE];
    return snprintf(file, sizeof file, "%s/%s.%s", folder, path, extension) < (int)sizeof file && file_exists(file);
}

// Text

// Characters, not bytes: UTF-8 continuation bytes take no place.
static int display_width(const char *text, size_t bytes) {
    int width = 0;
    for (size_t i = 0; i < bytes; i++)
        width += (text[i] & 0xC0) != 0x80;
    return width;
}

static int width_of(const char *text) {
    return display_width(text, strlen(text));
}

// Bytes of the first line of `text` when it is broken at spaces into lines of `width`.
static size_t line_bytes(const char *text, int width) {
    size_t last_space = 0, i = 0;
    for (int used = 0; text[i]; i++) {
        if (text[i] == '\n')
            return i;
        used += (text[i] & 0xC0) != 0x80;
        if (used > width)
            return last_space ? last_space : i;
        if (text[i] == ' ')
            last_space = i;
    }
    return i;
}

static void pad(FILE *out, int count) {
    fprintf(out, "%*s", count > 0 ? count : 0, "");
}

// Prints `text` broken into lines of `width`; all but the first are indented.
static void write_wrapped(FILE *out, const char *text, int width, int indent) {
    for (bool first = true; first || *text; first = false) {
        size_t bytes = line_bytes(text, width);
        if (!first)
            pad(out, indent);
        fprintf(out, "%.*s\n", (int)bytes, text);
        text += bytes;
        while (*text == ' ' || *text == '\n')
            text++;
    }
}

static int *column_widths(const table *t) {
    int *width = malloc((t->shown + 1) * sizeof *width);
    if (!width)
        return NULL;
    for (size_t column = 0; column < t->shown; column++) {
        width[column] = width_of(t->column[column].header);
        for (size_t row = 0; row < t->rows; row++) {
            int cell = t->flags[row] & TABLE_CSV_ONLY ? 0 : width_of(table_text(t, row, column));
            width[column] = cell > width[column] ? cell : width[column];
        }
    }
    return width;
}

// The last column gets what the others leave.
static void fit_last_column(const table *t, int *width, int total) {
    int before = 2;
    for (size_t column = 0; column + 1 < t->shown; column++)
        before += width[column] + GAP;
    int room = total - before < LEAST_WRAPPED ? LEAST_WRAPPED : total - before;
    int *last = &width[t->shown - 1];
    *last = *last > room ? room : *last;
}

// The columns up to the last one that has something in it: no line ends in spaces.
static size_t filled_columns(const table *t, const char *(*cell)(const table *, size_t, size_t), size_t row) {
    size_t columns = t->shown;
    while (columns > 1 && !*cell(t, row, columns - 1))
        columns--;
    return columns;
}

static void write_text_row(const table *t, FILE *out, const int *width,
                           const char *(*cell)(const table *, size_t, size_t), size_t row, bool marked) {
    int indent = 2;
    size_t columns = filled_columns(t, cell, row);
    fputs(marked ? "* " : "  ", out);
    for (size_t column = 0; column < columns; column++) {
        const char *text = cell(t, row, column);
        bool last = column + 1 == columns, right = t->column[column].alignment == TABLE_RIGHT;
        int space = width[column] - width_of(text);
        if (right)
            pad(out, space);
        if (last) {
            write_wrapped(out, text, width[column], indent);
            return;
        }
        fputs(text, out);
        pad(out, (right ? 0 : space) + GAP);
        indent += width[column] + GAP;
    }
}

static const char *header_of(const table *t, size_t row, size_t column) {
    (void)row;
    return t->column[column].header;
}

static enum status write_text_table(const table *t, FILE *out, int total, struct error *err) {
    if (t->title && *t->title)
        fprintf(out, "\n%s\n", t->title);
    if (t->shown > 0) {
        int *width = column_widths(t);
        if (!width)
            return error_memory(err, "report");
        fit_last_column(t, width, total);
        write_text_row(t, out, width, header_of, 0, false);
        pad(out, 2);
        for (size_t column = 0; column < t->shown; column++) {
            for (int i = 0; i < width[column]; i++)
                putc('-', out);
            if (column + 1 < t->shown)
                pad(out, GAP);
        }
        putc('\n', out);
        for (size_t row = 0; row < t->rows; row++)
            if (!(t->flags[row] & TABLE_CSV_ONLY))
                write_text_row(t, out, width, table_text, row, t->flags[row] & TABLE_BOLD);
        free(width);
    }
    for (size_t i = 0; i < t->notes; i++) {
        pad(out, 2);
        write_wrapped(out, t->note[i], total - 2, 2);
    }
    return STATUS_OK;
}

static enum status finish(FILE *out, struct error *err) {
    return ferror(out) || fflush(out) != 0 ? error_set(err, STATUS_IO, "cannot write the report to its output")
                                           : STATUS_OK;
}

static void write_text_heading(const struct block *b, FILE *out, bool first) {
    fprintf(out, "%s%s\n", first ? "" : "\n", b->text);
    if (b->level > 2)
        return;
    for (int i = 0; i < width_of(b->text); i++)
        putc(b->level == 1 ? '=' : '-', out);
    putc('\n', out);
}

enum status document_write_text(const document *doc, FILE *out, int width, struct error *err) {
    TRY(document_check(doc, err));
    int folded = 0; // what a page folds away has no place in a terminal
    for (size_t i = 0; i < doc->blocks; i++) {
        const struct block *b = &doc->block[i];
        folded += (b->kind == BLOCK_DETAILS) - (b->kind == BLOCK_DETAILS_END);
        if (folded > 0)
            continue;
        if (b->kind == BLOCK_HEADING)
            write_text_heading(b, out, i == 0);
        else if (b->kind == BLOCK_PARAGRAPH)
            write_wrapped(out, b->text, width, 0);
        else if (b->kind == BLOCK_TABLE)
            TRY(write_text_table(b->table, out, width, err));
    }
    return finish(out, err);
}

// Markdown

// Cells and paragraphs hold text, not markup.
static void write_escaped(FILE *out, const char *text) {
    for (; *text; text++) {
        if (strncmp(text, "+-", 2) == 0) {
            fputs("\xC2\xB1", out); // plus-minus sign
            text++;
        } else if (*text == '\n' || *text == '\r') {
            putc(' ', out);
        } else {
            if (strchr("|*<>`\\", *text))
                putc('\\', out);
            putc(*text, out);
        }
    }
}

static void write_markdown_table(const table *t, FILE *out) {
    if (t->title && *t->title) {
        fputs("### ", out);
        write_escaped(out, t->title);
        fputs("\n\n", out);
    }
    for (size_t column = 0; column < t->shown; column++) {
        fputs(column ? " " : "| ", out);
        write_escaped(out, t->column[column].header);
        fputs(" |", out);
    }
    for (size_t column = 0; column < t->shown; column++)
        fprintf(out, "%s%s|", column ? "" : "\n|", t->column[column].alignment == TABLE_RIGHT ? "---:" : "---");
    if (t->shown > 0)
        putc('\n', out);
    for (size_t row = 0; row < t->rows; row++) {
        if (t->flags[row] & TABLE_CSV_ONLY)
            continue;
        for (size_t column = 0; column < t->shown; column++) {
            const char *text = table_text(t, row, column), *mark = t->flags[row] & TABLE_BOLD && *text ? "**" : "";
            fprintf(out, "%s%s", column ? " " : "| ", mark);
            write_escaped(out, text);
            fprintf(out, "%s |", mark);
        }
        putc('\n', out);
    }
    for (size_t i = 0; i < t->notes; i++) {
        if (i > 0 || t->shown > 0)
            putc('\n', out);
        write_escaped(out, t->note[i]);
        putc('\n', out);
    }
}

static void write_markdown_figure(const struct block *b, FILE *out) {
    fputs("![", out);
    for (const char *c = b->text; *c; c++)
        putc(strchr("[]\n", *c) ? ' ' : *c, out);
    fprintf(out, "](%s.png)\n\n", b->path);
    write_escaped(out, b->text);
    putc('\n', out);
}

static void write_markdown_block(const struct block *b, FILE *out) {
    if (b->kind == BLOCK_TABLE) {
        write_markdown_table(b->table, out);
        return;
    }
    if (b->kind == BLOCK_FIGURE) {
        write_markdown_figure(b, out);
        return;
    }
    for (int level = 0; b->kind == BLOCK_HEADING && level < b->level; level++)
        fputs(level + 1 == b->level ? "# " : "#", out);
    write_escaped(out, b->text);
    putc('\n', out);
}

enum status document_write_markdown(const document *doc, const char *folder, FILE *out, struct error *err) {
    TRY(document_check(doc, err));
    for (size_t i = 0; i < doc->blocks; i++) {
        const struct block *b = &doc->block[i];
        if (b->kind == BLOCK_DETAILS || b->kind == BLOCK_DETAILS_END ||
            (b->kind == BLOCK_FIGURE && !document_has_picture(folder, b->path, "png")))
            continue;
        if (i > 0)
            putc('\n', out);
        write_markdown_block(b, out);
    }
    return finish(out, err);
}

// CSV

static enum status write_csv_table(const table *t, const char *folder, struct error *err) {
    char name[256], path[PATH_SIZE];
    snprintf(name, sizeof name, "%s.csv", t->name);
    TRY(path_join(path, folder, name, err));
    if (t->columns == 0) {
        unlink(path);
        return STATUS_OK;
    }
    const char **texts = malloc((t->rows + 1) * t->columns * sizeof *texts);
    if (!texts)
        return error_memory(err, path);
    for (size_t column = 0; column < t->columns; column++)
        texts[column] = t->column[column].key;
    size_t rows = 0;
    for (size_t row = 0; row < t->rows; row++) {
        if (t->flags[row] & TABLE_READERS_ONLY)
            continue;
        rows++;
        for (size_t column = 0; column < t->columns; column++) {
            const struct cell *cell = &t->cell[row * t->columns + column];
            texts[rows * t->columns + column] = cell->csv ? cell->csv : cell->text ? cell->text : "";
        }
    }
    enum status status = csv_table_write(path, texts, t->columns, rows, texts + t->columns, err);
    free(texts);
    return status;
}

enum status document_write_csv(const document *doc, const char *folder, struct error *err) {
    TRY(document_check(doc, err));
    for (size_t i = 0; i < doc->blocks; i++)
        if (doc->block[i].table)
            TRY(write_csv_table(doc->block[i].table, folder, err));
    return STATUS_OK;
}
