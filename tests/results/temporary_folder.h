// A folder of its own for a test, removed with all it holds.
#ifndef GRIDFOLD_TESTS_RESULTS_TEMPORARY_FOLDER_H
#define GRIDFOLD_TESTS_RESULTS_TEMPORARY_FOLDER_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char temporary_folder[64];

static int temporary_folder_setup(void **state) {
    (void)state;
    strcpy(temporary_folder, "/tmp/gridfold-results-XXXXXX");
    return mkdtemp(temporary_folder) ? 0 : -1;
}

static int temporary_folder_remove_entry(const char *path, const struct stat *s, int type, struct FTW *f) {
    (void)s, (void)type, (void)f;
    return remove(path);
}

static int temporary_folder_teardown(void **state) {
    (void)state;
    return nftw(temporary_folder, temporary_folder_remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

// The path of a file in the folder; good until 64 further calls.
static inline const char *temporary_path(const char *name) {
    static char paths[64][256];
    static int next;
    char *path = paths[next++ % 64];
    snprintf(path, sizeof paths[0], "%s/%s", temporary_folder, name);
    return path;
}

static inline void temporary_write(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    fputs(text, f);
    fclose(f);
}

#endif
