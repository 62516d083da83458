#include "orchestrator/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/plan_cost.h"
#include "orchestrator/run_cap.h"
#include "orchestrator/sweep_random.h"
#include "orchestrator/winner.h"

// One expansion, by plan_create or plan_resolve.
struct expansion {
    struct plan *plan;
    const dataset *ds;
    const struct plan_outcome *outcomes; // of the first `known` trials
    int known;
    struct error *err;
};

void plan_destroy(struct plan *plan) {
    if (!plan)
        return;
    plan_costs_destroy(plan->costs);
    id_index_free(&plan->index);
    free(plan->trials);
    free(plan->rows);
    free(plan);
}

int plan_find_trial(const struct plan *plan, const char *id) {
    return plan->trial_count > 0 ? id_index_find(&plan->index, plan->trials[0].id, sizeof *plan->trials, id) : -1;
}

bool plan_is_complete(const struct plan *plan) {
    return plan->grids_expanded == plan->sweep->grid_count && plan->configs_expanded == plan->sweep->config_count;
}

int plan_grid_rows(const struct sweep_grid *grid) {
    return sweep_grid_points(grid) * grid->run_count;
}

// ---- trials and rows ----

// Grows an array to hold one more; false: out of memory.
static bool reserve(void **array, int count, int *capacity, size_t size) {
    if (count < *capacity)
        return true;
    int larger = *capacity > 0 ? 2 * *capacity : 16;
    void *memory = realloc(*array, (size_t)larger * size);
    if (!memory)
        return false;
    *array = memory;
    *capacity = larger;
    return true;
}

static enum status add_trial(struct expansion *x, const struct hyperparameters *hp, const struct plan_row *row,
                             int *trial) {
    struct plan *p = x->plan;
    char id[TRIAL_ID_SIZE];
    program_trial_id(&p->sweep->program, hp, p->sweep->folds, row->fold, p->sweep->seed, id);
    *trial = plan_find_trial(p, id);
    if (*trial >= 0)
        return STATUS_OK;
    *trial = p->trial_count;
    void *trials = p->trials;
    if (!reserve(&trials, p->trial_count, &p->trial_capacity, sizeof *p->trials))
        return error_memory(x->err, "the plan's trials");
    p->trials = trials;
    struct plan_trial *t = &p->trials[p->trial_count];
    memset(t, 0, sizeof *t);
    memcpy(t->id, id, sizeof t->id);
    memcpy(t->config, row->label, sizeof t->config);
    t->hp = *hp;
    t->fold = row->fold;
    t->first_row = p->row_count;
    TRY(plan_costs_estimate(p->costs, x->ds, t, x->err));
    TRY(id_index_add(&p->index, p->trials[0].id, sizeof *p->trials, *trial, x->err));
    p->trial_count++;
    return STATUS_OK;
}

// A row on each fold; `row` has everything but fold and trial.
static enum status add_rows(struct expansion *x, const struct hyperparameters *hp, struct plan_row row,
                            const int *folds, int fold_count) {
    struct plan *p = x->plan;
    for (int i = 0; i < fold_count; i++) {
        row.fold = folds[i];
        void *rows = p->rows;
        if (!reserve(&rows, p->row_count, &p->row_capacity, sizeof *p->rows))
            return error_memory(x->err, "the plan's rows");
        p->rows = rows;
        TRY(add_trial(x, hp, &row, &row.trial));
        p->rows[p->row_count++] = row;
    }
    return STATUS_OK;
}

// ---- winners ----

static bool trial_finished(const struct expansion *x, int trial) {
    return *x->plan->trials[trial].refused || (trial < x->known && x->outcomes[trial].finished);
}

// Every row of an expanded grid has its outcome.
static bool grid_finished(const struct expansion *x, int grid) {
    if (grid >= x->plan->grids_expanded)
        return false;
    for (int i = 0; i < x->plan->row_count; i++)
        if (x->plan->rows[i].grid == grid && !trial_finished(x, x->plan->rows[i].trial))
            return false;
    return true;
}

// The hyperparameters of a finished grid's winner.
static enum status grid_winner(const struct expansion *x, int grid, const struct hyperparameters **hp) {
    const struct plan *p = x->plan;
    int *point = calloc((size_t)p->row_count + 1, sizeof *point);
    int *trial = calloc((size_t)p->row_count + 1, sizeof *trial);
    double *iou = calloc((size_t)p->row_count + 1, sizeof *iou);
    int winner = -1;
    enum status status = STATUS_OK;
    if (point && trial && iou) {
        size_t rows = 0;
        for (int i = 0; i < p->row_count; i++) {
            if (p->rows[i].grid != grid)
                continue;
            int t = p->rows[i].trial;
            point[rows] = p->rows[i].point;
            trial[rows] = t;
            iou[rows++] = !*p->trials[t].refused && t < x->known ? x->outcomes[t].score : NAN;
        }
        status = winner_point(sweep_grid_points(&p->sweep->grids[grid]), rows, point, iou, &winner, x->err);
        for (size_t i = 0; winner >= 0 && i < rows; i++)
            if (point[i] == winner)
                *hp = &p->trials[trial[i]].hp;
        if (status == STATUS_OK && winner < 0)
            status = error_set(x->err, STATUS_INVALID,
                               "[grid %s] has no winner: none of its %zu trials gave a result; see trials.csv for why",
                               p->sweep->grids[grid].name, rows);
    } else {
        status = error_memory(x->err, "winners");
    }
    free(point);
    free(trial);
    free(iou);
    return status;
}

static bool axes_decided(const struct expansion *x, const struct sweep_axis *axes, int count) {
    for (int i = 0; i < count; i++)
        if (axes[i].reference >= 0 && !grid_finished(x, axes[i].reference))
            return false;
    return true;
}

// Sets an axis to this value, or to the winner's.
static enum status set_axis(const struct expansion *x, const struct sweep_axis *axis, const char *value,
                            struct hyperparameters *hp) {
    if (axis->reference < 0)
        return hyper_set(hp, axis->hyper, value, x->err);
    const struct hyperparameters *winner = NULL;
    TRY(grid_winner(x, axis->reference, &winner));
    hyper_copy(hp, winner, axis->hyper);
    return STATUS_OK;
}

// ---- grids and configs ----

// "optimizer=adamw scheduler=cosine"; what is too long ends in the point's number, so that no two points have one
// label.
static void label_point(const struct sweep *sweep, const struct sweep_grid *grid, const struct hyperparameters *hp,
                        int point, char label[PLAN_LABEL_SIZE]) {
    char text[SWEEP_MAX_AXES * (HYPER_VALUE_SIZE + 64)];
    size_t used = 0;
    for (int i = 0; i < grid->axis_count; i++) {
        char value[HYPER_VALUE_SIZE];
        hyper_format(hp, grid->axes[i].hyper, value);
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s=%s", i > 0 ? " " : "",
                                 program_hyper_key(&sweep->program, grid->axes[i].hyper), value);
    }
    if (used < PLAN_LABEL_SIZE)
        memcpy(label, text, used + 1);
    else
        snprintf(label, PLAN_LABEL_SIZE, "%.*s... #%d", PLAN_LABEL_SIZE - 24, text, point);
}

static enum status expand_grid(struct expansion *x, int index) {
    const struct sweep_grid *grid = &x->plan->sweep->grids[index];
    int points = sweep_grid_points(grid);
    for (int point = 0; point < points; point++) {
        struct hyperparameters hp = x->plan->sweep->base;
        for (int i = 0; i < grid->axis_count; i++) {
            char value[HYPER_VALUE_SIZE] = "";
            if (grid->axes[i].reference < 0)
                sweep_point_value(x->plan->sweep, grid, i, point, value);
            TRY(set_axis(x, &grid->axes[i], value, &hp));
        }
        struct plan_row row = {.grid = index, .config = -1, .point = point};
        label_point(x->plan->sweep, grid, &hp, point, row.label);
        TRY(add_rows(x, &hp, row, grid->run_folds, grid->run_count));
    }
    x->plan->grids_expanded++;
    return STATUS_OK;
}

static bool takes_all_winners(const struct sweep_config *config) {
    return strcmp(config->from, "@this") == 0;
}

static bool config_waits(const struct sweep_config *config) {
    bool waits = takes_all_winners(config);
    for (int i = 0; i < config->setting_count; i++)
        waits = waits || config->settings[i].reference >= 0;
    return waits;
}

static bool config_decided(const struct expansion *x, const struct sweep_config *config) {
    for (int i = 0; takes_all_winners(config) && i < x->plan->sweep->grid_count; i++)
        if (!grid_finished(x, i))
            return false;
    return axes_decided(x, config->settings, config->setting_count);
}

// The winners of all grids, later ones over earlier ones.
static enum status take_all_winners(const struct expansion *x, struct hyperparameters *hp) {
    for (int i = 0; i < x->plan->sweep->grid_count; i++) {
        const struct sweep_grid *grid = &x->plan->sweep->grids[i];
        const struct hyperparameters *winner = NULL;
        TRY(grid_winner(x, i, &winner));
        for (int j = 0; j < grid->axis_count; j++)
            hyper_copy(hp, winner, grid->axes[j].hyper);
    }
    return STATUS_OK;
}

static enum status expand_config(struct expansion *x, int index) {
    const struct sweep_config *config = &x->plan->sweep->configs[index];
    struct hyperparameters hp = x->plan->sweep->base;
    if (takes_all_winners(config))
        TRY(take_all_winners(x, &hp));
    for (int i = 0; i < config->setting_count; i++)
        TRY(set_axis(x, &config->settings[i], config->settings[i].reference < 0 ? config->settings[i].values[0] : "",
                     &hp));
    struct plan_row row = {.grid = -1, .config = index};
    snprintf(row.label, sizeof row.label, "%s", config->name);
    TRY(add_rows(x, &hp, row, config->run_folds, config->run_count));
    x->plan->config_expanded[index] = true;
    x->plan->configs_expanded++;
    return STATUS_OK;
}

static enum status expand_grids(struct expansion *x) {
    const struct sweep *s = x->plan->sweep;
    while (x->plan->grids_expanded < s->grid_count) {
        const struct sweep_grid *grid = &s->grids[x->plan->grids_expanded];
        if (!axes_decided(x, grid->axes, grid->axis_count))
            break;
        TRY(expand_grid(x, x->plan->grids_expanded));
    }
    return STATUS_OK;
}

// Configs that wait come when all grids stand, and strictly in file order: which of them is decided first is a matter
// of time, and must not decide the order of the rows.
static enum status expand_waiting_configs(struct expansion *x) {
    if (x->plan->grids_expanded < x->plan->sweep->grid_count)
        return STATUS_OK;
    for (int i = 0; i < x->plan->sweep->config_count; i++) {
        if (x->plan->config_expanded[i])
            continue;
        if (!config_decided(x, &x->plan->sweep->configs[i]))
            break;
        TRY(expand_config(x, i));
    }
    return STATUS_OK;
}

static enum status expand_first(struct expansion *x) {
    TRY(expand_grids(x));
    for (int i = 0; i < x->plan->sweep->config_count; i++)
        if (!config_waits(&x->plan->sweep->configs[i]))
            TRY(expand_config(x, i));
    return STATUS_OK;
}

enum status plan_create(const struct sweep *sweep, const dataset *ds, struct plan **plan, struct error *err) {
    *plan = NULL;
    struct plan *p = calloc(1, sizeof *p);
    if (!p)
        return error_memory(err, "the plan");
    p->sweep = sweep;
    struct expansion x = {.plan = p, .ds = ds, .err = err};
    enum status status = plan_costs_create(sweep, ds, &p->costs, err);
    if (status == STATUS_OK)
        status = expand_first(&x);
    if (status == STATUS_OK)
        status = run_cap_apply(p, err);
    if (status == STATUS_OK)
        *plan = p;
    else
        plan_destroy(p);
    return status;
}

enum status plan_resolve(struct plan *plan, const dataset *ds, const struct plan_outcome *outcomes, int *added,
                         struct error *err) {
    struct expansion x = {.plan = plan, .ds = ds, .outcomes = outcomes, .known = plan->trial_count, .err = err};
    TRY(expand_grids(&x));
    TRY(expand_waiting_configs(&x));
    *added = plan->trial_count - x.known;
    return *added > 0 ? run_cap_apply(plan, err) : STATUS_OK;
}

enum status plan_check_runnable(const struct plan *plan, struct error *err) {
    for (int i = 0; i < plan->trial_count; i++)
        if (!plan->trials[i].refused[0])
            return STATUS_OK;
    if (plan->trial_count == 0)
        return STATUS_OK;
    return error_set(err, STATUS_INVALID, "nothing can run: all %d trials are refused; the first because of %.900s",
                     plan->trial_count, plan->trials[0].refused);
}
