#include "model/base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY ".tmp-"

bool file_exists(const char *path) {
    return access(path, F_OK) == 0;
}

bool file_is_directory(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

enum status file_read(const char *path, char **text, size_t *bytes, struct error *err) {
    FILE *f = fopen(path, "rbe");
    if (!f)
        return error_set(err, errno == ENOENT ? STATUS_NOT_FOUND : STATUS_IO, "cannot read %s: %s", path,
                         strerror(errno));
    size_t size = 0, capacity = 4096;
    char *data = malloc(capacity);
    while (data) {
        size += fread(data + size, 1, capacity - 1 - size, f);
        if (size + 1 < capacity)
            break;
        capacity *= 2;
        char *grown = realloc(data, capacity);
        if (!grown)
            free(data);
        data = grown;
    }
    bool failed = data && ferror(f);
    fclose(f);
    if (!data)
        return error_memory(err, path);
    if (failed) {
        free(data);
        return error_set(err, STATUS_IO, "cannot read %s: %s", path, strerror(errno));
    }
    data[size] = 0;
    *text = data;
    if (bytes)
        *bytes = size;
    return STATUS_OK;
}

static enum status cannot_write(const struct file_replace *f, struct error *err) {
    return error_set(err, STATUS_IO, "cannot write %s: %s", f->path, strerror(errno));
}

enum status file_replace_begin(struct file_replace *f, const char *path, struct error *err) {
    char host[65] = "";
    gethostname(host, sizeof host - 1);
    int a = snprintf(f->path, sizeof f->path, "%s", path);
    int b = snprintf(f->temporary, sizeof f->temporary, "%s" TEMPORARY "%s-%ld", path, host, (long)getpid());
    f->fd = -1;
    f->direct = false;
    if (a < 0 || b < 0 || (size_t)b >= sizeof f->temporary)
        return error_set(err, STATUS_INVALID, "path too long: %s", path);
    f->fd = open(f->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (f->fd < 0)
        return cannot_write(f, err);
    return STATUS_OK;
}

static bool set_direct(const struct file_replace *f, bool on) {
    int flags = fcntl(f->fd, F_GETFL);
    return flags >= 0 && fcntl(f->fd, F_SETFL, on ? flags | O_DIRECT : flags & ~O_DIRECT) == 0;
}

void file_replace_direct(struct file_replace *f) {
    f->direct = set_direct(f, true);
}

void file_replace_cached(struct file_replace *f) {
    if (f->direct)
        set_direct(f, false);
    f->direct = false;
}

enum status file_replace_write(struct file_replace *f, const void *data, size_t bytes, struct error *err) {
    const char *p = data;
    while (bytes > 0) {
        ssize_t n = write(f->fd, p, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EINVAL && f->direct) { // wants another alignment, or half a piece was written
            file_replace_cached(f);
            continue;
        }
        if (n <= 0)
            return cannot_write(f, err);
        p += n;
        bytes -= (size_t)n;
    }
    return STATUS_OK;
}

enum status file_replace_patch(struct file_replace *f, size_t offset, const void *data, size_t bytes,
                               struct error *err) {
    const char *p = data;
    while (bytes > 0) {
        ssize_t n = pwrite(f->fd, p, bytes, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return cannot_write(f, err);
        p += n;
        offset += (size_t)n;
        bytes -= (size_t)n;
    }
    return STATUS_OK;
}

enum status file_replace_sync(struct file_replace *f, struct error *err) {
    int reason = fsync(f->fd) == 0 ? 0 : errno;
    if (close(f->fd) != 0 && reason == 0)
        reason = errno;
    f->fd = -1;
    if (reason == 0)
        return STATUS_OK;
    errno = reason;
    return cannot_write(f, err);
}

// The rename itself must reach the disk: fsync the folder. Some file systems cannot, and say so.
static enum status sync_folder_of(const char *path, struct error *err) {
    char copy[PATH_SIZE];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP)) {
        enum status status = error_set(err, STATUS_IO, "cannot write %s: its folder: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return status;
    }
    close(fd);
    return STATUS_OK;
}

enum status file_replace_commit(struct file_replace *f, struct error *err) {
    enum status status = f->fd >= 0 ? file_replace_sync(f, err) : STATUS_OK;
    if (status == STATUS_OK && rename(f->temporary, f->path) != 0)
        status = cannot_write(f, err);
    if (status != STATUS_OK) {
        unlink(f->temporary);
        return status;
    }
    return sync_folder_of(f->path, err);
}

void file_replace_abandon(struct file_replace *f) {
    if (f->fd >= 0)
        close(f->fd);
    f->fd = -1;
    unlink(f->temporary);
}

enum status file_write(const char *path, const void *data, size_t bytes, struct error *err) {
    struct file_replace f;
    TRY(file_replace_begin(&f, path, err));
    enum status status = file_replace_write(&f, data, bytes, err);
    if (status != STATUS_OK) {
        file_replace_abandon(&f);
        return status;
    }
    return file_replace_commit(&f, err);
}

void file_remove_temporaries(const char *folder) {
    DIR *d = opendir(folder);
    if (!d)
        return;
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        if (strstr(e->d_name, TEMPORARY))
            unlinkat(dirfd(d), e->d_name, 0);
    closedir(d);
}

enum status file_make_directories(const char *path, struct error *err) {
    char copy[PATH_SIZE];
    if ((size_t)snprintf(copy, sizeof copy, "%s", path) >= sizeof copy)
        return error_set(err, STATUS_INVALID, "path too long: %s", path);
    for (char *p = copy + 1;; p++) {
        if (*p != '/' && *p != 0)
            continue;
        char kept = *p;
        *p = 0;
        if (mkdir(copy, 0777) != 0 && errno != EEXIST)
            return error_set(err, STATUS_IO, "cannot create folder %s: %s", copy, strerror(errno));
        *p = kept;
        if (kept == 0)
            break;
    }
    if (!file_is_directory(path))
        return error_set(err, STATUS_IO, "%s is not a folder", path);
    return STATUS_OK;
}

enum status path_join(char out[PATH_SIZE], const char *folder, const char *name, struct error *err) {
    if (snprintf(out, PATH_SIZE, "%s/%s", folder, name) >= PATH_SIZE)
        return error_set(err, STATUS_INVALID, "path too long: %s/%s", folder, name);
    return STATUS_OK;
}
