// `gridfold trials RUN_DIR`: every row of trials.csv and the trials under way, filtered, sorted, for people and
// programs.
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "orchestrator/verbs.h"
#include "results/run_data.h"
#include "results/table.h"
#include "results/trial_query.h"

static const struct option_spec specs[] = {
    {"sort", "KEY", NULL, "sort by a column of trials.csv, -KEY: the largest first; empty cells come last"},
    {"filter", "EXPR", NULL, "only rows for which this holds: \"status = done and best_iou > 0.5\" (= != < <= > >= ~)"},
    {"limit", "N", NULL, "only the first N rows"},
    {"csv", NULL, NULL, "CSV with the columns of trials.csv"},
    {"json", NULL, NULL, "a JSON array of objects; empty cells are null"},
};
const struct verb_options verb_trials_options = {specs, sizeof specs / sizeof *specs};

enum { NUMBER_SIZE = 32, NUMBERS = 3 };

// trials.csv as it stands, and a row for every trial that is under way.
struct listing {
    struct csv_table table;
    struct run_data run;
    struct unfinished_trial *unfinished;
    size_t unfinished_count, rows;
    const char **cells;                    // rows x table.columns
    char (*numbers)[NUMBERS][NUMBER_SIZE]; // of the unfinished
};

static void listing_free(struct listing *l) {
    csv_table_free(&l->table);
    run_data_free(&l->run);
    free(l->unfinished);
    free(l->cells);
    free(l->numbers);
}

enum { PLACE = 4 };

// What a row is told apart by.
struct places {
    const struct csv_table *table;
    int column[PLACE];
};

static int compare_places(const struct places *p, size_t x, size_t y) {
    int order = 0;
    for (int i = 0; i < PLACE && !order; i++)
        order = strcmp(csv_table_cell(p->table, x, p->column[i]), csv_table_cell(p->table, y, p->column[i]));
    return order;
}

static int by_place_and_row(const void *a, const void *b, void *places) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    int order = compare_places(places, x, y);
    return order ? order : (x > y) - (x < y);
}

// A trial that was stopped and resumed stands twice: the last row counts. replaced[row].
static enum status find_replaced(const struct csv_table *t, bool *replaced, struct error *err) {
    struct places places = {t,
                            {csv_table_column(t, "trial"), csv_table_column(t, "grid"), csv_table_column(t, "config"),
                             csv_table_column(t, "fold")}};
    size_t *order = malloc((t->rows + 1) * sizeof *order);
    if (!order)
        return error_memory(err, t->path);
    for (size_t row = 0; row < t->rows; row++)
        order[row] = row;
    qsort_r(order, t->rows, sizeof *order, by_place_and_row, &places);
    for (size_t i = 0; i + 1 < t->rows; i++)
        replaced[order[i]] = compare_places(&places, order[i], order[i + 1]) == 0;
    free(order);
    return STATUS_OK;
}

static enum status add_finished(struct listing *l, struct error *err) {
    bool *replaced = calloc(l->table.rows + 1, sizeof *replaced);
    enum status status = replaced ? find_replaced(&l->table, replaced, err) : error_memory(err, l->table.path);
    for (size_t row = 0; row < l->table.rows && status == STATUS_OK; row++) {
        if (replaced[row])
            continue;
        for (size_t column = 0; column < l->table.columns; column++)
            l->cells[l->rows * l->table.columns + column] = csv_table_cell(&l->table, row, (int)column);
        l->rows++;
    }
    free(replaced);
    return status;
}

static void set(struct listing *l, const char *column, const char *text) {
    int c = csv_table_column(&l->table, column);
    if (c >= 0)
        l->cells[l->rows * l->table.columns + (size_t)c] = text;
}

static void add_unfinished(struct listing *l) {
    for (size_t i = 0; i < l->unfinished_count; i++, l->rows++) {
        const struct unfinished_trial *u = &l->unfinished[i];
        char(*number)[NUMBER_SIZE] = l->numbers[i];
        for (size_t column = 0; column < l->table.columns; column++)
            l->cells[l->rows * l->table.columns + column] = "";
        snprintf(number[0], NUMBER_SIZE, "%d", u->fold);
        snprintf(number[1], NUMBER_SIZE, "%d", u->epochs);
        csv_format_number(u->best_iou, number[2]);
        set(l, "trial", u->trial);
        set(l, "config", u->config);
        set(l, "fold", number[0]);
        set(l, "status", "unfinished");
        set(l, "epochs_run", number[1]);
        set(l, "best_iou", number[2]);
    }
}

static enum status listing_read(const char *folder, struct listing *l, struct error *err) {
    char path[PATH_SIZE];
    size_t not_started;
    TRY(run_data_read(folder, &l->run, err)); // refuses what is no trials.csv
    run_data_warn(&l->run, stderr);
    TRY(path_join(path, folder, "trials.csv", err));
    if (!file_exists(path))
        return error_set(err, STATUS_NOT_FOUND, "there is no %s: the run has not begun", path);
    TRY(csv_table_read(path, &l->table, err));
    TRY(run_data_unfinished(&l->run, &l->unfinished, &l->unfinished_count, &not_started, err));
    l->cells = malloc(((l->table.rows + l->unfinished_count) * l->table.columns + 1) * sizeof *l->cells);
    l->numbers = malloc((l->unfinished_count + 1) * sizeof *l->numbers);
    if (!l->cells || !l->numbers)
        return error_memory(err, path);
    TRY(add_finished(l, err));
    add_unfinished(l);
    return STATUS_OK;
}

// ---- output ----

static const char *cell_of(const struct trial_list *list, size_t index, size_t column) {
    return list->cells[list->order[index] * list->columns + column];
}

static bool is_share(const char *column) {
    static const char *const shares[] = {"best_iou", "best_f1", "final_iou", "train_val_gap"};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
        if (strcmp(shares[i], column) == 0)
            return true;
    return false;
}

static bool is_text(const char *column) {
    static const char *const texts[] = {"trial", "grid", "config", "status", "error"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcmp(texts[i], column) == 0)
            return true;
    return false;
}

// A column that says nothing in this listing is left out for readers. Returns how many are shown.
static size_t find_shown(const struct trial_list *list, size_t *shown) {
    size_t count = 0;
    for (size_t c = 0; c < list->columns; c++) {
        bool says = false;
        for (size_t i = 0; i < list->count && !says; i++)
            says = *cell_of(list, i, c) != 0;
        if (says)
            shown[count++] = c;
    }
    return count;
}

static void fill_table(table *t, const struct trial_list *list, const size_t *shown, size_t columns) {
    for (size_t c = 0; c < columns; c++) {
        const char *name = list->names[shown[c]];
        table_column(t, is_text(name) ? TABLE_LEFT : TABLE_RIGHT, name, name);
    }
    for (size_t i = 0; i < list->count; i++) {
        table_row(t, TABLE_PLAIN);
        for (size_t c = 0; c < columns; c++) {
            const char *cell = cell_of(list, i, shown[c]);
            if (is_share(list->names[shown[c]]) && *cell)
                table_cell(t, "%.4f", strtod(cell, NULL));
            else
                table_cell(t, "%s", cell);
        }
    }
}

static enum status print_table(const struct trial_list *list, struct error *err) {
    document *doc = document_create();
    table *t = doc ? document_table(doc, "trials", "%s", "") : NULL;
    size_t *shown = malloc((list->columns + 1) * sizeof *shown);
    enum status status = t && shown ? STATUS_OK : error_memory(err, "a table");
    if (status == STATUS_OK) {
        fill_table(t, list, shown, find_shown(list, shown));
        // A line of a file or a pipe may be of any length.
        status = document_write_text(doc, stdout, isatty(STDOUT_FILENO) ? TABLE_TERMINAL_WIDTH : 10000, err);
    }
    free(shown);
    document_destroy(doc);
    return status;
}

static enum status print_csv(const struct trial_list *list, struct error *err) {
    TRY(csv_row_print(stdout, list->names, list->columns, err));
    for (size_t i = 0; i < list->count; i++)
        TRY(csv_row_print(stdout, &list->cells[list->order[i] * list->columns], list->columns, err));
    return STATUS_OK;
}

static json_t *json_of_cell(const char *column, const char *cell) {
    char *end;
    if (!*cell)
        return json_null();
    if (is_text(column))
        return json_string(cell);
    long long whole = strtoll(cell, &end, 10);
    if (!*end)
        return json_integer(whole);
    double value = strtod(cell, &end);
    return !*end && isfinite(value) ? json_real(value) : json_string(cell);
}

static enum status print_json(const struct trial_list *list, struct error *err) {
    json_t *rows = json_array();
    for (size_t i = 0; i < list->count; i++) {
        json_t *row = json_object();
        for (size_t c = 0; c < list->columns; c++)
            json_object_set_new(row, list->names[c], json_of_cell(list->names[c], cell_of(list, i, c)));
        json_array_append_new(rows, row);
    }
    int failed = !rows || json_dumpf(rows, stdout, JSON_INDENT(2)) != 0;
    json_decref(rows);
    putchar('\n');
    return failed ? error_set(err, STATUS_INVALID, "trials cannot be written as JSON (a name is not UTF-8?)")
                  : STATUS_OK;
}

static enum status query(const struct options *o, struct trial_list *list, struct error *err) {
    long long limit = (long long)list->rows;
    TRY(options_integer(o, "limit", 0, INT64_MAX, &limit, err));
    if (options_text(o, "filter"))
        TRY(trial_list_filter(list, options_text(o, "filter"), err));
    if (options_text(o, "sort"))
        TRY(trial_list_sort(list, options_text(o, "sort"), err));
    list->count = list->count < (size_t)limit ? list->count : (size_t)limit;
    if (options_given(o, "csv"))
        return print_csv(list, err);
    return options_given(o, "json") ? print_json(list, err) : print_table(list, err);
}

enum status verb_trials(int argc, char **argv, int *exit_code, struct error *err) {
    (void)exit_code;
    struct options o;
    struct listing l = {0};
    struct trial_list list = {0};
    TRY(options_parse(argc, argv, specs, sizeof specs / sizeof *specs, &o, err));
    TRY(options_expect(&o, 1, "RUN_DIR", err));
    if (options_given(&o, "csv") && options_given(&o, "json"))
        return error_set(err, STATUS_INVALID, "--csv and --json exclude each other");
    enum status status = listing_read(o.positional[0], &l, err);
    if (status == STATUS_OK)
        status = trial_list_create(l.table.columns, (const char *const *)l.table.cells, l.rows, l.cells, &list, err);
    if (status == STATUS_OK)
        status = query(&o, &list, err);
    trial_list_free(&list);
    listing_free(&l);
    return status;
}
