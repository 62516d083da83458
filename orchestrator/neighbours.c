#include "orchestrator/neighbours.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "model/base/clock.h"
#include "worker/agent.h"

enum { MAX_NEIGHBOURS = 64 };

static pid_t noted[MAX_NEIGHBOURS];
static char stat_path[MAX_NEIGHBOURS][32]; // of each
static int count;

static void note(int at, pid_t pid) {
    noted[at] = pid;
    snprintf(stat_path[at], sizeof stat_path[at], "/proc/%ld/stat", (long)pid);
}

void neighbours_note(void) {
    DIR *proc = opendir("/proc");
    count = 0;
    for (struct dirent *e; proc && (e = readdir(proc)) && count < MAX_NEIGHBOURS;) {
        long pid = isdigit((unsigned char)e->d_name[0]) ? strtol(e->d_name, NULL, 10) : 0;
        if (pid > 0 && pid != getpid() && agent_parent_of(pid) == getppid())
            note(count++, (pid_t)pid);
    }
    if (proc)
        closedir(proc);
}

// Whether somebody has stopped it. A process that a tracer is about to stop (a debugger, or a leak checker that looks
// at itself) is none: SIGCONT would take back its SIGSTOP, and the tracer wait for ever.
static bool is_stopped(const char *path) {
    char text[256];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    const char *name_end = strrchr(text, ')'); // "123 (its name) T ..."
    return name_end && name_end[1] == ' ' && name_end[2] == 'T';
}

void neighbours_continue(void) {
    for (int i = 0; i < count; i++)
        if (is_stopped(stat_path[i]))
            kill(noted[i], SIGCONT);
}

// A number that has gone to another process meanwhile is not ours any more.
static void forget_ended(void) {
    int kept = 0;
    for (int i = 0; i < count; i++)
        if (!agent_has_ended(noted[i]) && agent_parent_of(noted[i]) == getppid())
            note(kept++, noted[i]);
    count = kept;
}

void neighbours_outlive(double seconds) {
    static const struct timespec pause = {.tv_nsec = 1000000};
    double end = clock_seconds() + seconds;
    for (forget_ended(); count > 0 && clock_seconds() < end; forget_ended()) {
        neighbours_continue();
        nanosleep(&pause, NULL);
    }
}
