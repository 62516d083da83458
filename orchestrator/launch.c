#include "orchestrator/launch.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model/base/clock.h"
#include "orchestrator/launch_command.h"
#include "orchestrator/launch_probe.h"
#include "orchestrator/launch_process.h"
#include "orchestrator/launch_try.h"
#include "orchestrator/run.h"
#include "orchestrator/transport_mpi.h"
#include "orchestrator/time_limit.h"

// Ranks see for themselves that they do not find each other, or that the master is silent; they come first.
static struct launch_patience patience_of(const struct sweep *sweep) {
    return (struct launch_patience){.start = transport_mpi_start_seconds() + 10,
                                    .work = 900,
                                    .beat = sweep->master_timeout + 10,
                                    .stop = 90,
                                    .linger = 3,
                                    .kill = 6};
}
static const double PROBE_SECONDS = 10, LONGEST_PAUSE = 60;

struct launch {
    const struct launch_config *config;
    char program[PATH_SIZE], folder[PATH_SIZE], status_path[PATH_SIZE];
    char temporary[PATH_SIZE]; // for mpirun's session files
    int tries, fruitless;      // fruitless: restarts in a row that brought nothing
    struct launch_try last;
};

enum decision { GO_ON, LEAVE };

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fprintf(stderr, "gridfold launch: ");
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
}

// ---- the files ----

// Status files of launchers that were killed.
static void remove_stale(const struct launch *l, const char *prefix) {
    DIR *folder = opendir(l->folder);
    size_t length = strlen(prefix);
    for (struct dirent *e; folder && (e = readdir(folder));) {
        if (strncmp(e->d_name, prefix, length) != 0 || !isdigit((unsigned char)e->d_name[length]))
            continue;
        long pid = strtol(e->d_name + length, NULL, 10);
        if (kill((pid_t)pid, 0) != 0 && errno == ESRCH)
            unlinkat(dirfd(folder), e->d_name, 0);
    }
    if (folder)
        closedir(folder);
}

// mpirun removes its session files unless it is killed.
static enum status make_temporary(struct launch *l, struct error *err) {
    const char *base = getenv("TMPDIR");
    TRY(path_join(l->temporary, base ? base : "/tmp", "gridfold-XXXXXX", err));
    if (!mkdtemp(l->temporary))
        return error_set(err, STATUS_IO, "cannot make a folder in %s: %s", base ? base : "/tmp", strerror(errno));
    return launch_command_prepare_environment(l->temporary, err);
}

static int remove_one(const char *path, const struct stat *s, int type, struct FTW *ftw) {
    (void)s;
    (void)type;
    (void)ftw;
    remove(path);
    return 0;
}

static void clean_up(const struct launch *l) {
    if (l->status_path[0])
        unlink(l->status_path);
    if (l->temporary[0])
        nftw(l->temporary, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

// The end of the job, for all tries: the sweep's limit counts from the first one.
static bool set_end(const struct launch *l) {
    char text[32];
    double left = time_limit_from_environment();
    if (l->config->sweep->time_limit > 0)
        left = fmin(left, l->config->sweep->time_limit);
    if (!isfinite(left))
        return true;
    snprintf(text, sizeof text, "%.0f", (double)time(NULL) + left);
    return setenv(TIME_LIMIT_VARIABLE, text, 1) == 0;
}

static enum status prepare(struct launch *l, struct error *err) {
    ssize_t n = readlink("/proc/self/exe", l->program, sizeof l->program - 1);
    if (n <= 0)
        return error_set(err, STATUS_IO, "cannot tell where gridfold is: /proc/self/exe: %s", strerror(errno));
    l->program[n] = 0;
    TRY(file_make_directories(l->config->sweep->output, err));
    char *absolute = realpath(l->config->sweep->output, NULL);
    bool fits = absolute && snprintf(l->folder, sizeof l->folder, "%s", absolute) < (int)sizeof l->folder;
    free(absolute);
    if (!fits)
        return error_set(err, STATUS_IO, "cannot resolve %s", l->config->sweep->output);
    char host[64] = "", prefix[96], name[128];
    gethostname(host, sizeof host - 1);
    snprintf(prefix, sizeof prefix, ".launch-%s-", host);
    remove_stale(l, prefix);
    snprintf(name, sizeof name, "%s%ld", prefix, (long)getpid());
    TRY(path_join(l->status_path, l->folder, name, err));
    if (setenv(VERDICT_VARIABLE, l->status_path, 1) != 0 || !set_end(l))
        return error_memory(err, "environment");
    return make_temporary(l, err);
}

static long count_lines(const struct launch *l, const char *name) {
    char path[PATH_SIZE], *text;
    struct error err;
    long lines = 0;
    if (path_join(path, l->folder, name, &err) != STATUS_OK || !file_exists(path) ||
        file_read(path, &text, NULL, &err) != STATUS_OK)
        return 0;
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    free(text);
    return lines;
}

// What a restart must add to.
static long measure_progress(const struct launch *l) {
    return count_lines(l, "epochs.csv") + count_lines(l, "trials.csv");
}

// ---- tries ----

static void describe_end(const struct launch_try *t, char *text, size_t size) {
    if (t->judged && t->verdict.state == VERDICT_NO_WORKERS)
        snprintf(text, size, "every worker was lost");
    else if (t->judged)
        snprintf(text, size, "%s",
                 t->verdict.state == VERDICT_BUSY ? "the run folder was in use" : "it was terminated");
    else if (t->trouble)
        snprintf(text, size, "%s", t->trouble);
    else if (WIFSIGNALED(t->wait_status))
        snprintf(text, size, "mpirun was killed by signal %d", WTERMSIG(t->wait_status));
    else
        snprintf(text, size, "mpirun ended (exit code %d) without a word of rank 0", WEXITSTATUS(t->wait_status));
}

// Hosts that answer; false: none does.
static bool find_hosts(struct launch *l) {
    struct launch_hosts *hosts = l->config->hosts;
    if (hosts->count == 0)
        return true;
    launch_hosts_probe(hosts, l->config->probe, PROBE_SECONDS, l->temporary);
    for (int i = 0; i < hosts->count; i++) {
        const struct launch_host *h = &hosts->at[i];
        const char *open = h->why[0] ? " (" : "", *close = h->why[0] ? ")" : "";
        if (!h->answers)
            say("%s does not answer%s%s%s: going on without it", h->name, open, h->why, close);
    }
    return launch_hosts_slots(hosts) > 0;
}

static enum status try_once(struct launch *l, struct error *err) {
    struct launch_command command;
    TRY(launch_command_create(l->config, l->program, &command, err));
    struct launch_patience patience = patience_of(l->config->sweep);
    enum status status = launch_try_run(command.argv, l->status_path, &patience, &l->last, err);
    launch_command_free(&command);
    l->tries++;
    return status;
}

// mpirun refuses the job: another try would be refused too.
static bool is_refused(const struct launch *l) {
    const struct launch_try *t = &l->last;
    return l->tries == 1 && l->config->hosts->count == 0 && !t->began && !t->trouble && WIFEXITED(t->wait_status) &&
           WEXITSTATUS(t->wait_status) != 0;
}

static enum decision judge(const struct launch *l, int *code) {
    const struct launch_try *t = &l->last;
    *code = RUN_STOPPED;
    if (t->judged && (t->verdict.state == VERDICT_DONE || t->verdict.state == VERDICT_STOPPED)) {
        *code = t->verdict.exit_code;
        return LEAVE;
    }
    bool error = t->judged && (t->verdict.state == VERDICT_ALL_FAILED || t->verdict.state == VERDICT_ERROR ||
                               (t->verdict.state == VERDICT_BUSY && l->tries == 1));
    if (error || is_refused(l)) {
        *code = RUN_ERROR;
        return LEAVE;
    }
    return t->stopped ? LEAVE : GO_ON;
}

// Waits before the next try; false: it was the last one.
static bool pause_before_next(struct launch *l, bool progress) {
    char why[128];
    describe_end(&l->last, why, sizeof why);
    l->fruitless = progress ? 0 : l->fruitless + 1;
    if (l->fruitless > l->config->max_restarts) {
        say("error: %s; giving up after %d restarts in a row that brought no new epoch or row (the same command goes on)",
            why, l->config->max_restarts);
        return false;
    }
    double pause = 1;
    for (int i = 1; i < l->fruitless && pause < LONGEST_PAUSE; i++)
        pause *= 2;
    pause = pause < LONGEST_PAUSE ? pause : LONGEST_PAUSE;
    say("%s; starting again in %.0f s", why, pause);
    double end = clock_seconds() + pause;
    while (clock_seconds() < end && launch_wait(0.1).asked == 0) {
    }
    return true;
}

static enum status drive(struct launch *l, int *code, struct error *err) {
    for (;;) {
        long before = measure_progress(l);
        bool any = find_hosts(l);
        if (launch_wait(0).asked > 0) {
            *code = RUN_STOPPED;
            return STATUS_OK;
        }
        l->last = (struct launch_try){.trouble = "no host answers"};
        if (any)
            TRY(try_once(l, err));
        if (any && judge(l, code) == LEAVE)
            return STATUS_OK;
        if (!pause_before_next(l, measure_progress(l) > before)) {
            *code = RUN_ERROR;
            return STATUS_OK;
        }
    }
}

int launch_sweep(const struct launch_config *config) {
    struct launch l = {.config = config};
    struct error err;
    int code = RUN_ERROR;
    launch_begin();
    enum status status = prepare(&l, &err);
    if (status == STATUS_OK)
        status = drive(&l, &code, &err);
    if (status != STATUS_OK)
        say("error: %s", err.message);
    clean_up(&l);
    return status == STATUS_OK ? code : RUN_ERROR;
}
