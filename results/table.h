// A document of headings, paragraphs, tables and pictures that is built once and written as text, Markdown, one HTML
// page or CSV files.
//
// Building never fails visibly: an allocation that fails is remembered, and the writers report it. One thread a
// document.
#ifndef GRIDFOLD_RESULTS_TABLE_H
#define GRIDFOLD_RESULTS_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#include "model/base/status.h"

typedef struct document document;
typedef struct table table;

enum { TABLE_TERMINAL_WIDTH = 100 };
enum table_alignment { TABLE_LEFT, TABLE_RIGHT };
enum table_row_flags { TABLE_PLAIN = 0, TABLE_BOLD = 1, TABLE_CSV_ONLY = 2, TABLE_READERS_ONLY = 4 };

document *document_create(void); // NULL: out of memory
void document_destroy(document *doc);

void document_heading(document *doc, int level, const char *format, ...) __attribute__((format(printf, 3, 4)));
void document_paragraph(document *doc, const char *format, ...) __attribute__((format(printf, 2, 3)));
// A picture: `path` without its extension, relative to the report's folder. It is shown where PATH.png (Markdown) and
// PATH.svg or PATH.png (HTML) are there when the document is written, else it is left out.
void document_figure(document *doc, const char *path, const char *caption, ...) __attribute__((format(printf, 3, 4)));
// What stands between the two is folded away in the HTML page until a reader opens it.
void document_details(document *doc, const char *summary, ...) __attribute__((format(printf, 2, 3)));
void document_details_end(document *doc);
// A table at the end of the document, owned by it. `name` is the stem of its CSV file: what a file name may not hold
// becomes '-', and a name that is taken gets a number.
table *document_table(document *doc, const char *name, const char *title, ...) __attribute__((format(printf, 3, 4)));

// Columns come before the first row. `key` heads the column in the CSV file, `header` for readers; a column whose
// header is NULL stands in the CSV file alone, and after those of readers.
void table_column(table *t, enum table_alignment alignment, const char *key, const char *header);
// Begins a row; what the last row lacks is empty.
void table_row(table *t, int flags);
// The next cell of the row: the same text everywhere.
void table_cell(table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
// The next cell: `key` in the CSV file, `text` for readers.
void table_label(table *t, const char *key, const char *text);
// The next cell: `value` with all its digits in the CSV file, the formatted text for readers; "-" where it is not
// finite (in the file "" where it is NaN).
void table_value(table *t, double value, const char *format, ...) __attribute__((format(printf, 3, 4)));
// A line under the table (or in its place, when it has no columns): a paragraph for readers, absent in the CSV file.
void table_note(table *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Aligned columns for a terminal of `width` characters: the last column wraps where it must. Plain ASCII but for what
// the cells hold.
NODISCARD enum status document_write_text(const document *doc, FILE *out, int width, struct error *err);
// `folder`: where the report's files are.
NODISCARD enum status document_write_markdown(const document *doc, const char *folder, FILE *out, struct error *err);
// One self-contained page: style, script and pictures stand in it, and its policy forbids the browser every request.
NODISCARD enum status document_write_html(const document *doc, const char *folder, FILE *out, struct error *err);
// FOLDER/<name>.csv for every table that has columns, by rename; one that has none leaves no file of an earlier report.
NODISCARD enum status document_write_csv(const document *doc, const char *folder, struct error *err);

#endif
