#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "results/export.h"
#include "results/tfrecord.h"

// What the folder of a trial may not be called becomes '-'.
static void folder_name(const char *config, int fold, const char *trial, char *out, size_t size) {
    snprintf(out, size, "%s,fold=%d,%s", config, fold, trial);
    for (char *c = out; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._-=+,", *c))
            *c = '-';
}

static void add_scalar(struct wire *file, double time, int epoch, const char *tag, double value) {
    if (!isnan(value))
        event_scalar(file, time, epoch, tag, value);
}

static void add_epoch(struct wire *file, double time, const struct metric_columns *own, const struct epoch_row *e) {
    const struct {
        const char *tag;
        double value;
    } scalars[] = {{"loss/train", e->train_loss},
                   {"loss/val", e->val_loss},
                   {"iou/train", e->train_iou},
                   {"iou/val", e->val_iou},
                   {"f1/train", e->train_f1},
                   {"f1/val", e->val_f1},
                   {"precision/val", e->val_precision},
                   {"recall/val", e->val_recall},
                   {"lr", e->lr},
                   {"grad_norm", e->grad_norm}};
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++)
        add_scalar(file, time, e->epoch, scalars[i].tag, scalars[i].value);
    for (int i = 0; i < own->count; i++)
        add_scalar(file, time, e->epoch, own->name[i], e->own[i]);
}

// One that a search has stopped early is neither a success nor a failure.
static enum session_status status_of(const struct trial_row *row) {
    if (strcmp(row->status, "stopped") == 0)
        return SESSION_UNKNOWN;
    return strcmp(row->status, "done") == 0 ? SESSION_SUCCESS : SESSION_FAILURE;
}

// The epochs of one trial, and its row; NULL: it is under way.
struct export_trial {
    const struct epoch_row *epoch;
    size_t epochs;
    const struct trial_row *row;
};

// `name`: a session group of its own, since folds of one configuration differ in a tag.
static void fill(const struct run_data *run, const export_times *times, const struct export_trial *t, const char *name,
                 struct wire *file) {
    struct hparam hparams[RUN_MAX_SWEPT + 1];
    char fold[16];
    size_t count = 0;
    double time = export_time(times, t->epoch->trial, -1);
    snprintf(fold, sizeof fold, "%d", t->epoch->fold);
    for (int i = 0; t->row && i < run->swept.count; i++)
        hparams[count++] = (struct hparam){run->swept.name[i], t->row->swept[i]};
    hparams[count++] = (struct hparam){"fold", fold};
    event_version(file, time);
    event_session_start(file, time, name, hparams, count);
    for (size_t i = 0; i < t->epochs; i++) {
        double at = export_time(times, t->epoch->trial, t->epoch[i].epoch);
        time = at > 0 ? at : time;
        add_epoch(file, time, &run->own, &t->epoch[i]);
    }
    if (t->row)
        event_session_end(file, time, status_of(t->row));
}

static enum status write_trial(const struct run_data *run, const export_times *times, const char *folder,
                               const struct export_trial *t, struct error *err) {
    char name[RUN_NAME_SIZE + 64], file_name[64], trial_folder[PATH_SIZE], path[PATH_SIZE];
    struct wire file = {0};
    folder_name(t->epoch->config, t->epoch->fold, t->epoch->trial, name, sizeof name);
    snprintf(file_name, sizeof file_name, "events.out.tfevents.%010.0f.%s", export_time(times, t->epoch->trial, -1),
             t->epoch->trial);
    TRY(path_join(trial_folder, folder, name, err));
    TRY(path_join(path, trial_folder, file_name, err));
    TRY(file_make_directories(trial_folder, err));
    fill(run, times, t, name, &file);
    enum status status = file.failed ? error_memory(err, path) : file_write(path, file.data, file.size, err);
    wire_free(&file);
    return status;
}

// Epochs come by trial.
static enum status write_trials(const struct run_data *run, const export_times *times, const char *folder,
                                size_t *trials, struct error *err) {
    for (size_t first = 0; first < run->epochs; ++*trials) {
        struct export_trial t = {.epoch = &run->epoch[first], .row = run_data_trial(run, run->epoch[first].trial)};
        for (; first < run->epochs && strcmp(run->epoch[first].trial, t.epoch->trial) == 0; first++)
            t.epochs++;
        TRY(write_trial(run, times, folder, &t, err));
    }
    return STATUS_OK;
}

enum status export_tensorboard(const struct run_data *run, const char *folder, size_t *trials, struct error *err) {
    *trials = 0;
    if (run->epochs == 0)
        return error_set(err, STATUS_NOT_FOUND, "%s has no epochs yet: there is nothing to export", run->folder);
    export_times *times = export_times_create(run);
    enum status status = times ? write_trials(run, times, folder, trials, err) : error_memory(err, folder);
    free(times);
    return status;
}
