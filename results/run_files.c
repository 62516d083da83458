#include "results/run_files.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// A column is a member of a row struct. STRING: a char *. COUNTER: an int whose -1 is the empty cell. REAL: NaN is the
// empty cell.
enum kind { TEXT, STRING, INTEGER, COUNTER, INTEGER64, REAL };

struct column {
    const char *name;
    enum kind kind;
    size_t offset, size; // of the member
};

#define COLUMN(row, kind, member)                                                                                      \
    { #member, kind, offsetof(struct row, member), sizeof(((struct row *)0)->member) }

static const struct column epoch_columns[] = {
    COLUMN(epoch_row, TEXT, trial),      COLUMN(epoch_row, TEXT, config),    COLUMN(epoch_row, INTEGER, fold),
    COLUMN(epoch_row, INTEGER, epoch),   COLUMN(epoch_row, REAL, lr),        COLUMN(epoch_row, REAL, train_loss),
    COLUMN(epoch_row, REAL, train_iou),  COLUMN(epoch_row, REAL, train_f1),  COLUMN(epoch_row, REAL, val_loss),
    COLUMN(epoch_row, REAL, val_iou),    COLUMN(epoch_row, REAL, val_f1),    COLUMN(epoch_row, REAL, val_precision),
    COLUMN(epoch_row, REAL, val_recall), COLUMN(epoch_row, REAL, grad_norm),
};

static const struct column trial_columns_before[] = {
    COLUMN(trial_row, TEXT, trial),
    COLUMN(trial_row, TEXT, grid),
    COLUMN(trial_row, TEXT, config),
    COLUMN(trial_row, INTEGER, fold),
};

static const struct column trial_columns_after[] = {
    COLUMN(trial_row, TEXT, status),          COLUMN(trial_row, REAL, best_iou),
    COLUMN(trial_row, COUNTER, best_epoch),   COLUMN(trial_row, REAL, best_f1),
    COLUMN(trial_row, REAL, final_iou),       COLUMN(trial_row, REAL, train_val_gap),
    COLUMN(trial_row, INTEGER64, parameters), COLUMN(trial_row, INTEGER, epochs_run),
    COLUMN(trial_row, STRING, error),
};

static const struct column event_columns[] = {
    COLUMN(event_row, TEXT, time),   COLUMN(event_row, TEXT, trial),      COLUMN(event_row, COUNTER, epoch),
    COLUMN(event_row, TEXT, event),  COLUMN(event_row, TEXT, host),       COLUMN(event_row, COUNTER, worker),
    COLUMN(event_row, TEXT, device), COLUMN(event_row, INTEGER, attempt), COLUMN(event_row, REAL, seconds),
    COLUMN(event_row, TEXT, detail),
};

#define COUNT(array) (sizeof(array) / sizeof *(array))
enum {
    BEFORE = COUNT(trial_columns_before),
    AFTER = COUNT(trial_columns_after),
    EPOCH = COUNT(epoch_columns),
    MAX_COLUMNS = BEFORE + RUN_MAX_SWEPT + AFTER, // of any file
};

// The columns of one file and the size of its row struct.
struct layout {
    struct column column[MAX_COLUMNS];
    size_t count, row_size;
};

static struct layout layout_of(const struct column *columns, size_t count, size_t row_size) {
    struct layout layout = {.count = count, .row_size = row_size};
    memcpy(layout.column, columns, count * sizeof *columns);
    return layout;
}

// The names point into *own.
static struct layout epochs_layout(const struct metric_columns *own) {
    struct layout layout = layout_of(epoch_columns, EPOCH, sizeof(struct epoch_row));
    for (int i = 0; own && i < own->count; i++)
        layout.column[layout.count++] = (struct column){
            own->name[i], REAL, offsetof(struct epoch_row, own) + (size_t)i * sizeof(double), sizeof(double)};
    return layout;
}

static struct layout events_layout(void) {
    return layout_of(event_columns, COUNT(event_columns), sizeof(struct event_row));
}

static void rename_metric(struct layout *layout, const char *fixed, const char *name) {
    for (size_t i = 0; i < layout->count; i++)
        if (strcmp(layout->column[i].name, fixed) == 0)
            layout->column[i].name = name;
}

// The names point into *swept.
static struct layout trials_layout(const struct swept_columns *swept) {
    struct layout layout = layout_of(trial_columns_before, BEFORE, sizeof(struct trial_row));
    size_t value = sizeof(((struct trial_row *)0)->swept[0]);
    for (int i = 0; i < swept->count; i++)
        layout.column[layout.count++] =
            (struct column){swept->name[i], STRING, offsetof(struct trial_row, swept) + (size_t)i * value, value};
    memcpy(layout.column + layout.count, trial_columns_after, sizeof trial_columns_after);
    layout.count += AFTER;
    if (*swept->metric) {
        rename_metric(&layout, "best_iou", swept->best_column);
        rename_metric(&layout, "final_iou", swept->final_column);
    }
    return layout;
}

// Layout -> CSV

// The cell of one member: a text points into the row, a number is written to `number`.
static const char *encode(const struct column *column, const void *row, char number[32]) {
    const char *member = (const char *)row + column->offset;
    int i;
    int64_t i64;
    double real;
    const char *string;
    switch (column->kind) {
    case TEXT:
        return member;
    case STRING:
        memcpy(&string, member, sizeof string);
        return string ? string : "";
    case INTEGER:
    case COUNTER:
        memcpy(&i, member, sizeof i);
        if (column->kind == COUNTER && i < 0)
            return "";
        snprintf(number, 32, "%d", i);
        return number;
    case INTEGER64:
        memcpy(&i64, member, sizeof i64);
        snprintf(number, 32, "%lld", (long long)i64);
        return number;
    case REAL:
        memcpy(&real, member, sizeof real);
        csv_format_number(real, number);
        return number;
    }
    return "";
}

static void encode_row(const struct layout *layout, const void *row, const char **cells, char (*numbers)[32]) {
    for (size_t i = 0; i < layout->count; i++)
        cells[i] = encode(&layout->column[i], row, numbers[i]);
}

static void column_names(const struct layout *layout, const char *names[MAX_COLUMNS]) {
    for (size_t i = 0; i < layout->count; i++)
        names[i] = layout->column[i].name;
}

static enum status open_log(const char *path, const struct layout *layout, csv_log **log, struct error *err) {
    const char *names[MAX_COLUMNS];
    column_names(layout, names);
    return csv_log_open(path, names, layout->count, log, err);
}

static enum status append_row(csv_log *log, const struct layout *layout, const void *row, struct error *err) {
    const char *cells[MAX_COLUMNS];
    char numbers[MAX_COLUMNS][32];
    encode_row(layout, row, cells, numbers);
    return csv_log_append(log, cells, err);
}

static enum status begin_rows(const char *path, const struct layout *layout, csv_writer **w, struct error *err) {
    const char *names[MAX_COLUMNS];
    column_names(layout, names);
    return csv_writer_begin(path, names, layout->count, w, err);
}

static enum status add_row(csv_writer *w, const struct layout *layout, const void *row, struct error *err) {
    const char *cells[MAX_COLUMNS];
    char numbers[MAX_COLUMNS][32];
    encode_row(layout, row, cells, numbers);
    return csv_writer_add(w, cells, err);
}

// CSV -> layout

static enum status wrong_cell(const struct csv_table *table, size_t row, size_t column, const char *what,
                              struct error *err) {
    return error_set(err, STATUS_FORMAT, "%s: line %zu: %s is '%.80s': %s", table->path, table->line[row + 1],
                     table->cells[column], csv_table_cell(table, row, (int)column), what);
}

static enum status decode_integer(const struct csv_table *table, size_t row, size_t column, enum kind kind,
                                  void *member, struct error *err) {
    const char *cell = csv_table_cell(table, row, (int)column);
    long long value = -1;
    if (*cell || kind != COUNTER) {
        char *end;
        errno = 0;
        value = strtoll(cell, &end, 10);
        if (end == cell || *end)
            return wrong_cell(table, row, column, "not a whole number", err);
        if (errno || (kind != INTEGER64 && (value < INT_MIN || value > INT_MAX)))
            return wrong_cell(table, row, column, "too large", err);
    }
    if (kind == INTEGER64) {
        int64_t wide = value;
        memcpy(member, &wide, sizeof wide);
    } else {
        int narrow = (int)value;
        memcpy(member, &narrow, sizeof narrow);
    }
    return STATUS_OK;
}

static enum status decode(const struct csv_table *table, size_t row, size_t index, const struct column *column,
                          void *out, struct error *err) {
    char *member = (char *)out + column->offset;
    double real;
    switch (column->kind) {
    case STRING:
        return STATUS_OK; // take_strings
    case TEXT:
        if (snprintf(member, column->size, "%s", csv_table_cell(table, row, (int)index)) >= (int)column->size)
            return wrong_cell(table, row, index, "too long", err);
        return STATUS_OK;
    case INTEGER:
    case COUNTER:
    case INTEGER64:
        return decode_integer(table, row, index, column->kind, member, err);
    case REAL:
        TRY(csv_table_number(table, row, (int)index, &real, err));
        memcpy(member, &real, sizeof real);
        return STATUS_OK;
    }
    return STATUS_OK;
}

static enum status check_header(const struct csv_table *table, const struct layout *layout, struct error *err) {
    for (size_t i = 0; i < layout->count && i < table->columns; i++)
        if (strcmp(table->cells[i], layout->column[i].name) != 0)
            return error_set(err, STATUS_FORMAT, "%s: line 1: column %zu is '%s', not '%s'", table->path, i + 1,
                             table->cells[i], layout->column[i].name);
    if (table->columns != layout->count)
        return error_set(err, STATUS_FORMAT, "%s: line 1: %zu columns, not %zu", table->path, table->columns,
                         layout->count);
    return STATUS_OK;
}

// The strings of all rows stand behind the rows, so that the caller frees one block.
static size_t string_bytes(const struct csv_table *table, const struct layout *layout) {
    size_t bytes = 0;
    for (size_t row = 0; row < table->rows; row++)
        for (size_t i = 0; i < layout->count; i++)
            if (layout->column[i].kind == STRING)
                bytes += strlen(csv_table_cell(table, row, (int)i)) + 1;
    return bytes;
}

static void take_strings(const struct csv_table *table, const struct layout *layout, char *rows) {
    char *text = rows + (table->rows + 1) * layout->row_size;
    for (size_t row = 0; row < table->rows; row++)
        for (size_t i = 0; i < layout->count; i++) {
            if (layout->column[i].kind != STRING)
                continue;
            const char *cell = csv_table_cell(table, row, (int)i);
            memcpy(rows + row * layout->row_size + layout->column[i].offset, &text, sizeof text);
            memcpy(text, cell, strlen(cell) + 1);
            text += strlen(cell) + 1;
        }
}

static enum status decode_rows(const struct csv_table *table, const struct layout *layout, void **rows, size_t *count,
                               struct error *err) {
    TRY(check_header(table, layout, err));
    char *out = calloc(1, (table->rows + 1) * layout->row_size + string_bytes(table, layout));
    if (!out)
        return error_memory(err, table->path);
    for (size_t row = 0; row < table->rows; row++) {
        for (size_t i = 0; i < layout->count; i++) {
            enum status status = decode(table, row, i, &layout->column[i], out + row * layout->row_size, err);
            if (status != STATUS_OK) {
                free(out);
                return status;
            }
        }
    }
    take_strings(table, layout, out);
    *rows = out;
    *count = table->rows;
    return STATUS_OK;
}

static enum status read_rows(const char *path, const struct layout *layout, void **rows, size_t *count,
                             struct error *err) {
    struct csv_table table;
    TRY(csv_table_read(path, &table, err));
    enum status status = decode_rows(&table, layout, rows, count, err);
    csv_table_free(&table);
    return status;
}

// epochs.csv

static const struct column *fixed_column(const char *name) {
    for (size_t i = 0; i < EPOCH; i++)
        if (epoch_columns[i].kind == REAL && strcmp(epoch_columns[i].name, name) == 0)
            return &epoch_columns[i];
    return NULL;
}

bool epoch_column_is_fixed(const char *name) {
    return fixed_column(name) != NULL;
}

double *epoch_row_value(struct epoch_row *row, const struct metric_columns *own, const char *name) {
    const struct column *fixed = fixed_column(name);
    if (fixed)
        return (double *)((char *)row + fixed->offset);
    for (int i = 0; i < own->count; i++)
        if (strcmp(own->name[i], name) == 0)
            return &row->own[i];
    return NULL;
}

double epoch_row_number(const struct epoch_row *row, const struct metric_columns *own, const char *name) {
    const struct column *fixed = fixed_column(name);
    if (fixed)
        return *(const double *)((const char *)row + fixed->offset);
    for (int i = 0; i < own->count; i++)
        if (strcmp(own->name[i], name) == 0)
            return row->own[i];
    return NAN;
}

void epoch_row_empty(struct epoch_row *row) {
    *row = (struct epoch_row){0};
    for (size_t i = 0; i < EPOCH; i++)
        if (epoch_columns[i].kind == REAL)
            *(double *)((char *)row + epoch_columns[i].offset) = NAN;
    for (int i = 0; i < RUN_MAX_METRICS; i++)
        row->own[i] = NAN;
}

enum status epochs_open(const char *path, const struct metric_columns *own, csv_log **log, struct error *err) {
    struct layout layout = epochs_layout(own);
    return open_log(path, &layout, log, err);
}

enum status epochs_append(csv_log *log, const struct epoch_row *row, struct error *err) {
    struct metric_columns own = {.count = (int)csv_log_columns(log) - (int)EPOCH}; // the names stand in the header
    struct layout layout = epochs_layout(&own);
    return append_row(log, &layout, row, err);
}

// What stands behind the fixed columns are the sweep's own.
static enum status own_of_header(const struct csv_table *table, struct metric_columns *own, struct error *err) {
    *own = (struct metric_columns){0};
    if (table->columns <= EPOCH)
        return STATUS_OK; // check_header names the first column that is wrong
    if (table->columns > EPOCH + RUN_MAX_METRICS)
        return error_set(err, STATUS_FORMAT, "%s: line 1: %zu columns, at most %d fit", table->path, table->columns,
                         EPOCH + RUN_MAX_METRICS);
    own->count = (int)(table->columns - EPOCH);
    for (int i = 0; i < own->count; i++) {
        const char *name = table->cells[EPOCH + i];
        if (snprintf(own->name[i], sizeof own->name[i], "%s", name) >= (int)sizeof own->name[i])
            return error_set(err, STATUS_FORMAT, "%s: line 1: column name '%.80s' is too long", table->path, name);
    }
    return STATUS_OK;
}

static enum status decode_epochs(const struct csv_table *table, struct metric_columns *own, void **rows, size_t *count,
                                 struct error *err) {
    TRY(own_of_header(table, own, err));
    struct layout layout = epochs_layout(own);
    return decode_rows(table, &layout, rows, count, err);
}

enum status epochs_read(const char *path, struct metric_columns *own, struct epoch_row **rows, size_t *count,
                        struct error *err) {
    struct csv_table table;
    struct metric_columns columns;
    void *out;
    TRY(csv_table_read(path, &table, err));
    enum status status = decode_epochs(&table, &columns, &out, count, err);
    csv_table_free(&table);
    if (status != STATUS_OK)
        return status;
    if (own)
        *own = columns;
    *rows = out;
    return STATUS_OK;
}

enum status epochs_rewrite(const char *path, const struct metric_columns *own, csv_writer **w, struct error *err) {
    struct layout layout = epochs_layout(own);
    return begin_rows(path, &layout, w, err);
}

enum status epochs_rewrite_row(csv_writer *w, const struct metric_columns *own, const struct epoch_row *row,
                               struct error *err) {
    struct layout layout = epochs_layout(own);
    return add_row(w, &layout, row, err);
}

// events.csv

enum status events_open(const char *path, csv_log **log, struct error *err) {
    struct layout layout = events_layout();
    return open_log(path, &layout, log, err);
}

enum status events_append(csv_log *log, const struct event_row *row, struct error *err) {
    struct layout layout = events_layout();
    return append_row(log, &layout, row, err);
}

enum status events_read(const char *path, struct event_row **rows, size_t *count, struct error *err) {
    struct layout layout = events_layout();
    void *out;
    TRY(read_rows(path, &layout, &out, count, err));
    *rows = out;
    return STATUS_OK;
}

// trials.csv

void swept_set_metric(struct swept_columns *swept, const char *metric) {
    if (strcmp(metric, "val_iou") == 0)
        return;
    snprintf(swept->metric, sizeof swept->metric, "%s", metric);
    snprintf(swept->best_column, sizeof swept->best_column, "best_%s", metric);
    snprintf(swept->final_column, sizeof swept->final_column, "final_%s", metric);
}

static enum status check_swept(const char *path, const struct swept_columns *swept, struct error *err) {
    if (swept->count < 0 || swept->count > RUN_MAX_SWEPT)
        return error_set(err, STATUS_INVALID, "%s: %d swept hyperparameters, at most %d fit", path, swept->count,
                         RUN_MAX_SWEPT);
    return STATUS_OK;
}

enum status trials_open(const char *path, const struct swept_columns *swept, csv_log **log, struct error *err) {
    TRY(check_swept(path, swept, err));
    struct layout layout = trials_layout(swept);
    return open_log(path, &layout, log, err);
}

enum status trials_append(csv_log *log, const struct trial_row *row, struct error *err) {
    struct swept_columns swept = {.count = row->swept_count}; // the names stand in the file's header already
    TRY(check_swept("trials.csv", &swept, err));
    struct layout layout = trials_layout(&swept);
    if (layout.count != csv_log_columns(log))
        return error_set(err, STATUS_INTERNAL, "trials.csv: a row of %zu columns in a file of %zu", layout.count,
                         csv_log_columns(log));
    return append_row(log, &layout, row, err);
}

// What stands between the fixed columns are the swept ones.
static enum status swept_of_header(const struct csv_table *table, struct swept_columns *swept, struct error *err) {
    *swept = (struct swept_columns){0};
    if (table->columns < BEFORE + AFTER)
        return STATUS_OK; // check_header names the first column that is wrong
    if (table->columns > MAX_COLUMNS)
        return error_set(err, STATUS_FORMAT, "%s: line 1: %zu columns, at most %d fit", table->path, table->columns,
                         (int)MAX_COLUMNS);
    swept->count = (int)(table->columns - BEFORE - AFTER);
    for (int i = 0; i < swept->count; i++) {
        const char *name = table->cells[BEFORE + i];
        if (snprintf(swept->name[i], sizeof swept->name[i], "%s", name) >= (int)sizeof swept->name[i])
            return error_set(err, STATUS_FORMAT, "%s: line 1: column name '%.80s' is too long", table->path, name);
    }
    return STATUS_OK;
}

// "best_accuracy" where "best_iou" is usual.
static void metric_of_header(const struct csv_table *table, struct swept_columns *swept) {
    if (table->columns < BEFORE + AFTER)
        return;
    const char *best = table->cells[table->columns - AFTER + 1];
    if (strncmp(best, "best_", 5) == 0 && strcmp(best, "best_iou") != 0)
        swept_set_metric(swept, best + 5);
}

static enum status decode_trials(const struct csv_table *table, struct swept_columns *swept, struct trial_row **rows,
                                 size_t *count, struct error *err) {
    TRY(swept_of_header(table, swept, err));
    metric_of_header(table, swept);
    struct layout layout = trials_layout(swept);
    void *out;
    TRY(decode_rows(table, &layout, &out, count, err));
    *rows = out;
    for (size_t i = 0; i < *count; i++)
        (*rows)[i].swept_count = swept->count;
    return STATUS_OK;
}

enum status trials_read(const char *path, struct swept_columns *swept, struct trial_row **rows, size_t *count,
                        struct error *err) {
    struct csv_table table;
    TRY(csv_table_read(path, &table, err));
    enum status status = decode_trials(&table, swept, rows, count, err);
    csv_table_free(&table);
    return status;
}

enum status trials_rewrite(const char *path, const struct swept_columns *swept, csv_writer **w, struct error *err) {
    TRY(check_swept(path, swept, err));
    struct layout layout = trials_layout(swept);
    return begin_rows(path, &layout, w, err);
}

enum status trials_rewrite_row(csv_writer *w, const struct swept_columns *swept, const struct trial_row *row,
                               struct error *err) {
    struct layout layout = trials_layout(swept);
    return add_row(w, &layout, row, err);
}

// folds.csv

enum status folds_write(const char *path, const struct fold_row *rows, size_t count, struct error *err) {
    static const char *const columns[] = {"sample", "change_level", "positive_share", "fold"};
    enum { COLUMNS = 4 };
    const char **cells = malloc((count + 1) * COLUMNS * sizeof *cells);
    char(*number)[2][32] = malloc((count + 1) * sizeof *number);
    if (!cells || !number) {
        free(cells);
        free(number);
        return error_memory(err, path);
    }
    for (size_t i = 0; i < count; i++) {
        csv_format_number(rows[i].positive_share, number[i][0]);
        snprintf(number[i][1], sizeof number[i][1], "%d", rows[i].fold);
        const char **row = cells + i * COLUMNS;
        row[0] = rows[i].sample;
        row[1] = rows[i].change_level;
        row[2] = number[i][0];
        row[3] = rows[i].fold < 0 ? "test" : number[i][1];
    }
    enum status status = csv_table_write(path, columns, COLUMNS, count, cells, err);
    free(cells);
    free(number);
    return status;
}
