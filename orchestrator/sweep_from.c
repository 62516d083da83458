// `from = RUN_DIR`: the winners of a finished run's grids, as settings of a config.
#include <math.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/sweep_random.h"
#include "orchestrator/winner.h"
#include "results/run_files.h"

struct source {
    const char *folder;
    const struct sweep_program *program; // of the sweep that asks
    struct sweep *sweep;                 // its sweep.ini; NULL: it has none
    struct swept_columns columns;
    struct trial_row *rows;
    size_t count;
    char winner[HYPER_ALL][HYPER_VALUE_SIZE];
    bool known[HYPER_ALL];
};

static enum status open_source(const char *folder, struct source *s, struct error *err) {
    char path[PATH_SIZE];
    s->folder = folder;
    TRY(path_join(path, folder, "trials.csv", err));
    if (!file_exists(path))
        return error_set(err, STATUS_NOT_FOUND, "from = %s: there is no %s; run that sweep first", folder, path);
    TRY(trials_read(path, &s->columns, &s->rows, &s->count, err));
    TRY(path_join(path, folder, "sweep.ini", err));
    return file_exists(path) ? sweep_parse_stored(path, &s->sweep, err) : STATUS_OK;
}

static bool is_done(const struct trial_row *row) {
    return strcmp(row->status, "done") == 0;
}

static bool is_stopped(const struct trial_row *row) {
    return strcmp(row->status, "stopped") == 0;
}

static bool is_finished(const struct trial_row *row) {
    return is_done(row) || is_stopped(row) || strcmp(row->status, "failed") == 0 ||
           strcmp(row->status, "diverged") == 0;
}

static int by_values(const void *a, const void *b) {
    const struct trial_row *x = a, *y = b;
    int order = 0;
    for (int i = 0; i < x->swept_count && !order; i++)
        order = strcmp(x->swept[i], y->swept[i]);
    return order;
}

static double score(const struct source *s, double metric) {
    return s->sweep ? program_score(&s->sweep->program, metric) : metric;
}

// The points of a grid, numbered as they come.
struct candidates {
    const struct trial_row **first; // row of each point
    int *number;                    // of the point whose first row is this one of the source
    int points;
    void *known; // tree of first rows, by their values
};

static enum status number_point(const struct source *s, struct candidates *c, const struct trial_row *row, int *point,
                                struct error *err) {
    const struct trial_row *const *first = tsearch(row, &c->known, by_values);
    if (!first)
        return error_memory(err, "winners");
    if (*first == row) {
        c->first[c->points] = row;
        c->number[row - s->rows] = c->points++;
    }
    *point = c->number[*first - s->rows];
    return STATUS_OK;
}

static void keep_row(void *row) {
    (void)row; // the source's
}

// The row of the grid's winner, NULL when no row of the grid is done; *finished: how many of its rows say how they
// ended.
static const struct trial_row *find_winner(const struct source *s, const char *grid, size_t *finished,
                                           struct error *err) {
    struct candidates c = {.first = calloc(s->count + 1, sizeof(const struct trial_row *)),
                           .number = calloc(s->count + 1, sizeof *c.number)};
    int *point = calloc(s->count + 1, sizeof *point), best = -1;
    double *iou = calloc(s->count + 1, sizeof *iou);
    size_t rows = 0;
    enum status status = c.first && c.number && point && iou ? STATUS_OK : error_memory(err, "winners");
    *finished = 0;
    for (size_t i = 0; i < s->count && status == STATUS_OK; i++) {
        const struct trial_row *row = &s->rows[i];
        if (strcmp(row->grid, grid) != 0)
            continue;
        *finished += is_finished(row);
        iou[rows] = is_done(row) ? score(s, row->best_iou) : is_stopped(row) ? -INFINITY : NAN;
        status = number_point(s, &c, row, &point[rows++], err);
    }
    if (status == STATUS_OK)
        status = winner_point(c.points, rows, point, iou, &best, err);
    if (status == STATUS_OK && best < 0)
        (void)error_set(err, STATUS_INVALID, "from = %s: its grid %s has no finished trial; run that sweep first",
                        s->folder, grid);
    const struct trial_row *winner = best >= 0 ? c.first[best] : NULL;
    tdestroy(c.known, keep_row);
    free(c.first);
    free(c.number);
    free(point);
    free(iou);
    return winner;
}

static bool varies(const struct source *s, const char *grid, int column) {
    const char *first = NULL;
    for (size_t i = 0; i < s->count; i++) {
        if (strcmp(s->rows[i].grid, grid) != 0) // NOLINT(clang-analyzer-core.NonNullParamChecker): a name was read
            continue;
        if (first && strcmp(first, s->rows[i].swept[column]) != 0)
            return true;
        first = s->rows[i].swept[column];
    }
    return false;
}

static bool has_axis(const struct sweep_grid *grid, int hyper) {
    for (int i = 0; i < grid->axis_count; i++)
        if (grid->axes[i].hyper == hyper)
            return true;
    return false;
}

// `definition` NULL: the run has no sweep.ini; what varies in the grid was swept.
static enum status take_grid(struct source *s, const char *name, const struct sweep_grid *definition,
                             struct error *err) {
    size_t finished;
    const struct trial_row *winner = find_winner(s, name, &finished, err);
    if (!winner)
        return err->status;
    if (definition) {
        size_t expected = (size_t)definition->run_count;
        expected *= (size_t)sweep_grid_points(definition);
        if (finished < expected)
            return error_set(err, STATUS_INVALID,
                             "from = %s: its grid %s has finished %zu of %zu trials; finish that run first", s->folder,
                             name, finished, expected);
    }
    for (int i = 0; i < s->columns.count; i++) {
        int hyper = program_hyper_find(s->program, s->columns.name[i]);
        if (hyper < 0 || !(definition ? has_axis(definition, hyper) : varies(s, name, i)))
            continue;
        snprintf(s->winner[hyper], sizeof s->winner[hyper], "%s", winner->swept[i]);
        s->known[hyper] = true;
    }
    return STATUS_OK;
}

static enum status take_grids(struct source *s, struct error *err) {
    int grids = 0;
    for (int i = 0; s->sweep && i < s->sweep->grid_count; i++, grids++)
        TRY(take_grid(s, s->sweep->grids[i].name, &s->sweep->grids[i], err));
    for (size_t i = 0; !s->sweep && i < s->count; i++) {
        size_t before = 0;
        while (before < i && strcmp(s->rows[before].grid, s->rows[i].grid) != 0)
            before++;
        if (before < i || !*s->rows[i].grid)
            continue;
        TRY(take_grid(s, s->rows[i].grid, NULL, err));
        grids++;
    }
    if (grids == 0)
        return error_set(err, STATUS_INVALID, "from = %s: that run has no grids; name a run of a grid search",
                         s->folder);
    return STATUS_OK;
}

static bool is_set(const struct sweep_config *config, int hyper) {
    for (int i = 0; i < config->setting_count; i++)
        if (config->settings[i].hyper == hyper)
            return true;
    return false;
}

static enum status add_settings(const struct source *s, struct sweep_config *config, struct error *err) {
    struct hyperparameters hp = hyperparameters_default();
    for (int hyper = 0; hyper < HYPER_ALL; hyper++) {
        if (!s->known[hyper] || is_set(config, hyper))
            continue;
        char canonical[HYPER_VALUE_SIZE];
        if (hyper_set(&hp, hyper, s->winner[hyper], err) != STATUS_OK)
            return error_prefix(err, "%s/trials.csv", s->folder);
        hyper_format(&hp, hyper, canonical);
        struct sweep_axis *axis = &config->settings[config->setting_count++];
        *axis = (struct sweep_axis){.hyper = hyper, .reference = -1, .line = config->line};
        if (!sweep_axis_add(axis, canonical))
            return error_memory(err, "a config");
    }
    return STATUS_OK;
}

enum status sweep_read_winners(const struct sweep_program *program, const char *run, struct sweep_config *config,
                               struct error *err) {
    struct source *s = calloc(1, sizeof *s);
    if (!s)
        return error_memory(err, "winners");
    s->program = program;
    enum status status = open_source(run, s, err);
    if (status == STATUS_OK)
        status = take_grids(s, err);
    if (status == STATUS_OK)
        status = add_settings(s, config, err);
    sweep_destroy(s->sweep);
    free(s->rows);
    free(s);
    return status;
}
