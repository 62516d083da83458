#include "worker/trainer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/clock.h"
#include "worker/pretrained.h"
#include "worker/schedule.h"
#include "worker/trainer_session.h"

const char *trial_status_name(enum trial_status status) {
    static const char *const names[] = {"done", "failed", "diverged", "stopped", "interrupted", "paused"};
    return names[status];
}

static struct optimizer_config trial_optimizer(const struct hyperparameters *hp) {
    return (struct optimizer_config){.kind = (enum optimizer_kind)hp->optimizer,
                                     .momentum = (float)hp->momentum,
                                     .beta1 = (float)hp->adam_beta1,
                                     .beta2 = (float)hp->adam_beta2,
                                     .epsilon = (float)hp->adam_epsilon,
                                     .weight_decay = (float)hp->weight_decay,
                                     .clip_norm = (float)hp->clip_norm,
                                     .focal = {(float)hp->focal_alpha, (float)hp->focal_gamma}};
}

static enum status load_file(const char *path, network *net, struct error *err) {
    safetensors *file = NULL;
    TRY(safetensors_open(path, &file, err));
    enum status status = safetensors_verify(file, NULL, err);
    if (status == STATUS_OK)
        status = checkpoint_load(file, net, err);
    safetensors_close(file);
    return status;
}

static enum status start_fresh(struct session *s, struct error *err) {
    const struct hyperparameters *hp = &s->trial->hp;
    s->state.epoch = s->state.step = s->state.history_count = 0;
    s->state.partial = (struct pooled){0};
    s->state.partial_grad_norm = 0;
    s->state.best_epoch = -1;
    s->state.best_iou = s->state.best_f1 = NAN;
    TRY(network_initialize(s->t->net, s->trial->seed, err));
    if (hp->pretrained_encoder[0])
        TRY(pretrained_load(hp->pretrained_encoder, s->t->ds, (enum conv1_rgb)hp->conv1_rgb, s->trial->seed, s->t->net,
                            err));
    if (hp->init_checkpoint[0])
        TRY(load_file(hp->init_checkpoint, s->t->net, err));
    return STATUS_OK;
}

// Both files, now, after what is still being written of an earlier state.
static enum status write_checkpoints(struct session *s, struct error *err) {
    if (!session_leads(s))
        return STATUS_OK;
    if (s->writer)
        TRY(checkpoint_writer_drain(s->writer, err));
    struct checkpoint_source source = {.net = s->t->net};
    TRY(checkpoint_write_files(&s->folder, &s->context, &source, &s->state, s->best_pending, err));
    s->best_pending = false;
    s->last_written = clock_seconds();
    return STATUS_OK;
}

// The same beside the steps that follow. With no time between checkpoints there is one after every step.
static enum status write_checkpoints_beside(struct session *s, struct error *err) {
    struct checkpoint_wants wants = checkpoint_wants(clock_seconds() - s->last_written, s->trial->checkpoint_seconds);
    if (!wants.memory)
        return checkpoint_writer_check(s->writer, err);
    bool ready;
    enum status status = checkpoint_writer_prepare(s->writer, &wants, &ready, err);
    if (status == STATUS_OK && ready && wants.start)
        status = checkpoint_writer_start(s->writer, &s->state, s->best_pending, err);
    if (status == STATUS_MEMORY) // between two steps it takes none
        return wants.start ? write_checkpoints(s, err) : STATUS_OK;
    if (status != STATUS_OK || !ready || !wants.start)
        return status;
    s->best_pending = false;
    s->last_written = clock_seconds();
    return STATUS_OK;
}

static void count_step(struct session *s, const struct step_result *result) {
    pooled_add(&s->state.partial, &result->sums);
    s->state.partial_grad_norm += result->grad_norm;
    s->state.step++;
    if (s->hooks->alive)
        s->hooks->alive(s->hooks->context);
}

// Whether the trial is to stop; once told so it stays.
static bool ask_to_stop(struct session *s) {
    s->stopping = s->stopping || (s->hooks->stop && s->hooks->stop(s->hooks->context));
    return s->stopping;
}

static bool checkpoint_is_due(const struct session *s) {
    return clock_seconds() - s->last_written >= s->trial->checkpoint_seconds;
}

// Member 0 decides, for all: they replay the same steps. One that does not hear it hears why in after_step.
static bool end_stretch(void *context) {
    struct session *s = context;
    struct error err;
    int end = session_leads(s) && (checkpoint_is_due(s) || ask_to_stop(s)); // where one is due, after_step asks
    return collectives_tell(s->t->together, &end, &err) != STATUS_OK || end;
}

static void tell_unrecorded(struct session *s) {
    const char *why = network_unrecorded(s->t->net);
    if (why && !s->told_unrecorded)
        fprintf(stderr,
                "trainer: trial %s: steps cannot be recorded and replayed; each is handed to the device call by call, "
                "which is slower: %s\n",
                s->trial->id, why);
    s->told_unrecorded = why != NULL;
}

// What is left of the epoch, or what is run until a checkpoint is due, at once, by the samples that the backend holds.
static enum status train_stretch(struct session *s, double lr, struct error *err) {
    trainer *t = s->t;
    int first = s->state.step * t->batch, done;
    int count = trainer_stretch(t, loader_count(t->l, SPLIT_TRAIN) - first);
    loader_train_cuts(t->l, s->state.epoch, first, count, t->cuts);
    struct network_stretch stretch = {t->cuts, count, t->batch, t->results, end_stretch, s};
    enum status status = network_train_stretch(t->net, &stretch, &s->optimizer, lr, &done, err);
    for (int i = 0; i < done; i++)
        count_step(s, &t->results[i]);
    tell_unrecorded(s);
    return status;
}

static enum status train_step(struct session *s, double lr, struct error *err) {
    trainer *t = s->t;
    int first = s->state.step * t->batch, left = loader_count(t->l, SPLIT_TRAIN) - first;
    struct share own = trainer_share(t, left < t->batch ? left : t->batch);
    struct step_result result;
    loader_train_batch(t->l, s->state.epoch, first + own.first, own.count, t->image, t->mask);
    TRY(network_train_step(t->net, own.count, t->image, t->mask, &s->optimizer, lr, &result, err));
    count_step(s, &result);
    return STATUS_OK;
}

// Checkpoints when asked to stop (STATUS_STOPPED) or when it is time to.
static enum status after_step(struct session *s, struct error *err) {
    int stop = session_leads(s) && ask_to_stop(s);
    TRY(collectives_tell(s->t->together, &stop, err));
    if (!stop && s->writer)
        return write_checkpoints_beside(s, err);
    if (!stop && !checkpoint_is_due(s))
        return STATUS_OK;
    TRY(write_checkpoints(s, err));
    return stop ? error_set(err, STATUS_STOPPED, "stopped at epoch %d, step %d", s->state.epoch, s->state.step)
                : STATUS_OK;
}

static enum status finish_epoch(struct session *s, double lr, struct error *err) {
    struct training_state *state = &s->state;
    struct pooled val;
    if (s->writer)
        TRY(checkpoint_writer_check(s->writer, err)); // no epoch is reported after a checkpoint that is known to fail
    TRY(network_share_buffers(s->t->net, err));
    TRY(trainer_evaluate(s->t, SPLIT_VAL, &s->optimizer.focal, s->hooks, &val, err));
    struct epoch_metrics m = {.epoch = state->epoch,
                              .lr = lr,
                              .train_loss = pooled_loss(&state->partial),
                              .train_iou = pooled_iou(&state->partial),
                              .train_f1 = pooled_f1(&state->partial),
                              .val_loss = pooled_loss(&val),
                              .val_iou = pooled_iou(&val),
                              .val_f1 = pooled_f1(&val),
                              .val_precision = pooled_precision(&val),
                              .val_recall = pooled_recall(&val),
                              .grad_norm = state->partial_grad_norm / state->step};
    if (state->best_epoch < 0 || m.val_iou > state->best_iou) {
        state->best_iou = m.val_iou;
        state->best_f1 = m.val_f1;
        state->best_epoch = state->epoch;
        if (session_leads(s))
            TRY(network_snapshot(s->t->net, err));
        s->best_pending = true;
    }
    state->history[state->history_count++] = m;
    state->epoch++;
    state->step = 0;
    state->partial = (struct pooled){0};
    state->partial_grad_norm = 0;
    s->hooks->epoch(s->hooks->context, s->trial, &m, false, clock_seconds() - s->epoch_began);
    s->epoch_began = clock_seconds();
    return STATUS_OK;
}

// How many epochs are trained in this run of the trial.
static int epochs_to_train(const struct trial *trial) {
    return trial->until > 0 && trial->until < trial->hp.epochs ? trial->until : trial->hp.epochs;
}

static enum status train_epochs(struct session *s, struct error *err) {
    const struct hyperparameters *hp = &s->trial->hp;
    s->epoch_began = s->last_written = clock_seconds();
    while (s->state.epoch < epochs_to_train(s->trial)) {
        double lr = schedule_lr((enum scheduler)hp->scheduler, hp->lr, s->state.epoch, hp->epochs);
        if (s->state.step < s->context.steps_per_epoch) {
            TRY(network_holds_samples(s->t->net) ? train_stretch(s, lr, err) : train_step(s, lr, err));
            TRY(after_step(s, err));
        } else {
            TRY(finish_epoch(s, lr, err));
        }
    }
    return write_checkpoints(s, err);
}

static void fill_result(const struct session *s, enum status status, const struct error *err, struct trial_result *r) {
    const struct training_state *state = &s->state;
    *r = (struct trial_result){.best_iou = state->best_iou,
                               .best_f1 = state->best_f1,
                               .final_iou = NAN,
                               .train_val_gap = NAN,
                               .best_epoch = state->best_epoch,
                               .epochs_run = state->history_count};
    if (state->history_count > 0) {
        const struct epoch_metrics *last = &state->history[state->history_count - 1];
        r->final_iou = last->val_iou;
        r->train_val_gap = last->train_iou - last->val_iou;
    }
    if (s->context.model) // else the network in hand is an earlier trial's
        r->parameters = (int64_t)graph_parameter_count(network_graph(s->t->net));
    switch (status) {
    case STATUS_OK:
        r->status = state->epoch < s->trial->hp.epochs ? TRIAL_PAUSED : TRIAL_DONE;
        break;
    case STATUS_STOPPED:
        r->status = TRIAL_INTERRUPTED;
        break;
    case STATUS_DIVERGED:
        r->status = TRIAL_DIVERGED;
        break;
    default:
        r->status = TRIAL_FAILED;
    }
    if (r->status == TRIAL_FAILED || r->status == TRIAL_DIVERGED)
        memcpy(r->error, err->message, sizeof r->error);
}

// Without one, checkpoints are written between steps.
static void start_writer(struct session *s) {
    struct error err;
    if (session_leads(s) && checkpoint_writer_create(&s->folder, &s->context, s->t->net, &s->writer, &err) != STATUS_OK)
        s->writer = NULL;
}

static enum status run_session(struct session *s, struct error *err) {
    const struct trial *trial = s->trial;
    TRY(collectives_agree(trial->together, trainer_prepare(s->t, trial, err), err));
    TRY(network_join(s->t->net, trial->together, trial->sync_batchnorm, err));
    TRY(session_leads(s) ? trial_folder_claim(trial->folder, &s->folder, err)
                         : trial_folder_name(trial->folder, &s->folder, err));
    s->state.history = calloc((size_t)trial->hp.epochs, sizeof *s->state.history);
    if (!s->state.history)
        return error_memory(err, "epoch history");
    int samples = loader_count(s->t->l, SPLIT_TRAIN), batch = trial->hp.batch_size;
    s->optimizer = trial_optimizer(&trial->hp);
    s->context = (struct checkpoint_context){.trial = trial,
                                             .model = &s->t->net_config,
                                             .ds = s->t->ds,
                                             .normalization = loader_normalization(s->t->l),
                                             .steps_per_epoch = (samples + batch - 1) / batch};
    bool resumed;
    TRY(session_resume(s, &resumed, err));
    TRY(collectives_agree(trial->together, resumed ? STATUS_OK : start_fresh(s, err), err));
    start_writer(s);
    enum status status = train_epochs(s, err), written = STATUS_OK;
    struct error second;
    if (status == STATUS_DIVERGED)
        written = write_checkpoints(s, &second);
    if (written == STATUS_OK && session_leads(s) && (status == STATUS_OK || status == STATUS_DIVERGED))
        written = session_finish(s, &second);
    if (written == STATUS_OK)
        return status;
    *err = second;
    return written;
}

enum status trainer_run(trainer *t, const struct trial *trial, const struct trainer_hooks *hooks,
                        struct trial_result *result, struct error *err) {
    struct session s = {.t = t, .trial = trial, .hooks = hooks};
    s.state.best_epoch = -1;
    s.state.best_iou = s.state.best_f1 = NAN;
    struct error reason = {STATUS_OK, ""};
    enum status status = run_session(&s, &reason);
    checkpoint_writer_destroy(s.writer);
    fill_result(&s, status, &reason, result);
    free(s.state.history);
    // A full disk, a lost mount or memory that others hold is no verdict on the hyperparameters: the caller must hear.
    // And a trial that is another trainer's by now has its verdict there.
    if (status == STATUS_IO || status == STATUS_MEMORY || status == STATUS_INTERNAL || status == STATUS_LOST) {
        *err = reason;
        return status;
    }
    return STATUS_OK;
}
