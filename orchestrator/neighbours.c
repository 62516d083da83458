#include "orchestrator/neighbours.h"

#include <ctype.h>
#include <dirent.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#include "orchestrator/idle.h"
#include "worker/agent.h"

enum { MAX_NEIGHBOURS = 64 };

static pid_t noted[MAX_NEIGHBOURS];
static int count;

void neighbours_note(void) {
    DIR *proc = opendir("/proc");
    count = 0;
    for (struct dirent *e; proc && (e = readdir(proc)) && count < MAX_NEIGHBOURS;) {
        long pid = isdigit((unsigned char)e->d_name[0]) ? strtol(e->d_name, NULL, 10) : 0;
        if (pid > 0 && pid != getpid() && agent_parent_of(pid) == getppid())
            noted[count++] = (pid_t)pid;
    }
    if (proc)
        closedir(proc);
}

void neighbours_continue(void) {
    for (int i = 0; i < count; i++)
        kill(noted[i], SIGCONT);
}

// A number that has gone to another process meanwhile is not ours any more.
static void forget_ended(void) {
    int kept = 0;
    for (int i = 0; i < count; i++)
        if (!agent_has_ended(noted[i]) && agent_parent_of(noted[i]) == getppid())
            noted[kept++] = noted[i];
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
