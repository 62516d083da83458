#include <float.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>

#include "results/csv_file.h"
#include "tests/results/assertions.h"
#include "tests/results/temporary_folder.h"

static const char *const columns[] = {"name", "value", "note"};
static struct error err;

static void every_field_comes_back(void **state) {
    (void)state;
    const char *path = temporary_path("a.csv");
    const char *const rows[][3] = {
        {"plain", "1", "x"},    {"a,b", "\"quoted\"", "two\nlines"}, {"", "", ""}, {" leading", "tab\t", ""},
        {"\r\n", "\"", "\"\""}, {"caf\xc3\xa9", "-0", ",,"},
    };
    csv_log *log;
    assert_int_equal(csv_log_open(path, columns, 3, &log, &err), STATUS_OK);
    assert_int_equal(csv_log_columns(log), 3);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(csv_log_append(log, rows[i], &err), STATUS_OK);
    assert_int_equal(csv_log_sync(log, &err), STATUS_OK);
    csv_log_close(log);

    struct csv_table table;
    assert_int_equal(csv_table_read(path, &table, &err), STATUS_OK);
    assert_int_equal(table.columns, 3);
    assert_int_equal(table.rows, 6);
    for (size_t row = 0; row < 6; row++)
        for (int column = 0; column < 3; column++)
            assert_string_equal(csv_table_cell(&table, row, column), rows[row][column]);
    assert_int_equal(csv_table_column(&table, "note"), 2);
    assert_int_equal(csv_table_column(&table, "absent"), -1);

    // The table written whole has the same bytes as the log.
    const char *copy = temporary_path("copy.csv");
    assert_int_equal(csv_table_write(copy, columns, 3, 6, &rows[0][0], &err), STATUS_OK);
    char *text;
    assert_int_equal(file_read(path, &text, NULL, &err), STATUS_OK);
    assert_file_is(copy, text);
    free(text);
    csv_table_free(&table);
}

static void one_empty_column_is_a_row(void **state) {
    (void)state;
    const char *path = temporary_path("a.csv");
    const char *const cells[] = {"", "x", ""};
    assert_int_equal(csv_table_write(path, columns, 1, 3, cells, &err), STATUS_OK);
    struct csv_table table;
    assert_int_equal(csv_table_read(path, &table, &err), STATUS_OK);
    assert_int_equal(table.rows, 3);
    csv_table_free(&table);
}

// A log that was cut at any byte reads as its whole rows, and opens again with the next row after them.
static void torn_last_line_is_dropped(void **state) {
    (void)state;
    static const char whole[] = "name,value,note\na,1,\"two\nlines, \"\"quoted\"\"\"\nb,2,end\n";
    static const size_t row_ends[] = {16, 44, 52};
    assert_int_equal(sizeof whole - 1, row_ends[2]);
    const char *path = temporary_path("torn.csv"), *const row[] = {"c", "3", "x"};
    for (size_t cut = 0; cut <= row_ends[2]; cut++) {
        char text[sizeof whole] = "";
        memcpy(text, whole, cut);
        temporary_write(path, text);
        size_t rows = cut < row_ends[1] ? 0 : cut < row_ends[2] ? 1 : 2;
        struct csv_table table;
        if (cut >= row_ends[0]) {
            assert_int_equal(csv_table_read(path, &table, &err), STATUS_OK);
            assert_int_equal(table.rows, rows);
            csv_table_free(&table);
        } else {
            assert_int_equal(csv_table_read(path, &table, &err), STATUS_FORMAT);
        }
        csv_log *log;
        assert_int_equal(csv_log_open(path, columns, 3, &log, &err), STATUS_OK);
        assert_int_equal(csv_log_append(log, row, &err), STATUS_OK);
        csv_log_close(log);
        char expected[sizeof whole + 16];
        snprintf(expected, sizeof expected, "%.*sc,3,x\n", (int)row_ends[rows], whole);
        assert_file_is(path, expected);
    }
}

// A machine that lost power may leave anything after the last whole line.
static void garbage_after_the_last_line_is_dropped(void **state) {
    (void)state;
    const char *path = temporary_path("torn.csv");
    temporary_write(path, "a,b\n1,2\n3,\"x\"garbage");
    struct csv_table table;
    assert_int_equal(csv_table_read(path, &table, &err), STATUS_OK);
    assert_int_equal(table.rows, 1);
    csv_table_free(&table);
    assert_int_equal(csv_table_read_foreign(path, &table, &err), STATUS_FORMAT);
}

// A full disk, played by a limit on the file's size: half a row must not stand before the next one, and there
// is no next one: a trial's row must not follow where one of its epochs is missing.
static void failed_row_leaves_nothing(void **state) {
    (void)state;
    const char *path = temporary_path("full.csv"), *const row[] = {"abc", "123", "a long note"},
               *const short_row[] = {"", "", "x"};
    csv_log *log;
    assert_int_equal(csv_log_open(path, columns, 3, &log, &err), STATUS_OK);
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 16 + 8;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(csv_log_append(log, row, &err), STATUS_OK);
    enum status status = csv_log_flush(log, &err);
    struct error later = {0};
    enum status status_of_short = csv_log_append(log, short_row, &later), of_sync = csv_log_sync(log, &later);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    csv_log_close(log);
    assert_int_equal(status, STATUS_IO);
    assert_int_equal(status_of_short, STATUS_IO);
    assert_int_equal(of_sync, STATUS_IO);
    assert_string_equal(later.message, err.message);
    assert_file_is(path, "name,value,note\n");
    assert_int_equal(csv_log_open(path, columns, 3, &log, &err), STATUS_OK);
    assert_int_equal(csv_log_append(log, short_row, &err), STATUS_OK);
    csv_log_give_up(log, &later);
    assert_int_equal(csv_log_append(log, short_row, &err), STATUS_IO);
    csv_log_close(log);
    assert_file_is(path, "name,value,note\n"); // the row that was waiting is not written either
}

// realloc as the CSV files see it (the linker's --wrap).
static bool no_memory;
void *__real_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_realloc(void *memory, size_t size) {
    return no_memory ? NULL : __real_realloc(memory, size);
}

// A row for which there was no memory is not passed over: no later one may follow.
static void row_without_memory_is_the_last(void **state) {
    (void)state;
    const char *path = temporary_path("memory.csv"), *const row[] = {"a", "1", "x"};
    csv_log *log;
    assert_int_equal(csv_log_open(path, columns, 3, &log, &err), STATUS_OK);
    assert_int_equal(csv_log_append(log, row, &err), STATUS_OK);
    assert_int_equal(csv_log_sync(log, &err), STATUS_OK);
    char much[4096];
    memset(much, 'm', sizeof much - 1);
    much[sizeof much - 1] = '\0';
    no_memory = true;
    enum status status = csv_log_append(log, (const char *const[]){"b", much, "x"}, &err);
    no_memory = false;
    assert_int_equal(status, STATUS_MEMORY);
    struct error later = {0};
    assert_int_equal(csv_log_append(log, row, &later), STATUS_MEMORY);
    assert_string_equal(later.message, err.message);
    assert_int_equal(csv_log_sync(log, &later), STATUS_MEMORY);
    csv_log_close(log);
    assert_file_is(path, "name,value,note\na,1,x\n");
}

static void foreign_file_needs_no_last_newline(void **state) {
    (void)state;
    const char *path = temporary_path("foreign.csv");
    temporary_write(path, "\xEF\xBB\xBF"
                          "fold, best_iou\r\n\r\n0, 0.5\r\n1,0.25");
    struct csv_table table;
    assert_int_equal(csv_table_read(path, &table, &err), STATUS_OK);
    assert_int_equal(table.rows, 1);
    csv_table_free(&table);
    assert_int_equal(csv_table_read_foreign(path, &table, &err), STATUS_OK);
    assert_int_equal(table.rows, 2);
    assert_int_equal(csv_table_column(&table, "fold"), 0);
    assert_int_equal(csv_table_column(&table, "best_iou"), 1);
    double value;
    assert_int_equal(csv_table_number(&table, 1, 1, &value, &err), STATUS_OK);
    assert_true(value == 0.25);
    csv_table_free(&table);
}

static void header_of_another_sweep_is_refused(void **state) {
    (void)state;
    const char *path = temporary_path("a.csv");
    csv_log *log;
    temporary_write(path, "name,wert,note\na,1,x\n");
    assert_int_equal(csv_log_open(path, columns, 3, &log, &err), STATUS_MISMATCH);
    assert_has(err.message, "column 2 is 'wert', not 'value'");
    temporary_write(path, "name,value\n");
    assert_int_equal(csv_log_open(path, columns, 3, &log, &err), STATUS_MISMATCH);
    assert_has(err.message, "'note' is missing");
    temporary_write(path, "name,value,note,extra\n");
    assert_int_equal(csv_log_open(path, columns, 3, &log, &err), STATUS_MISMATCH);
    assert_has(err.message, "'extra' does not belong");
    assert_file_is(path, "name,value,note,extra\n");
}

static void malformed_rows_are_named(void **state) {
    (void)state;
    const char *path = temporary_path("bad.csv");
    struct csv_table table;
    temporary_write(path, "a,b\n1,2\n\"x\ny\",2\n1,2,3\n");
    assert_int_equal(csv_table_read(path, &table, &err), STATUS_FORMAT);
    assert_has(err.message, "bad.csv: line 5: 3 fields where the header has 2");
    temporary_write(path, "a,b\n1,\"2\"x\n3,4\n");
    assert_int_equal(csv_table_read(path, &table, &err), STATUS_FORMAT);
    assert_has(err.message, "line 2");
    temporary_write(path, "");
    assert_int_equal(csv_table_read(path, &table, &err), STATUS_FORMAT);
    assert_int_equal(csv_table_read(temporary_path("absent.csv"), &table, &err), STATUS_NOT_FOUND);

    temporary_write(path, "a,b\n1,\n1,2x\n");
    assert_int_equal(csv_table_read(path, &table, &err), STATUS_OK);
    double value = 0;
    assert_int_equal(csv_table_number(&table, 0, 1, &value, &err), STATUS_OK);
    assert_true(isnan(value));
    assert_int_equal(csv_table_number(&table, 1, 1, &value, &err), STATUS_FORMAT);
    assert_has(err.message, "line 3: b is '2x', not a number");
    csv_table_free(&table);
}

static void numbers_are_short_and_exact(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.1, "0.1"},     {0, "0"},       {1e-08, "1e-08"}, {100, "100"},
                 {NAN, ""},        {-2.5, "-2.5"}, {0.001, "0.001"}, {1.0 / 3, "0.3333333333333333"},
                 {INFINITY, "inf"}};
    char text[32];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        csv_format_number(cases[i].value, text);
        assert_string_equal(text, cases[i].text);
    }
    static const double exact[] = {0.1 + 0.2, DBL_MAX, DBL_MIN, 5e-324, 1.0 + DBL_EPSILON, 3.0e-5f};
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++) {
        csv_format_number(exact[i], text);
        assert_true(strtod(text, NULL) == exact[i]);
    }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, temporary_folder_setup, temporary_folder_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(every_field_comes_back),
        TEST(one_empty_column_is_a_row),
        TEST(torn_last_line_is_dropped),
        TEST(garbage_after_the_last_line_is_dropped),
        TEST(failed_row_leaves_nothing),
        TEST(row_without_memory_is_the_last),
        TEST(foreign_file_needs_no_last_newline),
        TEST(header_of_another_sweep_is_refused),
        TEST(malformed_rows_are_named),
        cmocka_unit_test(numbers_are_short_and_exact),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
