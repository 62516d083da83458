#include "worker/command_trainer.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/base/clock.h"
#include "worker/agent_spawn.h"
#include "worker/command_process.h"
#include "worker/command_record.h"
#include "worker/trial_folder.h"

static const double STOP_SECONDS = 20; // from SIGTERM to SIGKILL
static const double TAIL_SECONDS = 1;  // for what children of a program that has ended still say
// ASK_AGAIN, NO_MEMORY: EX_TEMPFAIL and EX_OSERR of sysexits.h; OF_KILLED: what a shell ends with whose child was
// killed.
enum { POLL_MS = 100, ASK_AGAIN = 75, NO_MEMORY = 71, OF_KILLED = 128 + SIGKILL };

struct session {
    const struct trial *trial;
    const struct trainer_hooks *hooks;
    struct command_process process;
    struct command_output *output;
    struct command_record record;
    struct trial_folder folder;
    char log_path[PATH_SIZE];
    int log; // output.log of the trial
    bool stopping, killed;
    bool halted;    // asked to stop because it went on beyond `until`
    long oom_kills; // of the kernel, when it began
    double stop_began, epoch_began;
    enum status broken; // what it printed cannot be taken
    struct error why;
};

// ---- what it prints ----

static void tell(const struct session *s, const struct command_epoch *e, bool replayed, double seconds) {
    struct epoch_metrics m = {.epoch = e->epoch,
                              .lr = NAN,
                              .train_loss = NAN,
                              .train_iou = NAN,
                              .train_f1 = NAN,
                              .val_loss = NAN,
                              .val_iou = e->values[s->trial->program.metric],
                              .val_f1 = NAN,
                              .val_precision = NAN,
                              .val_recall = NAN,
                              .grad_norm = NAN,
                              .value_count = e->count};
    memcpy(m.values, e->values, sizeof m.values);
    s->hooks->epoch(s->hooks->context, s->trial, &m, replayed, seconds);
}

// How many of its epochs count by now: those beyond its rung are kept, where it can go on from them, and not told yet.
static int counted(const struct session *s) {
    int until = s->trial->until;
    return until > 0 && s->record.count > until ? until : s->record.count;
}

static bool has_come_to_its_end(const struct session *s) {
    return s->trial->until > 0 && s->record.count >= s->trial->until;
}

static enum status on_epoch(void *context, const struct command_epoch *e, struct error *err) {
    struct session *s = context;
    if (s->trial->program.resume && !command_output_numbers_epochs(s->output))
        return error_set(err, STATUS_INVALID, "resume = yes needs a column 'epoch' in what the program prints");
    TRY(command_record_add(&s->record, e, err));
    double t = clock_seconds();
    if (counted(s) == s->record.count)
        tell(s, e, false, t - s->epoch_began);
    s->epoch_began = t;
    return STATUS_OK;
}

static void on_other(void *context, const char *text, size_t bytes) {
    const struct session *s = context;
    (void)!write(s->log, text, bytes); // the log is for people: a full disk is noticed elsewhere
}

// Reads what is there; false at the end.
static bool take_in(struct session *s) {
    char chunk[16384];
    for (;;) {
        ssize_t n = read(s->process.output, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return true;
        if (n <= 0)
            return false;
        if (s->broken == STATUS_OK)
            s->broken = command_output_add(s->output, chunk, (size_t)n, &s->why);
    }
}

// ---- its life ----

static void ask_to_stop(struct session *s) {
    if (s->stopping)
        return;
    s->stopping = true;
    s->stop_began = clock_seconds();
    command_process_signal(&s->process, SIGTERM);
}

static void watch(struct session *s) {
    if (s->hooks->stop && s->hooks->stop(s->hooks->context))
        ask_to_stop(s);
    if (s->broken != STATUS_OK)
        command_process_signal(&s->process, SIGKILL);
    if (!s->stopping && counted(s) < s->record.count) { // one that heeds `until` is given the time to write
        s->halted = true;
        ask_to_stop(s);
    }
    if (s->stopping && !s->killed && clock_seconds() - s->stop_began > STOP_SECONDS) {
        command_process_signal(&s->process, SIGKILL);
        s->killed = true;
    }
    if (s->hooks->alive)
        s->hooks->alive(s->hooks->context);
}

static void wait_for_output(const struct session *s, bool open, int milliseconds) {
    struct pollfd p = {.fd = open ? s->process.output : -1, .events = POLLIN};
    (void)poll(&p, 1, milliseconds);
}

static void follow(struct session *s) {
    bool open = true;
    while (!command_process_reap(&s->process)) {
        // After the end of its output it is about to end itself.
        wait_for_output(s, open, open ? POLL_MS : 1);
        open = open && take_in(s);
        watch(s);
    }
    command_process_end(&s->process); // what it left behind
    for (double end = clock_seconds() + TAIL_SECONDS; open && clock_seconds() < end;) {
        open = take_in(s);
        if (open)
            wait_for_output(s, true, 10);
    }
    if (s->broken == STATUS_OK)
        s->broken = command_output_end(s->output, &s->why);
}

static enum status open_log(struct session *s, struct error *err) {
    TRY(file_make_directories(s->trial->folder, err));
    TRY(path_join(s->log_path, s->trial->folder, "output.log", err));
    s->log = open(s->log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    return s->log >= 0 ? STATUS_OK : error_set(err, STATUS_IO, "cannot write %s: %s", s->log_path, strerror(errno));
}

static enum status open_record(struct session *s, struct error *err) {
    char path[PATH_SIZE];
    if (!s->trial->program.resume)
        return STATUS_OK;
    TRY(path_join(path, s->trial->folder, "epochs.csv", err));
    TRY(command_record_open(&s->record, path, s->trial->program.metrics, err));
    for (int i = 0; i < counted(s); i++)
        tell(s, &s->record.at[i], true, 0);
    return STATUS_OK;
}

// `owner` stands in the folder from here until the trial has a result or has paused (run_folder_is_at_rest).
static enum status claim(struct session *s, struct error *err) {
    return s->trial->until > 0 ? trial_folder_claim(s->trial->folder, &s->folder, err) : STATUS_OK;
}

static enum status run_program(struct session *s, struct error *err) {
    struct command_sink sink = {s, on_epoch, on_other};
    char variables[PROGRAM_TEXT_SIZE + 64];
    TRY(claim(s, err));
    TRY(open_log(s, err));
    TRY(open_record(s, err));
    if (has_come_to_its_end(s)) // with what it told beyond its last rung
        return STATUS_OK;
    TRY(command_output_create(s->trial->program.metrics, &sink, &s->output, err));
    snprintf(variables, sizeof variables, "%sGRIDFOLD_EPOCHS=%d\n", s->trial->program.variables, s->record.count);
    s->epoch_began = clock_seconds();
    s->oom_kills = spawn_oom_kills();
    TRY(command_process_start(&s->process, s->trial->program.arguments, variables, s->log, err));
    follow(s);
    return STATUS_OK;
}

// ---- its result ----

static void fill_result(const struct session *s, struct trial_result *r) {
    const struct trial_program *p = &s->trial->program;
    *r = (struct trial_result){.status = TRIAL_DONE,
                               .best_iou = NAN,
                               .best_f1 = NAN,
                               .final_iou = NAN,
                               .train_val_gap = NAN,
                               .best_epoch = -1,
                               .epochs_run = counted(s)};
    for (int i = 0; i < counted(s); i++) {
        double value = s->record.at[i].values[p->metric];
        r->final_iou = value;
        bool better = r->best_epoch < 0 || (p->minimize ? value < r->best_iou : value > r->best_iou);
        if (!isfinite(value) || !better)
            continue;
        r->best_iou = value;
        r->best_epoch = s->record.at[i].epoch;
    }
}

static void fail(struct trial_result *r, enum trial_status status, const char *how, const char *words) {
    r->status = status;
    snprintf(r->error, sizeof r->error, "%.400s%s%.500s", how, *words ? ": " : "", words);
}

static void judge_end(const struct session *s, const char *words, struct trial_result *r) {
    char how[128 + METRICS_TEXT_SIZE];
    int code = s->halted ? 0 : WEXITSTATUS(s->process.wait_status);
    if (code == 0 && has_come_to_its_end(s) && s->trial->until < s->trial->program.epochs) {
        r->status = TRIAL_PAUSED;
    } else if (code != 0) {
        snprintf(how, sizeof how, "the program ended with exit code %d", code);
        fail(r, TRIAL_FAILED, how, words);
    } else if (s->record.count == 0) {
        snprintf(how, sizeof how, "the program printed no %s with the columns %s",
                 command_output_has_header(s->output) ? "line of numbers" : "header line", s->trial->program.metrics);
        fail(r, TRIAL_FAILED, how, words);
    } else if (r->best_epoch < 0) {
        fail(r, TRIAL_DIVERGED, "the metric was never a finite number", "");
    }
}

static bool ran_out_of_memory(const struct session *s, const char *words) {
    int w = s->process.wait_status;
    bool killed = (WIFSIGNALED(w) && WTERMSIG(w) == SIGKILL) || (WIFEXITED(w) && WEXITSTATUS(w) == OF_KILLED);
    if (killed && spawn_oom_kills() > s->oom_kills)
        return true;
    return w != 0 && ((WIFEXITED(w) && WEXITSTATUS(w) == NO_MEMORY) || spawn_speaks_of_memory(words));
}

static enum status out_of_memory(int w, const char *words, struct error *err) {
    char how[64];
    if (WIFSIGNALED(w))
        snprintf(how, sizeof how, "was killed by signal %d", WTERMSIG(w));
    else
        snprintf(how, sizeof how, "ended with exit code %d", WEXITSTATUS(w));
    return error_set(err, STATUS_MEMORY, "the program %s for want of memory%s%s", how, *words ? ": " : "", words);
}

// What became of a program that has run. An error: the trial is to be tried again.
static enum status conclude(struct session *s, off_t log_start, struct trial_result *r, struct error *err) {
    char words[ERROR_MESSAGE_SIZE / 2];
    int w = s->process.wait_status;
    fill_result(s, r);
    spawn_last_words(s->log_path, log_start, words, sizeof words);
    if (s->broken == STATUS_IO || s->broken == STATUS_MEMORY) {
        *err = s->why;
        return err->status;
    }
    if (s->broken != STATUS_OK)
        fail(r, TRIAL_FAILED, s->why.message, "");
    else if (s->stopping && !s->halted)
        r->status = TRIAL_INTERRUPTED;
    else if (!s->halted && ran_out_of_memory(s, words))
        return out_of_memory(w, words, err);
    else if (!s->halted && WIFSIGNALED(w))
        return error_set(err, STATUS_LOST, "the program was killed by signal %d (%s)%s%s", WTERMSIG(w),
                         strsignal(WTERMSIG(w)), *words ? ": " : "", words);
    else if (!s->halted && WEXITSTATUS(w) == ASK_AGAIN)
        return error_set(err, STATUS_LOST, "the program asked to be started again (exit code %d)%s%s", ASK_AGAIN,
                         *words ? ": " : "", words);
    else
        judge_end(s, words, r);
    return STATUS_OK;
}

enum status command_trainer_run(const struct trial *trial, const struct trainer_hooks *hooks,
                                struct trial_result *result, struct error *err) {
    struct session s = {.trial = trial, .hooks = hooks, .process.output = -1, .record.fd = -1, .log = -1};
    char log[PATH_SIZE];
    TRY(path_join(log, trial->folder, "output.log", err));
    off_t log_start = spawn_log_size(log);
    enum status status = run_program(&s, err);
    command_process_close(&s.process);
    if (status == STATUS_OK) {
        status = conclude(&s, log_start, result, err);
        if (status == STATUS_OK && trial->until > 0 && result->status != TRIAL_INTERRUPTED)
            unlink(s.folder.owner);
    } else if (status == STATUS_NOT_FOUND) { // no program: no other attempt will find it
        fill_result(&s, result);
        fail(result, TRIAL_FAILED, err->message, "");
        status = STATUS_OK;
    }
    command_output_destroy(s.output);
    command_record_close(&s.record);
    if (s.log >= 0)
        close(s.log);
    return status;
}
