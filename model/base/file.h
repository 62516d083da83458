// Files and paths: whole-file reads, replacement by rename, folders. Paths are UTF-8 as given; results are malloc'ed
// and the caller's.
#ifndef GRIDFOLD_MODEL_BASE_FILE_H
#define GRIDFOLD_MODEL_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "model/base/status.h"

enum { PATH_SIZE = 1024 };

bool file_exists(const char *path);
bool file_is_directory(const char *path);

// Reads all of `path`; *text ends with a NUL that *bytes (may be NULL) does not count.
NODISCARD enum status file_read(const char *path, char **text, size_t *bytes, struct error *err);

// A file that takes its name only when it is whole: written as PATH.tmp-<host>-<pid>, fsync'ed, renamed over PATH,
// folder fsync'ed. Use: file_replace_begin, file_replace_write, then commit, or abandon on failure. Both close the
// descriptor. A failed write or fsync leaves PATH as it was.
struct file_replace {
    int fd;
    bool direct;
    char path[PATH_SIZE], temporary[PATH_SIZE];
};
NODISCARD enum status file_replace_begin(struct file_replace *f, const char *path, struct error *err);
NODISCARD enum status file_replace_write(struct file_replace *f, const void *data, size_t bytes, struct error *err);
// From here on what is written goes past the page cache, where the file system can do that: for large files that are to
// be on disk soon and are not read again. Until file_replace_cached everything must be written in multiples of
// FILE_DIRECT_GRANULE bytes that are aligned to it.
enum { FILE_DIRECT_GRANULE = 1 << 16 }; // any page size, and any disk's or network file system's block
void file_replace_direct(struct file_replace *f);
void file_replace_cached(struct file_replace *f);
// Over what has been written already, through the page cache.
NODISCARD enum status file_replace_patch(struct file_replace *f, size_t offset, const void *data, size_t bytes,
                                         struct error *err);
// All that has been written is on disk, still under the temporary name. What is to be looked at before the file takes
// its name is best looked at now; commit does without.
NODISCARD enum status file_replace_sync(struct file_replace *f, struct error *err);
NODISCARD enum status file_replace_commit(struct file_replace *f, struct error *err);
void file_replace_abandon(struct file_replace *f);

// The three steps at once.
NODISCARD enum status file_write(const char *path, const void *data, size_t bytes, struct error *err);

// Removes what writers that were killed have left of file_replace in a folder. The folder's files must be the caller's.
void file_remove_temporaries(const char *folder);

// mkdir -p.
NODISCARD enum status file_make_directories(const char *path, struct error *err);

// Joins into a caller's buffer of PATH_SIZE; STATUS_INVALID when it does not fit.
NODISCARD enum status path_join(char out[PATH_SIZE], const char *folder, const char *name, struct error *err);

#endif
