// What is asked of a run that was read.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "results/run_data.h"

// Of rows without an id, what else they are told apart by.
static int by_identity(const struct trial_row *a, const struct trial_row *b) {
    int order = strcmp(a->trial, b->trial);
    if (order || *a->trial)
        return order;
    order = (a->fold > b->fold) - (a->fold < b->fold);
    order = order ? order : strcmp(a->config, b->config);
    for (int i = 0; i < a->swept_count && !order; i++)
        order = strcmp(a->swept[i], b->swept[i]);
    return order;
}

// Rows of one trial keep the order of the file, which their addresses tell.
static int by_identity_and_place(const void *a, const void *b) {
    const struct trial_row *const *x = a, *const *y = b;
    int order = by_identity(*x, *y);
    return order ? order : (*x > *y) - (*x < *y);
}

enum status run_data_index(struct run_data *run, struct error *err) {
    run->distinct = malloc((run->trials + 1) * sizeof(const struct trial_row *));
    run->distinct_trials = 0;
    if (!run->distinct)
        return error_memory(err, "trials");
    for (size_t i = 0; i < run->trials; i++)
        run->distinct[i] = &run->trial[i];
    qsort(run->distinct, run->trials, sizeof(const struct trial_row *), by_identity_and_place);
    for (size_t i = 0; i < run->trials; i++)
        if (i == 0 || by_identity(run->distinct[run->distinct_trials - 1], run->distinct[i]) != 0)
            run->distinct[run->distinct_trials++] = run->distinct[i];
    return STATUS_OK;
}

const char *run_fact(const struct run_facts *facts, const char *key) {
    for (size_t i = 0; i < facts->count; i++)
        if (strcmp(facts->fact[i].key, key) == 0)
            return facts->fact[i].value;
    return NULL;
}

static int by_id(const void *key, const void *row) {
    return strcmp(key, (*(const struct trial_row *const *)row)->trial);
}

const struct trial_row *run_data_trial(const struct run_data *run, const char *id) {
    const struct trial_row **row =
        run->distinct_trials && *id ? bsearch(id, run->distinct, run->distinct_trials, sizeof *row, by_id) : NULL;
    return row ? *row : NULL;
}

static int by_identity_alone(const void *key, const void *row) {
    return by_identity(key, *(const struct trial_row *const *)row);
}

bool run_data_is_first(const struct run_data *run, const struct trial_row *row) {
    const struct trial_row **first =
        bsearch(row, run->distinct, run->distinct_trials, sizeof *first, by_identity_alone);
    return first && *first == row;
}

double run_data_metric(const struct run_data *run, const struct epoch_row *epoch) {
    return metric_is_share(&run->metric) ? epoch->val_iou : epoch_row_number(epoch, &run->own, run->metric.name);
}

static int by_trial(const void *key, const void *row) {
    return strcmp(key, ((const struct epoch_row *)row)->trial);
}

const struct epoch_row *run_data_epochs(const struct run_data *run, const char *trial, size_t *count) {
    *count = 0;
    if (run->epochs == 0 || !*trial)
        return NULL;
    const struct epoch_row *first = bsearch(trial, run->epoch, run->epochs, sizeof *first, by_trial);
    if (!first)
        return NULL;
    while (first > run->epoch && strcmp(first[-1].trial, trial) == 0)
        first--;
    while (first + *count < run->epoch + run->epochs && strcmp(first[*count].trial, trial) == 0)
        ++*count;
    return first;
}

int run_data_planned_epochs(const struct run_data *run, const struct trial_row *trial) {
    const char *text = run_fact(&run->base, "epochs");
    for (int i = 0; i < run->swept.count; i++)
        if (strcmp(run->swept.name[i], "epochs") == 0)
            text = trial->swept[i];
    long epochs = text ? strtol(text, NULL, 10) : 0;
    return epochs > 0 && epochs < 1000000 ? (int)epochs : 0;
}

// Unfinished trials

// Epochs come by trial: a trial's rows follow each other.
static void add_epoch(const struct run_data *run, const struct epoch_row *row, struct unfinished_trial *trials,
                      size_t *count) {
    double value = run_data_metric(run, row);
    if (*count == 0 || strcmp(trials[*count - 1].trial, row->trial) != 0) {
        if (run_data_trial(run, row->trial))
            return;
        struct unfinished_trial *added = &trials[(*count)++];
        *added = (struct unfinished_trial){.fold = row->fold, .best_iou = NAN};
        snprintf(added->trial, sizeof added->trial, "%s", row->trial);
        snprintf(added->config, sizeof added->config, "%s", row->config);
    }
    struct unfinished_trial *t = &trials[*count - 1];
    t->epochs = row->epoch + 1 > t->epochs ? row->epoch + 1 : t->epochs;
    if (isnan(t->best_iou) || metric_better(&run->metric, value, t->best_iou))
        t->best_iou = value;
}

static int by_unfinished_id(const void *key, const void *trial) {
    return strcmp(key, ((const struct unfinished_trial *)trial)->trial);
}

// The trial of a "planned" event; NULL for other events.
static const char *planned_trial(const struct csv_table *events, size_t row, int event, int trial) {
    return strcmp(csv_table_cell(events, row, event), "planned") == 0 ? csv_table_cell(events, row, trial) : NULL;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum status count_not_started(const struct run_data *run, const struct unfinished_trial *started, size_t count,
                                     size_t *not_started, struct error *err) {
    const struct csv_table *events = &run->events;
    int event = events->columns ? csv_table_column(events, "event") : -1;
    int trial = events->columns ? csv_table_column(events, "trial") : -1;
    const char **planned = malloc((events->rows + 1) * sizeof *planned);
    size_t ids = 0;
    *not_started = 0;
    if (!planned)
        return error_memory(err, run->folder);
    for (size_t i = 0; event >= 0 && trial >= 0 && i < events->rows; i++) {
        const char *id = planned_trial(events, i, event, trial);
        if (id && !run_data_trial(run, id) && !bsearch(id, started, count, sizeof *started, by_unfinished_id))
            planned[ids++] = id;
    }
    qsort(planned, ids, sizeof *planned, by_text); // a resumed sweep plans them anew
    for (size_t i = 0; i < ids; i++)
        *not_started += i == 0 || strcmp(planned[i - 1], planned[i]) != 0;
    free(planned);
    return STATUS_OK;
}

enum status run_data_unfinished(const struct run_data *run, struct unfinished_trial **trials, size_t *count,
                                size_t *not_started, struct error *err) {
    *count = 0;
    *trials = malloc((run->epochs + 1) * sizeof **trials);
    if (!*trials)
        return error_memory(err, run->folder);
    for (size_t i = 0; i < run->epochs; i++)
        add_epoch(run, &run->epoch[i], *trials, count);
    return count_not_started(run, *trials, *count, not_started, err);
}
