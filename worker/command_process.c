#include "worker/command_process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

// A vector of pointers into a copy of lines, NULL at the end.
struct lines {
    char *text;
    char **at;
    size_t count;
};

static void lines_free(struct lines *l) {
    free(l->text);
    free(l->at);
}

static bool lines_split(const char *text, size_t room, struct lines *l) {
    size_t count = 0;
    for (const char *c = text; *c; c++)
        count += *c == '\n';
    *l = (struct lines){strdup(text), calloc(count + room + 1, sizeof *l->at), 0};
    if (!l->text || !l->at)
        return false;
    for (char *line = l->text; l->count < count; line += strlen(line) + 1) {
        *strchr(line, '\n') = '\0';
        l->at[l->count++] = line;
    }
    return true;
}

// This process's variables where none of the same name is added.
static bool environment_create(const char *variables, struct lines *l) {
    size_t count = 0;
    while (environ[count])
        count++;
    if (!lines_split(variables, count, l))
        return false;
    size_t added = l->count;
    for (size_t i = 0; i < count; i++) {
        size_t name = strcspn(environ[i], "=") + 1;
        bool replaced = false;
        for (size_t j = 0; j < added && !replaced; j++)
            replaced = strncmp(environ[i], l->at[j], name) == 0;
        if (!replaced)
            l->at[l->count++] = environ[i];
    }
    return true;
}

static void move(int from, int to) {
    if (from == to)
        fcntl(to, F_SETFD, 0);
    else
        dup2(from, to);
}

// In the child, between fork and exec: calls that are safe there.
static void become(char **arguments, char **variables, int output, int log, int report, pid_t parent) {
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
    move(output, 1);
    move(log, 2);
    // What else is open closes at exec: every descriptor of gridfold's is close-on-exec, but for the trainer's socket.
    fcntl(3, F_SETFD, FD_CLOEXEC);
    environ = variables;
    execvp(arguments[0], arguments);
    int reason = errno;
    (void)!write(report, &reason, sizeof reason);
    _exit(127);
}

// Both ends clear of 0 .. 3, which the child fills anew.
static bool make_pipe(int ends[2]) {
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 10);
        close(low[i]);
    }
    if (ends[0] >= 0 && ends[1] >= 0)
        return true;
    close(ends[0]);
    close(ends[1]);
    return false;
}

static enum status start(struct command_process *p, char **arguments, char **variables, int log, struct error *err) {
    int output[2], report[2], reason = 0;
    if (!make_pipe(output))
        return error_set(err, STATUS_IO, "cannot make a pipe: %s", strerror(errno));
    if (!make_pipe(report)) {
        close(output[0]);
        close(output[1]);
        return error_set(err, STATUS_IO, "cannot make a pipe: %s", strerror(errno));
    }
    pid_t parent = getpid();
    p->pid = fork();
    if (p->pid == 0)
        become(arguments, variables, output[1], log, report[1], parent);
    int fork_error = errno;
    close(output[1]);
    close(report[1]);
    p->output = output[0];
    if (p->pid > 0)
        setpgid(p->pid, p->pid); // whoever of the two comes first
    bool failed = p->pid < 0 || read(report[0], &reason, sizeof reason) == (ssize_t)sizeof reason;
    close(report[0]);
    if (!failed) {
        fcntl(p->output, F_SETFL, O_NONBLOCK);
        return STATUS_OK;
    }
    close(p->output);
    p->output = -1;
    if (p->pid < 0)
        return error_set(err, STATUS_IO, "cannot start a process: %s", strerror(fork_error));
    waitpid(p->pid, NULL, 0);
    return error_set(err, STATUS_NOT_FOUND, "cannot run %s: %s", arguments[0], strerror(reason));
}

enum status command_process_start(struct command_process *p, const char *arguments, const char *variables, int log,
                                  struct error *err) {
    struct lines words = {0}, environment = {0};
    *p = (struct command_process){.output = -1};
    enum status status = lines_split(arguments, 0, &words) && environment_create(variables, &environment)
                             ? STATUS_OK
                             : error_memory(err, "a program's arguments");
    if (status == STATUS_OK)
        status = start(p, words.at, environment.at, log, err);
    if (status != STATUS_OK)
        p->pid = 0;
    lines_free(&words);
    lines_free(&environment);
    return status;
}

void command_process_signal(const struct command_process *p, int number) {
    if (p->pid > 0)
        kill(-p->pid, number);
}

bool command_process_reap(struct command_process *p) {
    if (p->pid > 0 && !p->dead)
        p->dead = waitpid(p->pid, &p->wait_status, WNOHANG) == p->pid;
    return p->dead;
}

void command_process_close(struct command_process *p) {
    command_process_signal(p, SIGKILL);
    if (p->pid > 0 && !p->dead)
        p->dead = waitpid(p->pid, &p->wait_status, 0) == p->pid;
    if (p->output >= 0)
        close(p->output);
    p->output = -1;
    p->pid = 0;
}
