#include "results/observations.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const double learned_least = 0.02, collapse_share = 0.25, collapse_least = 0.05, fall_least = 0.05;
static const double gap_wide = 0.15, gap_severe = 0.25;
enum { FIFTH = 5 };

const char *finding_name(enum finding finding) {
    static const char *const names[] = {
#define X(name, label, rule) label,
        FINDINGS(X)
#undef X
    };
    return names[finding];
}

const char *finding_rule(enum finding finding) {
    static const char *const rules[] = {
#define X(name, label, rule) rule,
        FINDINGS(X)
#undef X
    };
    return rules[finding];
}

__attribute__((format(printf, 3, 4))) static void say(struct observation *o, enum finding finding, const char *format,
                                                      ...) {
    size_t used = strlen(o->text);
    o->findings |= 1u << finding;
    if (used + 2 >= sizeof o->text)
        return;
    if (used > 0)
        used += (size_t)snprintf(o->text + used, sizeof o->text - used, "; ");
    va_list args;
    va_start(args, format);
    vsnprintf(o->text + used, sizeof o->text - used, format, args);
    va_end(args);
}

static bool has_status(const struct trial_row *trial, const char *status) {
    return strcmp(trial->status, status) == 0;
}

static const char *separator(const char *reason) {
    return *reason ? ": " : "";
}

// False: there is no result to say more of.
static bool observe_end(const struct trial_row *trial, struct observation *o) {
    if (has_status(trial, "failed"))
        say(o, FINDING_FAILED, "failed%s%.300s", separator(trial->error), trial->error);
    else if (has_status(trial, "diverged"))
        say(o, FINDING_DIVERGED, "diverged%s%.300s", separator(trial->error), trial->error);
    else if (has_status(trial, "stopped"))
        say(o, FINDING_STOPPED, "stopped after %d %s%s%.300s", trial->epochs_run,
            trial->epochs_run == 1 ? "epoch" : "epochs", *trial->error ? " " : "", trial->error);
    else if (!has_status(trial, "done"))
        say(o, FINDING_NO_METRIC, "status '%.30s'", trial->status);
    else if (!isfinite(trial->best_iou))
        say(o, FINDING_NO_METRIC, "done, but its best value is %s", isnan(trial->best_iou) ? "missing" : "not finite");
    return o->findings == 0;
}

static void observe_epochs(const struct epoch_row *epochs, size_t count, bool share, struct observation *o) {
    for (size_t i = 0; i < count; i++) {
        const struct epoch_row *e = &epochs[i];
        if (isfinite(e->train_loss) && (!share || (isfinite(e->val_iou) && isfinite(e->val_loss))))
            continue;
        if (share)
            say(o, FINDING_NOT_FINITE, "not finite at epoch %d", e->epoch);
        return;
    }
}

// `epochs`: of the trial; 0: not known.
static void observe_peak(const struct trial_row *trial, int epochs, struct observation *o) {
    double fall = trial->best_iou - trial->final_iou;
    bool early = trial->best_epoch > 0 && trial->best_epoch < epochs / FIFTH, falls = fall >= fall_least;
    char of[24] = "";
    if (epochs > 0)
        snprintf(of, sizeof of, " of %d", epochs);
    if (early)
        o->findings |= 1u << FINDING_EARLY;
    if (falls)
        say(o, FINDING_FALLS, "peaks%s at epoch %d%s and falls by %.1f points", early ? " early," : "",
            trial->best_epoch, of, 100 * fall);
    else if (early)
        say(o, FINDING_EARLY, "peaks early, at epoch %d%s", trial->best_epoch, of);
    else if (epochs > 0 && trial->best_epoch >= epochs - epochs / FIFTH)
        say(o, FINDING_SLOW, "converged slowly: best only at epoch %d%s", trial->best_epoch, of);
}

// False: the trial did not learn, and where its best stands says no more.
static bool observe_learning(const struct trial_row *trial, const struct epoch_row *epochs, size_t count,
                             struct observation *o) {
    double above = count > 1 && epochs[0].epoch == 0 ? trial->best_iou - epochs[0].val_iou : (double)NAN;
    if (trial->best_epoch == 0)
        say(o, FINDING_NOT_LEARNED, "did not learn: best at epoch 0");
    else if (above < learned_least)
        say(o, FINDING_NOT_LEARNED, "did not learn: best %.1f points above epoch 0", 100 * above);
    else
        return true;
    return false;
}

static void observe_gap(const struct trial_row *trial, struct observation *o) {
    double gap = trial->train_val_gap;
    if (gap > gap_severe)
        say(o, FINDING_GAP_SEVERE, "train-val gap %+.1f points (over 25)", 100 * gap);
    else if (gap > gap_wide)
        say(o, FINDING_GAP_WIDE, "train-val gap %+.1f points (over 15)", 100 * gap);
}

void observe_trial(const struct run_data *run, const struct trial_row *trial, struct observation *out) {
    size_t count;
    const struct epoch_row *epochs = run_data_epochs(run, trial->trial, &count);
    bool share = metric_is_share(&run->metric);
    *out = (struct observation){0};
    if (!observe_end(trial, out))
        return;
    observe_epochs(epochs, count, share, out);
    int total = trial->epochs_run > 0 ? trial->epochs_run : run_data_planned_epochs(run, trial);
    bool known = trial->best_epoch >= 0 && total != 1;
    if (known && share && observe_learning(trial, epochs, count, out))
        observe_peak(trial, total, out);
    if (share && trial->best_iou > collapse_least && trial->final_iou < collapse_share * trial->best_iou)
        say(out, FINDING_COLLAPSED, "validation collapse: %.2f %% at the end", 100 * trial->final_iou);
    if (share)
        observe_gap(trial, out);
    if (!*out->text && known && total > 0)
        snprintf(out->text, sizeof out->text, "steady: best at epoch %d of %d", trial->best_epoch, total);
}
