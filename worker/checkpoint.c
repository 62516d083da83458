#include "worker/checkpoint.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char FORMAT[] = "gridfold-checkpoint-1";
enum { HISTORY_COLUMNS = 11, PROGRESS_VALUES = 13 };

// ---- writing ----

// Where a tensor's numbers come from when the writer asks for them.
struct tensor_source {
    const struct checkpoint_source *from;
    struct network_piece piece; // which tensor, and of which arena
};

static size_t row_bytes(const struct network_tensor *t) {
    return t->count / (size_t)t->shape[0] * sizeof(float);
}

static void fill_piece(void *context, size_t first, size_t bytes, void *buffer) {
    const struct tensor_source *s = context;
    struct network_piece piece = s->piece;
    size_t row = row_bytes(network_tensor_at(s->from->net, piece.index));
    piece.first = (int64_t)(first / row);
    piece.rows = (int64_t)(bytes / row);
    if (s->from->frozen)
        network_frozen_read(s->from->frozen, &piece, buffer);
    else
        network_read_piece(s->from->net, &piece, buffer);
}

static enum status add_tensor(safetensors_writer *w, const char *name, const network *net, struct tensor_source *s,
                              struct error *err) {
    const struct network_tensor *t = network_tensor_at(net, s->piece.index);
    size_t piece = (size_t)network_piece_rows(net, s->piece.index) * row_bytes(t);
    return safetensors_add_filled(w, name, DTYPE_F32, t->rank, t->shape,
                                  (struct safetensors_source){fill_piece, s, piece}, err);
}

static int64_t steps_taken(const struct checkpoint_source *source) {
    return source->frozen ? network_frozen_steps_taken(source->frozen) : network_steps_taken(source->net);
}

static enum status add_number(safetensors_writer *w, const char *key, double value, struct error *err) {
    char text[32];
    snprintf(text, sizeof text, "%.17g", value);
    return safetensors_add_metadata(w, key, text, err);
}

static enum status add_hyperparameters(safetensors_writer *w, const struct trial *trial, struct error *err) {
    for (int i = 0; i < HYPER_COUNT; i++) {
        char key[64], value[HYPER_VALUE_SIZE];
        hyper_column(i, key, sizeof key);
        hyper_format(&trial->hp, i, value);
        TRY(safetensors_add_metadata(w, key, value, err));
    }
    return STATUS_OK;
}

static enum status add_bands(safetensors_writer *w, const struct checkpoint_context *c, struct error *err) {
    char names[1024] = "", mean[DATASET_MAX_BANDS * 26] = "", std[DATASET_MAX_BANDS * 26] = "";
    size_t n = 0, m = 0, s = 0;
    for (int b = 0; b < dataset_bands(c->ds); b++) {
        const char *comma = b ? ", " : "";
        n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", comma, dataset_band_name(c->ds, b));
        m += (size_t)snprintf(mean + m, sizeof mean - m, "%s%.17g", comma, c->normalization->mean[b]);
        s += (size_t)snprintf(std + s, sizeof std - s, "%s%.17g", comma, c->normalization->std[b]);
        if (n >= sizeof names || m >= sizeof mean || s >= sizeof std)
            return error_set(err, STATUS_INVALID, "band names too long for a checkpoint's metadata");
    }
    TRY(safetensors_add_metadata(w, "bands", names, err));
    TRY(safetensors_add_metadata(w, "normalization_mean", mean, err));
    return safetensors_add_metadata(w, "normalization_std", std, err);
}

static enum status add_metadata(safetensors_writer *w, const struct checkpoint_context *c, int epoch, double val_iou,
                                struct error *err) {
    char seed[32];
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)c->trial->seed);
    TRY(safetensors_add_checksum(w, err));
    TRY(safetensors_add_metadata(w, "format", FORMAT, err));
    TRY(safetensors_add_metadata(w, "trial", c->trial->id, err));
    TRY(safetensors_add_metadata(w, "seed", seed, err));
    TRY(add_number(w, "fold", c->trial->fold, err));
    TRY(add_number(w, "folds", c->trial->folds, err));
    TRY(add_number(w, "epoch", epoch, err));
    TRY(add_number(w, "val_iou", val_iou, err));
    TRY(add_hyperparameters(w, c->trial, err));
    return add_bands(w, c, err);
}

// The state dict in PyTorch's order: num_batches_tracked follows each running_var.
static enum status add_state_dict(safetensors_writer *w, const network *net, struct tensor_source *sources,
                                  const int64_t *batches, struct error *err) {
    static const char suffix[] = "running_var";
    for (int i = 0; i < network_tensor_count(net); i++) {
        const struct network_tensor *t = network_tensor_at(net, i);
        TRY(add_tensor(w, t->key, net, &sources[i], err));
        size_t length = strlen(t->key), stem = length - strlen(suffix);
        if (length < strlen(suffix) || strcmp(t->key + stem, suffix) != 0)
            continue;
        char key[2 * GRAPH_KEY_SIZE];
        snprintf(key, sizeof key, "%.*snum_batches_tracked", (int)stem, t->key);
        TRY(safetensors_add(w, key, DTYPE_I64, 0, NULL, batches, err));
    }
    return STATUS_OK;
}

static struct tensor_source *sources_create(const struct checkpoint_source *from, enum network_arena arena, bool best) {
    int count = network_tensor_count(from->net);
    struct tensor_source *s = calloc((size_t)count, sizeof *s);
    for (int i = 0; s && i < count; i++)
        s[i] = (struct tensor_source){from, {.arena = arena, .snapshot = best, .index = i}};
    return s;
}

enum status checkpoint_write_best(struct file_replace *f, const struct checkpoint_context *c,
                                  const struct checkpoint_source *source, const struct training_state *state,
                                  struct error *err) {
    int64_t batches = (int64_t)(state->best_epoch + 1) * c->steps_per_epoch;
    safetensors_writer *w = NULL;
    struct tensor_source *sources = sources_create(source, ARENA_PARAM, true);
    enum status status = sources ? safetensors_writer_create(&w, err) : error_memory(err, f->path);
    if (status != STATUS_OK)
        goto fail;
    TRY_OR_FAIL(add_metadata(w, c, state->best_epoch, state->best_iou, err));
    TRY_OR_FAIL(add_state_dict(w, source->net, sources, &batches, err));
    safetensors_set_pause(w, source->pause, source->pause_context);
    file_replace_direct(f);
    status = safetensors_write_into(w, f, err);
fail:
    safetensors_writer_destroy(w);
    free(sources);
    return status;
}

static enum status add_moments(safetensors_writer *w, const network *net, struct tensor_source *sources,
                               const char *name, struct error *err) {
    for (int i = 0; i < network_tensor_count(net); i++) {
        const struct network_tensor *t = network_tensor_at(net, i);
        if (t->buffer)
            continue;
        char key[2 * GRAPH_KEY_SIZE];
        snprintf(key, sizeof key, "state/%s/%s", name, t->key);
        TRY(add_tensor(w, key, net, &sources[i], err));
    }
    return STATUS_OK;
}

static void history_pack(const struct training_state *state, double *out) {
    for (int i = 0; i < state->history_count; i++) {
        const struct epoch_metrics *m = &state->history[i];
        const double row[HISTORY_COLUMNS] = {m->epoch,         m->lr,         m->train_loss, m->train_iou,
                                             m->train_f1,      m->val_loss,   m->val_iou,    m->val_f1,
                                             m->val_precision, m->val_recall, m->grad_norm};
        memcpy(out + i * HISTORY_COLUMNS, row, sizeof row);
    }
}

static void history_unpack(const double *in, struct training_state *state) {
    for (int i = 0; i < state->history_count; i++) {
        const double *r = in + i * HISTORY_COLUMNS;
        state->history[i] =
            (struct epoch_metrics){(int)r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], 0, {0}};
    }
}

static void progress_pack(const struct training_state *s, int64_t steps, double out[PROGRESS_VALUES]) {
    const double values[PROGRESS_VALUES] = {s->epoch,
                                            s->step,
                                            (double)steps,
                                            (double)s->partial.tp,
                                            (double)s->partial.fp,
                                            (double)s->partial.fn,
                                            (double)s->partial.tn,
                                            s->partial.loss_sum,
                                            (double)s->partial.pixels,
                                            s->partial_grad_norm,
                                            s->best_iou,
                                            s->best_f1,
                                            s->best_epoch};
    memcpy(out, values, sizeof values);
}

static void progress_unpack(const double *v, struct training_state *s, network *net) {
    s->epoch = (int)v[0];
    s->step = (int)v[1];
    network_set_steps_taken(net, (int64_t)v[2]);
    s->partial = (struct pooled){(int64_t)v[3], (int64_t)v[4], (int64_t)v[5], (int64_t)v[6], v[7], (int64_t)v[8]};
    s->partial_grad_norm = v[9];
    s->best_iou = v[10];
    s->best_f1 = v[11];
    s->best_epoch = (int)v[12];
}

enum status checkpoint_write_last(struct file_replace *f, const struct checkpoint_context *c,
                                  const struct checkpoint_source *source, const struct training_state *state,
                                  struct error *err) {
    bool adamw = c->trial->hp.optimizer == OPTIMIZER_ADAMW;
    int64_t batches = steps_taken(source), history_shape[2] = {state->history_count, HISTORY_COLUMNS},
            progress_shape[1] = {PROGRESS_VALUES};
    double progress[PROGRESS_VALUES],
        *history = calloc((size_t)state->history_count * HISTORY_COLUMNS + 1, sizeof *history);
    struct tensor_source *params = sources_create(source, ARENA_PARAM, false),
                         *moment1 = sources_create(source, ARENA_MOMENT1, false),
                         *moment2 = sources_create(source, ARENA_MOMENT2, false);
    safetensors_writer *w = NULL;
    enum status status =
        history && params && moment1 && moment2 ? safetensors_writer_create(&w, err) : error_memory(err, f->path);
    if (status != STATUS_OK)
        goto fail;
    history_pack(state, history);
    progress_pack(state, batches, progress);
    TRY_OR_FAIL(add_metadata(w, c, state->history_count - 1,
                             state->history_count ? state->history[state->history_count - 1].val_iou : NAN, err));
    TRY_OR_FAIL(safetensors_add(w, "state/progress", DTYPE_F64, 1, progress_shape, progress, err));
    TRY_OR_FAIL(safetensors_add(w, "state/history", DTYPE_F64, 2, history_shape, history, err));
    TRY_OR_FAIL(add_state_dict(w, source->net, params, &batches, err));
    TRY_OR_FAIL(add_moments(w, source->net, moment1, "moment1", err));
    if (adamw)
        TRY_OR_FAIL(add_moments(w, source->net, moment2, "moment2", err));
    safetensors_set_pause(w, source->pause, source->pause_context);
    file_replace_direct(f);
    status = safetensors_write_into(w, f, err);
fail:
    safetensors_writer_destroy(w);
    free(history);
    free(params);
    free(moment1);
    free(moment2);
    return status;
}

// ---- reading ----

enum status checkpoint_load(const safetensors *file, network *net, struct error *err) {
    for (int pass = 0; pass < 2; pass++) // check everything before the first write: a network is never half another's
        for (int i = 0; i < network_tensor_count(net); i++) {
            const struct network_tensor *t = network_tensor_at(net, i);
            const struct safetensors_tensor *s;
            if (safetensors_expect(file, t->key, DTYPE_F32, t->rank, t->shape, &s, err) != STATUS_OK) {
                err->status = STATUS_MISMATCH;
                return error_prefix(err, "a checkpoint of another architecture than the model");
            }
            if (pass == 1)
                network_write(net, ARENA_PARAM, i, s->data);
        }
    return STATUS_OK;
}

static enum status load_moments(const safetensors *file, network *net, enum network_arena arena, const char *name,
                                struct error *err) {
    for (int i = 0; i < network_tensor_count(net); i++) {
        const struct network_tensor *t = network_tensor_at(net, i);
        const struct safetensors_tensor *s;
        char key[2 * GRAPH_KEY_SIZE];
        if (t->buffer)
            continue;
        snprintf(key, sizeof key, "state/%s/%s", name, t->key);
        TRY(safetensors_expect(file, key, DTYPE_F32, t->rank, t->shape, &s, err));
        network_write(net, arena, i, s->data);
    }
    return STATUS_OK;
}

static enum status check_trial(const safetensors *file, const char *path, const struct trial *trial,
                               struct error *err) {
    const char *format = safetensors_metadata(file, "format"), *id = safetensors_metadata(file, "trial");
    if (!format || strcmp(format, FORMAT) != 0 || !id || strcmp(id, trial->id) != 0)
        return error_set(err, STATUS_MISMATCH, "checkpoint %s is not of trial %s", path, trial->id);
    return STATUS_OK;
}

enum status checkpoint_read_history(const safetensors *file, const char *path, struct epoch_metrics **history,
                                    int *count, struct error *err) {
    const struct safetensors_tensor *t = safetensors_find(file, "state/history");
    if (!t || t->dtype != DTYPE_F64 || t->rank != 2 || t->shape[1] != HISTORY_COLUMNS || t->shape[0] > INT_MAX)
        return error_set(err, STATUS_FORMAT, "checkpoint %s: tensor \"state/history\" is missing or misshapen", path);
    struct training_state state = {.history_count = (int)t->shape[0]};
    state.history = calloc((size_t)state.history_count + 1, sizeof *state.history);
    if (!state.history)
        return error_memory(err, path);
    history_unpack(t->data, &state);
    *history = state.history;
    *count = state.history_count;
    return STATUS_OK;
}

static enum status load_all(const safetensors *file, const char *path, const struct trial *trial, network *net,
                            struct training_state *state, struct error *err) {
    const struct safetensors_tensor *progress, *history = safetensors_find(file, "state/history");
    TRY(check_trial(file, path, trial, err));
    TRY(safetensors_expect(file, "state/progress", DTYPE_F64, 1, (int64_t[]){PROGRESS_VALUES}, &progress, err));
    if (!history || history->dtype != DTYPE_F64 || history->rank != 2 || history->shape[1] != HISTORY_COLUMNS ||
        history->shape[0] > trial->hp.epochs)
        return error_set(err, STATUS_FORMAT, "checkpoint %s: tensor \"state/history\" is missing or misshapen", path);
    TRY(checkpoint_load(file, net, err));
    TRY(load_moments(file, net, ARENA_MOMENT1, "moment1", err));
    if (trial->hp.optimizer == OPTIMIZER_ADAMW)
        TRY(load_moments(file, net, ARENA_MOMENT2, "moment2", err));
    state->history_count = (int)history->shape[0];
    history_unpack(history->data, state);
    progress_unpack(progress->data, state, net);
    return STATUS_OK;
}

static enum status check_whole(const safetensors *file, const char *path, struct error *err) {
    bool there;
    TRY(safetensors_verify(file, &there, err));
    return there ? STATUS_OK : error_set(err, STATUS_FORMAT, "checkpoint %s has no checksum", path);
}

enum status checkpoint_resume(const char *path, const struct trial *trial, network *net, struct training_state *state,
                              struct error *err) {
    safetensors *file = NULL;
    TRY(safetensors_open(path, &file, err));
    enum status status = check_whole(file, path, err);
    if (status == STATUS_OK)
        status = load_all(file, path, trial, net, state, err);
    safetensors_close(file);
    return status;
}

enum status checkpoint_best_epoch(const char *path, const struct trial *trial, bool whole, int *epoch,
                                  struct error *err) {
    safetensors *file = NULL;
    TRY(safetensors_open(path, &file, err));
    enum status status = check_trial(file, path, trial, err);
    if (status == STATUS_OK && whole)
        status = check_whole(file, path, err);
    const char *text = status == STATUS_OK ? safetensors_metadata(file, "epoch") : NULL;
    if (status == STATUS_OK && !text)
        status = error_set(err, STATUS_FORMAT, "checkpoint %s does not say its epoch", path);
    *epoch = text ? (int)strtol(text, NULL, 10) : -1;
    safetensors_close(file);
    return status;
}
