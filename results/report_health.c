#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/metric_cells.h"
#include "results/observations.h"
#include "results/report_parts.h"

// Unfinished trials

static void add_unfinished_rows(document *doc, const struct run_data *run, const struct unfinished_trial *trials,
                                size_t count, size_t not_started) {
    if (count == 0 && not_started == 0)
        return;
    char name[RUN_NAME_SIZE + 16];
    snprintf(name, sizeof name, "unfinished_%s", run->name);
    table *t = document_table(doc, name, "Unfinished trials of run %s", run->name);
    if (count > 0) {
        table_column(t, TABLE_LEFT, "trial", "Trial");
        table_column(t, TABLE_RIGHT, "fold", "Fold");
        table_column(t, TABLE_RIGHT, "epochs", "Epochs so far");
        char header[80];
        snprintf(header, sizeof header, "Best %s so far", metric_name(&run->metric));
        table_column(t, TABLE_RIGHT, "best_iou", header);
        table_column(t, TABLE_LEFT, "config", "Configuration");
    }
    for (size_t i = 0; i < count; i++) {
        table_row(t, TABLE_PLAIN);
        table_cell(t, "%s", trials[i].trial);
        table_cell(t, "%d", trials[i].fold);
        table_cell(t, "%d", trials[i].epochs);
        metric_cell(t, &run->metric, trials[i].best_iou);
        table_cell(t, "%s", trials[i].config);
    }
    if (not_started > 0)
        table_note(t, "%zu planned %s not started.", not_started, not_started == 1 ? "trial has" : "trials have");
}

static enum status add_unfinished(struct report *r, struct error *err) {
    for (size_t i = 0; i < r->runs; i++) {
        struct unfinished_trial *trials;
        size_t count, not_started;
        TRY(run_data_unfinished(&r->run[i], &trials, &count, &not_started, err));
        add_unfinished_rows(r->doc, &r->run[i], trials, count, not_started);
        free(trials);
    }
    return STATUS_OK;
}

// Health

// The trials of a finding: "baseline fold 1, lr=0.01 fold 3 and 4 more".
struct found {
    size_t count;
    char which[512];
};

enum { MOST_NAMED = 4 };

static void take_trial(struct found *f, const struct trial_row *trial) {
    size_t used = strlen(f->which);
    f->count++;
    if (f->count <= MOST_NAMED && used + 1 < sizeof f->which)
        snprintf(f->which + used, sizeof f->which - used, "%s%.60s%s fold %d", used ? "; " : "", trial->config,
                 strlen(trial->config) > 60 ? "..." : "", trial->fold);
}

static void find_all(const struct run_data *run, struct found found[FINDING_COUNT]) {
    for (size_t i = 0; i < run->trials; i++) {
        struct observation o;
        if (!run_data_is_first(run, &run->trial[i]))
            continue;
        observe_trial(run, &run->trial[i], &o);
        for (int f = 0; f < FINDING_COUNT; f++)
            if (o.findings & 1u << f)
                take_trial(&found[f], &run->trial[i]);
    }
}

static void add_finding(table *t, const struct found *found, enum finding finding) {
    table_row(t, TABLE_PLAIN);
    table_cell(t, "%s", finding_name(finding));
    table_value(t, (double)found->count, "%zu", found->count);
    if (found->count > MOST_NAMED)
        table_cell(t, "%s and %zu more", found->which, found->count - MOST_NAMED);
    else
        table_cell(t, "%s", found->count ? found->which : "none");
}

// How often a trial was lost with its worker and begun anew.
static size_t count_events(const struct run_data *run, const char *name) {
    size_t count = 0;
    int event = run->events.columns ? csv_table_column(&run->events, "event") : -1;
    for (size_t i = 0; event >= 0 && i < run->events.rows; i++)
        count += strcmp(csv_table_cell(&run->events, i, event), name) == 0;
    return count;
}

// Rows that do not tell the same of one trial: half a copy, or files of two runs.
struct contradictions {
    size_t epochs, best, results;        // how many trials
    const struct trial_row *in, *of_two; // an example each
};

static void look_at_epochs(const struct run_data *run, const struct trial_row *trial, struct contradictions *c) {
    size_t count;
    const struct epoch_row *epoch = run_data_epochs(run, trial->trial, &count);
    bool lacks = trial->epochs_run > 0 && count != (size_t)trial->epochs_run, other = false;
    for (size_t e = 0; e < count && metric_is_share(&run->metric); e++)
        if (epoch[e].epoch == trial->best_epoch && fabs(epoch[e].val_iou - trial->best_iou) > 1e-9)
            other = true;
    c->epochs += lacks;
    c->best += other;
    if ((lacks || other) && !c->in)
        c->in = trial;
}

static bool same_result(const struct trial_row *a, const struct trial_row *b) {
    return strcmp(a->status, b->status) == 0 &&
           (a->best_iou == b->best_iou || (isnan(a->best_iou) && isnan(b->best_iou)));
}

static struct contradictions find_contradictions(const struct run_data *run) {
    struct contradictions c = {0};
    for (size_t i = 0; i < run->trials; i++) {
        const struct trial_row *trial = &run->trial[i], *first = run_data_trial(run, trial->trial);
        if (first && !same_result(first, trial)) {
            c.results++;
            c.of_two = trial;
        }
        if (run->epochs > 0 && run_data_is_first(run, trial) && strcmp(trial->status, "done") == 0)
            look_at_epochs(run, trial, &c);
    }
    return c;
}

static void note_contradictions(table *t, const struct run_data *run) {
    struct contradictions c = find_contradictions(run);
    if (c.epochs > 0)
        table_note(
            t,
            "Attention: %zu finished %s another number of epochs in epochs.csv than trials.csv says (trial %s is "
            "one): the files are not whole, and the curves show what is there.",
            c.epochs, c.epochs == 1 ? "trial has" : "trials have", c.in->trial);
    if (c.best > 0)
        table_note(
            t,
            "Attention: %zu finished %s another best IoU in epochs.csv than in trials.csv (trial %s is one): the "
            "files do not belong together.",
            c.best, c.best == 1 ? "trial has" : "trials have", c.in->trial);
    if (c.results > 0)
        table_note(
            t,
            "Attention: %zu %s of trials.csv %s another result than the first row of the same trial (trial %s is "
            "one): one trial has one result, so one of the rows is wrong.",
            c.results, c.results == 1 ? "row" : "rows", c.results == 1 ? "has" : "have", c.of_two->trial);
    if (run->trials > 0 && run->epochs == 0 && !run->external)
        table_note(t, "There is no epochs.csv with rows: no curves, and no rule that looks at epochs was applied.");
}

static void add_health_of(struct report *r, const struct run_data *run) {
    char name[RUN_NAME_SIZE + 16];
    struct found found[FINDING_COUNT];
    memset(found, 0, sizeof found);
    find_all(run, found);
    snprintf(name, sizeof name, "health_%s", run->name);
    table *t = document_table(r->doc, name, "Health of run %s", run->name);
    table_column(t, TABLE_LEFT, "finding", "Finding");
    table_column(t, TABLE_RIGHT, "trials", "Trials");
    table_column(t, TABLE_LEFT, "which", "Which");
    for (int f = 0; f < FINDING_COUNT; f++)
        add_finding(t, &found[f], (enum finding)f);
    size_t lost = count_events(run, "lost"), retried = count_events(run, "retried");
    if (lost + retried > 0)
        table_note(
            t, "Workers lost in the middle of a trial: %zu; trials begun anew after a failure of their trainer: %zu.",
            lost, retried);
    note_contradictions(t, run);
}

static void add_rules(document *doc) {
    document_details(doc, "The rules behind the observations");
    table *t = document_table(doc, "observation_rules", "Rules of the observations");
    table_column(t, TABLE_LEFT, "finding", "Finding");
    table_column(t, TABLE_LEFT, "rule", "Rule");
    for (int f = 0; f < FINDING_COUNT; f++) {
        table_row(t, TABLE_PLAIN);
        table_cell(t, "%s", finding_name((enum finding)f));
        table_cell(t, "%s", finding_rule((enum finding)f));
    }
    table_note(t,
               "Epochs count from 0. Points are percentage points of IoU. A trial of which no rule speaks is steady.");
    document_details_end(doc);
}

enum status report_add_health(struct report *r, struct error *err) {
    document_heading(r->doc, 2, "Health of the training");
    for (size_t i = 0; i < r->runs; i++)
        if (r->run[i].trials > 0)
            add_health_of(r, &r->run[i]);
    TRY(add_unfinished(r, err));
    add_rules(r->doc);
    return STATUS_OK;
}
