#include "orchestrator/progress.h"

#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "model/base/clock.h"
#include "worker/agent.h"

enum { LABEL_SIZE = 160, DURATION_SIZE = 32, MAX_SHOWN = 16, DEFAULT_COLUMNS = 100 };
static const double REDRAW_SECONDS = 0.25, LINE_SECONDS = 10;
// Trials of milliseconds are not told one by one: after so many lines only so many a second, and a sum now and then.
static const double LINES_AT_ONCE = 200, LINES_A_SECOND = 5, SUM_SECONDS = 5;

struct shown {
    bool active;
    char label[LABEL_SIZE];
    int fold, epochs, epochs_done;
    double val_iou, best_iou;
    double line_time; // of the last plain line about it
};

struct progress {
    FILE *out;
    bool redraw;
    int terminal;
    int worker_count, first_rank;
    struct shown *workers;
    struct progress_totals totals;
    double began, began_work; // when work_left was first known, and what it was
    const struct sweep_program *program;
    double lines_left, lines_time; // how many may still be written, as of when
    double summed;                 // when the last sum was written
    double drawn;
    int drawn_lines; // that stand on the terminal and will be overwritten
};

enum status progress_create(FILE *out, int terminal, int workers, int first_rank, const struct sweep_program *program,
                            progress **result, struct error *err) {
    progress *p = calloc(1, sizeof *p);
    struct shown *shown = calloc((size_t)workers + 1, sizeof *shown);
    if (!p || !shown) {
        free(p);
        free(shown);
        return error_memory(err, "progress display");
    }
    *p = (struct progress){.out = out,
                           .redraw = terminal >= 0,
                           .terminal = terminal,
                           .worker_count = workers,
                           .first_rank = first_rank,
                           .workers = shown,
                           .program = program,
                           .lines_left = LINES_AT_ONCE,
                           .lines_time = clock_seconds(),
                           .began = -1};
    *result = p;
    return STATUS_OK;
}

int progress_find_terminal(bool under_mpi) {
    enum { GENERATIONS = 4 };
    if (!isatty(STDOUT_FILENO))
        return -1;
    if (!under_mpi)
        return dup(STDOUT_FILENO);
    long pid = getpid();
    for (int i = 0; i < GENERATIONS && pid > 1; i++) {
        char path[64], name[32] = "";
        pid = agent_parent_of(pid);
        snprintf(path, sizeof path, "/proc/%ld/comm", pid);
        FILE *f = fopen(path, "re");
        bool mpirun = f && fgets(name, sizeof name, f) && (strstr(name, "run") || strstr(name, "mpiexec"));
        if (f)
            fclose(f);
        if (!mpirun)
            continue;
        snprintf(path, sizeof path, "/proc/%ld/fd/1", pid);
        int fd = open(path, O_WRONLY | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
        if (fd >= 0 && isatty(fd))
            return fd;
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return -1;
}

static void erase(progress *p) {
    if (p->drawn_lines > 0)
        fprintf(p->out, "\r\033[%dA\033[J", p->drawn_lines);
    p->drawn_lines = 0;
}

void progress_destroy(progress *p) {
    if (!p)
        return;
    erase(p);
    fflush(p->out);
    free(p->workers);
    free(p);
}

void progress_set_totals(progress *p, const struct progress_totals *totals) {
    // New trials make the work grow: the rate goes on from there.
    if (p->began < 0) {
        p->began = clock_seconds();
        p->began_work = totals->work_left;
    } else if (totals->work_left > p->totals.work_left) {
        p->began_work += totals->work_left - p->totals.work_left;
    }
    p->totals = *totals;
}

static void format_duration(double seconds, char out[DURATION_SIZE]) {
    long s = lround(seconds);
    if (s >= 3600)
        snprintf(out, DURATION_SIZE, "%ld h %02ld min", s / 3600, s % 3600 / 60);
    else if (s >= 600) // an estimate, not a clock
        snprintf(out, DURATION_SIZE, "%ld min", (s + 30) / 60);
    else if (s >= 60)
        snprintf(out, DURATION_SIZE, "%ld min %02ld s", s / 60, s % 60);
    else
        snprintf(out, DURATION_SIZE, "%ld s", s);
}

static bool time_left(const progress *p, char out[DURATION_SIZE]) {
    double done = p->began_work - p->totals.work_left, elapsed = clock_seconds() - p->began;
    if (p->began < 0 || done <= 0 || elapsed <= 1)
        return false;
    format_duration(p->totals.work_left / (done / elapsed), out);
    return true;
}

static int terminal_columns(int terminal) {
    struct winsize size;
    if (ioctl(terminal, TIOCGWINSZ, &size) == 0 && size.ws_col > 20)
        return size.ws_col;
    return DEFAULT_COLUMNS;
}

// "  val IoU 61.66 %", "  best accuracy 0.9"; "" for NaN.
static void format_metric(const progress *p, const char *word, double value, char out[96]) {
    char number[32];
    out[0] = 0;
    if (isnan(value))
        return;
    program_format_metric(p->program, value, number);
    snprintf(out, 96, "  %s%s %s", word, program_metric_label(p->program), number);
}

// "7/200"; "7" where it is not known how many there will be.
static void format_epochs(int done, int of, char out[32]) {
    if (of > 0)
        snprintf(out, 32, "%d/%d", done, of);
    else
        snprintf(out, 32, "%d", done);
}

static void draw_worker(const progress *p, int index, int columns) {
    const struct shown *w = &p->workers[index];
    int rank = index + p->first_rank;
    char line[LABEL_SIZE + 256], metric[96], epochs[32];
    format_metric(p, "", w->val_iou, metric);
    format_epochs(w->epochs_done, w->epochs, epochs);
    if (w->active)
        snprintf(line, sizeof line, "  %2d  %s  fold %d  epoch %s%s", rank, w->label, w->fold, epochs, metric);
    else
        snprintf(line, sizeof line, "  %2d  idle", rank);
    fprintf(p->out, "%.*s\n", columns - 1, line);
}

static void draw(progress *p) {
    erase(p);
    if (p->began < 0)
        return; // nothing is known yet
    int columns = terminal_columns(p->terminal), lines = 1;
    char left[DURATION_SIZE] = "";
    bool known = time_left(p, left);
    fprintf(p->out, "%d of %d trials%s", p->totals.finished, p->totals.trials, p->totals.failed ? "" : "\n");
    if (p->totals.failed)
        fprintf(p->out, ", %d failed\n", p->totals.failed);
    for (int w = 0; w < p->worker_count && w < MAX_SHOWN; w++, lines++)
        draw_worker(p, w, columns);
    if (p->worker_count > MAX_SHOWN) {
        fprintf(p->out, "  and %d more workers\n", p->worker_count - MAX_SHOWN);
        lines++;
    }
    if (known) {
        fprintf(p->out, "about %s left\n", left);
        lines++;
    }
    p->drawn_lines = lines;
    p->drawn = clock_seconds();
    fflush(p->out);
}

void progress_tick(progress *p) {
    if (p->redraw && clock_seconds() - p->drawn > REDRAW_SECONDS)
        draw(p);
}

void progress_note(progress *p, const char *format, ...) {
    erase(p);
    va_list args;
    va_start(args, format);
    vfprintf(p->out, format, args);
    va_end(args);
    fputc('\n', p->out);
    if (p->redraw)
        draw(p);
    fflush(p->out);
}

// Whether one more line about a trial may be written; in place of many comes a sum.
static bool may_tell(progress *p) {
    double now = clock_seconds();
    p->lines_left = fmin(p->lines_left + (now - p->lines_time) * LINES_A_SECOND, LINES_AT_ONCE);
    p->lines_time = now;
    if (p->lines_left >= 1) {
        p->lines_left--;
        return true;
    }
    if (now - p->summed > SUM_SECONDS && !p->redraw) {
        p->summed = now;
        progress_note(p, "%d of %d trials, %d failed; not every trial is shown", p->totals.finished, p->totals.trials,
                      p->totals.failed);
    }
    return false;
}

void progress_trial_begins(progress *p, int worker, const char *label, int fold, int epochs, int epoch, int attempt) {
    struct shown *w = &p->workers[worker];
    *w = (struct shown){.active = true,
                        .fold = fold,
                        .epochs = epochs,
                        .epochs_done = epoch,
                        .val_iou = NAN,
                        .best_iou = NAN,
                        .line_time = clock_seconds()};
    snprintf(w->label, sizeof w->label, "%s", label);
    if (p->redraw || !may_tell(p))
        return;
    char from[32] = "", again[32] = "";
    if (epoch > 0)
        snprintf(from, sizeof from, " from epoch %d", epoch);
    if (attempt > 1)
        snprintf(again, sizeof again, ", attempt %d", attempt);
    progress_note(p, "start  %s  fold %d%s%s", label, fold, from, again);
}

void progress_trial_epoch(progress *p, int worker, int epochs_done, double val_iou, bool replayed) {
    struct shown *w = &p->workers[worker];
    w->epochs_done = epochs_done;
    w->val_iou = val_iou;
    double now = clock_seconds();
    if (p->redraw || replayed || now - w->line_time < LINE_SECONDS)
        return;
    w->line_time = now;
    char left[DURATION_SIZE], metric[96], epochs[32];
    bool known = time_left(p, left);
    format_metric(p, "", val_iou, metric);
    format_epochs(epochs_done, w->epochs, epochs);
    progress_note(p, "epoch  %s  fold %d  %s%s%s%s%s", w->label, w->fold, epochs, metric, known ? "  (about " : "",
                  known ? left : "", known ? " left)" : "");
}

void progress_trial_leaves(progress *p, int worker) {
    p->workers[worker].active = false;
}

void progress_trial_done(progress *p, const char *word, const char *label, int fold, double best, const char *reason) {
    char metric[96];
    if (!may_tell(p))
        return;
    format_metric(p, "best ", best, metric);
    progress_note(p, "%-6s %s  fold %d%s%s%s  [%d of %d]", word, label, fold, metric, reason[0] ? "  " : "", reason,
                  p->totals.finished, p->totals.trials);
}

void progress_trial_ends(progress *p, int worker, const char *word, const char *reason) {
    progress_trial_leaves(p, worker);
    progress_trial_done(p, word, p->workers[worker].label, p->workers[worker].fold, NAN, reason);
}
