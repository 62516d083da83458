#include "orchestrator/run_manifest.h"

#include <gnu/libc-version.h>
#include <ini.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>

#ifndef GRIDFOLD_VERSION
#define GRIDFOLD_VERSION "unknown"
#endif

void manifest_time(char out[32]) {
    time_t t = time(NULL);
    struct tm utc;
    gmtime_r(&t, &utc);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &utc);
}

// ---- sweep.ini ----

// Settings of [sweep] that results do not depend on.
static const char *const free_settings[] = {
    "checkpoint-seconds", "max-attempts", "hang-seconds", "worker-timeout-seconds", "master-timeout-seconds",
    "time-limit",         "output",       "name",         "retry-failed",           "trainers-per-gpu",
    "device-memory-gib",
    "gpus-per-trial", // but for rounding, and for sync-batchnorm = off
};

// The next line that says something: neither empty nor a comment. `line` has LINE_SIZE; false at the end.
enum { LINE_SIZE = 1024 };
static bool next_line(const char **text, char section[LINE_SIZE], char *line) {
    while (**text) {
        size_t length = strcspn(*text, "\n");
        const char *begin = *text;
        *text += length + ((*text)[length] == '\n');
        while (length > 0 && strchr(" \t\r", begin[length - 1]))
            length--;
        while (length > 0 && strchr(" \t", *begin)) {
            begin++;
            length--;
        }
        if (length == 0 || strchr(";#", *begin))
            continue;
        snprintf(line, LINE_SIZE, "%.*s", (int)length, begin);
        if (*line == '[')
            memcpy(section, line, LINE_SIZE);
        return true;
    }
    return false;
}

static bool line_sets(const char *line, const char *key) {
    size_t length = strlen(key);
    return strncmp(line, key, length) == 0 && strchr(" \t=", line[length]) && strchr(line, '=');
}

// `method`: under asha the run cap decides which configurations are compared, else only how many are run.
static bool is_free(enum search_method method, const char *section, const char *line) {
    if (strcmp(section, "[sweep]") != 0)
        return false;
    if (method != METHOD_ASHA && line_sets(line, "run-cap"))
        return true;
    for (size_t i = 0; i < sizeof free_settings / sizeof *free_settings; i++)
        if (line_sets(line, free_settings[i]))
            return true;
    // The number of threads changes results; but one that the host decides is kept from the first start on.
    return line_sets(line, "threads") && strtol(strchr(line, '=') + 1, NULL, 10) == 0;
}

static bool next_binding_line(enum search_method method, const char **text, char section[LINE_SIZE], char *line) {
    while (next_line(text, section, line))
        if (!is_free(method, section, line))
            return true;
    snprintf(line, LINE_SIZE, "(end)");
    return false;
}

static enum status compare_sweeps(const char *path, enum search_method method, const char *there, const char *here,
                                  struct error *err) {
    char there_section[LINE_SIZE] = "", here_section[LINE_SIZE] = "", there_line[LINE_SIZE], here_line[LINE_SIZE];
    for (;;) {
        bool a = next_binding_line(method, &there, there_section, there_line);
        bool b = next_binding_line(method, &here, here_section, here_line);
        if (!a && !b)
            return STATUS_OK;
        if (a != b || strcmp(there_line, here_line) != 0)
            return error_set(err, STATUS_MISMATCH,
                             "output folder holds another sweep: %s has '%.200s' where this one has '%.200s'; "
                             "choose another output folder, or remove this one",
                             path, there_line, here_line);
    }
}

enum status manifest_check_sweep(const char *folder, const struct sweep *sweep, bool *there, struct error *err) {
    char path[PATH_SIZE];
    TRY(path_join(path, folder, "sweep.ini", err));
    *there = file_exists(path);
    if (*there) {
        char *text;
        TRY(file_read(path, &text, NULL, err));
        enum status status = compare_sweeps(path, sweep->method, text, sweep->text, err);
        bool same = strcmp(text, sweep->text) == 0;
        free(text);
        if (status != STATUS_OK || same)
            return status;
    }
    return file_write(path, sweep->text, strlen(sweep->text), err);
}

// ---- manifest.ini ----

static int manifest_value(void *user, const char *section, const char *key, const char *value) {
    struct manifest *m = user;
    if (strncmp(section, "start ", 6) == 0 && strcmp(key, "time") == 0)
        m->starts++;
    if (strcmp(section, "run") == 0 && strcmp(key, "threads") == 0)
        m->threads = (int)strtol(value, NULL, 10);
    return 1;
}

enum status manifest_read(const char *folder, struct manifest *m, struct error *err) {
    *m = (struct manifest){0};
    char path[PATH_SIZE];
    TRY(path_join(path, folder, "manifest.ini", err));
    if (!file_exists(path))
        return STATUS_OK;
    int line = ini_parse(path, manifest_value, m);
    if (line != 0)
        return error_set(err, STATUS_FORMAT, "%s: line %d is no INI line; remove the file to go on without it", path,
                         line);
    return STATUS_OK;
}

struct text {
    char *data;
    size_t size;
    FILE *stream;
};

static void write_run_section(FILE *f, const struct sweep *sweep, const struct run_folder_start *start) {
    struct utsname os = {0};
    uname(&os);
    fprintf(f, "[run]\nname = %s\nversion = %s\nseed = %" PRIu64 "\nbackend = %s\nthreads = %d\n", sweep->name,
            GRIDFOLD_VERSION, sweep->seed, sweep->backend, start->threads);
    fprintf(f, "\n[versions]\ngridfold = %s\ncompiler = %s\nlibc = %s\nmpi = %s\nsystem = %s %s %s\n", GRIDFOLD_VERSION,
            __VERSION__, gnu_get_libc_version(), start->mpi, os.sysname, os.release, os.machine);
}

static void write_start_section(FILE *f, int number, const struct run_folder_start *start) {
    char time_text[32];
    manifest_time(time_text);
    fprintf(f, "\n[start %d]\ntime = %s\nranks = %d\nthreads = %d\n", number, time_text, start->ranks, start->threads);
    for (int i = 0; i < start->host_count; i++)
        fprintf(f, "worker-%d = %s\n", i, start->hosts[i]);
}

enum status manifest_add_start(const char *folder, const struct sweep *sweep, const struct manifest *m,
                               const struct run_folder_start *start, struct error *err) {
    char path[PATH_SIZE], *old = NULL;
    TRY(path_join(path, folder, "manifest.ini", err));
    if (m->starts > 0)
        TRY(file_read(path, &old, NULL, err));
    struct text text = {0};
    text.stream = open_memstream(&text.data, &text.size);
    if (text.stream) {
        if (old)
            fputs(old, text.stream);
        else
            write_run_section(text.stream, sweep, start);
        write_start_section(text.stream, m->starts + 1, start);
    }
    free(old);
    if (!text.stream || fclose(text.stream) != 0) {
        free(text.data);
        return error_memory(err, path);
    }
    enum status status = file_write(path, text.data, text.size, err);
    free(text.data);
    return status;
}
