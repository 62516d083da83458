#include "worker/command_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/command_keeper.h"

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

// Both ends clear of 0 .. 3, which the child fills anew. What is not made stays -1.
static bool make_pipe(int ends[2]) {
    int low[2];
    if (pipe2(low, O_CLOEXEC) != 0)
        return false;
    for (int i = 0; i < 2; i++) {
        ends[i] = fcntl(low[i], F_DUPFD_CLOEXEC, 10);
        close(low[i]);
    }
    return ends[0] >= 0 && ends[1] >= 0;
}

// All pipes between a trainer and its keeper and program, by what they carry.
struct pipes {
    int output[2], life[2], report[2];
};

static void pipes_close(const struct pipes *p) {
    const int *all[] = {p->output, p->life, p->report};
    for (int i = 0; i < 6; i++)
        if (all[i / 2][i % 2] >= 0)
            close(all[i / 2][i % 2]);
}

static enum status pipes_make(struct pipes *p, struct error *err) {
    *p = (struct pipes){{-1, -1}, {-1, -1}, {-1, -1}};
    if (make_pipe(p->output) && make_pipe(p->life) && make_pipe(p->report))
        return STATUS_OK;
    error_set(err, STATUS_IO, "cannot make a pipe: %s", strerror(errno));
    pipes_close(p);
    return err->status;
}

static bool hear(const struct command_process *p, struct keeper_report *r) {
    ssize_t n;
    do
        n = read(p->report, r, sizeof *r);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof *r; // so short a message of a pipe is never torn
}

static enum status start(struct command_process *p, const struct keeper_program *program, struct pipes *pipes,
                         struct error *err) {
    struct keeper_report first = {KEEPER_CANNOT, 0};
    p->keeper = fork();
    if (p->keeper == 0) {
        close(pipes->output[0]);
        close(pipes->life[1]);
        close(pipes->report[0]);
        command_keeper_run(program, pipes->life[0], pipes->report[1]);
    }
    int fork_error = errno;
    close(pipes->output[1]);
    close(pipes->life[0]);
    close(pipes->report[1]);
    p->output = pipes->output[0];
    p->life = pipes->life[1];
    p->report = pipes->report[0];
    if (p->keeper < 0)
        return error_set(err, STATUS_IO, "cannot start a process: %s", strerror(fork_error));
    if (!hear(p, &first))
        return error_set(err, STATUS_IO, "cannot start %s: the process that keeps it was killed",
                         program->arguments[0]);
    if (first.event != KEEPER_STARTED)
        return error_set(err, STATUS_NOT_FOUND, "cannot run %s: %s", program->arguments[0], strerror(first.value));
    p->program = first.value;
    fcntl(p->output, F_SETFL, O_NONBLOCK);
    return STATUS_OK;
}

enum status command_process_start(struct command_process *p, const char *arguments, const char *variables, int log,
                                  struct error *err) {
    struct lines words = {0}, environment = {0};
    struct pipes pipes;
    *p = (struct command_process){.output = -1, .life = -1, .report = -1};
    enum status status = lines_split(arguments, 0, &words) && environment_create(variables, &environment)
                             ? pipes_make(&pipes, err)
                             : error_memory(err, "a program's arguments");
    if (status == STATUS_OK) {
        struct keeper_program program = {words.at, environment.at, pipes.output[1], log};
        status = start(p, &program, &pipes, err);
    }
    if (status != STATUS_OK)
        command_process_close(p);
    lines_free(&words);
    lines_free(&environment);
    return status;
}

void command_process_signal(const struct command_process *p, int number) {
    if (p->program > 0)
        kill(-p->program, number);
}

// A keeper that ends without a word was killed, and its program with it.
static void take_end(struct command_process *p) {
    struct keeper_report r;
    p->dead = true;
    p->wait_status = hear(p, &r) && r.event == KEEPER_ENDED ? r.value : SIGKILL;
}

bool command_process_reap(struct command_process *p) {
    struct pollfd end = {.fd = p->report, .events = POLLIN};
    if (p->program > 0 && !p->dead && poll(&end, 1, 0) > 0)
        take_end(p);
    return p->dead;
}

void command_process_end(struct command_process *p) {
    if (p->life >= 0)
        close(p->life);
    p->life = -1;
}

void command_process_close(struct command_process *p) {
    command_process_end(p);
    if (p->program > 0 && !p->dead)
        take_end(p);
    if (p->keeper > 0)
        while (waitpid(p->keeper, NULL, 0) < 0 && errno == EINTR) {
        }
    if (p->output >= 0)
        close(p->output);
    if (p->report >= 0)
        close(p->report);
    p->output = p->report = -1;
    p->keeper = p->program = 0;
}
