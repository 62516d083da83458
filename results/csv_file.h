// CSV files that are the state of a sweep: appended row by row, on disk before they count, read back whole.
//
// A writer belongs to one thread of rank 0. A table is read in one go; a torn last line (no newline at the end: the
// writer died in it) is dropped.
#ifndef GRIDFOLD_RESULTS_CSV_FILE_H
#define GRIDFOLD_RESULTS_CSV_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "model/base/status.h"

typedef struct csv_log csv_log;

// Opens for appending; a new or empty file gets the header line; an existing one must have exactly this header
// (STATUS_MISMATCH), and a torn last line is cut off.
NODISCARD enum status csv_log_open(const char *path, const char *const *columns, size_t count, csv_log **log,
                                   struct error *err);
void csv_log_close(csv_log *log); // flushes, as far as that goes
size_t csv_log_columns(const csv_log *log);
// Takes one row of csv_log_columns() fields, quoted where they need it. It stays in memory until the log is flushed.
// After STATUS_MEMORY every later call fails with its message.
NODISCARD enum status csv_log_append(csv_log *log, const char *const *fields, struct error *err);
// All rows that wait, in one write(2). What a failed write left is cut off, and the rows are dropped; after a failure
// (of a sync too) every later call fails with its message.
NODISCARD enum status csv_log_flush(csv_log *log, struct error *err);
// Nothing more is to be written: every later call fails with this error. NULL is fine.
void csv_log_give_up(csv_log *log, const struct error *why);
// Flush and fdatasync: rows count when this has returned. One call for many rows costs what it costs for one.
NODISCARD enum status csv_log_sync(csv_log *log, struct error *err);

struct csv_table {
    size_t columns, rows;
    char **cells; // cells[(row + 1) * columns + column]; row -1 is the header
    size_t *line; // line[row + 1]: where the row ends in the file, from 1
    char *path;   // of the file, for messages
    char *text;   // what the cells point into
};
// STATUS_FORMAT names file and line when a row has another number of fields than the header.
NODISCARD enum status csv_table_read(const char *path, struct csv_table *table, struct error *err);
// The same for files that people and other programs wrote: a last line without a newline counts.
NODISCARD enum status csv_table_read_foreign(const char *path, struct csv_table *table, struct error *err);
void csv_table_free(struct csv_table *table);
int csv_table_column(const struct csv_table *table, const char *name); // -1: absent
const char *csv_table_cell(const struct csv_table *table, size_t row, int column);
// The cell as a number: NaN where it is empty; STATUS_FORMAT names row and column where it is no number.
NODISCARD enum status csv_table_number(const struct csv_table *table, size_t row, int column, double *value,
                                       struct error *err);
// Writes a whole table by rename (header, then rows in the given order).
NODISCARD enum status csv_table_write(const char *path, const char *const *columns, size_t count, size_t rows,
                                      const char *const *cells, struct error *err);
// One row in the same form, to a stream; its failure shows in ferror(out).
NODISCARD enum status csv_row_print(FILE *out, const char *const *fields, size_t count, struct error *err);

// The same row by row. `commit` puts the table in its place by rename; it and `abandon` (takes NULL) release the
// writer. When csv_writer_begin fails, *w is NULL or to be abandoned.
typedef struct csv_writer csv_writer;
NODISCARD enum status csv_writer_begin(const char *path, const char *const *columns, size_t count, csv_writer **w,
                                       struct error *err);
NODISCARD enum status csv_writer_add(csv_writer *w, const char *const *fields, struct error *err);
NODISCARD enum status csv_writer_commit(csv_writer *w, struct error *err);
void csv_writer_abandon(csv_writer *w);

// Shortest decimal text that reads back the same double; "" for NaN.
void csv_format_number(double value, char out[32]);

#endif
