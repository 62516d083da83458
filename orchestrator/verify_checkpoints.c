// The checkpoints of a run: whole, of the trial and the architecture that they stand under, and with its epochs.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "orchestrator/verify_parts.h"
#include "worker/checkpoint.h"
#include "worker/trial_model.h"

// A checkpoint under scrutiny, and what it should be.
struct subject {
    struct verification *v;
    const char *path;
    safetensors *file;
    const char *trial;
    int fold;
    const struct hyperparameters *hp; // NULL: not known
    const struct trial_row *row;      // NULL: the trial has no result yet
};

static void check_sum(const struct subject *s) {
    struct error why;
    bool there = false;
    if (safetensors_verify(s->file, &there, &why) != STATUS_OK)
        verify_finding(s->v, "%s", why.message);
    else if (!there)
        verify_note(s->v, "%s has no checksum: an older version wrote it", s->path);
}

// ---- metadata ----

static void check_text(const struct subject *s, const char *key, const char *wanted) {
    const char *there = safetensors_metadata(s->file, key);
    if (!there || strcmp(there, wanted) != 0)
        verify_finding(s->v, "%s: its metadata say %s = %s, not %s", s->path, key, there ? there : "nothing", wanted);
}

static void check_integer(const struct subject *s, const char *key, long long wanted) {
    char text[32];
    snprintf(text, sizeof text, "%lld", wanted);
    check_text(s, key, text);
}

static void check_metadata(const struct subject *s) {
    check_text(s, "trial", s->trial);
    if (s->fold >= 0)
        check_integer(s, "fold", s->fold);
    if (s->v->sweep) {
        char seed[32];
        snprintf(seed, sizeof seed, "%llu", (unsigned long long)s->v->sweep->seed);
        check_text(s, "seed", seed);
        check_integer(s, "folds", s->v->sweep->folds);
    }
    for (int i = 0; s->hp && i < HYPER_COUNT; i++) {
        char key[64], value[HYPER_VALUE_SIZE];
        hyper_column(i, key, sizeof key);
        hyper_format(s->hp, i, value);
        check_text(s, key, value);
    }
}

// ---- tensors ----

static void check_shape(const struct subject *s, const char *key, int rank, const int64_t *shape) {
    const struct safetensors_tensor *t;
    struct error why;
    if (safetensors_expect(s->file, key, DTYPE_F32, rank, shape, &t, &why) != STATUS_OK)
        verify_finding(s->v, "%s", why.message);
}

// Every parameter and buffer of the model must be there. The number of bands and steps changes no key; bands are the
// checkpoint's own, for the dataset may be gone.
static void check_architecture(const struct subject *s) {
    struct checkpoint_info info = {.model = {.batch = 1}};
    struct error why;
    graph *g = NULL;
    if (checkpoint_inspect(s->file, s->path, &info, &why) != STATUS_OK) {
        verify_finding(s->v, "%s", why.message);
        return;
    }
    if (!s->hp)
        return;
    struct lstm_unet_config model = trial_model(s->hp, 1, s->v->ds ? dataset_bands(s->v->ds) : info.model.bands);
    model.batch = 1;
    if (lstm_unet_build(&model, &g, &why) != STATUS_OK) {
        verify_finding(s->v, "%s: %s", s->path, why.message);
        return;
    }
    for (int i = 0; i < g->param_count; i++) {
        const struct graph_param *p = &g->params[i];
        int64_t shape[4] = {p->shape[0], p->shape[1], p->shape[2], p->shape[3]};
        if (p->slice_first > 0)
            continue; // its first slice stands for the whole
        if (p->rank == 4)
            shape[1] = p->slice_total;
        check_shape(s, p->key, p->rank, shape);
    }
    for (int i = 0; i < g->buffer_count; i++)
        check_shape(s, g->buffers[i].key, 1, (int64_t[]){g->buffers[i].channels});
    graph_destroy(g);
}

// A trial that diverged may hold anything in its last checkpoint.
static void check_finite(const struct subject *s) {
    for (size_t i = 0; i < safetensors_count(s->file); i++) {
        const struct safetensors_tensor *t = safetensors_at(s->file, i);
        const float *x = t->data;
        size_t n = 0;
        if (t->dtype != DTYPE_F32)
            continue;
        while (n < t->count && isfinite(x[n]))
            n++;
        if (n < t->count) {
            verify_finding(s->v, "%s: tensor '%s' holds a number that is not finite", s->path, t->name);
            return;
        }
    }
}

// ---- epochs ----

static bool same(double a, double b) {
    return a == b || (isnan(a) && isnan(b));
}

static bool same_epoch(const struct epoch_metrics *m, const struct epoch_row *e) {
    return m->epoch == e->epoch && same(m->lr, e->lr) && same(m->train_loss, e->train_loss) &&
           same(m->train_iou, e->train_iou) && same(m->train_f1, e->train_f1) && same(m->val_loss, e->val_loss) &&
           same(m->val_iou, e->val_iou) && same(m->val_f1, e->val_f1) && same(m->val_precision, e->val_precision) &&
           same(m->val_recall, e->val_recall) && same(m->grad_norm, e->grad_norm);
}

// A finished trial's last checkpoint has all its epochs; of one under way either side may be ahead.
static void check_history(const struct subject *s) {
    struct epoch_metrics *history = NULL;
    int count = 0;
    size_t rows;
    struct error why;
    if (checkpoint_read_history(s->file, s->path, &history, &count, &why) != STATUS_OK) {
        verify_finding(s->v, "%s", why.message);
        return;
    }
    const struct epoch_row *const *epoch = verify_epochs_of(s->v, s->trial, &rows);
    if (s->row && s->v->epochs_read && (size_t)count != rows)
        verify_finding(s->v, "%s holds %d epochs, epochs.csv %zu of its trial", s->path, count, rows);
    for (size_t i = 0; i < rows && i < (size_t)count; i++)
        if (!same_epoch(&history[i], epoch[i])) {
            verify_finding(s->v, "%s: its epoch %d is not that of epochs.csv", s->path, history[i].epoch);
            break;
        }
    free(history);
}

static void check_best_epoch(const struct subject *s) {
    char iou[32];
    if (!s->row)
        return;
    if (safetensors_find(s->file, "state/progress"))
        verify_finding(s->v, "%s holds a trial under way, not its best epoch alone", s->path);
    check_integer(s, "epoch", s->row->best_epoch);
    snprintf(iou, sizeof iou, "%.17g", s->row->best_iou);
    check_text(s, "val_iou", iou);
}

// ---- files ----

static void check_file(struct verification *v, const char *name, struct subject s, bool needed) {
    char path[PATH_SIZE];
    struct error why;
    bool last = strcmp(name, "best.safetensors") != 0, diverged = s.row && strcmp(s.row->status, "diverged") == 0;
    if (snprintf(path, sizeof path, "%s/trials/%s/%s", v->folder, s.trial, name) >= (int)sizeof path)
        return;
    s.path = path;
    if (!file_exists(path)) {
        if (needed)
            verify_finding(v, "%s is missing", path);
        return;
    }
    v->result->checkpoints++;
    if (safetensors_open(path, &s.file, &why) != STATUS_OK) {
        verify_finding(v, "%s", why.message);
        return;
    }
    check_sum(&s);
    check_metadata(&s);
    check_architecture(&s);
    if (!last || !diverged)
        check_finite(&s);
    if (last)
        check_history(&s);
    else
        check_best_epoch(&s);
    safetensors_close(s.file);
}

static const struct trial_row *row_of(const struct verification *v, const char *trial) {
    for (size_t i = 0; i < v->trial_count; i++)
        if (strcmp(v->trials[i].trial, trial) == 0)
            return &v->trials[i];
    return NULL;
}

static void check_trial(struct verification *v, const char *trial, int fold, const struct trial_row *row) {
    struct hyperparameters hp;
    bool failed = row && strcmp(row->status, "failed") == 0; // says nothing of its checkpoints
    struct subject s = {.v = v, .trial = trial, .fold = fold, .row = failed ? NULL : row};
    if (row && v->sweep && verify_hyperparameters(v, row, &hp))
        s.hp = &hp;
    bool whole = row && (strcmp(row->status, "done") == 0 || strcmp(row->status, "stopped") == 0);
    check_file(v, "best.safetensors", s, whole);
    check_file(v, "last.safetensors", s, whole);
    s.row = NULL; // it is behind
    check_file(v, "last.previous.safetensors", s, false);
}

void verify_checkpoints(struct verification *v) {
    for (size_t i = 0; i < v->trial_count; i++)
        if (row_of(v, v->trials[i].trial) == &v->trials[i]) // its first row
            check_trial(v, v->trials[i].trial, v->trials[i].fold, &v->trials[i]);
    for (size_t i = 0; i < v->epoch_count && v->trials_read; i++) {
        const struct epoch_row *e = v->by_trial[i];
        if ((i == 0 || strcmp(v->by_trial[i - 1]->trial, e->trial) != 0) && !row_of(v, e->trial))
            check_trial(v, e->trial, e->fold, NULL);
    }
}
