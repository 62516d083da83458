#include "orchestrator/run_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TEXT_SIZE = 192, NAME_SIZE = 128 };
static const double BEAT_SECONDS = 2, WATCH_SECONDS = 10;

struct run_lock {
    int fd;
    char folder[PATH_SIZE], path[PATH_SIZE];
    char host[65], name[NAME_SIZE]; // "process 7 on node3"
    long beats;
    double beaten;
    bool lost; // another's by now
};

static void rest(double seconds) {
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    nanosleep(&t, NULL);
}

// The first line of the lock file, opened anew: only then does a network file system look for what others wrote.
static enum status read_text(const run_lock *l, char text[TEXT_SIZE], struct stat *s, struct error *err) {
    int fd = open(l->path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 || fstat(fd, s) != 0 ? -1 : pread(fd, text, TEXT_SIZE - 1, 0);
    int reason = errno;
    if (fd >= 0)
        close(fd);
    if (n < 0)
        return error_set(err, STATUS_IO, "%s: the lock cannot be read any more: %s", l->folder, strerror(reason));
    text[n] = 0;
    text[strcspn(text, "\n")] = 0;
    return STATUS_OK;
}

// "process 7 on node3, beat 12": the part before the comma says who, and ends with the host.
static bool is_of(const char *text, const char *name) {
    size_t length = strlen(name);
    return strncmp(text, name, length) == 0 && text[length] == ',';
}

static bool is_of_host(const char *text, const char *host) {
    const char *on = strstr(text, " on ");
    return on && is_of(on + 4, host);
}

static enum status write_beat(run_lock *l, struct error *err) {
    char text[TEXT_SIZE];
    int length = snprintf(text, sizeof text, "%s, beat %ld\n", l->name, l->beats++);
    ssize_t n = 0;
    for (int done = 0; n >= 0 && done < length; done += (int)n)
        n = pwrite(l->fd, text + done, (size_t)(length - done), done);
    if (n < 0 || ftruncate(l->fd, length) != 0 || fdatasync(l->fd) != 0)
        return error_set(err, STATUS_IO, "cannot write %s: %s", l->path, strerror(errno));
    return STATUS_OK;
}

static enum status refuse(const run_lock *l, const char *text, struct error *err) {
    return error_set(err, STATUS_LOST, "%s is in use by another gridfold run (%.*s); wait for it, or stop it",
                     l->folder, *text ? (int)strcspn(text, ",") : 15, *text ? text : "unknown process");
}

// Another moment may be another's who only asks whether it is held (gridfold status).
static bool try_flock(int fd) {
    for (int i = 0; i < 10; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0)
            return true;
        if (errno != EWOULDBLOCK && errno != EINTR)
            return false;
        rest(0.02);
    }
    errno = EWOULDBLOCK;
    return false;
}

// Whether the holder that `before` names is alive where flock cannot tell.
static enum status watch(const run_lock *l, const char *before, struct error *err) {
    char text[TEXT_SIZE];
    struct stat s;
    fprintf(stderr, "gridfold: %s was last used by %.*s: looking for %.0f s whether it still is\n", l->folder,
            (int)strcspn(before, ","), before, WATCH_SECONDS);
    for (int looks = 0; looks < (int)(2 * WATCH_SECONDS); looks++) {
        rest(0.5);
        TRY(read_text(l, text, &s, err));
        if (strcmp(text, before) != 0)
            return refuse(l, text, err);
    }
    return STATUS_OK;
}

static enum status take(run_lock *l, struct error *err) {
    char text[TEXT_SIZE];
    struct stat s;
    bool locked = try_flock(l->fd);
    int reason = errno;
    TRY(read_text(l, text, &s, err));
    if (!locked && reason == EWOULDBLOCK)
        return refuse(l, text, err);
    if (!locked && reason != ENOLCK && reason != ENOTSUP && reason != ENOSYS)
        return error_set(err, STATUS_IO, "cannot lock %s: %s", l->path, strerror(reason));
    if (*text && !(locked && is_of_host(text, l->host)))
        TRY(watch(l, text, err));
    return write_beat(l, err);
}

enum status run_lock_take(const char *folder, run_lock **out, struct error *err) {
    run_lock *l = calloc(1, sizeof *l);
    if (!l)
        return error_memory(err, folder);
    l->fd = -1;
    snprintf(l->folder, sizeof l->folder, "%s", folder);
    if (gethostname(l->host, sizeof l->host - 1) != 0)
        snprintf(l->host, sizeof l->host, "unknown");
    snprintf(l->name, sizeof l->name, "process %ld on %s", (long)getpid(), l->host);
    enum status status = path_join(l->path, folder, "lock", err);
    if (status == STATUS_OK && (l->fd = open(l->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
        status = error_set(err, STATUS_IO, "cannot open %s: %s", l->path, strerror(errno));
    if (status == STATUS_OK)
        status = take(l, err);
    if (status == STATUS_OK) {
        *out = l;
        return STATUS_OK;
    }
    if (l->fd >= 0)
        close(l->fd);
    free(l);
    return status;
}

void run_lock_release(run_lock *l) {
    if (!l)
        return;
    if (!l->lost)
        (void)!ftruncate(l->fd, 0); // nothing for the next one to wait for
    close(l->fd);
    free(l);
}

static enum status check(run_lock *l, struct error *err) {
    char text[TEXT_SIZE];
    struct stat there, ours;
    TRY(read_text(l, text, &there, err));
    if (fstat(l->fd, &ours) != 0)
        return error_set(err, STATUS_IO, "%s: the lock is lost: %s", l->folder, strerror(errno));
    if (there.st_ino != ours.st_ino || there.st_dev != ours.st_dev)
        return error_set(err, STATUS_LOST, "%s has been replaced by another folder", l->folder);
    if (!is_of(text, l->name))
        return error_set(err, STATUS_LOST, "%s has been taken by another gridfold run (%.*s)", l->folder,
                         (int)strcspn(text, ","), text);
    return write_beat(l, err);
}

enum status run_lock_check(run_lock *l, double now, struct error *err) {
    if (now - l->beaten < BEAT_SECONDS)
        return STATUS_OK;
    l->beaten = now;
    enum status status = check(l, err);
    l->lost = status != STATUS_OK;
    return status;
}
