#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "results/export.h"
#include "results/tfrecord.h"

double export_time(const struct run_data *run, const char *trial, int epoch) {
    const struct csv_table *t = &run->events;
    int time_column = csv_table_column(t, "time"), trial_column = csv_table_column(t, "trial"),
        epoch_column = csv_table_column(t, "epoch"), event_column = csv_table_column(t, "event");
    char wanted[16];
    snprintf(wanted, sizeof wanted, "%d", epoch);
    if (time_column < 0 || trial_column < 0 || epoch_column < 0 || event_column < 0)
        return 0;
    for (size_t row = 0; row < t->rows; row++) {
        struct tm tm = {0};
        if (strcmp(csv_table_cell(t, row, trial_column), trial) != 0 ||
            (epoch >= 0 && (strcmp(csv_table_cell(t, row, event_column), "epoch") != 0 ||
                            strcmp(csv_table_cell(t, row, epoch_column), wanted) != 0)))
            continue;
        if (strptime(csv_table_cell(t, row, time_column), "%Y-%m-%dT%H:%M:%SZ", &tm))
            return (double)timegm(&tm);
    }
    return 0;
}

void export_rows(const struct run_data *run, const struct trial_row **rows, size_t *count) {
    *count = 0;
    for (size_t i = 0; i < run->trials; i++) {
        size_t before = 0;
        while (before < *count && strcmp(rows[before]->trial, run->trial[i].trial) != 0)
            before++;
        if (before == *count)
            rows[(*count)++] = &run->trial[i];
    }
}

// What the folder of a trial may not be called becomes '-'.
static void folder_name(const char *config, int fold, const char *trial, char *out, size_t size) {
    snprintf(out, size, "%s,fold=%d,%s", config, fold, trial);
    for (char *c = out; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr("._-=+,", *c))
            *c = '-';
}

static void add_epoch(struct wire *file, double time, const struct epoch_row *e) {
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
        if (!isnan(scalars[i].value))
            event_scalar(file, time, e->epoch, scalars[i].tag, scalars[i].value);
}

// One that a search has stopped early is neither a success nor a failure.
static enum session_status status_of(const struct trial_row *row) {
    if (strcmp(row->status, "stopped") == 0)
        return SESSION_UNKNOWN;
    return strcmp(row->status, "done") == 0 ? SESSION_SUCCESS : SESSION_FAILURE;
}

// `row` NULL: the trial is under way.
static void fill(const struct run_data *run, const struct epoch_row *first, const struct trial_row *row,
                 struct wire *file) {
    struct hparam hparams[RUN_MAX_SWEPT + 1];
    char fold[16];
    size_t count = 0;
    double time = export_time(run, first->trial, -1);
    snprintf(fold, sizeof fold, "%d", first->fold);
    for (int i = 0; row && i < run->swept.count; i++)
        hparams[count++] = (struct hparam){run->swept.name[i], row->swept[i]};
    hparams[count++] = (struct hparam){"fold", fold};
    event_version(file, time);
    event_session_start(file, time, first->config, hparams, count);
    for (size_t i = 0; i < run->epochs; i++) {
        if (strcmp(run->epoch[i].trial, first->trial) != 0)
            continue;
        double at = export_time(run, first->trial, run->epoch[i].epoch);
        time = at > 0 ? at : time;
        add_epoch(file, time, &run->epoch[i]);
    }
    if (row)
        event_session_end(file, time, status_of(row));
}

static enum status write_trial(const struct run_data *run, const char *folder, const struct epoch_row *first,
                               const struct trial_row *row, struct error *err) {
    char name[RUN_NAME_SIZE + 64], file_name[64], trial_folder[PATH_SIZE], path[PATH_SIZE];
    struct wire file = {0};
    folder_name(first->config, first->fold, first->trial, name, sizeof name);
    snprintf(file_name, sizeof file_name, "events.out.tfevents.%010.0f.%s", export_time(run, first->trial, -1),
             first->trial);
    TRY(path_join(trial_folder, folder, name, err));
    TRY(path_join(path, trial_folder, file_name, err));
    TRY(file_make_directories(trial_folder, err));
    fill(run, first, row, &file);
    enum status status = file.failed ? error_memory(err, path) : file_write(path, file.data, file.size, err);
    wire_free(&file);
    return status;
}

static bool is_first(const struct run_data *run, size_t epoch) {
    for (size_t i = 0; i < epoch; i++)
        if (strcmp(run->epoch[i].trial, run->epoch[epoch].trial) == 0)
            return false;
    return true;
}

enum status export_tensorboard(const struct run_data *run, const char *folder, size_t *trials, struct error *err) {
    *trials = 0;
    if (run->epochs == 0)
        return error_set(err, STATUS_NOT_FOUND, "%s has no epochs yet: there is nothing to export", run->folder);
    for (size_t i = 0; i < run->epochs; i++) {
        const struct trial_row *row = NULL;
        if (!is_first(run, i))
            continue;
        for (size_t k = 0; k < run->trials && !row; k++)
            row = strcmp(run->trial[k].trial, run->epoch[i].trial) == 0 ? &run->trial[k] : NULL;
        TRY(write_trial(run, folder, &run->epoch[i], row, err));
        ++*trials;
    }
    return STATUS_OK;
}
