#include "worker/trial_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

// Differs from that of every other claim, of this process too.
static void make_name(char *name, size_t size) {
    char host[65] = "";
    struct timespec t;
    gethostname(host, sizeof host - 1);
    clock_gettime(CLOCK_REALTIME, &t);
    snprintf(name, size, "process %ld on %s, since %lld.%09ld\n", (long)getpid(), host, (long long)t.tv_sec, t.tv_nsec);
}

// By rename, so that it is there whole or not at all; need not survive the machine.
static enum status write_owner(const struct trial_folder *folder, struct error *err) {
    struct file_replace f;
    TRY(file_replace_begin(&f, folder->owner, err));
    enum status status = file_replace_write(&f, folder->name, strlen(folder->name), err);
    if (status == STATUS_OK && rename(f.temporary, f.path) != 0)
        status = error_set(err, STATUS_IO, "cannot write %s: %s", f.path, strerror(errno));
    file_replace_abandon(&f); // closes it; the temporary name is gone when all went well
    return status;
}

enum status trial_folder_name(const char *path, struct trial_folder *folder, struct error *err) {
    TRY(path_join(folder->best, path, "best.safetensors", err));
    TRY(path_join(folder->last, path, "last.safetensors", err));
    TRY(path_join(folder->previous, path, "last.previous.safetensors", err));
    return path_join(folder->owner, path, "owner", err);
}

enum status trial_folder_claim(const char *path, struct trial_folder *folder, struct error *err) {
    TRY(file_make_directories(path, err));
    TRY(trial_folder_name(path, folder, err));
    make_name(folder->name, sizeof folder->name);
    TRY(write_owner(folder, err));
    file_remove_temporaries(path);
    return STATUS_OK;
}

static enum status check_owner(const struct trial_folder *folder, struct error *err) {
    char *text = NULL;
    enum status status = file_read(folder->owner, &text, NULL, err);
    if (status == STATUS_OK && strcmp(text, folder->name) != 0)
        status = error_set(err, STATUS_LOST, "the trial has been handed to another trainer: %.*s",
                           (int)strcspn(text, "\n"), text);
    free(text);
    if (status == STATUS_NOT_FOUND)
        return error_set(err, STATUS_LOST, "another trainer has finished the trial");
    return status;
}

// The old file keeps its name until the new one takes it: a second name is made for it. Where the file system has no
// hard links, there is a moment with the old one under its second name alone.
static enum status keep_old(const char *path, const char *keep, struct error *err) {
    if (unlink(keep) != 0 && errno != ENOENT)
        return error_set(err, STATUS_IO, "cannot remove %s: %s", keep, strerror(errno));
    if (link(path, keep) == 0 || errno == ENOENT)
        return STATUS_OK;
    if (errno != EPERM && errno != ENOTSUP && errno != ENOSYS && errno != EMLINK)
        return error_set(err, STATUS_IO, "cannot link %s: %s", keep, strerror(errno));
    return rename(path, keep) == 0 ? STATUS_OK
                                   : error_set(err, STATUS_IO, "cannot rename %s: %s", path, strerror(errno));
}

enum status trial_folder_commit(const struct trial_folder *folder, struct file_replace *f, const char *keep,
                                struct error *err) {
    enum status status;
    TRY_OR_FAIL(file_replace_sync(f, err));
    TRY_OR_FAIL(check_owner(folder, err));
    if (keep)
        TRY_OR_FAIL(keep_old(f->path, keep, err));
    return file_replace_commit(f, err);
fail:
    file_replace_abandon(f);
    return status;
}

void trial_folder_finish(const struct trial_folder *folder) {
    unlink(folder->previous);
    unlink(folder->owner);
}
