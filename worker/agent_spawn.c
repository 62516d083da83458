#include "worker/agent_spawn.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHILD_FD = 3, ADDED_VARIABLES = 4, VARIABLE_SIZE = 48, MAX_ARGUMENTS = 16 };

// What MPI launchers put there: the trainer must not take itself for a rank.
static const char *const launcher_prefixes[] = {"OMPI_", "PMIX_", "ORTE_", "OPAL_", "PMI_", "PRTE_"};

#define GPUS_VARIABLE "CUDA_VISIBLE_DEVICES="

static bool is_launchers(const char *variable) {
    for (size_t i = 0; i < sizeof launcher_prefixes / sizeof *launcher_prefixes; i++)
        if (strncmp(variable, launcher_prefixes[i], strlen(launcher_prefixes[i])) == 0)
            return true;
    return strncmp(variable, "OMP_NUM_THREADS=", 16) == 0;
}

struct environment {
    char **variables; // borrowed, but for those in `added` and `gpus`
    char added[ADDED_VARIABLES][VARIABLE_SIZE];
    char *gpus; // NULL: none of its own
};

static void environment_free(struct environment *e) {
    free(e->variables);
    free(e->gpus);
}

static bool is_replaced(const struct environment *e, const char *variable) {
    return is_launchers(variable) || (e->gpus && strncmp(variable, GPUS_VARIABLE, strlen(GPUS_VARIABLE)) == 0);
}

static bool environment_create(struct environment *e, const struct spawn_config *config) {
    bool crowded = config->crowded;
    size_t count = 0, kept = 0;
    while (environ[count])
        count++;
    *e = (struct environment){.variables = malloc((count + ADDED_VARIABLES + 2) * sizeof *e->variables)};
    if (!e->variables)
        return false;
    if (config->gpus && *config->gpus && asprintf(&e->gpus, GPUS_VARIABLE "%s", config->gpus) < 0) {
        e->gpus = NULL;
        return false;
    }
    for (size_t i = 0; i < count; i++)
        if (!is_replaced(e, environ[i]))
            e->variables[kept++] = environ[i];
    if (e->gpus)
        e->variables[kept++] = e->gpus;
    snprintf(e->added[0], VARIABLE_SIZE, "OMP_NUM_THREADS=%d", config->threads);
    e->variables[kept++] = e->added[0];
    // A thread that spins takes the core from the trainer beside it; where none is beside it, from whatever else the
    // machine does, so that it may spin for a few microseconds only. The user's own word has precedence.
    bool chosen = getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT");
    if (!crowded && !chosen) {
        snprintf(e->added[1], VARIABLE_SIZE, "GOMP_SPINCOUNT=" SPAWN_SPINS);
        e->variables[kept++] = e->added[1];
    }
    if (crowded && !getenv("OMP_WAIT_POLICY")) {
        snprintf(e->added[1], VARIABLE_SIZE, "OMP_WAIT_POLICY=passive");
        e->variables[kept++] = e->added[1];
    }
    if (crowded && !getenv("GOMP_SPINCOUNT")) {
        snprintf(e->added[2], VARIABLE_SIZE, "GOMP_SPINCOUNT=0");
        e->variables[kept++] = e->added[2];
    }
    e->variables[kept] = NULL;
    return true;
}

static int add_file_actions(posix_spawn_file_actions_t *actions, int fd, const char *log) {
    const char *path = log[0] ? log : "/dev/null";
    int e = posix_spawn_file_actions_adddup2(actions, fd, CHILD_FD);
    e = e ? e : posix_spawn_file_actions_addopen(actions, 0, "/dev/null", O_RDONLY, 0);
    e = e ? e : posix_spawn_file_actions_addopen(actions, 1, path, O_WRONLY | O_CREAT | O_APPEND, 0666);
    e = e ? e : posix_spawn_file_actions_adddup2(actions, 1, 2);
    return e ? e : posix_spawn_file_actions_addclosefrom_np(actions, CHILD_FD + 1);
}

static int set_attributes(posix_spawnattr_t *attributes) {
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    int e = posix_spawnattr_setsigmask(attributes, &none);
    e = e ? e : posix_spawnattr_setsigdefault(attributes, &all);
    e = e ? e : posix_spawnattr_setpgroup(attributes, 0);
    return e ? e
             : posix_spawnattr_setflags(attributes,
                                        POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
}

static int spawn(const struct spawn_config *config, int child_fd, char **environment, pid_t *pid) {
    char *arguments[MAX_ARGUMENTS + 2] = {(char *)"gridfold"};
    for (int i = 0; i < MAX_ARGUMENTS && config->arguments[i]; i++)
        arguments[i + 1] = (char *)config->arguments[i];
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int e = posix_spawn_file_actions_init(&actions);
    if (e)
        return e;
    e = posix_spawnattr_init(&attributes);
    if (!e) {
        e = add_file_actions(&actions, child_fd, config->log);
        e = e ? e : set_attributes(&attributes);
        e = e ? e : posix_spawn(pid, config->program, &actions, &attributes, arguments, environment);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return e;
}

enum status spawn_trainer(const struct spawn_config *config, pid_t *pid, int *fd, struct error *err) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
        return error_set(err, STATUS_IO, "cannot start the trainer: socketpair: %s", strerror(errno));
    // dup2 of a descriptor onto itself would leave close-on-exec set: keep clear of 3.
    if (pair[1] == CHILD_FD) {
        int moved = fcntl(pair[1], F_DUPFD_CLOEXEC, CHILD_FD + 1);
        close(pair[1]);
        pair[1] = moved;
    }
    struct environment environment = {0};
    int e = pair[1] < 0 ? errno : 0;
    if (!e && !environment_create(&environment, config))
        e = ENOMEM;
    if (!e)
        e = spawn(config, pair[1], environment.variables, pid);
    environment_free(&environment);
    if (pair[1] >= 0)
        close(pair[1]);
    if (e) {
        close(pair[0]);
        return error_set(err, STATUS_IO, "cannot start the trainer (%s, log %s): %s", config->program, config->log,
                         strerror(e));
    }
    *fd = pair[0];
    return STATUS_OK;
}

off_t spawn_log_size(const char *log) {
    struct stat s;
    return log[0] && stat(log, &s) == 0 ? s.st_size : 0;
}

long spawn_oom_kills(void) {
    char line[128];
    long kills = 0;
    FILE *f = fopen("/proc/vmstat", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "oom_kill %ld", &kills) == 1)
            break;
    if (f)
        fclose(f);
    return kills;
}

bool spawn_speaks_of_memory(const char *words) {
    static const char *const phrases[] = {"out of memory",      "out_of_memory",      "outofmemory",
                                          "bad_alloc",          "MemoryError",        "cannot allocate memory",
                                          "RESOURCE_EXHAUSTED", "OOM when allocating"};
    for (size_t i = 0; i < sizeof phrases / sizeof *phrases; i++)
        if (strcasestr(words, phrases[i]))
            return true;
    return false;
}

// Keeps the last `LINES` lines of text; control characters become spaces, ends of lines " | ".
static void condense(const char *text, size_t bytes, char *words, size_t size) {
    enum { LINES = 3 };
    while (bytes > 0 && isspace((unsigned char)text[bytes - 1]))
        bytes--;
    size_t begin = bytes;
    for (int lines = 0; begin > 0; begin--)
        if (text[begin - 1] == '\n' && ++lines == LINES)
            break;
    if (bytes - begin >= size / 2)
        begin = bytes - size / 2;
    size_t used = 0;
    for (size_t i = begin; i < bytes && used + 4 < size; i++) {
        if (text[i] == '\n') {
            memcpy(words + used, " | ", 3);
            used += 3;
        } else {
            words[used++] = iscntrl((unsigned char)text[i]) ? ' ' : text[i];
        }
    }
    words[used] = 0;
}

void spawn_last_words(const char *log, off_t start, char *words, size_t size) {
    enum { TAIL = 4096 };
    words[0] = 0;
    int fd = log[0] ? open(log, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = end - start > TAIL ? end - TAIL : start;
    char tail[TAIL];
    ssize_t n = end > from ? pread(fd, tail, (size_t)(end - from), from) : 0;
    close(fd);
    if (n > 0)
        condense(tail, (size_t)n, words, size);
}
