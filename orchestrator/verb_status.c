// `gridfold status RUN_DIR`: where a running or stopped sweep stands, once or again and again, for people and as JSON.
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "orchestrator/run_status.h"
#include "orchestrator/verbs.h"

static const struct option_spec specs[] = {
    {"watch", NULL, NULL, "show it again and again until no process is at the run"},
    {"interval", "S", "2", "seconds between two looks of --watch"},
    {"json", NULL, NULL, "one JSON object (with --watch: one a line and look); numbers that are not there are null"},
};
const struct verb_options verb_status_options = {specs, sizeof specs / sizeof *specs};

// ---- for people ----

static void print_trial(const struct run_status *r, const struct trial_standing *t) {
    char best[48] = "", last[96] = "", total[16] = "", number[32];
    if (!isnan(t->best_iou)) {
        program_format_metric(&r->sweep->program, t->best_iou, number);
        snprintf(best, sizeof best, ", best %s", number);
    }
    if (!isnan(t->last_iou)) {
        program_format_metric(&r->sweep->program, t->last_iou, number);
        snprintf(last, sizeof last, ", %s %s", program_metric_label(&r->sweep->program), number);
    }
    if (t->of > 0)
        snprintf(total, sizeof total, " of %d", t->of);
    printf("  %s  fold %d  %s: %d%s epochs%s%s", t->trial, t->fold, t->config, t->epochs, total, last, best);
    if (t->state == STANDING_RUNNING && *t->host)
        printf(" (worker %d on %s)", t->worker, t->host);
    printf("\n");
}

static void print_state(const struct run_status *r, enum standing state, const char *head) {
    bool first = true;
    for (int i = 0; i < r->count; i++) {
        if (r->trials[i].state != state)
            continue;
        if (first)
            printf("\n%s\n", head);
        first = false;
        print_trial(r, &r->trials[i]);
    }
}

static void print_status(const struct run_status *r) {
    int counts[STANDING_STATES];
    const struct trial_standing *best = run_status_best(r);
    run_status_count(r, counts);
    if (*r->plan_missing)
        printf("not all of the plan is known: %s\n", r->plan_missing);
    printf("%s in %s: %d trial%s: %d done, ", r->sweep->name, r->folder, r->count, r->count == 1 ? "" : "s",
           counts[STANDING_DONE]);
    if (counts[STANDING_STOPPED] > 0)
        printf("%d stopped early, ", counts[STANDING_STOPPED]);
    printf("%d failed, %d diverged, %d running, %d paused, %d waiting\n", counts[STANDING_FAILED],
           counts[STANDING_DIVERGED], counts[STANDING_RUNNING], counts[STANDING_PAUSED], counts[STANDING_WAITING]);
    if (counts[STANDING_CAPPED] > 0)
        printf("%d left out by run-cap = %d\n", counts[STANDING_CAPPED], r->sweep->run_cap);
    if (r->waiting_rows > 0)
        printf("%d more rows wait for winners\n", r->waiting_rows);
    if (best) {
        char number[32];
        program_format_metric(&r->sweep->program, best->best_iou, number);
        printf("best so far: %s by %s on fold %d (%s)\n", number, best->config, best->fold, best->trial);
    }
    if (*r->last_event)
        printf("last event: %s; %s\n", r->last_event,
               r->alive                    ? "a process is at it"
               : run_status_is_complete(r) ? "complete"
                                           : "no process is at it: the same command goes on with it");
    print_state(r, STANDING_RUNNING, "running");
    print_state(r, STANDING_PAUSED,
                r->sweep->method == METHOD_ASHA ? "paused, to be gone on with, or waiting for their rung"
                                                : "paused, to be gone on with");
}

// ---- for programs ----

static json_t *number_or_null(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *text_or_null(const char *text) {
    return *text ? json_string(text) : json_null();
}

static json_t *count_or_null(int value, int smallest) {
    return value >= smallest ? json_integer(value) : json_null();
}

static json_t *json_of_trial(const struct trial_standing *t) {
    bool runs = t->state == STANDING_RUNNING;
    return json_pack("{s:s, s:s, s:o, s:s, s:i, s:o, s:o, s:o, s:o, s:o}", "trial", t->trial, "config", t->config,
                     "fold", count_or_null(t->fold, 0), "state", standing_name(t->state), "epochs", t->epochs,
                     "epochs_planned", count_or_null(t->of, 1), "val_iou", number_or_null(t->last_iou), "best_iou",
                     number_or_null(t->best_iou), "worker", count_or_null(runs ? t->worker : -1, 0), "host",
                     text_or_null(runs ? t->host : ""));
}

static json_t *json_of_status(const struct run_status *r) {
    int counts[STANDING_STATES];
    json_t *states = json_object(), *trials = json_array();
    const struct trial_standing *best = run_status_best(r);
    run_status_count(r, counts);
    for (int s = 0; s < STANDING_STATES; s++)
        json_object_set_new(states, standing_name((enum standing)s), json_integer(counts[s]));
    for (int i = 0; i < r->count; i++)
        json_array_append_new(trials, json_of_trial(&r->trials[i]));
    return json_pack("{s:s, s:s, s:b, s:b, s:o, s:o, s:i, s:i, s:o, s:o, s:o}", "name", r->sweep->name, "folder",
                     r->folder, "alive", r->alive, "complete", run_status_is_complete(r), "last_event",
                     text_or_null(r->last_event), "plan_missing", text_or_null(r->plan_missing), "count", r->count,
                     "rows_waiting", r->waiting_rows, "states", states, "best",
                     best ? json_of_trial(best) : json_null(), "trials", trials);
}

static enum status print_json(const struct run_status *r, bool one_line, struct error *err) {
    json_t *object = json_of_status(r);
    int failed = !object || json_dumpf(object, stdout, one_line ? JSON_COMPACT : JSON_INDENT(2)) != 0;
    json_decref(object);
    if (failed)
        return error_set(err, STATUS_INVALID, "%s cannot be written as JSON (a name in it is not UTF-8?)", r->folder);
    putchar('\n');
    return STATUS_OK;
}

// ---- looks ----

static enum status look(const char *folder, bool json, bool watch, bool *alive, struct error *err) {
    struct run_status r;
    TRY(run_status_read(folder, &r, err));
    enum status status = STATUS_OK;
    *alive = r.alive;
    if (json) {
        status = print_json(&r, watch, err);
    } else {
        if (watch && isatty(STDOUT_FILENO))
            printf("\033[H\033[J"); // home, and what was below is gone
        print_status(&r);
        if (watch && !isatty(STDOUT_FILENO))
            printf("\n");
    }
    run_status_free(&r);
    fflush(stdout);
    return status;
}

enum status verb_status(int argc, char **argv, int *exit_code, struct error *err) {
    (void)exit_code;
    struct options o;
    long long interval = 2;
    TRY(options_parse(argc, argv, specs, sizeof specs / sizeof *specs, &o, err));
    TRY(options_expect(&o, 1, "RUN_DIR", err));
    TRY(options_integer(&o, "interval", 1, 86400, &interval, err));
    bool watch = options_given(&o, "watch"), json = options_given(&o, "json"), alive;
    for (;;) {
        TRY(look(o.positional[0], json, watch, &alive, err));
        if (!watch || !alive || ferror(stdout)) // nobody reads any more
            return STATUS_OK;
        sleep((unsigned)interval);
    }
}
