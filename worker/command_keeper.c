#include "worker/command_keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TRAINER_SOCKET = 3 }; // the only descriptor of gridfold's that is not close-on-exec

static void say(int report, enum keeper_event event, int value) {
    struct keeper_report r = {(int)event, value};
    (void)!write(report, &r, sizeof r); // a trainer that is gone hears nothing
}

// ---- the program ----

static void move(int from, int to) {
    if (from == to)
        fcntl(to, F_SETFD, 0);
    else
        dup2(from, to);
}

// In the child, between fork and exec.
static noreturn void become(const struct keeper_program *p, int failed, pid_t parent) {
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    sigset_t none;
    sigemptyset(&none);
    for (int s = 1; s < NSIG; s++)
        signal(s, SIG_DFL);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    move(null, 0);
    move(p->output, 1);
    move(p->log, 2);
    // What else is open closes at exec.
    environ = p->variables;
    execvp(p->arguments[0], p->arguments);
    int reason = errno;
    (void)!write(failed, &reason, sizeof reason);
    _exit(127);
}

// 0: it cannot be started, and that is reported.
static pid_t start(const struct keeper_program *p, int report) {
    int failed[2], reason = 0;
    pid_t keeper = getpid(), program = -1;
    if (pipe2(failed, O_CLOEXEC) == 0) {
        program = fork();
        if (program == 0)
            become(p, failed[1], keeper);
    }
    if (program < 0) {
        say(report, KEEPER_CANNOT, errno);
        return 0;
    }
    setpgid(program, program); // whoever of the two comes first
    close(failed[1]);
    if (read(failed[0], &reason, sizeof reason) == (ssize_t)sizeof reason) {
        say(report, KEEPER_CANNOT, reason);
        return 0;
    }
    close(failed[0]);
    say(report, KEEPER_STARTED, program);
    return program;
}

// ---- everything that comes of it ----

// Kills the children of this process's only thread, which are named in a file of its own. False: there is no such file
// (a kernel without CONFIG_PROC_CHILDREN).
static bool kill_children(void) {
    char names[4096];
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, names, sizeof names - 1);
    close(fd);
    names[n > 0 ? n : 0] = 0;
    // A blank follows each name; where the last one is cut short it has none, and its turn is the next time.
    for (char *at = names, *end; (end = strchr(at, ' ')) != NULL; at = end + 1)
        kill((pid_t)strtol(at, NULL, 10), SIGKILL);
    return true;
}

// Returns when this process has no child: those of killed ones have become its own meanwhile.
static void end_all(pid_t program, int *wait_status) {
    kill(-program, SIGKILL); // also when it has ended: a zombie keeps its group
    for (;;) {
        int status;
        bool all = kill_children();
        pid_t child = waitpid(-1, &status, 0);
        if (child == program)
            *wait_status = status;
        if ((child < 0 && errno == ECHILD) || (child == program && !all))
            return;
    }
}

// The program's end is seen and left as it is (WNOWAIT), so that its number stays taken.
static bool has_ended(pid_t program, int *wait_status) {
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)program, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != program)
        return false;
    bool dumped = info.si_code == CLD_DUMPED;
    *wait_status = info.si_code == CLD_EXITED ? W_EXITCODE(info.si_status, 0)
                                              : W_EXITCODE(0, info.si_status) | (dumped ? WCOREFLAG : 0);
    return true;
}

// Takes in orphans that have ended by themselves, else they would stay zombies for as long as the program runs.
static void bury_orphans(pid_t program) {
    siginfo_t info = {0};
    while (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid > 0 && info.si_pid != program) {
        waitpid(info.si_pid, NULL, 0);
        info = (siginfo_t){0};
    }
}

static void watch(pid_t program, int life, int children, int report) {
    bool ended = false;
    int wait_status = 0;
    for (;;) {
        struct pollfd p[2] = {{.fd = life, .events = POLLIN}, {.fd = ended ? -1 : children, .events = POLLIN}};
        if (poll(p, 2, -1) < 0)
            continue;
        if (p[0].revents)
            break;
        struct signalfd_siginfo told;
        while (read(children, &told, sizeof told) > 0) {
        }
        bury_orphans(program);
        ended = has_ended(program, &wait_status);
        if (ended)
            say(report, KEEPER_ENDED, wait_status);
    }
    end_all(program, &wait_status);
    if (!ended)
        say(report, KEEPER_ENDED, wait_status);
}

noreturn void command_keeper_run(const struct keeper_program *program, int life, int report) {
    setpgid(0, 0); // not among those whom a terminal or a launcher signals
    if (program->log != TRAINER_SOCKET)
        close(TRAINER_SOCKET); // the agent must see the end of it when the trainer ends
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    prctl(PR_SET_NAME, "gridfold keeper");
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    int children = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (children < 0) {
        say(report, KEEPER_CANNOT, errno);
        _exit(1);
    }
    pid_t started = start(program, report);
    close(program->output); // its end must be seen by the trainer
    if (started > 0)
        watch(started, life, children, report);
    _exit(0);
}
