#include "results/rung_record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct run_section *section_of(const struct run_data *run, const char *name) {
    for (size_t i = 0; i < run->sections; i++)
        if (strcmp(run->section[i].name, name) == 0)
            return &run->section[i];
    return NULL;
}

bool rung_record_has(const struct run_data *run, const char *section) {
    const char *method = run_fact(&run->settings, "method");
    return method && strcmp(method, "asha") == 0 && section_of(run, section);
}

void rung_record_free(struct rung_record *r) {
    free(r->trial);
    free(r->point);
    free(r->rung);
    free(r->score);
    *r = (struct rung_record){0};
}

// ---- the section's trials ----

// A trial without a row is told by its epochs. Which section it is of, only a sweep with one section tells: points have
// labels of assignments, [config NAME] sections have names.
static void add_unfinished(const struct run_data *run, struct rung_record *r) {
    for (size_t i = 0; i < run->epochs && run->sections == 1; i++) {
        const struct epoch_row *e = &run->epoch[i];
        bool again = i > 0 && strcmp(run->epoch[i - 1].trial, e->trial) == 0;
        if (!again && !run_data_trial(run, e->trial) && strchr(e->config, '='))
            r->trial[r->trials++] = (struct rung_trial){e->config, e->trial, NULL, run->trials + i};
    }
}

static int by_label(const void *a, const void *b) {
    const struct rung_trial *x = a, *y = b;
    int order = strcmp(x->label, y->label);
    return order ? order : (x->place > y->place) - (x->place < y->place);
}

static int by_place(const void *a, const void *b, void *trials) {
    const struct rung_point *x = a, *y = b;
    const struct rung_trial *t = trials;
    return (t[x->first].place > t[y->first].place) - (t[x->first].place < t[y->first].place);
}

static enum status gather(const struct run_data *run, struct rung_record *r, struct error *err) {
    r->trial = malloc((run->trials + run->epochs + 1) * sizeof *r->trial);
    if (!r->trial)
        return error_memory(err, r->name);
    for (size_t i = 0; i < run->trials; i++)
        if (strcmp(run->trial[i].grid, r->name) == 0)
            r->trial[r->trials++] = (struct rung_trial){run->trial[i].config, run->trial[i].trial, &run->trial[i], i};
    add_unfinished(run, r);
    qsort(r->trial, r->trials, sizeof *r->trial, by_label);
    r->point = calloc(r->trials + 1, sizeof *r->point);
    if (!r->point)
        return error_memory(err, r->name);
    for (size_t i = 0; i < r->trials; i++) {
        if (i == 0 || strcmp(r->trial[i - 1].label, r->trial[i].label) != 0)
            r->point[r->points++] = (struct rung_point){.label = r->trial[i].label, .first = i};
        r->point[r->points - 1].trials++;
    }
    qsort_r(r->point, r->points, sizeof *r->point, by_place, r->trial);
    return STATUS_OK;
}

// ---- a rung ----

// As the master looks at it: the best of the first `epochs` values.
static enum halving_state look_at_trial(const struct run_data *run, const struct rung_trial *t, int epochs,
                                        double *best) {
    size_t count;
    const struct epoch_row *epoch = run_data_epochs(run, t->id, &count);
    bool done = t->row && strcmp(t->row->status, "done") == 0;
    if (count < (size_t)epochs && !done) // a program may end by itself before
        return t->row ? HALVING_OUT : HALVING_PENDING;
    *best = NAN;
    for (size_t i = 0; i < count && i < (size_t)epochs; i++) {
        double value = run_data_metric(run, &epoch[i]);
        bool better = isfinite(value) && (isnan(*best) || metric_better(&run->metric, value, *best));
        *best = better ? value : *best;
    }
    return HALVING_THERE;
}

static void look_at(const struct run_data *run, const struct rung_record *r, struct halving_entry *e, int rung) {
    struct rung_point *p = &r->point[e->index];
    double sum = 0, best = NAN;
    bool out = false, pending = p->trials < (size_t)r->folds;
    for (size_t i = 0; i < p->trials; i++) {
        enum halving_state state = look_at_trial(run, &r->trial[p->first + i], r->rung[rung].epochs, &best);
        out = out || state == HALVING_OUT || (state == HALVING_THERE && isnan(best));
        pending = pending || state == HALVING_PENDING;
        r->rung[rung].trials += state == HALVING_THERE;
        sum += best;
    }
    e->state = out ? HALVING_OUT : pending ? HALVING_PENDING : HALVING_THERE;
    p->score[rung] = e->state == HALVING_THERE ? sum / (double)p->trials : (double)NAN;
    e->score = run->metric.minimize ? -p->score[rung] : p->score[rung];
}

static long long trained_in(const struct run_data *run, const struct rung_record *r, int point, int rung) {
    const struct rung_point *p = &r->point[point];
    int from = rung > 0 ? r->rung[rung - 1].epochs : 0, to = r->rung[rung].epochs;
    long long sum = 0;
    for (size_t i = 0; i < p->trials; i++) {
        size_t count;
        (void)run_data_epochs(run, r->trial[p->first + i].id, &count);
        int epochs = count < (size_t)to ? (int)count : to;
        sum += epochs > from ? epochs - from : 0;
    }
    return sum;
}

static void count_entry(const struct rung_record *r, const struct halving_entry *e, struct rung *rung, bool last) {
    struct rung_point *p = &r->point[e->index];
    double score = p->score[rung - r->rung];
    p->rungs = (int)(rung - r->rung) + 1;
    p->stopped = !last && e->verdict == HALVING_STOPPED;
    p->undecided = last ? e->state == HALVING_PENDING : e->verdict == HALVING_OPEN;
    rung->there += e->state == HALVING_THERE;
    rung->failed += e->state == HALVING_OUT;
    rung->promoted += !last && e->verdict == HALVING_PROMOTED;
    rung->stopped += p->stopped;
    rung->undecided += p->undecided;
    if (e->state != HALVING_THERE)
        return;
    if (isnan(rung->best)) // the best come first
        rung->best = score;
    if (!last && e->verdict == HALVING_PROMOTED)
        rung->cut = score;
    if (p->stopped && isnan(rung->best_stopped))
        rung->best_stopped = score;
}

// Decides a rung and counts what is in it. Those that go on are left in `entry`; *missing: may still come to the next.
static int run_rung(const struct run_data *run, struct rung_record *r, int at, int quota, struct halving_entry *entry,
                    int entries, int *missing) {
    struct rung *rung = &r->rung[at];
    bool last = at + 1 == r->rungs, open = *missing > 0;
    int promoted = 0;
    rung->configurations = entries + *missing;
    rung->undecided = *missing;
    rung->best = rung->cut = rung->best_stopped = NAN;
    for (int i = 0; i < entries; i++) {
        look_at(run, r, &entry[i], at);
        rung->trained += trained_in(run, r, entry[i].index, at);
    }
    halving_decide(entry, entries, *missing, quota);
    for (int i = 0; i < entries; i++) {
        count_entry(r, &entry[i], rung, last);
        open = open || entry[i].verdict == HALVING_OPEN;
        if (entry[i].verdict == HALVING_PROMOTED)
            entry[promoted++] = entry[i];
    }
    *missing = open ? quota - promoted : 0;
    return promoted;
}

// ---- the record ----

static bool stands_elsewhere(const struct run_data *run, const struct rung_record *r, const struct rung_trial *t) {
    for (size_t i = 0; i < run->trials; i++)
        if (strcmp(run->trial[i].trial, t->id) == 0 && strcmp(run->trial[i].grid, r->name) != 0)
            return true;
    return false;
}

// Whether a trial's row says what the rungs say of its configuration. One that another section takes farther may be
// done all the same.
static bool contradicts(const struct run_data *run, const struct rung_record *r, const struct rung_point *p,
                        const struct rung_trial *t) {
    if (!t->row)
        return false;
    if (strcmp(t->row->status, "stopped") == 0)
        return !p->stopped || t->row->epochs_run != r->rung[p->rungs - 1].epochs;
    bool whole = p->stopped && t->row->epochs_run >= r->rung[p->rungs - 1].epochs; // else it has ended by itself
    return strcmp(t->row->status, "done") == 0 && whole && !stands_elsewhere(run, r, t);
}

static void count_contradictions(const struct run_data *run, struct rung_record *r) {
    for (size_t i = 0; i < r->points; i++) {
        const struct rung_point *p = &r->point[i];
        bool found = false;
        for (size_t k = 0; k < p->trials && !found; k++)
            found = contradicts(run, r, p, &r->trial[p->first + k]);
        r->contradictions += found;
    }
}

static int setting(const struct run_facts *facts, const char *key) {
    const char *text = run_fact(facts, key);
    long value = text ? strtol(text, NULL, 10) : 0;
    return value > 0 && value < 1000000 ? (int)value : 0;
}

static bool all_have_rows(const struct rung_record *r) {
    for (size_t i = 0; i < r->trials; i++)
        if (!r->trial[i].row)
            return false;
    return true;
}

// What must be known for rungs to be shown.
static void check(const struct run_data *run, const struct run_section *section, const struct halving *h,
                  struct rung_record *r) {
    bool capped = setting(&run->settings, "run-cap") > 0;
    if (h->first < 1 || h->factor < 2 || h->epochs <= h->first || section->points < 1 || r->folds < 1)
        snprintf(r->why, sizeof r->why, "sweep.ini does not say what the rungs are");
    else if (r->points > 0 && run->epochs == 0)
        snprintf(r->why, sizeof r->why, "there are no epochs that tell how far the configurations came");
    else if (r->points > (size_t)section->points)
        snprintf(r->why, sizeof r->why, "trials.csv has %zu configurations of this section, sweep.ini %ld", r->points,
                 section->points);
    else if (capped && !all_have_rows(r))
        snprintf(r->why, sizeof r->why,
                 "under run-cap the files tell how many configurations are compared only when all of them have ended");
    else if (run->sections > 1 && r->points < (size_t)section->points && !capped)
        snprintf(r->why, sizeof r->why,
                 "%zu of its %ld configurations have a result, and which section the others' trials are of is not in "
                 "the files",
                 r->points, section->points);
    r->configurations = capped ? (int)r->points : (int)section->points;
}

static enum status allocate(struct rung_record *r, const struct halving *h, struct error *err) {
    r->rungs = halving_rungs(h, r->configurations);
    r->rung = calloc((size_t)r->rungs + 1, sizeof *r->rung);
    r->score = malloc((r->points * (size_t)r->rungs + 1) * sizeof *r->score);
    if (!r->rung || !r->score)
        return error_memory(err, r->name);
    for (size_t i = 0; i < r->points * (size_t)r->rungs; i++)
        r->score[i] = NAN;
    for (size_t i = 0; i < r->points; i++)
        r->point[i].score = r->score + i * (size_t)r->rungs;
    for (int rung = 0; rung < r->rungs; rung++)
        r->rung[rung].epochs = halving_epochs(h, r->configurations, rung);
    return STATUS_OK;
}

static enum status decide(const struct run_data *run, const struct halving *h, struct rung_record *r,
                          struct error *err) {
    struct halving_entry *entry = malloc((r->points + 1) * sizeof *entry);
    int entries = (int)r->points, missing = r->configurations - entries;
    if (!entry)
        return error_memory(err, r->name);
    for (int i = 0; i < entries; i++)
        entry[i] = (struct halving_entry){.index = i};
    for (int rung = 0; rung < r->rungs; rung++)
        entries = run_rung(run, r, rung, halving_size(h, r->configurations, rung + 1), entry, entries, &missing);
    free(entry);
    count_contradictions(run, r);
    return STATUS_OK;
}

enum status rung_record_read(const struct run_data *run, const char *name, struct rung_record *r, struct error *err) {
    const struct run_section *section = section_of(run, name);
    struct halving h = {.first = setting(&run->settings, "first-rung"),
                        .factor = setting(&run->settings, "reduction-factor"),
                        .epochs = setting(&run->settings, "max-epochs")};
    if (h.epochs == 0)
        h.epochs = setting(&run->base, "epochs");
    *r = (struct rung_record){.name = name, .folds = section->folds > 0 ? section->folds : run->run_folds};
    enum status status = gather(run, r, err);
    if (status == STATUS_OK)
        check(run, section, &h, r);
    if (status == STATUS_OK && !*r->why)
        status = allocate(r, &h, err);
    if (status == STATUS_OK && !*r->why)
        status = decide(run, &h, r, err);
    if (status != STATUS_OK)
        rung_record_free(r);
    return status;
}
