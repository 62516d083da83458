#include "orchestrator/evaluate_run.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/evaluate_parts.h"

enum { MAX_CONFIGS = 2 };

// Everything an evaluation of a run holds; freed in one place.
struct job {
    const struct evaluate_run_config *config;
    struct run_data run;
    struct sweep *sweep;
    dataset *ds;
    char dataset_path[PATH_SIZE], out[PATH_SIZE];
    struct best_point points[MAX_CONFIGS];
    int point_count;
    enum temporal_sampling sampling; // of the last checkpoint
    struct evaluate_tables tables;
};

// ---- scores ----

static void model_free(struct model_scores *m) {
    free(m->sample);
    free(m->level);
    free(m->mask);
    free(m->probability);
    free(m->scores);
}

static void config_free(struct config_scores *c) {
    for (int i = 0; c->models && i <= c->folds; i++)
        model_free(&c->models[i]);
    free(c->models);
}

static size_t pixels_of(const struct model_scores *m) {
    return (size_t)m->side * (size_t)m->side;
}

static enum status model_allocate(struct model_scores *m, size_t count, int side, struct error *err) {
    m->count = count;
    m->side = side;
    size_t pixels = count * pixels_of(m);
    m->sample = calloc(count + 1, sizeof *m->sample);
    m->level = calloc(count + 1, sizeof *m->level);
    m->mask = calloc(pixels + 1, 1);
    m->probability = calloc(pixels + 1, sizeof *m->probability);
    m->scores = calloc(count + 1, sizeof *m->scores);
    return m->sample && m->level && m->mask && m->probability && m->scores ? STATUS_OK : error_memory(err, "scores");
}

static enum status model_measure(struct model_scores *m, struct error *err) {
    size_t pixels = pixels_of(m);
    for (size_t i = 0; i < m->count; i++) {
        const double *probability = m->probability + i * pixels;
        const uint8_t *mask = m->mask + i * pixels;
        TRY(score_map(probability, mask, m->side, m->side, 0.5, &m->scores[i], err));
        score_add(&m->pooled, &m->scores[i]);
        curve_add(&m->curve, probability, mask, pixels);
        calibration_add(&m->calibration, probability, mask, pixels);
    }
    return STATUS_OK;
}

static enum status model_of_result(struct model_scores *m, const struct evaluate_result *r, struct error *err) {
    size_t count = (size_t)r->samples;
    TRY(model_allocate(m, count, r->side, err));
    memcpy(m->sample, r->sample, count * sizeof *m->sample);
    memcpy(m->level, r->level, count * sizeof *m->level);
    memcpy(m->mask, r->mask, count * pixels_of(m));
    for (size_t i = 0; i < count * pixels_of(m); i++)
        m->probability[i] = probability_of_logit(r->logits[i]);
    m->loss = pooled_loss(&r->all);
    return model_measure(m, err);
}

// Same samples: the mean of the folds' probabilities, in the order of the folds.
static enum status model_of_ensemble(struct config_scores *c, struct error *err) {
    struct model_scores *all = &c->models[c->folds];
    const struct model_scores *first = &c->models[0];
    snprintf(all->name, sizeof all->name, "ensemble");
    TRY(model_allocate(all, first->count, first->side, err));
    size_t pixels = all->count * pixels_of(all);
    memcpy(all->sample, first->sample, all->count * sizeof *all->sample);
    memcpy(all->level, first->level, all->count * sizeof *all->level);
    memcpy(all->mask, first->mask, pixels);
    for (int f = 0; f < c->folds; f++)
        for (size_t i = 0; i < pixels; i++)
            all->probability[i] += c->models[f].probability[i] / c->folds;
    return model_measure(all, err);
}

// Every fold has samples of its own: all of them, one after the other.
static enum status model_out_of_fold(struct config_scores *c, struct error *err) {
    struct model_scores *all = &c->models[c->folds];
    size_t count = 0, at = 0, pixels;
    snprintf(all->name, sizeof all->name, "out of fold");
    for (int f = 0; f < c->folds; f++)
        count += c->models[f].count;
    TRY(model_allocate(all, count, c->models[0].side, err));
    pixels = pixels_of(all);
    for (int f = 0; f < c->folds; f++) {
        const struct model_scores *m = &c->models[f];
        memcpy(all->sample + at, m->sample, m->count * sizeof *m->sample);
        memcpy(all->level + at, m->level, m->count * sizeof *m->level);
        memcpy(all->mask + at * pixels, m->mask, m->count * pixels);
        memcpy(all->probability + at * pixels, m->probability, m->count * pixels * sizeof *m->probability);
        at += m->count;
    }
    return model_measure(all, err);
}

// ---- checkpoints ----

static enum status check_trial(const struct checkpoint_info *info, const char *path, const struct trial_row *row,
                               struct error *err) {
    if (info->has_trial && strcmp(info->trial, row->trial) == 0 && info->epoch == row->best_epoch)
        return STATUS_OK;
    return error_set(err, STATUS_MISMATCH,
                     "%s is not of epoch %d of trial %s, which trials.csv names; gridfold verify says more", path,
                     row->best_epoch, row->trial);
}

static enum status evaluate_fold(struct job *j, const struct trial_row *row, struct model_scores *m,
                                 struct error *err) {
    char path[PATH_SIZE];
    struct evaluate_result r = {.samples = 0};
    struct evaluate_config config = {.checkpoint = path,
                                     .dataset = j->dataset_path,
                                     .split = j->config->split,
                                     .backend = j->config->backend,
                                     .threads = j->config->threads,
                                     .batch_size = j->config->batch_size,
                                     .fold = -1,
                                     .folds = -1,
                                     .seed = -1,
                                     .sampling = -1,
                                     .skip = -1,
                                     .image_size = -1};
    TRY(run_trial_path(&j->run, row->trial, "best.safetensors", path, err));
    snprintf(m->name, sizeof m->name, "fold %d", row->fold);
    snprintf(m->trial, sizeof m->trial, "%s", row->trial);
    m->fold = row->fold;
    m->epoch = row->best_epoch;
    enum status status = evaluate_checkpoint(&config, &r, err);
    if (status == STATUS_OK)
        status = check_trial(&r.info, path, row, err);
    if (status == STATUS_OK)
        status = model_of_result(m, &r, err);
    j->sampling = r.info.sampling;
    evaluate_result_free(&r);
    return status;
}

static enum status evaluate_point(struct job *j, const struct best_point *point, struct config_scores *c,
                                  struct error *err) {
    *c = (struct config_scores){.folds = point->count};
    snprintf(c->config, sizeof c->config, "%s", point->fold[0]->config);
    c->models = calloc((size_t)c->folds + 1, sizeof *c->models);
    if (!c->models)
        return error_memory(err, "scores");
    for (int f = 0; f <= c->folds; f++)
        c->models[f] = (struct model_scores){.fold = -1, .epoch = -1, .loss = NAN};
    for (int f = 0; f < c->folds; f++)
        TRY(evaluate_fold(j, point->fold[f], &c->models[f], err));
    return j->config->split == SPLIT_TEST ? model_of_ensemble(c, err) : model_out_of_fold(c, err);
}

// ---- the run ----

// The dataset must be the one that the run's folds were dealt from; another one that is named has no such folds.
static enum status check_dataset(const struct job *j, struct error *err) {
    const struct csv_table *t = &j->run.folds;
    int count = dataset_count(j->ds);
    if (j->config->dataset)
        return STATUS_OK;
    bool same = t->columns == 4 && t->rows == (size_t)count;
    for (int i = 0; i < count && same; i++) {
        const struct sample *s = dataset_sample(j->ds, i);
        same = strcmp(csv_table_cell(t, (size_t)i, 0), s->id) == 0 &&
               (strcmp(csv_table_cell(t, (size_t)i, 3), "test") == 0) == s->test;
    }
    return same ? STATUS_OK
                : error_set(err, STATUS_MISMATCH,
                            "the dataset %s is not the one of %s (folds.csv has other samples); name it with --dataset",
                            j->dataset_path, j->run.folder);
}

// What was asked for, or the pair that the sweep compares, or the winner.
static enum status choose_points(struct job *j, struct error *err) {
    const struct sweep *s = j->sweep;
    bool pair = !j->config->config && s->compare_baseline >= 0 && s->compare_candidate >= 0;
    if (!pair) {
        j->point_count = 1;
        return run_best(&j->run, NULL, j->config->config, &j->points[0], err);
    }
    const int wanted[MAX_CONFIGS] = {s->compare_baseline, s->compare_candidate};
    for (int i = 0; i < MAX_CONFIGS; i++)
        TRY(run_best(&j->run, "", s->configs[wanted[i]].name, &j->points[j->point_count++], err));
    return STATUS_OK;
}

static enum status open_job(struct job *j, struct error *err) {
    const struct evaluate_run_config *c = j->config;
    char path[PATH_SIZE], name[32];
    TRY(run_data_read(c->folder, &j->run, err));
    TRY(path_join(path, j->run.folder, "sweep.ini", err));
    TRY(sweep_parse_stored(path, &j->sweep, err));
    snprintf(j->dataset_path, sizeof j->dataset_path, "%s", c->dataset ? c->dataset : j->sweep->dataset);
    TRY(dataset_open(j->dataset_path, &j->ds, err));
    TRY(check_dataset(j, err));
    TRY(choose_points(j, err));
    snprintf(name, sizeof name, "report/%s", c->split == SPLIT_TEST ? "test" : "val");
    if (!c->out)
        return path_join(j->out, j->run.folder, name, err);
    snprintf(j->out, sizeof j->out, "%s", c->out);
    return STATUS_OK;
}

// Pictures are of the last configuration: the candidate, or the only one.
static enum status evaluate_points(struct job *j, struct error *err) {
    for (int i = 0; i < j->point_count; i++) {
        struct config_scores c = {.folds = 0};
        enum status status = evaluate_point(j, &j->points[i], &c, err);
        if (status == STATUS_OK)
            status = evaluate_tables_add(&j->tables, j->ds, &c, err);
        if (status == STATUS_OK && i + 1 == j->point_count) {
            status = file_make_directories(j->out, err);
            if (status == STATUS_OK)
                status = evaluate_pictures(j->out, j->ds, j->sampling, &c.models[c.folds], err);
            if (status == STATUS_UNSUPPORTED) { // the tables are whole all the same
                document_paragraph(j->tables.doc, "No pictures: %s", err->message);
                status = STATUS_OK;
            }
        }
        config_free(&c);
        TRY(status);
    }
    return STATUS_OK;
}

static enum status write_tables(const struct job *j, FILE *terminal, struct error *err) {
    TRY(document_write_csv(j->tables.doc, j->out, err));
    TRY(document_write_text(j->tables.doc, terminal, TABLE_TERMINAL_WIDTH, err));
    fprintf(terminal, "\nwritten to %s\n", j->out);
    return STATUS_OK;
}

enum status evaluate_run(const struct evaluate_run_config *config, FILE *terminal, struct error *err) {
    struct job j = {.config = config};
    enum status status = open_job(&j, err);
    if (status == STATUS_OK)
        status = evaluate_tables_create(config->split, &j.tables, err);
    if (status == STATUS_OK)
        status = evaluate_points(&j, err);
    if (status == STATUS_OK)
        status = write_tables(&j, terminal, err);
    document_destroy(j.tables.doc);
    dataset_close(j.ds);
    sweep_destroy(j.sweep);
    run_data_free(&j.run);
    return status;
}
