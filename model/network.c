#include "model/network.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/clock.h"
#include "model/network_private.h"

static struct shape value_shape(const graph *g, int value) {
    return g->values[value].shape;
}

// The operation that a parameter's layout is made for: the first that runs forward with it. A single step leaves the
// recurrent weights without one; they keep their place in the state dict under a layout for a convolution on one pixel.
static struct op_desc first_use(const graph *g, int param) {
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < OP_MAX_PARAMS; k++)
            if (g->nodes[i].param[k] == param && g->nodes[i].desc.passes & PASS_FORWARD)
                return g->nodes[i].desc;
    const int64_t *shape = g->params[param].shape;
    return (struct op_desc){.kind = OP_CONV2D,
                            .in = {g->batch, (int)shape[1], 1, 1},
                            .out = {g->batch, (int)shape[0], 1, 1},
                            .kernel = (int)shape[2],
                            .stride = 1,
                            .pad = (int)shape[2] / 2,
                            .passes = PASS_FORWARD};
}

static enum status add_layout(struct network *net, const struct graph_param *param, const struct op_desc *desc,
                              param_layout **layout, size_t *offset, size_t *floats, struct error *err) {
    TRY(net->b->ops->param_layout_create(net->b, param, desc, layout, err));
    *offset = *floats;
    *floats += (net->b->ops->param_floats(*layout) + ARENA_GRANULE - 1) / ARENA_GRANULE * ARENA_GRANULE;
    return STATUS_OK;
}

static enum status create_layouts(struct network *net, struct error *err) {
    const graph *g = net->g;
    for (int i = 0; i < g->param_count; i++) {
        struct op_desc desc = first_use(g, i);
        TRY(add_layout(net, &g->params[i], &desc, &net->param_layouts[i], &net->param_offsets[i], &net->param_floats,
                       err));
    }
    // Running statistics are laid out as the vectors that they go with.
    for (int i = 0; i < g->node_count; i++)
        for (int k = 0; k < OP_MAX_BUFFERS; k++) {
            int buffer = g->nodes[i].buffer[k];
            if (buffer < 0 || net->buffer_layouts[buffer])
                continue;
            struct graph_param like = g->params[g->nodes[i].param[0]];
            TRY(add_layout(net, &like, &g->nodes[i].desc, &net->buffer_layouts[buffer], &net->buffer_offsets[buffer],
                           &net->buffer_floats, err));
        }
    return STATUS_OK;
}

static enum status allocate_tables(struct network *net, struct error *err) {
    size_t params = (size_t)net->g->param_count + 1, buffers = (size_t)net->g->buffer_count + 1;
    net->param_layouts = calloc(params, sizeof *net->param_layouts);
    net->param_offsets = calloc(params, sizeof *net->param_offsets);
    net->params = calloc(params, sizeof *net->params);
    net->grads = calloc(params, sizeof *net->grads);
    net->buffer_layouts = calloc(buffers, sizeof *net->buffer_layouts);
    net->buffer_offsets = calloc(buffers, sizeof *net->buffer_offsets);
    net->buffers = calloc(buffers, sizeof *net->buffers);
    if (!net->param_layouts || !net->param_offsets || !net->params || !net->grads || !net->buffer_layouts ||
        !net->buffer_offsets || !net->buffers)
        return error_memory(err, "the network");
    return STATUS_OK;
}

static enum status allocate_memory(struct network *net, struct error *err) {
    TRY(network_ensure_arena(net, ARENA_PARAM, err));
    void *memory;
    TRY(net->b->ops->alloc(net->b, net->buffer_floats * sizeof(float), &memory, err));
    net->buffer_arena = memory;
    for (int i = 0; i < net->g->buffer_count; i++)
        net->buffers[i] = net->buffer_arena + net->buffer_offsets[i];
    struct shape input = value_shape(net->g, net->g->input);
    size_t frames = (size_t)input.n * (size_t)input.c * (size_t)input.h * (size_t)input.w;
    net->staging = malloc(frames * sizeof *net->staging);
    net->slice = malloc(network_largest_slice(net) * sizeof *net->slice);
    return net->staging && net->slice ? STATUS_OK : error_memory(err, "a batch of images and a slice of a parameter");
}

enum status network_create(backend *b, const struct lstm_unet_config *config, network **out, struct error *err) {
    network *net = calloc(1, sizeof *net);
    if (!net)
        return error_memory(err, "the network");
    net->b = b;
    net->config = *config;
    net->profile = &net->unread;
    enum status status;
    TRY_OR_FAIL(lstm_unet_build(config, &net->g, err));
    TRY_OR_FAIL(allocate_tables(net, err));
    TRY_OR_FAIL(create_layouts(net, err));
    TRY_OR_FAIL(network_list_tensors(net, err));
    TRY_OR_FAIL(allocate_memory(net, err));
    *out = net;
    return STATUS_OK;
fail:
    network_destroy(net);
    return status;
}

static void drop_program(struct compiled *c) {
    program_destroy(c->p);
    graph_destroy(c->g);
    free(c->final_from);
}

static void drop_programs(struct network *net) {
    network_forget_recordings(net);
    for (int i = 0; i < net->program_count; i++) {
        drop_program(&net->programs[i]);
    }
    net->program_count = 0;
    if (net->arena)
        net->b->ops->release(net->b, net->arena);
    net->arena = NULL;
    net->arena_bytes = 0;
}

static void destroy_layouts(struct network *net) {
    for (int i = 0; net->param_layouts && i < net->g->param_count; i++)
        if (net->param_layouts[i])
            net->b->ops->param_layout_destroy(net->b, net->param_layouts[i]);
    for (int i = 0; net->buffer_layouts && i < net->g->buffer_count; i++)
        if (net->buffer_layouts[i])
            net->b->ops->param_layout_destroy(net->b, net->buffer_layouts[i]);
    free(net->param_layouts);
    free(net->buffer_layouts);
}

void network_destroy(network *net) {
    if (!net)
        return;
    drop_programs(net);
    if (net->samples)
        net->b->ops->resident->destroy(net->b, net->samples);
    destroy_layouts(net);
    for (int i = 0; i < ARENA_COUNT; i++)
        if (net->arenas[i])
            net->b->ops->release(net->b, net->arenas[i]);
    float *const others[] = {net->buffer_arena, net->snapshot_params, net->snapshot_buffers};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (others[i])
            net->b->ops->release(net->b, others[i]);
    free(net->param_offsets);
    free(net->buffer_offsets);
    free(net->params);
    free(net->grads);
    free(net->buffers);
    free(net->tensors);
    free(net->programs);
    free(net->staging);
    free(net->slice);
    graph_destroy(net->g);
    free(net);
}

const graph *network_graph(const network *net) {
    return net->g;
}

enum status network_join(network *net, const struct collectives *host, bool statistics, struct error *err) {
    const struct collectives *together = host;
    network_forget_recordings(net); // they know a communicator
    if (net->b->ops->join)
        TRY(net->b->ops->join(net->b, host, &together, err));
    int members = together ? together->members : 0;
    net->host = host;
    if (net->together == together && net->members == members && net->together_statistics == (together && statistics))
        return STATUS_OK;
    drop_programs(net); // their batch norms are others
    net->together = together;
    net->members = members;
    net->together_statistics = together && statistics;
    return STATUS_OK;
}

enum status network_share_buffers(network *net, struct error *err) {
    const struct collectives *t = net->together;
    return t ? t->broadcast(t->context, net->buffer_arena, net->buffer_floats * sizeof(float), err) : STATUS_OK;
}

static void bind_program(struct network *net, program *p) {
    struct program_memory memory = {net->arena, net->params, net->grads, net->buffers,
                                    net->together_statistics ? net->together : NULL};
    program_bind(p, &memory);
}

void network_bind_programs(struct network *net) {
    for (int i = 0; i < net->program_count; i++)
        bind_program(net, net->programs[i].p);
}

// Room for a program in the shared arena. When it must grow, every program moves.
static enum status fit_arena(struct network *net, program *p, struct error *err) {
    size_t bytes = program_arena_bytes(p);
    if (bytes <= net->arena_bytes) {
        bind_program(net, p);
        return STATUS_OK;
    }
    network_forget_recordings(net);
    if (net->arena)
        net->b->ops->release(net->b, net->arena);
    net->arena = NULL;
    net->arena_bytes = 0;
    TRY(net->b->ops->alloc(net->b, bytes, &net->arena, err));
    net->arena_bytes = bytes;
    bind_program(net, p);
    network_bind_programs(net);
    return STATUS_OK;
}

static enum status compile(struct network *net, struct resident_batch batch, bool training, struct compiled *c,
                           struct error *err) {
    struct lstm_unet_config config = net->config;
    config.batch = batch.own == 0 && net->together ? 1 : batch.own;
    if (config.batch < 1 || config.batch > net->config.batch)
        return error_set(err, STATUS_INVALID, "batch of %d samples; this network takes 1 to %d", batch.own,
                         net->config.batch);
    *c = (struct compiled){.batch = batch, .training = training};
    TRY(lstm_unet_build(&config, &c->g, err));
    if (net->together_statistics)
        for (int i = 0; i < c->g->node_count; i++)
            if (c->g->nodes[i].desc.kind == OP_BATCHNORM)
                c->g->nodes[i].desc.members = net->together->members;
    enum status status = program_create(net->b, c->g, training, net->param_layouts, &c->p, err);
    if (status == STATUS_OK)
        status = network_plan_gradient(net, c, err);
    if (status != STATUS_OK)
        drop_program(c);
    return status;
}

static struct compiled *known_program(const struct network *net, struct resident_batch batch, bool training) {
    for (int i = 0; i < net->program_count; i++) {
        struct compiled *c = &net->programs[i];
        if (c->batch.all == batch.all && c->batch.own == batch.own && c->batch.first == batch.first &&
            c->training == training)
            return c;
    }
    return NULL;
}

enum status network_find_program(struct network *net, struct resident_batch batch, bool training,
                                 struct compiled **found, struct error *err) {
    *found = known_program(net, batch, training);
    if (*found)
        return STATUS_OK;
    if (net->program_count == net->program_room) {
        int room = 2 * net->program_room + 4;
        struct compiled *grown = realloc(net->programs, (size_t)room * sizeof *grown);
        if (!grown)
            return error_memory(err, "the programs");
        net->programs = grown;
        net->program_room = room;
    }
    struct compiled c;
    TRY(compile(net, batch, training, &c, err));
    enum status status = fit_arena(net, c.p, err);
    if (status != STATUS_OK) {
        drop_program(&c);
        drop_programs(net); // the others lost their arena
        return status;
    }
    *found = &net->programs[net->program_count++];
    **found = c;
    return STATUS_OK;
}

// (batch,T,C,H,W) to the program's frames, n = t * batch + b.
static void import_images(struct network *net, program *p, int batch, const float *image) {
    struct shape shape = value_shape(net->g, net->g->input);
    int steps = net->config.steps;
    size_t frame = (size_t)shape.c * (size_t)shape.h * (size_t)shape.w;
    for (int b = 0; b < batch; b++)
        for (int t = 0; t < steps; t++)
            memcpy(net->staging + (size_t)(t * batch + b) * frame, image + (size_t)(b * steps + t) * frame,
                   frame * sizeof(float));
    shape.n = steps * batch;
    net->b->ops->activation_import(net->b, shape, net->staging, program_input(p));
}

struct shape network_logits_shape(const struct network *net, int batch) {
    struct shape shape = value_shape(net->g, net->g->logits);
    shape.n = batch;
    return shape;
}

// Led by the host, a program is known by its own samples alone.
static enum status find_share(struct network *net, int batch, bool training, struct compiled **c, struct error *err) {
    return network_find_program(net, (struct resident_batch){batch, 0, batch}, training, c, err);
}

static enum status forward(struct network *net, program *p, int batch, const float *image, float *logits,
                           struct network_profile *profile, struct error *err) {
    if (batch == 0)
        return program_forward_absent(p, err);
    double began = clock_seconds();
    import_images(net, p, batch, image);
    profile->input += clock_seconds() - began;
    TRY(program_forward(p, profile->forward, err));
    if (logits)
        net->b->ops->activation_export(net->b, network_logits_shape(net, batch), program_logits(p), logits);
    return STATUS_OK;
}

// Forward and backward in training mode; the gradients' norm. STATUS_DIVERGED when loss or norm is not finite.
static enum status compute_gradients(struct network *net, int batch, const float *image, const uint8_t *mask,
                                     const struct focal_loss_config *focal, float *logits, struct step_result *result,
                                     struct error *err) {
    *result = (struct step_result){0};
    TRY(network_ensure_arena(net, ARENA_GRAD, err));
    struct compiled *c;
    struct network_profile *profile = net->profile;
    network_release_slice(net);
    TRY(find_share(net, batch, true, &c, err));
    TRY(forward(net, c->p, batch, image, logits, profile, err));
    double began = clock_seconds();
    TRY(net->b->ops->focal_loss(net->b, network_logits_shape(net, batch), program_logits(c->p), mask, focal,
                                net->together, program_logits_grad(c->p), &result->sums, err));
    profile->loss += clock_seconds() - began;
    long long step = (long long)net->steps_taken + 1;
    if (!isfinite(result->sums.loss))
        return error_set(err, STATUS_DIVERGED, "loss is %g at step %lld; a lower learning rate may help",
                         result->sums.loss, step);
    TRY(network_backward(net, c, profile->backward, err));
    began = clock_seconds();
    result->grad_norm = sqrt(net->b->ops->sum_squares(net->b, net->param_floats, net->arenas[ARENA_GRAD]));
    profile->optimizer += clock_seconds() - began;
    if (!isfinite(result->grad_norm))
        return error_set(err, STATUS_DIVERGED, "gradient norm is %g at step %lld; a lower learning rate may help",
                         result->grad_norm, step);
    return STATUS_OK;
}

static void update_parameters(struct network *net, const struct optimizer_config *config, double lr, float clip) {
    const float *grad = net->arenas[ARENA_GRAD];
    struct optimizer_state from = {net->arenas[ARENA_PARAM], net->arenas[ARENA_MOMENT1], net->arenas[ARENA_MOMENT2]};
    struct optimizer_state to = {network_next_arena(net, ARENA_PARAM), network_next_arena(net, ARENA_MOMENT1),
                                 network_next_arena(net, ARENA_MOMENT2)};
    if (config->kind == OPTIMIZER_SGD) {
        struct sgd_config sgd = {clip, (float)lr, config->momentum, config->weight_decay, net->steps_taken == 0};
        net->b->ops->sgd_step(net->b, net->param_floats, &sgd, grad, &from, &to);
        return;
    }
    struct adamw_config adamw = {.clip = clip,
                                 .lr = (float)lr,
                                 .beta1 = config->beta1,
                                 .beta2 = config->beta2,
                                 .epsilon = config->epsilon,
                                 .weight_decay = config->weight_decay,
                                 .step = net->steps_taken + 1};
    net->b->ops->adamw_step(net->b, net->param_floats, &adamw, grad, &from, &to);
}

// As torch.nn.utils.clip_grad_norm_.
static float clip_factor(const struct optimizer_config *config, double norm) {
    double factor = config->clip_norm > 0 ? (double)config->clip_norm / (norm + 1e-6) : 1;
    return factor < 1 ? (float)factor : 1;
}

enum status network_train_step(network *net, int batch, const float *image, const uint8_t *mask,
                               const struct optimizer_config *config, double lr, struct step_result *result,
                               struct error *err) {
    if (net->write_failed)
        return error_memory(err, "the optimizer state that was to be restored");
    TRY(network_ensure_arena(net, ARENA_MOMENT1, err));
    if (config->kind == OPTIMIZER_ADAMW)
        TRY(network_ensure_arena(net, ARENA_MOMENT2, err));
    TRY(compute_gradients(net, batch, image, mask, &config->focal, NULL, result, err));
    double began = clock_seconds();
    update_parameters(net, config, lr, clip_factor(config, result->grad_norm));
    network_leave_to_frozen(net);
    net->steps_taken++;
    enum status status = backend_finish(net->b, err);
    net->profile->optimizer += clock_seconds() - began;
    return status;
}

enum status network_gradients(network *net, int batch, const float *image, const uint8_t *mask,
                              const struct focal_loss_config *focal, float *logits, struct step_result *result,
                              struct error *err) {
    return compute_gradients(net, batch, image, mask, focal, logits, result, err);
}

enum status network_evaluate(network *net, int batch, const float *image, const uint8_t *mask,
                             const struct focal_loss_config *focal, float *logits, struct loss_sums *sums,
                             struct error *err) {
    struct compiled *c;
    TRY(find_share(net, batch, false, &c, err));
    TRY(forward(net, c->p, batch, image, logits, &net->unread, err));
    if (mask)
        TRY(net->b->ops->focal_loss(net->b, network_logits_shape(net, batch), program_logits(c->p), mask, focal,
                                    net->together, NULL, sums, err));
    return STATUS_OK;
}

void network_set_profile(network *net, struct network_profile *profile) {
    net->profile = profile ? profile : &net->unread;
}

int64_t network_steps_taken(const network *net) {
    return net->steps_taken;
}

void network_set_steps_taken(network *net, int64_t steps) {
    net->steps_taken = steps;
}
