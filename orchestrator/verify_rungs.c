// method = asha: which trials were stopped, and where, must follow from the epochs.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/rungs.h"
#include "orchestrator/verify_parts.h"

// A run, its plan, and what is on record of each trial of that.
struct subject {
    const struct verification *v;
    struct plan *plan;
    rungs *rungs;
};

// The last row counts; NULL: it has no result.
static const struct trial_row *row_of(const struct subject *s, int trial) {
    for (size_t i = s->v->trial_count; i-- > 0;)
        if (strcmp(s->v->trials[i].trial, s->plan->trials[trial].id) == 0)
            return &s->v->trials[i];
    return NULL;
}

static bool has_status(const struct trial_row *row, const char *status) {
    return row && strcmp(row->status, status) == 0;
}

static enum halving_state look(void *context, int trial, int epochs, double *score) {
    const struct subject *s = context;
    size_t count;
    const struct epoch_row *const *epoch = verify_epochs_of(s->v, s->plan->trials[trial].id, &count);
    const struct sweep_program *p = &s->v->sweep->program;
    const struct trial_row *row = row_of(s, trial);
    if (count < (size_t)epochs && !has_status(row, "done")) // a program may end by itself before
        return row ? HALVING_OUT : HALVING_PENDING;
    double best = NAN;
    for (size_t i = 0; i < count && i < (size_t)epochs; i++) {
        double value = epoch_row_number(epoch[i], &s->v->own, p->metric);
        best = program_is_better(p, value, best) ? value : best;
    }
    *score = program_score(p, best);
    return HALVING_THERE;
}

static enum status resolve_once(struct subject *s, int *added, struct error *err) {
    struct plan_outcome *outcomes = calloc((size_t)s->plan->trial_count + 1, sizeof *outcomes);
    if (!outcomes)
        return error_memory(err, "outcomes");
    for (int i = 0; i < s->plan->trial_count; i++) {
        const struct trial_row *row = row_of(s, i);
        outcomes[i].finished = row != NULL;
        outcomes[i].score = has_status(row, "done")      ? program_score(&s->v->sweep->program, row->best_iou)
                            : has_status(row, "stopped") ? -INFINITY
                                                         : NAN;
    }
    enum status status = plan_resolve(s->plan, s->v->ds, outcomes, added, err);
    free(outcomes);
    return status;
}

static enum status decide(struct subject *s, struct error *err) {
    struct rungs_record record = {s, look};
    TRY(plan_create(s->v->sweep, s->v->ds, &s->plan, err));
    for (int added = 1; added > 0 && !plan_is_complete(s->plan);)
        TRY(resolve_once(s, &added, err));
    s->rungs = rungs_create();
    return s->rungs ? rungs_update(s->rungs, s->plan, &record, err) : error_memory(err, "rungs");
}

static void check_trial(struct verification *v, const struct subject *s, int trial) {
    const struct trial_row *row = row_of(s, trial);
    bool stops = rungs_has_stopped(s->rungs, trial);
    int until = rungs_until(s->rungs, trial);
    const char *id = s->plan->trials[trial].id;
    if (has_status(row, "stopped") && !stops)
        verify_finding(v, "%s/trials.csv: trial %s is stopped, but by the epochs of its section it goes on", v->folder,
                       id);
    else if (has_status(row, "stopped") && row->epochs_run != until)
        verify_finding(v,
                       "%s/trials.csv: trial %s is stopped after %d epochs, but by the epochs of its section after %d",
                       v->folder, id, row->epochs_run, until);
    else if (has_status(row, "done") && stops && row->epochs_run >= until)
        verify_finding(v, "%s/trials.csv: trial %s is done, but by the epochs of its section it is stopped after %d",
                       v->folder, id, until);
}

void verify_rungs(struct verification *v) {
    struct subject s = {.v = v};
    struct error why;
    if (!v->sweep || v->sweep->method != METHOD_ASHA || !v->trials_read || !v->epochs_read)
        return;
    if (v->sweep->program.kind == TRAINER_EMBEDDED && !v->ds)
        return;
    if (v->sweep->retry_failed) // what a failure had decided may have been decided anew
        verify_note(v, "retry-failed: whether the rungs follow from the epochs is not looked at");
    else if (decide(&s, &why) != STATUS_OK)
        verify_note(v, "the rungs cannot be computed: %s", why.message);
    else
        for (int i = 0; i < s.plan->trial_count; i++)
            check_trial(v, &s, i);
    rungs_destroy(s.rungs);
    plan_destroy(s.plan);
}
