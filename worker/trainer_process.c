#include "worker/trainer_process.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "model/base/clock.h"
#include "worker/group.h"
#include "worker/protocol.h"
#include "worker/trial_run.h"

static const double HEARTBEAT_SECONDS = 1;
enum { GRACE_SECONDS = 1 };

struct process {
    int fd;
    group *group; // the trainers that this one has started; NULL: none yet
    struct inbox inbox;
    bool closed; // the other end is gone
    bool stop;
    const char *trial; // id of the running trial
    int attempt;
    int epochs, steps; // done in it: epochs, and steps since the last one
    double spoke;      // when the last message went out
    double stoppable;  // when it could last be stopped; 0: not yet
    double pause;      // the longest time between two such moments of the trial
};

// SIGTERM to a trainer, as a batch system sends it to every process of a job, is a stop for good.
static volatile sig_atomic_t terminated;

static void on_terminate(int number) {
    (void)number;
    terminated = 1;
}

// Blocks until all is sent: the agent always reads.
static void send_frame(struct process *p, const char *frame, size_t bytes) {
    while (bytes > 0 && !p->closed) {
        ssize_t n = send(p->fd, frame, bytes, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            p->closed = true;
            break;
        }
        frame += n;
        bytes -= (size_t)n;
    }
}

static void say(struct process *p, struct message *m) {
    if (p->trial)
        snprintf(m->trial, sizeof m->trial, "%s", p->trial);
    m->attempt = p->attempt;
    char *frame;
    size_t bytes;
    struct error err;
    if (message_encode(m, &frame, &bytes, &err) != STATUS_OK) {
        fprintf(stderr, "trainer: %s\n", err.message);
        p->closed = true; // the agent sees the end of the stream and takes the trial for lost
        return;
    }
    send_frame(p, frame, bytes);
    free(frame);
    p->spoke = clock_seconds();
}

// Takes in what has arrived, waiting for it when `wait`. False: the stream has ended or is broken.
static bool take_in(struct process *p, bool wait) {
    char chunk[4096];
    ssize_t n;
    do
        n = recv(p->fd, chunk, sizeof chunk, wait ? 0 : MSG_DONTWAIT);
    while (n < 0 && errno == EINTR && !terminated);
    if (n < 0 && errno == EINTR)
        return true;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return true;
    struct error err;
    if (n <= 0 || inbox_add(&p->inbox, chunk, (size_t)n, &err) != STATUS_OK) {
        p->closed = true;
        return false;
    }
    return true;
}

static void report_epoch(void *context, const struct trial *trial, const struct epoch_metrics *metrics, bool replayed,
                         double seconds) {
    (void)trial;
    struct message m = {.kind = MESSAGE_EPOCH};
    m.epoch = (struct message_epoch){.metrics = *metrics, .replayed = replayed, .seconds = seconds};
    struct process *p = context;
    p->epochs = metrics->epoch + 1;
    p->steps = 0;
    say(p, &m);
}

static void note_stoppable(struct process *p) {
    double t = clock_seconds();
    if (p->stoppable > 0 && t - p->stoppable > p->pause)
        p->pause = t - p->stoppable;
    p->stoppable = t;
}

static bool must_stop(void *context) {
    struct process *p = context;
    note_stoppable(p);
    struct error err;
    struct message m;
    bool got = true;
    take_in(p, false);
    while (got && !p->closed) {
        if (inbox_take(&p->inbox, &m, &got, &err) != STATUS_OK) {
            fprintf(stderr, "trainer: %s\n", err.message);
            p->closed = true;
        } else if (got && m.kind == MESSAGE_STOP) {
            p->stop = true;
        }
    }
    return p->stop || p->closed || terminated;
}

// The first step is told at once: compiling and reading are over.
static void report_alive(void *context) {
    struct process *p = context;
    bool first = ++p->steps == 1;
    if (!first && clock_seconds() - p->spoke < HEARTBEAT_SECONDS)
        return;
    struct message m = {.kind = MESSAGE_HEARTBEAT,
                        .heartbeat = {.epoch = p->epochs, .step = p->steps, .pause = p->pause}};
    say(p, &m);
}

static enum loss_cause cause_of(enum status status) {
    return status == STATUS_MEMORY ? LOSS_MEMORY : status == STATUS_IO ? LOSS_WRITE : LOSS_CRASH;
}

// The trial's group, which stays from trial to trial, and the assignment to its members.
static enum status assign_members(struct process *p, struct message *order, struct error *err) {
    struct trial *trial = &order->assign.trial;
    bool wanted = trial->members > 1 && trial->program.kind == TRAINER_EMBEDDED;
    trial->together = NULL;
    if (!wanted || (p->group && group_collectives(p->group)->members != trial->members)) {
        group_destroy(p->group);
        p->group = NULL;
    }
    if (!wanted)
        return STATUS_OK;
    if (!p->group)
        TRY(group_start(&order->assign, &p->group, err));
    TRY(group_assign(p->group, order, err));
    trial->together = group_collectives(p->group);
    return STATUS_OK;
}

// False when no result could be established: the process should make way for a fresh one.
static bool run_trial(struct process *p, trainer *t, struct message *order) {
    const struct trial *trial = &order->assign.trial;
    struct trainer_hooks hooks = {.context = p, .epoch = report_epoch, .stop = must_stop, .alive = report_alive};
    p->trial = trial->id;
    p->attempt = order->attempt;
    p->epochs = p->steps = 0;
    p->stoppable = p->pause = 0;
    p->stop = false;
    struct error err = {0};
    struct message m = {.kind = MESSAGE_RESULT};
    enum status assigned = assign_members(p, order, &err);
    bool ok = assigned == STATUS_OK && trial_run(t, trial, &hooks, &m.result, &err) == STATUS_OK;
    if (!ok) {
        fprintf(stderr, "trainer: trial %s: %s\n", trial->id, err.message);
        memset(&m, 0, sizeof m);
        m.kind = MESSAGE_LOST;
        m.cause = assigned == STATUS_IO ? LOSS_START : cause_of(err.status);
        snprintf(m.reason, sizeof m.reason, "%s", err.message);
    }
    say(p, &m);
    p->trial = NULL;
    p->attempt = 0;
    return ok;
}

static int serve(struct process *p, trainer *t) {
    static struct message m; // 6 KiB
    while (!p->closed && !terminated) {
        struct error err;
        bool got;
        if (inbox_take(&p->inbox, &m, &got, &err) != STATUS_OK) {
            fprintf(stderr, "trainer: %s\n", err.message);
            return 1;
        }
        if (!got)
            take_in(p, true);
        else if (m.kind == MESSAGE_ASSIGN && !run_trial(p, t, &m))
            return 1;
    }
    return 0;
}

// True when the parent that opened the socket has already gone: then no death signal will come.
static bool orphaned(int fd) {
    struct ucred peer;
    socklen_t size = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.pid > 0 && peer.pid != getppid();
}

int trainer_process_run(int fd) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "gridfold-train");
    if (orphaned(fd))
        return 0;
    struct sigaction action = {.sa_handler = on_terminate};
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    struct error err;
    trainer *t;
    if (trainer_create(&t, &err) != STATUS_OK) {
        fprintf(stderr, "trainer: %s\n", err.message);
        return 1;
    }
    struct process p = {.fd = fd};
    say(&p, &(struct message){.kind = MESSAGE_HEARTBEAT}); // what ends it from here on is no failure to start
    int code = serve(&p, t);
    inbox_free(&p.inbox);
    group_destroy(p.group);
    trainer_destroy(t);
    return code;
}

// ---- another member of a group ----

static void ignore_epoch(void *context, const struct trial *trial, const struct epoch_metrics *metrics, bool replayed,
                         double seconds) {
    (void)context, (void)trial, (void)metrics, (void)replayed, (void)seconds;
}

// Trial by trial, until member 0 has gone, or there is a failure that is this member's alone.
static enum status serve_group(group *g, trainer *t, struct error *err) {
    static struct message order;
    struct trainer_hooks hooks = {.epoch = ignore_epoch};
    for (;;) {
        struct trial_result result;
        enum status status = group_next(g, &order, err);
        if (status != STATUS_OK)
            return status == STATUS_LOST ? STATUS_OK : status;
        order.assign.trial.together = group_collectives(g);
        TRY(trial_run(t, &order.assign.trial, &hooks, &result, err));
    }
}

int trainer_process_run_member(int fd) {
    struct error err;
    group *g = NULL;
    trainer *t = NULL;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_NAME, "gridfold-member");
    signal(SIGTERM, SIG_IGN); // a batch system's; member 0 has got it, too
    if (orphaned(fd))
        return 0;
    enum status status = trainer_create(&t, &err);
    if (status == STATUS_OK)
        status = group_enter(fd, &g, &err);
    if (status == STATUS_OK)
        status = serve_group(g, t, &err);
    if (status != STATUS_OK) { // to take things down could wait for ever for a device, and member 0 for this one
        fprintf(stderr, "trainer: member %d: %s\n", g ? group_collectives(g)->member : 0, err.message);
        if (g) // a failure that all have agreed on is member 0's to tell, and its end ends this process
            group_outlast(g, GRACE_SECONDS);
        _exit(status == STATUS_MEMORY ? TRAINER_EXIT_MEMORY : status == STATUS_IO ? TRAINER_EXIT_IO : 1);
    }
    group_destroy(g);
    trainer_destroy(t);
    return 0;
}
