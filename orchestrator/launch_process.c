#include "orchestrator/launch_process.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model/base/clock.h"
#include "worker/agent.h"

static sigset_t taken, before;
static struct launch_stops stops;

void launch_begin(void) {
    static const int signals[] = {SIGCHLD, SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGHUP};
    sigemptyset(&taken);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        sigaddset(&taken, signals[i]);
    sigprocmask(SIG_BLOCK, &taken, &before);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
}

struct launch_stops launch_wait(double seconds) {
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    int number = sigtimedwait(&taken, NULL, &t);
    if (number > 0 && number != SIGCHLD) {
        stops.insist = stops.insist || (number == SIGINT && stops.asked > 0);
        stops.asked++;
    }
    return stops;
}

static void become(char *const *argv, int words, pid_t launcher) {
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != launcher)
        _exit(1);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    dup2(null, STDIN_FILENO);
    if (words >= 0) {
        dup2(null, STDOUT_FILENO);
        dup2(words, STDERR_FILENO);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    execvp(argv[0], argv);
}

enum status launch_spawn(char *const *argv, int words, pid_t *pid, struct error *err) {
    int told[2]; // a failure to start comes back through it
    if (pipe2(told, O_CLOEXEC) != 0)
        return error_set(err, STATUS_IO, "cannot start %s: pipe: %s", argv[0], strerror(errno));
    pid_t launcher = getpid();
    *pid = fork();
    if (*pid == 0) {
        become(argv, words, launcher);
        int e = errno;
        (void)!write(told[1], &e, sizeof e);
        _exit(127);
    }
    int e = *pid < 0 ? errno : 0;
    close(told[1]);
    ssize_t n;
    do
        n = read(told[0], &e, sizeof e);
    while (n < 0 && errno == EINTR);
    close(told[0]);
    if (*pid > 0 && n > 0)
        waitpid(*pid, NULL, 0);
    if (*pid < 0 || n > 0)
        return error_set(err, STATUS_IO, "cannot start %s: %s", argv[0], strerror(e));
    return STATUS_OK;
}

bool launch_has_ended(pid_t pid, int *wait_status) {
    siginfo_t info = {0};
    int status;
    // The process asked for keeps its entry until now, so that its number cannot be another's.
    for (;;) {
        info.si_pid = 0;
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0)
            return false;
        if (waitpid(info.si_pid, &status, WNOHANG) == pid) {
            *wait_status = status;
            return true;
        }
    }
}

static int signal_children(int number) {
    DIR *proc = opendir("/proc");
    int count = 0;
    for (struct dirent *e; proc && (e = readdir(proc));) {
        long pid = isdigit((unsigned char)e->d_name[0]) ? strtol(e->d_name, NULL, 10) : 0;
        if (pid > 0 && agent_parent_of(pid) == getpid()) {
            kill((pid_t)pid, number);
            count++;
        }
    }
    if (proc)
        closedir(proc);
    return count;
}

void launch_end_children(double grace) {
    double end = clock_seconds() + grace;
    int ignored;
    launch_has_ended(0, &ignored);
    for (int number = SIGTERM; signal_children(number) > 0;) {
        do {
            launch_wait(0.1);
            launch_has_ended(0, &ignored);
        } while (signal_children(0) > 0 && number == SIGTERM && clock_seconds() < end);
        number = SIGKILL; // what turns up now has had its time
    }
}
