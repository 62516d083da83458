#include "orchestrator/rungs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "orchestrator/sweep_random.h"

// How far a trial goes, and why no farther.
struct course {
    int until;
    bool stopped;
    bool out; // its configuration has no score there
    int rung, rungs, quota, size;
};

struct rungs {
    struct course *trial;
    int count;
};

// One section's halving under way.
struct bracket {
    struct rungs *rungs;
    const struct plan *plan;
    const struct rungs_record *record;
    struct halving halving;
    int first_row, folds;        // its rows: first_row + point * folds + fold
    int configurations;          // that are run
    struct halving_entry *entry; // those in the rung under way, by point
    int entries, missing;        // missing: may still come from the rung before
};

rungs *rungs_create(void) {
    return calloc(1, sizeof(struct rungs));
}

void rungs_destroy(rungs *r) {
    if (!r)
        return;
    free(r->trial);
    free(r);
}

struct halving rungs_halving(const struct sweep *sweep) {
    return (struct halving){
        .first = sweep->first_rung, .factor = sweep->reduction_factor, .epochs = sweep->base.epochs};
}

static int first_row_of(const struct plan *plan, int grid) {
    int row = 0;
    while (row < plan->row_count && plan->rows[row].grid != grid)
        row++;
    return row;
}

static bool is_run(const struct plan *plan, int row, int folds) {
    for (int i = row; i < row + folds; i++)
        if (plan->trials[plan->rows[i].trial].withheld)
            return false;
    return true;
}

int rungs_configurations(const struct plan *plan, int grid) {
    int folds = plan->sweep->grids[grid].run_count, row = first_row_of(plan, grid), count = 0;
    for (; row < plan->row_count && plan->rows[row].grid == grid; row += folds)
        count += is_run(plan, row, folds);
    return count;
}

// ---- one trial ----

// A section takes the trial this far.
static void take_to(struct rungs *r, int trial, const struct course *there) {
    struct course *here = &r->trial[trial];
    bool stopped = here->stopped && there->stopped;
    if (there->until > here->until)
        *here = *there;
    here->stopped = stopped;
}

// ---- one rung ----

static int row_of(const struct bracket *b, int point) {
    return b->first_row + point * b->folds;
}

// The mean over the folds, when all are there.
static void look_at(const struct bracket *b, struct halving_entry *e, int epochs) {
    double sum = 0;
    e->state = HALVING_THERE;
    for (int i = 0; i < b->folds; i++) {
        double score = NAN;
        int trial = b->plan->rows[row_of(b, e->index) + i].trial;
        enum halving_state state = b->record->look(b->record->context, trial, epochs, &score);
        if (state == HALVING_OUT || e->state == HALVING_OUT)
            e->state = HALVING_OUT;
        else if (state == HALVING_PENDING)
            e->state = HALVING_PENDING;
        sum += score;
    }
    e->score = sum / b->folds;
}

static void take_point_to(const struct bracket *b, int point, const struct course *course) {
    for (int i = 0; i < b->folds; i++)
        take_to(b->rungs, b->plan->rows[row_of(b, point) + i].trial, course);
}

// Decides a rung; those that go on are left in it.
static void decide_rung(struct bracket *b, int rung) {
    int n = b->configurations, quota = halving_size(&b->halving, n, rung + 1), promoted = 0;
    struct course course = {.until = halving_epochs(&b->halving, n, rung),
                            .rung = rung,
                            .rungs = halving_rungs(&b->halving, n),
                            .quota = quota,
                            .size = halving_size(&b->halving, n, rung)};
    bool open = b->missing > 0;
    for (int i = 0; i < b->entries; i++)
        look_at(b, &b->entry[i], course.until);
    halving_decide(b->entry, b->entries, b->missing, quota);
    for (int i = 0; i < b->entries; i++) {
        const struct halving_entry *e = &b->entry[i];
        course.stopped = e->verdict == HALVING_STOPPED;
        course.out = e->state == HALVING_OUT || isnan(e->score);
        open = open || e->verdict == HALVING_OPEN;
        if (e->verdict == HALVING_PROMOTED)
            b->entry[promoted++] = *e;
        else
            take_point_to(b, e->index, &course);
    }
    b->entries = promoted;
    b->missing = open ? quota - promoted : 0; // places that none can take stay empty
}

static void decide_bracket(struct bracket *b) {
    struct course whole = {.until = b->halving.epochs};
    int last = halving_rungs(&b->halving, b->configurations) - 1;
    for (int rung = 0; rung < last; rung++)
        decide_rung(b, rung);
    for (int i = 0; i < b->entries; i++)
        take_point_to(b, b->entry[i].index, &whole);
}

static void enter_all(struct bracket *b, int grid) {
    b->first_row = first_row_of(b->plan, grid);
    b->folds = b->plan->sweep->grids[grid].run_count;
    b->entries = b->missing = 0;
    int points = sweep_grid_points(&b->plan->sweep->grids[grid]);
    for (int point = 0; point < points; point++)
        if (is_run(b->plan, row_of(b, point), b->folds))
            b->entry[b->entries++] = (struct halving_entry){.index = point};
    b->configurations = b->entries;
}

// ---- all ----

static void take_configs(struct rungs *r, const struct plan *plan) {
    for (int i = 0; i < plan->row_count; i++) {
        struct course whole = {.until = plan->trials[plan->rows[i].trial].hp.epochs};
        if (plan->rows[i].grid < 0)
            take_to(r, plan->rows[i].trial, &whole);
    }
}

enum status rungs_update(rungs *r, const struct plan *plan, const struct rungs_record *record, struct error *err) {
    struct course *trial = realloc(r->trial, ((size_t)plan->trial_count + 1) * sizeof *trial);
    struct halving_entry *entry = malloc(((size_t)plan->row_count + 1) * sizeof *entry);
    if (trial)
        r->trial = trial;
    if (!trial || !entry) {
        free(entry);
        return error_memory(err, "rungs");
    }
    r->count = plan->trial_count;
    for (int i = 0; i < r->count; i++)
        trial[i] = (struct course){.stopped = true};
    struct bracket b = {
        .rungs = r, .plan = plan, .record = record, .halving = rungs_halving(plan->sweep), .entry = entry};
    for (int grid = 0; grid < plan->grids_expanded; grid++) {
        enter_all(&b, grid);
        decide_bracket(&b);
    }
    take_configs(r, plan);
    free(entry);
    return STATUS_OK;
}

int rungs_until(const rungs *r, int trial) {
    return r->trial[trial].until;
}

bool rungs_has_stopped(const rungs *r, int trial) {
    return r->trial[trial].stopped && r->trial[trial].until > 0;
}

void rungs_reason(const rungs *r, int trial, char *out, size_t size) {
    const struct course *c = &r->trial[trial];
    if (c->out)
        snprintf(out, size, "at rung %d of %d: a fold of its configuration has no result there", c->rung + 1, c->rungs);
    else
        snprintf(out, size, "at rung %d of %d: not among the best %d of %d", c->rung + 1, c->rungs, c->quota, c->size);
}
