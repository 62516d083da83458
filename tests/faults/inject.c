// A library to preload: the k-th call that writes below a folder fails, or the k-th allocation does.
//
//     INJECT_PROCESS  "master" (gridfold run) or "trainer" (its child): the process that counts and fails
//     INJECT_WHAT     "write": open for writing, write, pwrite, fsync, fdatasync, ftruncate, rename, link, mkdir on
//     what
//                     stands below INJECT_UNDER; "alloc": malloc, calloc, realloc, aligned_alloc, posix_memalign
//     INJECT_CALL     which call, from 1, and only of the first process that comes so far (INJECT_UNDER.fired tells);
//     0: none INJECT_LASTING  set: that one and all after it INJECT_ERROR    ENOSPC, EIO or ESTALE; "short": a write
//     writes half of what it is given (nothing else fails) INJECT_LOG      every call that counts is told here: "write
//     PATH" (for "alloc" only how many, and
//                     only when none fails)
//
// A fault that a real disk or kernel would make: the call is not carried out, errno is set. One thread counts; a
// process with more may count differently from run to run.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// glibc's own, so that nothing recurses.
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static struct {
    bool ready, writes, allocations, lasting, is_short;
    long call, calls;
    int error;
    char under[PATH_MAX];
    const char *log;
} inject;

static void tell(const char *what, const char *path) {
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%s %s\n", what, path);
    long fd =
        inject.log ? syscall(SYS_openat, AT_FDCWD, inject.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666) : -1;
    if (fd >= 0) {
        syscall(SYS_write, fd, line, (size_t)length);
        syscall(SYS_close, fd);
    }
}

// Whether this process is `PROGRAM VERB ...`: what is between (env, timeout) has the library too.
static bool is_verb(const char *verb) {
    char line[4096] = "";
    long fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0);
    long n = fd >= 0 ? syscall(SYS_read, fd, line, sizeof line - 2) : 0;
    if (fd >= 0)
        syscall(SYS_close, fd);
    return n > 0 && strcmp(line + strlen(line) + 1, verb) == 0;
}

__attribute__((constructor)) static void begin(void) {
    const char *process = getenv("INJECT_PROCESS"), *what = getenv("INJECT_WHAT"), *error = getenv("INJECT_ERROR"),
               *call = getenv("INJECT_CALL"), *under = getenv("INJECT_UNDER");
    if (!process || !what || !is_verb(strcmp(process, "trainer") == 0 ? "trainer" : "run"))
        return;
    inject.call = call ? strtol(call, NULL, 10) : 0;
    inject.lasting = getenv("INJECT_LASTING") != NULL;
    inject.is_short = error && strcmp(error, "short") == 0;
    inject.error = error && strcmp(error, "EIO") == 0 ? EIO : error && strcmp(error, "ESTALE") == 0 ? ESTALE : ENOSPC;
    inject.log = getenv("INJECT_LOG");
    snprintf(inject.under, sizeof inject.under, "%s", under ? under : "/nowhere");
    inject.writes = strcmp(what, "write") == 0;
    inject.allocations = strcmp(what, "alloc") == 0;
    inject.ready = true;
}

// A trainer that has died of its fault is followed by another, which must not have the same one again.
static bool is_first(void) {
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s.fired", inject.under);
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0)
        syscall(SYS_close, fd);
    return fd >= 0;
}

static bool is_due(void) {
    long n = ++inject.calls;
    if (inject.lasting)
        return inject.call > 0 && n >= inject.call;
    return n == inject.call && is_first();
}

// ---- files ----

static bool stands_below(const char *path) {
    return strncmp(path, inject.under, strlen(inject.under)) == 0;
}

static bool path_counts(const char *path) {
    return inject.ready && inject.writes && path && stands_below(path);
}

static bool fd_counts(int fd, char path[PATH_MAX]) {
    char link[64];
    if (!inject.ready || !inject.writes)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    long n = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
    return n > 0 && stands_below(path);
}

// Counts the call; true: it is to fail, and errno says how.
static bool must_fail(const char *what, const char *path) {
    tell(what, path);
    if (!is_due() || inject.is_short)
        return false;
    errno = inject.error;
    return true;
}

static int open_file(int folder, const char *path, int flags, mode_t mode) {
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) && path_counts(path) && must_fail("open", path))
        return -1;
    return (int)syscall(SYS_openat, folder, path, flags, mode);
}

#define MODE(flags, mode)                                                                                              \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                                             \
        va_list args;                                                                                                  \
        va_start(args, flags);                                                                                         \
        mode = va_arg(args, mode_t);                                                                                   \
        va_end(args);                                                                                                  \
    }

int open(const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_file(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags, mode)
    return open_file(AT_FDCWD, path, flags, mode);
}

// Half of a write when it is this one's turn; -1 with errno, or all of it.
static ssize_t limited(const char *what, int fd, size_t *bytes) {
    char path[PATH_MAX];
    if (!fd_counts(fd, path))
        return 0;
    if (must_fail(what, path))
        return -1;
    bool due = inject.is_short && inject.calls == inject.call;
    if (due && *bytes > 1)
        *bytes /= 2;
    return 0;
}

ssize_t write(int fd, const void *data, size_t bytes) {
    return limited("write", fd, &bytes) < 0 ? -1 : syscall(SYS_write, fd, data, bytes);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) {
    return limited("pwrite", fd, &bytes) < 0 ? -1 : syscall(SYS_pwrite64, fd, data, bytes, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t offset) {
    return pwrite(fd, data, bytes, offset);
}

int fsync(int fd) {
    char path[PATH_MAX];
    return fd_counts(fd, path) && must_fail("fsync", path) ? -1 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    char path[PATH_MAX];
    return fd_counts(fd, path) && must_fail("fdatasync", path) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int ftruncate(int fd, off_t length) {
    char path[PATH_MAX];
    return fd_counts(fd, path) && must_fail("ftruncate", path) ? -1 : (int)syscall(SYS_ftruncate, fd, length);
}

int ftruncate64(int fd, off_t length) {
    return ftruncate(fd, length);
}

int rename(const char *from, const char *to) {
    return path_counts(to) && must_fail("rename", to) ? -1
                                                      : (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int link(const char *from, const char *to) {
    return path_counts(to) && must_fail("link", to) ? -1 : (int)syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int mkdir(const char *path, mode_t mode) {
    return path_counts(path) && must_fail("mkdir", path) ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
}

// ---- memory ----

// How many there have been so far; a trainer is killed at its end and could not tell then.
static void tell_count(void) {
    static long fd = -1;
    char line[32];
    if (fd < 0)
        fd = syscall(SYS_openat, AT_FDCWD, inject.log, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    int length = snprintf(line, sizeof line, "alloc %ld\n", inject.calls);
    syscall(SYS_pwrite64, fd, line, (size_t)length, 0L);
}

static bool no_memory(void) {
    if (!inject.ready || !inject.allocations)
        return false;
    bool due = is_due();
    if (inject.call == 0 && inject.log)
        tell_count();
    if (!due)
        return false;
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size) {
    return no_memory() ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
    return no_memory() ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size) {
    return no_memory() ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    return no_memory() ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size) {
    if (no_memory())
        return ENOMEM;
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}
