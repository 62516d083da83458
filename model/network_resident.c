// Steps by samples that the backend holds: each kind of step is run once, recorded, then replayed.
#include <math.h>
#include <string.h>

#include "model/network_private.h"

static const struct resident_ops *resident_ops(const struct network *net) {
    return net->b->ops->resident;
}

bool network_can_hold_samples(const network *net) {
    return resident_ops(net) != NULL;
}

bool network_holds_samples(const network *net) {
    return net->samples != NULL;
}

static void forget(struct network *net, struct compiled *c) {
    if (c->recorded)
        resident_ops(net)->recording_destroy(net->b, c->recorded);
    c->recorded = NULL;
    c->replayed = false;
}

void network_forget_recordings(struct network *net) {
    for (int i = 0; i < net->program_count; i++)
        forget(net, &net->programs[i]);
}

enum status network_hold_samples(network *net, const struct resident_config *config, struct error *err) {
    network_forget_recordings(net);
    if (net->samples)
        resident_ops(net)->destroy(net->b, net->samples);
    net->samples = NULL;
    return config ? resident_ops(net)->create(net->b, config, &net->samples, err) : STATUS_OK;
}

static enum status step(struct network *net, const struct compiled *c, const struct optimizer_config *config,
                        struct error *err) {
    const struct resident_ops *ops = resident_ops(net);
    const struct resident_batch *batch = &c->batch;
    if (batch->own > 0)
        TRY(ops->cut(net->b, net->samples, batch, program_input(c->p), err));
    TRY(batch->own > 0 ? program_forward(c->p, NULL, err) : program_forward_absent(c->p, err));
    TRY(ops->loss(net->b, net->samples, batch, network_logits_shape(net, batch->own), program_logits(c->p),
                  &config->focal, net->together, c->training ? program_logits_grad(c->p) : NULL, err));
    if (!c->training)
        return STATUS_OK;
    struct resident_update update = {.config = config,
                                     .n = net->param_floats,
                                     .grad = net->arenas[ARENA_GRAD],
                                     .moment1 = net->arenas[ARENA_MOMENT1],
                                     .moment2 = net->arenas[ARENA_MOMENT2],
                                     .param = net->arenas[ARENA_PARAM]};
    TRY(network_backward(net, c, NULL, err));
    return ops->update(net->b, net->samples, &update, err);
}

static bool same_optimizer(const struct optimizer_config *a, const struct optimizer_config *b) {
    return a->kind == b->kind && a->momentum == b->momentum && a->beta1 == b->beta1 && a->beta2 == b->beta2 &&
           a->epsilon == b->epsilon && a->weight_decay == b->weight_decay && a->clip_norm == b->clip_norm &&
           a->focal.alpha == b->focal.alpha && a->focal.gamma == b->focal.gamma;
}

// Of those members for whom it is so.
static enum status count_members(const struct network *net, bool mine, int64_t *count, struct error *err) {
    *count = mine;
    return net->host ? collectives_count(net->host, count, err) : STATUS_OK;
}

// What is recorded is replayed if it is what is wanted. In a group a recording is of all members: where one has none
// that will do, all let go of theirs, and where one cannot record, none does.
static enum status look_at_recording(struct network *net, struct compiled *c, const struct optimizer_config *config,
                                     struct error *err) {
    int64_t fit, unable;
    TRY(count_members(net, c->recorded && same_optimizer(&c->recorded_with, config), &fit, err));
    TRY(count_members(net, c->unrecordable, &unable, err));
    c->replayed = fit == (net->host ? net->host->members : 1);
    c->unrecordable = unable > 0;
    if (c->unrecordable && net->unrecorded.status == STATUS_OK)
        error_set(&net->unrecorded, STATUS_UNSUPPORTED, "another member of the group cannot record it");
    if (!c->replayed)
        forget(net, c);
    return STATUS_OK;
}

static enum status try_to_record(struct network *net, struct compiled *c, const struct optimizer_config *config,
                                 struct error *err) {
    const struct resident_ops *ops = resident_ops(net);
    struct error end;
    TRY(ops->record_begin(net->b, err));
    enum status status = step(net, c, config, err);
    if (status == STATUS_OK)
        return ops->record_end(net->b, &c->recorded, err);
    if (ops->record_end(net->b, NULL, &end) != STATUS_UNSUPPORTED)
        return status; // the first failure says more
    return err->status = STATUS_UNSUPPORTED;
}

// In a group nobody replays it before all have said that they can (look_at_recording, before the next stretch).
static enum status record(struct network *net, struct compiled *c, const struct optimizer_config *config,
                          struct error *err) {
    enum status status = try_to_record(net, c, config, err);
    c->recorded_with = *config;
    c->replayed = c->recorded && !net->host;
    c->unrecordable = status == STATUS_UNSUPPORTED;
    if (!c->unrecordable)
        return status;
    net->unrecorded = *err;
    return STATUS_OK;
}

const char *network_unrecorded(const network *net) {
    return net->unrecorded.status == STATUS_OK ? NULL : net->unrecorded.message;
}

// A program's first step is run before one is recorded: what libraries do at a first call is no part of a recording.
static enum status run_step(struct network *net, struct compiled *c, const struct optimizer_config *config,
                            struct error *err) {
    bool first = !c->has_run;
    if (!first && !c->recorded && !c->unrecordable)
        TRY(record(net, c, config, err));
    if (c->replayed)
        return resident_ops(net)->replay(net->b, c->recorded, err);
    TRY(step(net, c, config, err));
    c->has_run = true;
    return first ? record(net, c, config, err) : STATUS_OK;
}

// The batch of so many samples, as this member takes it.
static struct resident_batch share(const struct network *net, int all) {
    const struct collectives *t = net->together;
    if (!t)
        return (struct resident_batch){all, 0, all};
    int first = collectives_first(all, t->member, t->members);
    return (struct resident_batch){all, first, collectives_first(all, t->member + 1, t->members) - first};
}

static enum status compile(struct network *net, const int batches[2], bool training, struct error *err) {
    struct compiled *c;
    for (int i = 0; i < 2; i++)
        if (batches[i] > 0)
            TRY(network_find_program(net, share(net, batches[i]), training, &c, err));
    return STATUS_OK;
}

// Compiles before anything is recorded: a program that needs a larger arena moves the others. Where one member cannot,
// none goes on: their shares differ, and with them what a library refuses or memory has room for.
static enum status prepare(struct network *net, const int batches[2], bool training,
                           const struct optimizer_config *config, struct error *err) {
    struct compiled *c;
    TRY(collectives_agree(net->host, compile(net, batches, training, err), err));
    for (int i = 0; i < 2; i++)
        if (batches[i] > 0) {
            TRY(network_find_program(net, share(net, batches[i]), training, &c, err));
            TRY(look_at_recording(net, c, config, err));
        }
    return STATUS_OK;
}

// The stretch's steps; `steps` of them when it is over.
static enum status run_steps(struct network *net, const struct network_stretch *s, bool training,
                             const struct optimizer_config *config, int *steps, struct error *err) {
    *steps = 0;
    for (int left = s->count; left > 0; left -= s->batch, ++*steps) {
        struct compiled *c;
        if (*steps > 0 && s->stop && s->stop(s->context))
            return STATUS_OK;
        TRY(network_find_program(net, share(net, left < s->batch ? left : s->batch), training, &c, err));
        TRY(run_step(net, c, config, err));
    }
    return STATUS_OK;
}

static enum status run_stretch(struct network *net, const struct network_stretch *s, bool training,
                               const struct optimizer_config *config, double lr, int *steps, struct error *err) {
    const int batches[2] = {s->count >= s->batch ? s->batch : 0, s->count % s->batch};
    TRY(prepare(net, batches, training, config, err));
    TRY(resident_ops(net)->begin(net->b, net->samples, s->cuts, s->count, lr, net->steps_taken, err));
    TRY(run_steps(net, s, training, config, steps, err));
    return resident_ops(net)->finish(net->b, net->samples, *steps, s->results, err);
}

enum status network_train_stretch(network *net, const struct network_stretch *stretch,
                                  const struct optimizer_config *config, double lr, int *done, struct error *err) {
    int steps;
    *done = 0;
    if (net->write_failed)
        return error_memory(err, "the optimizer state that was to be restored");
    network_release_slice(net);
    TRY(network_ensure_arena(net, ARENA_GRAD, err));
    TRY(network_ensure_arena(net, ARENA_MOMENT1, err));
    if (config->kind == OPTIMIZER_ADAMW)
        TRY(network_ensure_arena(net, ARENA_MOMENT2, err));
    TRY(run_stretch(net, stretch, true, config, lr, &steps, err));
    for (; *done < steps; ++*done, net->steps_taken++) {
        const struct step_result *r = &stretch->results[*done];
        bool loss = !isfinite(r->sums.loss);
        if (loss || !isfinite(r->grad_norm))
            return error_set(err, STATUS_DIVERGED, "%s is %g at step %lld; a lower learning rate may help",
                             loss ? "loss" : "gradient norm", loss ? r->sums.loss : r->grad_norm,
                             (long long)net->steps_taken + 1);
    }
    return STATUS_OK;
}

enum status network_evaluate_stretch(network *net, const struct network_stretch *stretch,
                                     const struct focal_loss_config *focal, struct error *err) {
    struct optimizer_config config;
    int steps;
    memset(&config, 0, sizeof config); // compared byte by byte
    config.focal = *focal;
    return run_stretch(net, stretch, false, &config, 0, &steps, err);
}
