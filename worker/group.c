#include "worker/group.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "worker/agent_spawn.h"
#include "worker/trainer_process.h"

enum {
    CHUNK_FLOATS = 1 << 18, // of a sum, at a time
    SOCKET_BYTES = 2 << 20,
    WORD_MS = 10000, // of waiting, between two words about it
    END_SECONDS = 2, // for a member to end by itself
};

struct group {
    struct collectives collectives;
    int fd[COLLECTIVES_MAX_MEMBERS]; // member 0: of each other member; else [0]: of member 0. -1: none
    float *chunk;                    // [CHUNK_FLOATS]
};

// What goes before the bytes of a collective: members that are out of step are told apart from those that are not.
struct head {
    uint32_t kind, member;
    uint64_t bytes;
};
enum kind { GATHER = 0x67617468, SUM = 0x73756d20, BROADCAST = 0x62726f61 };

// ---- the end of a member ----

static struct {
    volatile pid_t pid[COLLECTIVES_MAX_MEMBERS]; // 0: none
    volatile int members;
} family;

static size_t put_text(char *out, size_t used, const char *text) {
    while (*text)
        out[used++] = *text++;
    return used;
}

static size_t put_number(char *out, size_t used, int number) {
    if (number >= 10)
        used = put_number(out, used, number / 10);
    out[used++] = (char)('0' + number % 10);
    return used;
}

// What the agent is to learn of it from this process's own end.
static int exit_code(const siginfo_t *info) {
    if (info->si_code == CLD_EXITED)
        return info->si_status == TRAINER_EXIT_MEMORY || info->si_status == TRAINER_EXIT_IO ? info->si_status : 1;
    return info->si_status == SIGKILL ? TRAINER_EXIT_MEMBER_KILLED : 1;
}

// The one thing to do where a collective may be waiting for the dead in the kernel or on a device. Nothing here is
// forbidden to a signal handler.
static void end_with(int member, const siginfo_t *info) {
    char line[96];
    size_t used = put_text(line, 0, "trainer: member ");
    used = put_number(line, used, member);
    used = put_text(line, used, " of ");
    used = put_number(line, used, family.members);
    used = put_text(line, used, info->si_code == CLD_EXITED ? " ended with exit code " : " was ended by signal ");
    used = put_number(line, used, info->si_status);
    used = put_text(line, used, "\n");
    (void)!write(STDERR_FILENO, line, used);
    _exit(exit_code(info));
}

static void on_child(int number) {
    (void)number;
    int before = errno;
    for (int m = 1; m < family.members; m++) {
        siginfo_t info = {0};
        pid_t pid = family.pid[m];
        if (pid > 0 && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid)
            end_with(m, &info);
    }
    errno = before;
}

static void watch_children(bool on) {
    struct sigaction action = {.sa_handler = on ? on_child : SIG_DFL, .sa_flags = SA_NOCLDSTOP | SA_RESTART};
    sigemptyset(&action.sa_mask);
    sigaction(SIGCHLD, &action, NULL);
}

static void rest(long milliseconds) {
    struct timespec pause = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    nanosleep(&pause, NULL);
}

// ---- bytes ----

static bool is_first(const group *g) {
    return g->collectives.member == 0;
}

static enum status gone(const group *g, int peer, struct error *err) {
    if (is_first(g)) // its SIGCHLD, which says more, is on its way
        rest(1000L * END_SECONDS);
    return error_set(err, STATUS_LOST, "member %d of %d has closed its connection", peer, g->collectives.members);
}

static void say_waiting(const group *g, int peer, int seconds) {
    fprintf(stderr, "trainer: member %d of %d waits for member %d for %d s\n", g->collectives.member,
            g->collectives.members, peer, seconds);
}

// Moves `bytes` to or from another member, and waits as long as that takes.
static enum status move(const group *g, int peer, void *data, size_t bytes, bool out, struct error *err) {
    int fd = g->fd[peer], waited = 0;
    for (char *at = data; bytes > 0;) {
        ssize_t n = out ? send(fd, at, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) : recv(fd, at, bytes, MSG_DONTWAIT);
        if (n > 0) {
            at += n;
            bytes -= (size_t)n;
        } else if (n == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) {
            return gone(g, peer, err);
        } else if (errno != EINTR) {
            struct pollfd p = {.fd = fd, .events = out ? POLLOUT : POLLIN};
            if (poll(&p, 1, WORD_MS) == 0)
                say_waiting(g, peer, waited += WORD_MS / 1000);
        }
    }
    return STATUS_OK;
}

static enum status put(const group *g, int peer, const void *data, size_t bytes, struct error *err) {
    return move(g, peer, (void *)data, bytes, true, err);
}

static enum status take(const group *g, int peer, void *data, size_t bytes, struct error *err) {
    return move(g, peer, data, bytes, false, err);
}

// ---- collectives ----

static enum status put_head(const group *g, int peer, enum kind kind, size_t bytes, struct error *err) {
    struct head h = {kind, (uint32_t)g->collectives.member, bytes};
    return put(g, peer, &h, sizeof h, err);
}

static enum status take_head(const group *g, int peer, enum kind kind, size_t bytes, struct error *err) {
    struct head h;
    TRY(take(g, peer, &h, sizeof h, err));
    if (h.kind != kind || h.member != (uint32_t)peer || h.bytes != bytes)
        return error_set(err, STATUS_INTERNAL, "member %d of %d is out of step with member %d", peer,
                         g->collectives.members, g->collectives.member);
    return STATUS_OK;
}

static enum status gather(void *context, const void *mine, size_t bytes, void *all, struct error *err) {
    const group *g = context;
    int members = g->collectives.members;
    char *to = all;
    if (!is_first(g)) {
        TRY(put_head(g, 0, GATHER, bytes, err));
        TRY(put(g, 0, mine, bytes, err));
        return take(g, 0, all, bytes * (size_t)members, err);
    }
    memcpy(to, mine, bytes);
    for (int m = 1; m < members; m++) {
        TRY(take_head(g, m, GATHER, bytes, err));
        TRY(take(g, m, to + (size_t)m * bytes, bytes, err));
    }
    for (int m = 1; m < members; m++)
        TRY(put(g, m, all, bytes * (size_t)members, err));
    return STATUS_OK;
}

static enum status sum_chunk(const group *g, float *x, size_t n, struct error *err) {
    if (!is_first(g)) {
        TRY(put(g, 0, x, n * sizeof *x, err));
        return take(g, 0, x, n * sizeof *x, err);
    }
    for (int m = 1; m < g->collectives.members; m++) {
        TRY(take(g, m, g->chunk, n * sizeof *x, err));
        for (size_t i = 0; i < n; i++)
            x[i] += g->chunk[i];
    }
    for (int m = 1; m < g->collectives.members; m++)
        TRY(put(g, m, x, n * sizeof *x, err));
    return STATUS_OK;
}

static enum status sum(void *context, size_t n, float *x, struct error *err) {
    const group *g = context;
    if (!is_first(g))
        TRY(put_head(g, 0, SUM, n, err));
    for (int m = 1; is_first(g) && m < g->collectives.members; m++)
        TRY(take_head(g, m, SUM, n, err));
    for (size_t first = 0; first < n; first += CHUNK_FLOATS)
        TRY(sum_chunk(g, x + first, n - first < CHUNK_FLOATS ? n - first : CHUNK_FLOATS, err));
    return STATUS_OK;
}

static enum status broadcast(void *context, void *bytes, size_t count, struct error *err) {
    const group *g = context;
    if (!is_first(g)) {
        TRY(take_head(g, 0, BROADCAST, count, err));
        return take(g, 0, bytes, count, err);
    }
    for (int m = 1; m < g->collectives.members; m++) {
        TRY(put_head(g, m, BROADCAST, count, err));
        TRY(put(g, m, bytes, count, err));
    }
    return STATUS_OK;
}

// ---- life ----

static enum status create(int member, int members, group **out, struct error *err) {
    group *g = calloc(1, sizeof *g);
    float *chunk = malloc(CHUNK_FLOATS * sizeof *chunk);
    if (!g || !chunk) {
        free(g);
        free(chunk);
        return error_memory(err, "the group");
    }
    g->chunk = chunk;
    for (int m = 0; m < COLLECTIVES_MAX_MEMBERS; m++)
        g->fd[m] = -1;
    g->collectives = (struct collectives){
        .member = member, .members = members, .context = g, .gather = gather, .sum = sum, .broadcast = broadcast};
    *out = g;
    return STATUS_OK;
}

static void enlarge(int fd) {
    int bytes = SOCKET_BYTES; // as much of it as the system allows
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

static enum status start_member(group *g, const struct message_assign *assign, int member, struct error *err) {
    static const char *const arguments[] = {"trainer", "member", NULL};
    struct spawn_config config = {.program = "/proc/self/exe",
                                  .arguments = arguments,
                                  .log = assign->log,
                                  .threads = assign->trial.threads,
                                  .crowded = assign->crowded};
    pid_t pid = 0;
    enum status status = spawn_trainer(&config, &pid, &g->fd[member], err);
    if (status != STATUS_OK)
        return error_prefix(err, "member %d of %d", member, g->collectives.members);
    family.pid[member] = pid;
    enlarge(g->fd[member]);
    return STATUS_OK;
}

enum status group_start(const struct message_assign *assign, group **out, struct error *err) {
    group *g = NULL;
    int members = assign->trial.members;
    if (members > COLLECTIVES_MAX_MEMBERS)
        return error_set(err, STATUS_INVALID, "a group of %d members; at most %d", members, COLLECTIVES_MAX_MEMBERS);
    TRY(create(0, members, &g, err));
    family.members = members;
    watch_children(true);
    for (int m = 1; m < members; m++) {
        enum status status = start_member(g, assign, m, err);
        if (status != STATUS_OK) {
            group_destroy(g);
            return status;
        }
    }
    on_child(SIGCHLD); // one that has died before its number was known
    *out = g;
    return STATUS_OK;
}

enum status group_enter(int fd, group **g, struct error *err) {
    TRY(create(1, 0, g, err)); // until the first assignment says which
    (*g)->fd[0] = fd;
    enlarge(fd);
    return STATUS_OK;
}

// The others see the end of their streams and end by themselves; those that do not are ended.
void group_destroy(group *g) {
    if (!g)
        return;
    if (is_first(g))
        watch_children(false);
    for (int m = 0; m < COLLECTIVES_MAX_MEMBERS; m++)
        if (g->fd[m] >= 0)
            close(g->fd[m]);
    for (int m = 1; is_first(g) && m < g->collectives.members; m++) {
        pid_t pid = family.pid[m];
        family.pid[m] = 0;
        if (pid > 0)
            kill(pid, SIGKILL);
        if (pid > 0)
            (void)waitpid(pid, NULL, 0);
    }
    free(g->chunk);
    free(g);
}

enum status group_assign(group *g, const struct message *order, struct error *err) {
    static struct message copy; // large
    copy = *order;
    for (int m = 1; m < g->collectives.members; m++) {
        char *frame;
        size_t bytes;
        copy.assign.trial.member = m;
        TRY(message_encode(&copy, &frame, &bytes, err));
        enum status status = put(g, m, frame, bytes, err);
        free(frame);
        TRY(status);
    }
    return STATUS_OK;
}

void group_outlast(const group *g, int seconds) {
    struct pollfd p = {.fd = g->fd[0], .events = POLLRDHUP};
    (void)poll(&p, 1, 1000 * seconds);
}

// Byte for byte what the frame says: what follows it is no message.
enum status group_next(group *g, struct message *order, struct error *err) {
    unsigned char length[4];
    TRY(take(g, 0, length, sizeof length, err));
    size_t bytes = (size_t)length[0] | (size_t)length[1] << 8 | (size_t)length[2] << 16 | (size_t)length[3] << 24;
    if (bytes > PROTOCOL_MAX_FRAME)
        return error_set(err, STATUS_INTERNAL, "an assignment of %zu bytes", bytes);
    char *text = malloc(bytes + 1);
    if (!text)
        return error_memory(err, "an assignment");
    struct inbox inbox = {0};
    bool got = false;
    enum status status = take(g, 0, text, bytes, err);
    if (status == STATUS_OK)
        status = inbox_add(&inbox, length, sizeof length, err);
    if (status == STATUS_OK)
        status = inbox_add(&inbox, text, bytes, err);
    if (status == STATUS_OK)
        status = inbox_take(&inbox, order, &got, err);
    inbox_free(&inbox);
    free(text);
    TRY(status);
    if (!got || order->kind != MESSAGE_ASSIGN)
        return error_set(err, STATUS_INTERNAL, "member 0 has sent no assignment");
    g->collectives.member = order->assign.trial.member;
    g->collectives.members = order->assign.trial.members;
    return STATUS_OK;
}

const struct collectives *group_collectives(const group *g) {
    return &g->collectives;
}
