#include "worker/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "model/base/clock.h"
#include "worker/agent_spawn.h"
#include "worker/silence.h"
#include "worker/trainer_process.h"

enum stop_stage { RUNNING, ASKED, TERMINATED, KILLED };

struct agent {
    struct agent_config config;
    pid_t pid; // 0: no trainer
    int fd;
    bool dead; // reaped, with this wait status
    int wait_status;
    struct inbox inbox;
    char *unsent; // what the socket did not take yet
    size_t unsent_bytes;
    char trial[TRIAL_ID_SIZE]; // "" : none
    int attempt;
    int threads; // what the trainer was started with
    bool crowded;
    char gpus[PROTOCOL_GPUS_SIZE];
    char log[PATH_SIZE];
    off_t log_start;        // size of the log when the trial began
    double heard;           // when the trainer last spoke, or was last spoken to
    bool has_spoken;        // since it was started
    long oom_kills;         // of the kernel, when the trial began
    struct silence silence; // of the running trial
    struct {
        double pause; // as in its heartbeats
        int epochs, steps;
    } progress; // of the running trial
    enum stop_stage stage;
    double stage_began;
    bool hung;
    enum loss_cause trouble_cause;    // of `trouble`
    char trouble[ERROR_MESSAGE_SIZE]; // what to report as lost although nothing died
};

enum status agent_create(const struct agent_config *config, agent **out, struct error *err) {
    agent *a = calloc(1, sizeof *a);
    if (!a)
        return error_memory(err, "agent");
    a->config = *config;
    a->fd = -1;
    if (a->config.stop_seconds <= 0)
        a->config.stop_seconds = 60;
    if (a->config.kill_seconds <= 0)
        a->config.kill_seconds = 2;
    *out = a;
    return STATUS_OK;
}

// Forgets the trainer; it has been reaped or never was.
static void forget_trainer(agent *a) {
    if (a->fd >= 0)
        close(a->fd);
    a->fd = -1;
    a->pid = 0;
    a->dead = false;
    inbox_free(&a->inbox);
    free(a->unsent);
    a->unsent = NULL;
    a->unsent_bytes = 0;
}

static void reap(agent *a) {
    if (a->pid && !a->dead)
        a->dead = waitpid(a->pid, &a->wait_status, WNOHANG) > 0;
}

// A process that hangs in the kernel is left behind after a while: its death signal is on its way.
static void kill_trainer(agent *a) {
    static const struct timespec pause = {.tv_nsec = 1000000};
    if (a->pid && !a->dead)
        kill(a->pid, SIGKILL);
    for (int i = 0; i < 3000; i++) {
        reap(a);
        if (!a->pid || a->dead)
            break;
        nanosleep(&pause, NULL);
    }
    forget_trainer(a);
}

void agent_destroy(agent *a) {
    if (!a)
        return;
    kill_trainer(a);
    free(a);
}

static void set_stage(agent *a, enum stop_stage stage) {
    a->stage = stage;
    a->stage_began = clock_seconds();
}

// Sends as much of `unsent` as the socket takes.
static void flush(agent *a) {
    size_t sent = 0;
    while (a->fd >= 0 && sent < a->unsent_bytes) {
        ssize_t n = send(a->fd, a->unsent + sent, a->unsent_bytes - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break; // full, or the trainer is gone, which reaping will tell
        sent += (size_t)n;
    }
    if (sent > 0)
        memmove(a->unsent, a->unsent + sent, a->unsent_bytes - sent);
    a->unsent_bytes -= sent;
}

static enum status send_message(agent *a, const struct message *m, struct error *err) {
    char *frame;
    size_t bytes;
    TRY(message_encode(m, &frame, &bytes, err));
    char *grown = realloc(a->unsent, a->unsent_bytes + bytes);
    if (!grown) {
        free(frame);
        return error_memory(err, "message to the trainer");
    }
    memcpy(grown + a->unsent_bytes, frame, bytes);
    free(frame);
    a->unsent = grown;
    a->unsent_bytes += bytes;
    flush(a);
    return STATUS_OK;
}

static enum status start_trainer(agent *a, const struct message_assign *assign, struct error *err) {
    static const char *const usual[] = {"trainer", NULL};
    struct spawn_config config = {
        .program = a->config.program ? a->config.program : "/proc/self/exe",
        .arguments = a->config.arguments ? a->config.arguments : usual,
        .log = assign->log,
        .threads = assign->trial.threads,
        .crowded = assign->crowded,
        .gpus = assign->gpus,
    };
    TRY(spawn_trainer(&config, &a->pid, &a->fd, err));
    a->has_spoken = false;
    a->threads = assign->trial.threads;
    a->crowded = assign->crowded;
    memcpy(a->gpus, assign->gpus, sizeof a->gpus);
    snprintf(a->log, sizeof a->log, "%s", assign->log);
    return STATUS_OK;
}

enum status agent_assign(agent *a, const struct message *order, struct error *err) {
    const struct message_assign *assign = &order->assign;
    if (a->trial[0])
        return error_set(err, STATUS_INVALID, "trial %s assigned while %s is running", order->trial, a->trial);
    snprintf(a->trial, sizeof a->trial, "%s", assign->trial.id);
    a->attempt = order->attempt;
    a->hung = false;
    a->trouble[0] = 0;
    memset(&a->progress, 0, sizeof a->progress);
    silence_begin(&a->silence, a->config.hang_seconds > 0 ? a->config.hang_seconds : assign->hang_seconds);
    set_stage(a, RUNNING);
    // Threads are counted, and GPUs found, once in the life of a process.
    reap(a);
    if (a->dead || a->threads != assign->trial.threads || a->crowded != assign->crowded ||
        strcmp(a->gpus, assign->gpus) != 0)
        kill_trainer(a);
    a->log_start = spawn_log_size(a->pid ? a->log : assign->log); // before the trainer can have a word about this trial
    a->oom_kills = spawn_oom_kills();
    struct error why;
    enum status status = a->pid ? STATUS_OK : start_trainer(a, assign, &why);
    a->trouble_cause = LOSS_START;
    if (status == STATUS_OK)
        status = send_message(a, order, &why);
    if (status == STATUS_MEMORY)
        a->trouble_cause = LOSS_MEMORY;
    if (status != STATUS_OK)
        snprintf(a->trouble, sizeof a->trouble, "%s", why.message);
    a->heard = clock_seconds();
    return STATUS_OK;
}

void agent_stop(agent *a) {
    if (!a->trial[0] || a->stage != RUNNING)
        return;
    struct message m = {.kind = MESSAGE_STOP};
    struct error err;
    set_stage(a, ASKED);
    if (send_message(a, &m, &err) != STATUS_OK)
        agent_kill(a);
}

void agent_release(agent *a) {
    if (!a->trial[0])
        kill_trainer(a);
}

void agent_kill(agent *a) {
    if (a->pid && !a->dead)
        kill(a->pid, SIGKILL);
    set_stage(a, KILLED);
}

// A message of the running trial has come.
static void note_progress(agent *a, const struct message *m) {
    bool trained = false;
    if (m->kind == MESSAGE_EPOCH) {
        trained = !m->epoch.replayed;
        a->progress.epochs = m->epoch.metrics.epoch + 1;
        a->progress.steps = 0;
    } else {
        a->progress.epochs = m->heartbeat.epoch;
        a->progress.steps = m->heartbeat.step;
        a->progress.pause = m->heartbeat.pause;
    }
    silence_sign(&a->silence, clock_seconds(), trained, a->progress.steps);
}

static void escalate(agent *a) {
    double t = clock_seconds();
    if (!a->trial[0] || a->dead)
        return;
    if (a->stage == ASKED && t - a->stage_began > a->config.stop_seconds) {
        kill(a->pid, SIGTERM);
        set_stage(a, TERMINATED);
    } else if (a->stage == TERMINATED && t - a->stage_began > a->config.kill_seconds) {
        kill(a->pid, SIGKILL);
        set_stage(a, KILLED);
    } else if (!a->hung && t - a->heard > silence_limit(&a->silence)) {
        kill(a->pid, SIGKILL);
        a->hung = true;
    }
}

// Reads what the trainer has written; false at the end of the stream.
static bool take_in(agent *a) {
    char chunk[16384];
    struct error err;
    for (;;) {
        ssize_t n = recv(a->fd, chunk, sizeof chunk, MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return true;
        if (n <= 0 || inbox_add(&a->inbox, chunk, (size_t)n, &err) != STATUS_OK)
            return false;
        a->heard = clock_seconds();
        a->has_spoken = true;
    }
}

static void report_end(agent *a, enum message_kind kind, struct message *report) {
    *report = (struct message){.kind = kind, .attempt = a->attempt};
    snprintf(report->trial, sizeof report->trial, "%s", a->trial);
    a->trial[0] = 0;
}

static const char *what_a_member_says(int code) {
    return code == TRAINER_EXIT_MEMORY ? " (one of its group is out of memory)"
           : code == TRAINER_EXIT_IO   ? " (one of its group cannot read or write)"
                                       : "";
}

static enum loss_cause cause_of_death(const agent *a, int wait_status, const char *words) {
    int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : 0;
    bool killed = (WIFSIGNALED(wait_status) && WTERMSIG(wait_status) == SIGKILL) || code == TRAINER_EXIT_MEMBER_KILLED;
    if (a->hung)
        return LOSS_HANG;
    if ((killed && spawn_oom_kills() > a->oom_kills) || code == TRAINER_EXIT_MEMORY || spawn_speaks_of_memory(words))
        return LOSS_MEMORY;
    if (code == TRAINER_EXIT_IO)
        return LOSS_WRITE;
    return a->has_spoken ? LOSS_CRASH : LOSS_START;
}

// The trainer has ended with `wait_status`: says so when a trial went down with it.
static bool report_death(agent *a, struct message *report) {
    int wait_status = a->wait_status;
    forget_trainer(a);
    if (!a->trial[0])
        return false;
    bool wanted = a->stage != RUNNING;
    report_end(a, wanted ? MESSAGE_STOPPED : MESSAGE_LOST, report);
    char words[ERROR_MESSAGE_SIZE / 2];
    spawn_last_words(a->log, a->log_start, words, sizeof words);
    if (!wanted)
        report->cause = cause_of_death(a, wait_status, words);
    char how[128];
    if (a->hung)
        snprintf(how, sizeof how,
                 "trainer silent for %.0f s in epoch %d after step %d (until then %.1f s at most): killed",
                 silence_limit(&a->silence), a->progress.epochs, a->progress.steps, a->silence.longest);
    else if (WIFSIGNALED(wait_status))
        snprintf(how, sizeof how, "trainer killed by signal %d (%s)", WTERMSIG(wait_status),
                 strsignal(WTERMSIG(wait_status)));
    else
        snprintf(how, sizeof how, "trainer ended with exit code %d%s", WEXITSTATUS(wait_status),
                 what_a_member_says(WEXITSTATUS(wait_status)));
    snprintf(report->reason, sizeof report->reason, "%s%s%s", how, words[0] ? ": " : "", words);
    return true;
}

// Takes messages until one is worth a report.
static bool next_report(agent *a, struct message *report) {
    struct error err;
    bool got = true;
    while (got) {
        enum status status = inbox_take(&a->inbox, report, &got, &err);
        if (status != STATUS_OK) {
            a->trouble_cause = status == STATUS_MEMORY ? LOSS_MEMORY : LOSS_PROTOCOL;
            snprintf(a->trouble, sizeof a->trouble, "%s", err.message);
            return false;
        }
        if (!got || !a->trial[0] || strcmp(report->trial, a->trial) != 0)
            continue;
        if (report->kind == MESSAGE_EPOCH || report->kind == MESSAGE_HEARTBEAT)
            note_progress(a, report);
        if (report->kind == MESSAGE_EPOCH)
            return true;
        if (report->kind == MESSAGE_RESULT || report->kind == MESSAGE_LOST) {
            a->trial[0] = 0;
            if (report->kind == MESSAGE_LOST) // it is leaving: the next trial must not be handed to it
                kill_trainer(a);
            return true;
        }
    }
    return false;
}

static void move_bytes(agent *a) {
    if (!a->pid || a->dead)
        return;
    flush(a);
    escalate(a);
    reap(a); // before reading: what it wrote before it died is then all there
    if (!take_in(a) && !a->dead)
        kill(a->pid, SIGKILL); // it has closed its end; reaped at a later call
}

bool agent_poll(agent *a, struct message *report) {
    move_bytes(a);
    if (a->pid && next_report(a, report))
        return true;
    if (a->trouble[0] && a->trial[0]) {
        kill_trainer(a);
        report_end(a, MESSAGE_LOST, report);
        report->cause = a->trouble_cause;
        snprintf(report->reason, sizeof report->reason, "%s", a->trouble);
        a->trouble[0] = 0;
        return true;
    }
    return a->dead && report_death(a, report);
}

const char *agent_trial(const agent *a) {
    return a->trial;
}

int agent_attempt(const agent *a) {
    return a->attempt;
}

double agent_pause(const agent *a) {
    return a->trial[0] ? a->progress.pause : 0;
}

int agent_descriptor(const agent *a) {
    return a->fd;
}

long agent_pid(const agent *a) {
    return (long)a->pid;
}
