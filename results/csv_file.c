#include "results/csv_file.h"

#include <csv.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "model/base/file.h"
#include "results/csv_parse.h"

// A growing text.
struct text {
    char *data;
    size_t size, capacity;
};

struct csv_log {
    int fd;
    size_t columns;
    char *path;
    off_t size;           // of the file
    struct text pending;  // rows that are not in the file yet
    struct error failure; // of an earlier write: nothing is written any more
};

// A table that is being written beside the one that it will replace.
struct csv_writer {
    struct file_replace file;
    size_t columns;
    struct text pending;
};

// libcsv strips unquoted spaces, and skips a line that has nothing in it.
static bool needs_quotes(const char *field, size_t bytes, bool alone) {
    if (bytes == 0)
        return alone;
    return strpbrk(field, ",\"\r\n") || strchr(" \t", field[0]) || strchr(" \t", field[bytes - 1]);
}

static bool text_add_row(struct text *text, const char *const *fields, size_t count) {
    size_t bound = text->size + 1;
    for (size_t i = 0; i < count; i++)
        bound += 2 * strlen(fields[i]) + 3;
    if (!text->data || bound > text->capacity) {
        char *grown = realloc(text->data, 2 * bound);
        if (!grown)
            return false;
        text->data = grown;
        text->capacity = 2 * bound;
    }
    for (size_t i = 0; i < count; i++) {
        size_t bytes = strlen(fields[i]);
        if (needs_quotes(fields[i], bytes, count == 1)) {
            text->size += csv_write(text->data + text->size, text->capacity - text->size, fields[i], bytes);
        } else {
            memcpy(text->data + text->size, fields[i], bytes);
            text->size += bytes;
        }
        text->data[text->size++] = i + 1 < count ? ',' : '\n';
    }
    return true;
}

static enum status write_header(const char *path, const char *const *columns, size_t count, struct error *err) {
    return csv_table_write(path, columns, count, 0, NULL, err);
}

static enum status check_header(const struct csv_table *table, const char *const *columns, size_t count,
                                struct error *err) {
    for (size_t i = 0; i < count && i < table->columns; i++)
        if (strcmp(table->cells[i], columns[i]) != 0)
            return error_set(err, STATUS_MISMATCH,
                             "%s: column %zu is '%s', not '%s': the file belongs to another sweep; move it away",
                             table->path, i + 1, table->cells[i], columns[i]);
    if (table->columns < count)
        return error_set(err, STATUS_MISMATCH,
                         "%s: column '%s' is missing: the file belongs to another sweep; move it away", table->path,
                         columns[table->columns]);
    if (table->columns > count)
        return error_set(err, STATUS_MISMATCH,
                         "%s: column '%s' does not belong there: the file belongs to another sweep; move it away",
                         table->path, table->cells[count]);
    return STATUS_OK;
}

// Makes sure that `path` is there with the header; *complete: its bytes without a torn last line.
static enum status prepare(const char *path, const char *const *columns, size_t count, size_t *complete,
                           struct error *err) {
    char *text = NULL;
    size_t bytes = 0;
    if (file_exists(path))
        TRY(file_read(path, &text, &bytes, err));
    struct csv_table table = {0};
    enum status status = csv_parse_text(path, text ? text : "", bytes, false, &table, complete, err);
    free(text);
    if (status != STATUS_OK)
        return status;
    if (table.columns > 0) {
        status = check_header(&table, columns, count, err);
    } else {
        status = write_header(path, columns, count, err);
        struct stat s = {0};
        if (status == STATUS_OK && stat(path, &s) != 0)
            status = error_set(err, STATUS_IO, "cannot read %s: %s", path, strerror(errno));
        *complete = (size_t)s.st_size;
    }
    csv_table_free(&table);
    return status;
}

enum status csv_log_open(const char *path, const char *const *columns, size_t count, csv_log **log, struct error *err) {
    size_t complete = 0;
    TRY(prepare(path, columns, count, &complete, err));
    csv_log *l = calloc(1, sizeof *l);
    if (!l || !(l->path = strdup(path))) {
        free(l);
        return error_memory(err, path);
    }
    l->columns = count;
    l->size = (off_t)complete;
    l->fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (l->fd < 0 || ftruncate(l->fd, (off_t)complete) != 0) {
        error_set(err, STATUS_IO, "cannot write %s: %s", path, strerror(errno));
        csv_log_close(l);
        return STATUS_IO;
    }
    *log = l;
    return STATUS_OK;
}

void csv_log_close(csv_log *log) {
    if (!log)
        return;
    struct error err;
    if (log->fd >= 0) {
        (void)!csv_log_flush(log, &err);
        close(log->fd);
    }
    free(log->path);
    free(log->pending.data);
    free(log);
}

size_t csv_log_columns(const csv_log *log) {
    return log->columns;
}

// After a failed write or fsync nobody can tell what the disk holds: the log takes no more rows, and who opens the file
// next cuts off what is torn. Nor does it after a row that found no memory: later rows would hide that it is missing.
static enum status fail(csv_log *log, const char *where, struct error *err) {
    (void)error_set(err, STATUS_IO, "cannot write %s%s: %s", log->path, where, strerror(errno));
    log->failure = *err;
    return STATUS_IO;
}

static enum status failed_before(const csv_log *log, struct error *err) {
    *err = log->failure;
    return err->status;
}

void csv_log_give_up(csv_log *log, const struct error *why) {
    if (log && log->failure.status == STATUS_OK)
        log->failure = *why;
}

enum status csv_log_append(csv_log *log, const char *const *fields, struct error *err) {
    if (log->failure.status != STATUS_OK)
        return failed_before(log, err);
    if (text_add_row(&log->pending, fields, log->columns))
        return STATUS_OK;
    (void)error_memory(err, log->path);
    log->failure = *err;
    return err->status;
}

// All of the rows or none of them: half a row must not stand before the next one.
enum status csv_log_flush(csv_log *log, struct error *err) {
    if (log->failure.status != STATUS_OK)
        return failed_before(log, err);
    size_t bytes = log->pending.size;
    const char *text = log->pending.data;
    log->pending.size = 0; // whatever becomes of them, they are not written twice
    while (bytes > 0) {
        ssize_t n = write(log->fd, text, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            enum status status = fail(log, "", err);
            (void)!ftruncate(log->fd, log->size);
            return status;
        }
        text += n;
        bytes -= (size_t)n;
    }
    log->size += text - log->pending.data;
    return STATUS_OK;
}

enum status csv_log_sync(csv_log *log, struct error *err) {
    TRY(csv_log_flush(log, err));
    return fdatasync(log->fd) == 0 ? STATUS_OK : fail(log, " to disk", err);
}

static enum status read_table(const char *path, bool keep_last, struct csv_table *table, struct error *err) {
    *table = (struct csv_table){0};
    char *text = NULL;
    size_t bytes = 0;
    TRY(file_read(path, &text, &bytes, err));
    enum status status = csv_parse_text(path, text, bytes, keep_last, table, NULL, err);
    free(text);
    if (status != STATUS_OK || table->columns > 0)
        return status;
    csv_table_free(table);
    return error_set(err, STATUS_FORMAT, "%s: empty: a CSV file begins with a header line", path);
}

enum status csv_table_read(const char *path, struct csv_table *table, struct error *err) {
    return read_table(path, false, table, err);
}

enum status csv_table_read_foreign(const char *path, struct csv_table *table, struct error *err) {
    return read_table(path, true, table, err);
}

void csv_table_free(struct csv_table *table) {
    free(table->cells);
    free(table->line);
    free(table->path);
    free(table->text);
    *table = (struct csv_table){0};
}

int csv_table_column(const struct csv_table *table, const char *name) {
    for (size_t i = 0; i < table->columns; i++)
        if (strcmp(table->cells[i], name) == 0)
            return (int)i;
    return -1;
}

const char *csv_table_cell(const struct csv_table *table, size_t row, int column) {
    return table->cells[(row + 1) * table->columns + (size_t)column];
}

enum status csv_table_number(const struct csv_table *table, size_t row, int column, double *value, struct error *err) {
    const char *cell = csv_table_cell(table, row, column);
    *value = NAN;
    if (!*cell)
        return STATUS_OK;
    char *end;
    *value = strtod(cell, &end);
    if (*end)
        return error_set(err, STATUS_FORMAT, "%s: line %zu: %s is '%s', not a number", table->path,
                         table->line[row + 1], table->cells[column], cell);
    return STATUS_OK;
}

enum status csv_writer_begin(const char *path, const char *const *columns, size_t count, csv_writer **out,
                             struct error *err) {
    csv_writer *w = calloc(1, sizeof *w);
    if (!w)
        return error_memory(err, path);
    w->columns = count;
    enum status status = file_replace_begin(&w->file, path, err);
    if (status != STATUS_OK) {
        free(w);
        return status;
    }
    *out = w;
    return csv_writer_add(w, columns, err);
}

static void writer_free(csv_writer *w) {
    free(w->pending.data);
    free(w);
}

void csv_writer_abandon(csv_writer *w) {
    if (!w)
        return;
    file_replace_abandon(&w->file);
    writer_free(w);
}

static enum status writer_flush(csv_writer *w, struct error *err) {
    size_t bytes = w->pending.size;
    w->pending.size = 0;
    return file_replace_write(&w->file, w->pending.data, bytes, err);
}

enum status csv_writer_add(csv_writer *w, const char *const *fields, struct error *err) {
    enum { CHUNK = 1 << 20 };
    if (!text_add_row(&w->pending, fields, w->columns))
        return error_memory(err, w->file.path);
    return w->pending.size < CHUNK ? STATUS_OK : writer_flush(w, err);
}

enum status csv_writer_commit(csv_writer *w, struct error *err) {
    enum status status = writer_flush(w, err);
    if (status != STATUS_OK) {
        csv_writer_abandon(w);
        return status;
    }
    status = file_replace_commit(&w->file, err);
    writer_free(w);
    return status;
}

enum status csv_table_write(const char *path, const char *const *columns, size_t count, size_t rows,
                            const char *const *cells, struct error *err) {
    csv_writer *w = NULL;
    enum status status = csv_writer_begin(path, columns, count, &w, err);
    for (size_t row = 0; row < rows && status == STATUS_OK; row++)
        status = csv_writer_add(w, cells + row * count, err);
    if (status == STATUS_OK)
        return csv_writer_commit(w, err);
    csv_writer_abandon(w);
    return status;
}

enum status csv_row_print(FILE *out, const char *const *fields, size_t count, struct error *err) {
    struct text text = {0};
    if (!text_add_row(&text, fields, count))
        return error_memory(err, "a row of CSV");
    fwrite(text.data, 1, text.size, out);
    free(text.data);
    return STATUS_OK;
}

void csv_format_number(double value, char out[32]) {
    if (isnan(value)) {
        out[0] = 0;
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, 32, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            break;
    }
}
