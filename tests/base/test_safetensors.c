// safetensors: what is written reads back, the bytes are those of the format, and no malformed file gets past the
// reader.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/base/file.h"
#include "model/base/safetensors.h"

static char folder[] = "/tmp/gridfold-safetensors-XXXXXX";
static char path[PATH_SIZE];

static int set_up(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/file.safetensors", folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder); // fails when anything half-written was left
}

// A file from a header and `data_bytes` zero bytes, the length prefix as told or true (-1).
static void write_raw(const char *header, int64_t length, size_t data_bytes) {
    uint64_t prefix = length >= 0 ? (uint64_t)length : strlen(header);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(&prefix, 8, 1, f), 1);
    assert_int_equal(fwrite(header, 1, strlen(header), f), strlen(header));
    for (size_t i = 0; i < data_bytes; i++)
        fputc((int)(i & 0x7f), f);
    assert_int_equal(fclose(f), 0);
}

static void refuse(const char *header, int64_t length, size_t data_bytes, enum status want, const char *needle) {
    safetensors *file = NULL;
    struct error err = {0};
    write_raw(header, length, data_bytes);
    enum status status = safetensors_open(path, &file, &err);
    if (status != want || !strstr(err.message, needle) || !strstr(err.message, path))
        fail_msg("%s: got %s '%s', wanted '%s'", header, status_text(status), err.message, needle);
    assert_null(file);
    assert_null(strchr(err.message, '\n'));
}

#define TENSOR(dtype, shape, begin, end)                                                                               \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static void malformed_files_are_refused(void **state) {
    (void)state;
    refuse("", 0, 0, STATUS_FORMAT, "JSON");
    refuse("{}", 1 << 30, 0, STATUS_FORMAT, "absurd");
    refuse("{}", INT64_MAX, 0, STATUS_FORMAT, "absurd");
    refuse("{}", 1000, 0, STATUS_FORMAT, "truncated");
    refuse("not json", -1, 0, STATUS_FORMAT, "JSON");
    refuse("[1]", -1, 0, STATUS_FORMAT, "JSON object");
    refuse("{\"a\":" TENSOR("F32", "[2]", 0, 8) "}", -1, 7, STATUS_FORMAT, "truncated");
    refuse("{\"a\":" TENSOR("F32", "[2]", 0, 8) "}", -1, 9, STATUS_FORMAT, "belong to no tensor");
    refuse("{\"a\":" TENSOR("F32", "[2]", 4, 12) "}", -1, 12, STATUS_FORMAT, "belong to no tensor");
    refuse("{\"a\":" TENSOR("F32", "[3]", 0, 8) "}", -1, 8, STATUS_FORMAT, "needs 12");
    refuse("{\"a\":" TENSOR("F32", "[2]", 8, 0) "}", -1, 8, STATUS_FORMAT, "no range");
    refuse("{\"a\":" TENSOR("F32", "[2]", -8, 0) "}", -1, 8, STATUS_FORMAT, "no range");
    refuse("{\"a\":" TENSOR("F32", "[-2]", 0, 8) "}", -1, 8, STATUS_FORMAT, "not a size");
    refuse("{\"a\":" TENSOR("F32", "[2.0]", 0, 8) "}", -1, 8, STATUS_FORMAT, "not a size");
    refuse("{\"a\":" TENSOR("F32", "[4611686018427387904,4]", 0, 0) "}", -1, 0, STATUS_FORMAT, "overflow");
    refuse("{\"a\":" TENSOR("F32", "[1,1,1,1,1,1,1,1,2]", 0, 8) "}", -1, 8, STATUS_FORMAT, "9 dimensions");
    refuse("{\"a\":" TENSOR("F4", "[2]", 0, 8) "}", -1, 8, STATUS_UNSUPPORTED, "F4");
    refuse("{\"a\":" TENSOR("F32", "[2]", 0, 8) ",\"a\":" TENSOR("F32", "[2]", 8, 16) "}", -1, 16, STATUS_FORMAT, "a");
    refuse("{\"a\":" TENSOR("F32", "[2]", 0, 8) ",\"b\":" TENSOR("F32", "[2]", 4, 12) "}", -1, 12, STATUS_FORMAT,
           "overlap");
    refuse("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", -1, 8, STATUS_FORMAT, "data_offsets");
    refuse("{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", -1, 8, STATUS_FORMAT, "no shape");
    refuse("{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", -1, 8, STATUS_FORMAT, "no dtype");
    refuse("{\"a\":7}", -1, 0, STATUS_FORMAT, "not a JSON object");
    refuse("{\"__metadata__\":7}", -1, 0, STATUS_FORMAT, "__metadata__");
    refuse("{\"__metadata__\":{\"k\":7}}", -1, 0, STATUS_FORMAT, "'k' is not text");
}

static void absent_and_short_files_are_refused(void **state) {
    (void)state;
    safetensors *file = NULL;
    struct error err = {0};
    assert_int_equal(safetensors_open("/nowhere/x.safetensors", &file, &err), STATUS_NOT_FOUND);
    assert_int_equal(safetensors_open(folder, &file, &err), STATUS_IO);
    assert_int_equal(file_write(path, "1234567", 7, &err), STATUS_OK);
    assert_int_equal(safetensors_open(path, &file, &err), STATUS_FORMAT);
    assert_int_equal(file_write(path, "", 0, &err), STATUS_OK);
    assert_int_equal(safetensors_open(path, &file, &err), STATUS_FORMAT);
    assert_null(file);
}

static const float matrix[2][3] = {{1, 2, 3}, {4, 5, 6.5f}};
static const uint8_t bytes[3] = {7, 8, 9};
static const int64_t scalar = -42;

static void write_example(const char *to) {
    struct error err = {0};
    safetensors_writer *w = NULL;
    assert_int_equal(safetensors_writer_create(&w, &err), STATUS_OK);
    assert_int_equal(safetensors_add_metadata(w, "zebra", "last \"quoted\"\nline", &err), STATUS_OK);
    assert_int_equal(safetensors_add_metadata(w, "ant", "first", &err), STATUS_OK);
    assert_int_equal(safetensors_add(w, "m", DTYPE_F32, 2, (int64_t[]){2, 3}, matrix, &err), STATUS_OK);
    assert_int_equal(safetensors_add(w, "empty", DTYPE_F64, 2, (int64_t[]){0, 5}, NULL, &err), STATUS_OK);
    assert_int_equal(safetensors_add(w, "b", DTYPE_U8, 1, (int64_t[]){3}, bytes, &err), STATUS_OK);
    assert_int_equal(safetensors_add(w, "a.scalar", DTYPE_I64, 0, NULL, &scalar, &err), STATUS_OK);
    assert_int_equal(safetensors_add(w, "b", DTYPE_U8, 1, (int64_t[]){3}, bytes, &err), STATUS_INVALID);
    assert_int_equal(safetensors_add(w, "\xff", DTYPE_U8, 1, (int64_t[]){3}, bytes, &err), STATUS_INVALID);
    assert_int_equal(safetensors_add(w, "n", DTYPE_U8, 1, (int64_t[]){-3}, bytes, &err), STATUS_INVALID);
    assert_int_equal(safetensors_add(w, "__metadata__", DTYPE_U8, 1, (int64_t[]){3}, bytes, &err), STATUS_INVALID);
    assert_int_equal(safetensors_add_metadata(w, "bad", "\xff", &err), STATUS_INVALID);
    assert_int_equal(safetensors_write(w, to, &err), STATUS_OK);
    safetensors_writer_destroy(w);
}

static void written_bytes_are_those_of_the_format(void **state) {
    (void)state;
    write_example(path);
    char *text;
    size_t size;
    struct error err = {0};
    assert_int_equal(file_read(path, &text, &size, &err), STATUS_OK);
    const char *want = "{\"__metadata__\":{\"ant\":\"first\",\"zebra\":\"last \\\"quoted\\\"\\nline\"},"
                       "\"m\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
                       "\"empty\":{\"dtype\":\"F64\",\"shape\":[0,5],\"data_offsets\":[24,24]},"
                       "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[24,27]},"
                       "\"a.scalar\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[27,35]}}";
    uint64_t length;
    memcpy(&length, text, 8);
    assert_int_equal(length, (strlen(want) + 7) / 8 * 8);
    assert_int_equal(size, 8 + length + 24 + 3 + 8);
    assert_memory_equal(text + 8, want, strlen(want));
    for (size_t i = strlen(want); i < length; i++)
        assert_int_equal(text[8 + i], ' ');
    assert_memory_equal(text + 8 + length, matrix, sizeof matrix);
    free(text);
}

static void round_trip(void **state) {
    (void)state;
    write_example(path);
    safetensors *file = NULL;
    struct error err = {0};
    assert_int_equal(safetensors_open(path, &file, &err), STATUS_OK);
    assert_int_equal(safetensors_count(file), 4);
    assert_string_equal(safetensors_at(file, 0)->name, "m");
    assert_string_equal(safetensors_at(file, 3)->name, "a.scalar");
    assert_null(safetensors_at(file, 4));
    assert_string_equal(safetensors_metadata(file, "zebra"), "last \"quoted\"\nline");
    assert_null(safetensors_metadata(file, "absent"));
    const struct safetensors_tensor *t = safetensors_find(file, "m");
    assert_non_null(t);
    assert_int_equal(t->count, 6);
    assert_memory_equal(t->data, matrix, sizeof matrix);
    t = safetensors_find(file, "a.scalar"); // follows three bytes: the reader aligns it
    assert_int_equal(t->rank, 0);
    assert_int_equal(t->count, 1);
    assert_int_equal((uintptr_t)t->data % 8, 0);
    assert_memory_equal(t->data, &scalar, 8);
    assert_int_equal(safetensors_find(file, "empty")->bytes, 0);
    assert_null(safetensors_find(file, "__metadata__"));
    safetensors_close(file);
}

static void expectations_name_both_sides(void **state) {
    (void)state;
    write_example(path);
    safetensors *file = NULL;
    struct error err = {0};
    const struct safetensors_tensor *t = NULL;
    assert_int_equal(safetensors_open(path, &file, &err), STATUS_OK);
    assert_int_equal(safetensors_expect(file, "m", DTYPE_F32, 2, (int64_t[]){2, 3}, &t, &err), STATUS_OK);
    assert_ptr_equal(t, safetensors_find(file, "m"));
    assert_int_equal(safetensors_expect(file, "m", DTYPE_F32, 2, (int64_t[]){3, 2}, &t, &err), STATUS_MISMATCH);
    assert_non_null(strstr(err.message, "'m' is F32 (2, 3), wanted F32 (3, 2)"));
    assert_int_equal(safetensors_expect(file, "m", DTYPE_F64, 2, (int64_t[]){2, 3}, &t, &err), STATUS_MISMATCH);
    assert_int_equal(safetensors_expect(file, "m", DTYPE_F32, 1, (int64_t[]){6}, &t, &err), STATUS_MISMATCH);
    assert_int_equal(safetensors_expect(file, "q", DTYPE_F32, 1, (int64_t[]){6}, &t, &err), STATUS_MISMATCH);
    assert_non_null(strstr(err.message, "'q' (F32 (6)) is missing"));
    safetensors_close(file);
}

static void fill_squares(void *context, size_t first, size_t count, void *buffer) {
    (void)context;
    float *out = buffer;
    size_t index = first / sizeof *out;
    for (size_t i = 0; i < count / sizeof *out; i++)
        out[i] = (float)(index + i) * (float)(index + i);
}

static void tensors_made_while_writing_read_back(void **state) {
    (void)state;
    struct error err = {0};
    safetensors_writer *w = NULL;
    int sizes[2] = {3, 700};
    const size_t pieces[2] = {100, 96}; // whole; the last of 30 with 4 floats
    assert_int_equal(safetensors_writer_create(&w, &err), STATUS_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(safetensors_add_filled(w, i ? "long" : "short", DTYPE_F32, 1, (int64_t[]){sizes[i]},
                                                (struct safetensors_source){fill_squares, NULL, pieces[i]}, &err),
                         STATUS_OK);
    assert_int_equal(safetensors_add(w, "m", DTYPE_F32, 2, (int64_t[]){2, 3}, matrix, &err), STATUS_OK);
    assert_int_equal(safetensors_write(w, path, &err), STATUS_OK);
    safetensors_writer_destroy(w);
    safetensors *file = NULL;
    assert_int_equal(safetensors_open(path, &file, &err), STATUS_OK);
    for (int i = 0; i < 2; i++) {
        const float *data = safetensors_find(file, i ? "long" : "short")->data;
        for (int k = 0; k < sizes[i]; k++)
            assert_true(data[k] == (float)(k * k));
    }
    assert_memory_equal(safetensors_find(file, "m")->data, matrix, sizeof matrix);
    safetensors_close(file);
}

static void write_checksummed(void) {
    struct error err = {0};
    safetensors_writer *w = NULL;
    int size = 700;
    assert_int_equal(safetensors_writer_create(&w, &err), STATUS_OK);
    assert_int_equal(safetensors_add_metadata(w, "note", "\"checksum\":\"xxh3-128:", &err), STATUS_OK); // none
    assert_int_equal(safetensors_add_checksum(w, &err), STATUS_OK);
    assert_int_equal(safetensors_add_metadata(w, "zebra", "last", &err), STATUS_OK);
    assert_int_equal(safetensors_add(w, "b", DTYPE_U8, 1, (int64_t[]){3}, bytes, &err), STATUS_OK);
    struct safetensors_source source = {fill_squares, NULL, 1000};
    assert_int_equal(safetensors_add_filled(w, "f", DTYPE_F32, 1, (int64_t[]){size}, source, &err), STATUS_OK);
    assert_int_equal(safetensors_write(w, path, &err), STATUS_OK);
    safetensors_writer_destroy(w);
}

static void count(void *context) {
    ++*(int *)context;
}

static enum status verify(bool *there);

// Larger than what is written at once, past the page cache where the file system can, with an odd end: the same file.
static void large_files_may_go_past_the_page_cache(void **state) {
    (void)state;
    enum { SQUARES = 1 << 20 };
    char *text[2];
    size_t size[2];
    struct error err = {0};
    for (int direct = 0; direct < 2; direct++) {
        safetensors_writer *w = NULL;
        struct file_replace f;
        int pauses = 0;
        struct safetensors_source source = {fill_squares, NULL, 1000000};
        bool there = false;
        assert_int_equal(safetensors_writer_create(&w, &err), STATUS_OK);
        assert_int_equal(safetensors_add_checksum(w, &err), STATUS_OK);
        assert_int_equal(safetensors_add(w, "b", DTYPE_U8, 1, (int64_t[]){3}, bytes, &err), STATUS_OK);
        assert_int_equal(safetensors_add_filled(w, "f", DTYPE_F32, 1, (int64_t[]){SQUARES}, source, &err), STATUS_OK);
        safetensors_set_pause(w, count, &pauses);
        assert_int_equal(file_replace_begin(&f, path, &err), STATUS_OK);
        if (direct)
            file_replace_direct(&f);
        assert_int_equal(safetensors_write_into(w, &f, &err), STATUS_OK);
        assert_false(f.direct);
        assert_int_equal(file_replace_commit(&f, &err), STATUS_OK);
        safetensors_writer_destroy(w);
        assert_int_equal(pauses, 8); // twice two megabytes, five pieces, the rest
        assert_int_equal(verify(&there), STATUS_OK);
        assert_true(there);
        assert_int_equal(file_read(path, &text[direct], &size[direct], &err), STATUS_OK);
    }
    assert_int_equal(size[0], size[1]);
    assert_memory_equal(text[0], text[1], size[0]);
    free(text[0]);
    free(text[1]);
}

// What a disk wants aligned is written through the page cache where it is not.
static void a_piece_that_is_not_aligned_is_written_too(void **state) {
    (void)state;
    struct error err = {0};
    struct file_replace f;
    char *text;
    size_t size;
    assert_int_equal(file_replace_begin(&f, path, &err), STATUS_OK);
    file_replace_direct(&f);
    assert_int_equal(file_replace_write(&f, "an odd piece", 12, &err), STATUS_OK);
    assert_int_equal(file_replace_patch(&f, 3, "O", 1, &err), STATUS_OK);
    assert_int_equal(file_replace_commit(&f, &err), STATUS_OK);
    assert_int_equal(file_read(path, &text, &size, &err), STATUS_OK);
    assert_string_equal(text, "an Odd piece");
    free(text);
}

static enum status verify(bool *there) {
    struct error err = {0};
    safetensors *file = NULL;
    enum status status = safetensors_open(path, &file, &err);
    if (status == STATUS_OK)
        status = safetensors_verify(file, there, &err);
    safetensors_close(file);
    return status;
}

// Every byte of the file counts, those of the checksum itself among them.
static void a_damaged_byte_is_found(void **state) {
    (void)state;
    bool there = false;
    struct error err = {0};
    write_checksummed();
    assert_int_equal(verify(&there), STATUS_OK);
    assert_true(there);
    char *text;
    size_t size;
    assert_int_equal(file_read(path, &text, &size, &err), STATUS_OK);
    for (size_t i = 0; i < size; i++) {
        text[i] = (char)(text[i] ^ 1);
        assert_int_equal(file_write(path, text, size, &err), STATUS_OK);
        text[i] = (char)(text[i] ^ 1);
        // A header in which the word "checksum" is another has none: that such a file is not trusted is the caller's.
        if (verify(&there) == STATUS_OK && there)
            fail_msg("byte %zu may be anything", i);
    }
    assert_int_equal(file_write(path, text, size, &err), STATUS_OK);
    assert_int_equal(verify(&there), STATUS_OK);
    free(text);
    write_example(path);
    assert_int_equal(verify(&there), STATUS_OK);
    assert_false(there);
}

static void unwritable_folders_are_refused(void **state) {
    (void)state;
    write_example(path);
    struct error err = {0};
    safetensors_writer *w = NULL;
    assert_int_equal(safetensors_writer_create(&w, &err), STATUS_OK);
    assert_int_equal(safetensors_write(w, "/nowhere/x.safetensors", &err), STATUS_IO);
    assert_int_equal(safetensors_write(w, path, &err), STATUS_OK); // an empty file is well-formed
    safetensors_writer_destroy(w);
    safetensors *file = NULL;
    assert_int_equal(safetensors_open(path, &file, &err), STATUS_OK);
    assert_int_equal(safetensors_count(file), 0);
    safetensors_close(file);
    safetensors_writer_destroy(NULL);
    safetensors_close(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_files_are_refused),
        cmocka_unit_test(absent_and_short_files_are_refused),
        cmocka_unit_test(written_bytes_are_those_of_the_format),
        cmocka_unit_test(round_trip),
        cmocka_unit_test(tensors_made_while_writing_read_back),
        cmocka_unit_test(expectations_name_both_sides),
        cmocka_unit_test(large_files_may_go_past_the_page_cache),
        cmocka_unit_test(a_piece_that_is_not_aligned_is_written_too),
        cmocka_unit_test(unwritable_folders_are_refused),
        cmocka_unit_test(a_damaged_byte_is_found),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
