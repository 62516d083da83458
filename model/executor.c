#include "model/executor.h"

#include <stdlib.h>
#include <string.h>

#include "model/base/clock.h"
#include "model/memory_plan.h"

enum { BACKWARD_PASSES = PASS_INPUT_GRAD | PASS_PARAM_GRAD };

// Frames of a gradient that must be zero before a node's backward pass: it accumulates there, or reads what nobody
// wrote.
struct zero_fill {
    int node, storage, first_frame, frames;
    float *at; // after program_bind
    size_t bytes;
};

struct step {
    op *op; // NULL: this program never runs the node
    struct op_args args;
    bool accumulate[OP_MAX_INPUTS];
    bool grad_missing[OP_MAX_OUTPUTS]; // nobody ever writes this output's gradient
    int first_fill, fills;
};

struct program {
    backend *b;
    const graph *g;
    bool training;
    struct step *steps; // one for each node
    struct zero_fill *fills;
    int fill_count, fill_room;
    memory_plan *plan;
    float *input, *logits, *logits_grad;
};

// Which frames of every gradient storage hold something, while the backward pass is walked through once at compile
// time.
struct written {
    bool **frames; // [storage][frame]
    bool *all;
};

static enum status written_create(const graph *g, struct written *w, struct error *err) {
    size_t total = 1;
    for (int i = 0; i < g->storage_count; i++)
        total += (size_t)g->storages[i].shape.n;
    w->frames = calloc((size_t)g->storage_count + 1, sizeof *w->frames);
    w->all = calloc(total, sizeof *w->all);
    if (!w->frames || !w->all) {
        free(w->frames);
        free(w->all);
        return error_memory(err, "the program");
    }
    bool *next = w->all;
    for (int i = 0; i < g->storage_count; i++) {
        w->frames[i] = next;
        next += g->storages[i].shape.n;
    }
    return STATUS_OK;
}

static void written_destroy(struct written *w) {
    free(w->frames);
    free(w->all);
}

static int written_frames(const struct written *w, const struct graph_value *v) {
    int count = 0;
    for (int i = 0; i < v->shape.n; i++)
        count += w->frames[v->storage][v->first_frame + i];
    return count;
}

static void mark_written(struct written *w, const struct graph_value *v) {
    memset(w->frames[v->storage] + v->first_frame, 1, (size_t)v->shape.n * sizeof(bool));
}

static enum status add_fill(program *p, struct zero_fill fill, struct error *err) {
    if (p->fill_count == p->fill_room) {
        int room = p->fill_room ? 2 * p->fill_room : 16;
        struct zero_fill *grown = realloc(p->fills, (size_t)room * sizeof *grown);
        if (!grown)
            return error_memory(err, "the program");
        p->fills = grown;
        p->fill_room = room;
    }
    p->fills[p->fill_count++] = fill;
    p->steps[fill.node].fills++;
    return STATUS_OK;
}

// Zero-fills for the runs of frames of `v` that nobody has written yet.
static enum status fill_unwritten(program *p, const struct written *w, int node, const struct graph_value *v,
                                  struct error *err) {
    const bool *frames = w->frames[v->storage] + v->first_frame;
    for (int i = 0; i < v->shape.n;) {
        int end = i;
        while (end < v->shape.n && !frames[end])
            end++;
        if (end > i)
            TRY(add_fill(p, (struct zero_fill){node, v->storage, v->first_frame + i, end - i, NULL, 0}, err));
        i = end + 1;
    }
    return STATUS_OK;
}

static enum status plan_output_gradients(program *p, struct written *w, int node, struct error *err) {
    const struct graph_node *n = &p->g->nodes[node];
    for (int i = 0; i < OP_MAX_OUTPUTS; i++) {
        if (n->output[i] == NO_VALUE)
            continue;
        const struct graph_value *v = &p->g->values[n->output[i]];
        int count = written_frames(w, v);
        p->steps[node].grad_missing[i] = i > 0 && count == 0; // an operation does without a second output's gradient
        if (count < v->shape.n && !p->steps[node].grad_missing[i]) {
            TRY(fill_unwritten(p, w, node, v, err));
            mark_written(w, v);
        }
    }
    return STATUS_OK;
}

static enum status plan_input_gradients(program *p, struct written *w, int node, struct error *err) {
    const struct graph_node *n = &p->g->nodes[node];
    for (int i = 0; i < OP_MAX_INPUTS && n->desc.passes & PASS_INPUT_GRAD; i++) {
        if (n->input[i] == NO_VALUE)
            continue;
        const struct graph_value *v = &p->g->values[n->input[i]];
        int count = written_frames(w, v);
        p->steps[node].accumulate[i] = count > 0;
        if (count > 0)
            TRY(fill_unwritten(p, w, node, v, err));
        mark_written(w, v);
    }
    return STATUS_OK;
}

// Walks the backward pass once: the first write of a frame overwrites, later ones accumulate.
static enum status plan_gradients(program *p, struct error *err) {
    struct written w;
    TRY(written_create(p->g, &w, err));
    mark_written(&w, &p->g->values[p->g->logits]);
    enum status status = STATUS_OK;
    for (int i = p->g->node_count - 1; i >= 0 && status == STATUS_OK; i--) {
        p->steps[i].first_fill = p->fill_count;
        if (!(p->g->nodes[i].desc.passes & BACKWARD_PASSES))
            continue;
        status = plan_output_gradients(p, &w, i, err);
        if (status == STATUS_OK)
            status = plan_input_gradients(p, &w, i, err);
    }
    written_destroy(&w);
    return status;
}

static enum status create_ops(program *p, param_layout *const *layouts, struct error *err) {
    for (int i = 0; i < p->g->node_count; i++) {
        const struct graph_node *n = &p->g->nodes[i];
        struct op_desc desc = n->desc;
        if (!p->training)
            desc.passes &= PASS_FORWARD;
        if (!desc.passes)
            continue;
        const param_layout *weight = n->param[0] >= 0 ? layouts[n->param[0]] : NULL;
        if (p->b->ops->op_create(p->b, &desc, weight, &p->steps[i].op, err) != STATUS_OK)
            return error_prefix(err, "%s (%s)", n->name, op_kind_name(desc.kind));
    }
    return STATUS_OK;
}

static enum status plan_memory(program *p, struct error *err) {
    const graph *g = p->g;
    size_t *storage = calloc((size_t)g->storage_count + 1, sizeof *storage);
    size_t *saved = calloc((size_t)g->node_count + 1, sizeof *saved);
    enum status status = STATUS_OK;
    if (storage && saved) {
        struct memory_plan_sizes sizes = {storage, saved, 0};
        for (int i = 0; i < g->storage_count; i++)
            storage[i] = p->b->ops->activation_floats(p->b, g->storages[i].shape) * sizeof(float);
        for (int i = 0; i < g->node_count; i++) {
            if (!p->steps[i].op)
                continue;
            saved[i] = p->b->ops->op_saved_bytes(p->steps[i].op);
            size_t scratch = p->b->ops->op_scratch_bytes(p->steps[i].op);
            if (scratch > sizes.scratch)
                sizes.scratch = scratch;
        }
        status = memory_plan_create(g, p->training, &sizes, &p->plan, err);
    } else {
        status = error_memory(err, "the program");
    }
    free(storage);
    free(saved);
    return status;
}

enum status program_create(backend *b, const graph *g, bool training, param_layout *const *layouts, program **out,
                           struct error *err) {
    program *p = calloc(1, sizeof *p);
    if (!p)
        return error_memory(err, "the program");
    *p = (program){.b = b, .g = g, .training = training, .steps = calloc((size_t)g->node_count + 1, sizeof *p->steps)};
    enum status status = p->steps ? STATUS_OK : error_memory(err, "the program");
    if (status != STATUS_OK)
        goto fail;
    TRY_OR_FAIL(create_ops(p, layouts, err));
    if (training)
        TRY_OR_FAIL(plan_gradients(p, err));
    TRY_OR_FAIL(plan_memory(p, err));
    *out = p;
    return STATUS_OK;
fail:
    program_destroy(p);
    return status;
}

void program_destroy(program *p) {
    if (!p)
        return;
    for (int i = 0; p->steps && i < p->g->node_count; i++)
        if (p->steps[i].op)
            p->b->ops->op_destroy(p->b, p->steps[i].op);
    free(p->steps);
    free(p->fills);
    memory_plan_destroy(p->plan);
    free(p);
}

size_t program_arena_bytes(const program *p) {
    return p->plan->bytes;
}

// Frames are outermost in every layout, so those before a view take what a tensor of so many frames takes.
static size_t frames_floats(const program *p, int storage, int frames) {
    struct shape shape = p->g->storages[storage].shape;
    shape.n = frames;
    return frames > 0 ? p->b->ops->activation_floats(p->b, shape) : 0;
}

static float *frame_address(const program *p, char *arena, const size_t *offsets, int storage, int frame) {
    if (offsets[storage] == MEMORY_PLAN_NONE)
        return NULL;
    return (float *)(void *)(arena + offsets[storage]) + frames_floats(p, storage, frame);
}

static float *value_address(const program *p, char *arena, int value) {
    const struct graph_value *v = &p->g->values[value];
    return frame_address(p, arena, p->plan->storage, v->storage, v->first_frame);
}

static float *gradient_address(const program *p, char *arena, int value) {
    const struct graph_value *v = &p->g->values[value];
    return frame_address(p, arena, p->plan->gradient, v->storage, v->first_frame);
}

static void bind_backward(const program *p, struct step *s, const struct graph_node *n,
                          const struct program_memory *m) {
    for (int i = 0; i < OP_MAX_INPUTS; i++)
        if (n->input[i] != NO_VALUE && n->desc.passes & PASS_INPUT_GRAD) {
            s->args.input_grad[i] = gradient_address(p, m->arena, n->input[i]);
            s->args.input_grad_accumulate[i] = s->accumulate[i];
        }
    for (int i = 0; i < OP_MAX_OUTPUTS; i++)
        if (n->output[i] != NO_VALUE && !s->grad_missing[i])
            s->args.output_grad[i] = gradient_address(p, m->arena, n->output[i]);
    for (int i = 0; i < OP_MAX_PARAMS; i++)
        if (n->param[i] >= 0 && n->desc.passes & PASS_PARAM_GRAD)
            s->args.param_grad[i] = m->grad[n->param[i]];
}

static void bind_step(const program *p, int node, const struct program_memory *m) {
    struct step *s = &p->steps[node];
    const struct graph_node *n = &p->g->nodes[node];
    s->args = (struct op_args){.scratch = m->arena + p->plan->scratch, .training = p->training};
    if (p->plan->saved[node] != MEMORY_PLAN_NONE)
        s->args.saved = m->arena + p->plan->saved[node];
    for (int i = 0; i < OP_MAX_INPUTS; i++)
        if (n->input[i] != NO_VALUE)
            s->args.input[i] = value_address(p, m->arena, n->input[i]);
    for (int i = 0; i < OP_MAX_OUTPUTS; i++)
        if (n->output[i] != NO_VALUE)
            s->args.output[i] = value_address(p, m->arena, n->output[i]);
    for (int i = 0; i < OP_MAX_PARAMS; i++)
        if (n->param[i] >= 0)
            s->args.param[i] = m->param[n->param[i]];
    for (int i = 0; i < OP_MAX_BUFFERS; i++)
        if (n->buffer[i] >= 0)
            s->args.buffer[i] = m->buffer[n->buffer[i]];
    if (n->desc.kind == OP_BATCHNORM && p->training)
        s->args.together = m->together;
    if (p->training)
        bind_backward(p, s, n, m);
}

void program_bind(program *p, const struct program_memory *memory) {
    for (int i = 0; i < p->g->node_count; i++)
        if (p->steps[i].op)
            bind_step(p, i, memory);
    for (int i = 0; i < p->fill_count; i++) {
        struct zero_fill *f = &p->fills[i];
        f->at = frame_address(p, memory->arena, p->plan->gradient, f->storage, f->first_frame);
        f->bytes = frames_floats(p, f->storage, f->frames) * sizeof(float);
    }
    p->input = value_address(p, memory->arena, p->g->input);
    p->logits = value_address(p, memory->arena, p->g->logits);
    p->logits_grad = gradient_address(p, memory->arena, p->g->logits);
}

float *program_input(const program *p) {
    return p->input;
}

float *program_logits(const program *p) {
    return p->logits;
}

float *program_logits_grad(const program *p) {
    return p->logits_grad;
}

static enum status forward_node(const program *p, int i, struct error *err) {
    const struct step *s = &p->steps[i];
    if (!s->op || !(p->g->nodes[i].desc.passes & PASS_FORWARD))
        return STATUS_OK;
    if (p->b->ops->op_forward(p->b, s->op, &s->args, err) != STATUS_OK)
        return error_prefix(err, "%s forward", p->g->nodes[i].name);
    return STATUS_OK;
}

static enum status backward_node(const program *p, int i, struct error *err) {
    const struct step *s = &p->steps[i];
    if (!(p->g->nodes[i].desc.passes & BACKWARD_PASSES))
        return STATUS_OK;
    for (int k = s->first_fill; k < s->first_fill + s->fills; k++)
        p->b->ops->fill(p->b, p->fills[k].at, 0, p->fills[k].bytes);
    if (p->b->ops->op_backward(p->b, s->op, &s->args, err) != STATUS_OK)
        return error_prefix(err, "%s backward", p->g->nodes[i].name);
    return STATUS_OK;
}

typedef enum status node_pass(const program *p, int node, struct error *err);

static enum status run_node(const program *p, int i, node_pass *pass, double *seconds, struct error *err) {
    if (!seconds)
        return pass(p, i, err);
    double began = clock_seconds();
    enum status status = pass(p, i, err);
    seconds[i] += clock_seconds() - began;
    return status;
}

enum status program_forward(program *p, double *seconds, struct error *err) {
    for (int i = 0; i < p->g->node_count; i++)
        TRY(run_node(p, i, forward_node, seconds, err));
    return STATUS_OK;
}

static enum status tell(const struct program_observer *observer, int node, struct error *err) {
    return observer ? observer->after(observer->context, node, err) : STATUS_OK;
}

enum status program_backward(program *p, double *seconds, const struct program_observer *observer, struct error *err) {
    for (int i = p->g->node_count - 1; i >= 0; i--) {
        TRY(run_node(p, i, backward_node, seconds, err));
        TRY(tell(observer, i, err));
    }
    return STATUS_OK;
}

static enum status run_absent(program *p, int node, bool backward, struct error *err) {
    struct step *s = &p->steps[node];
    if (!s->op || !s->args.together)
        return STATUS_OK;
    struct op_args args = s->args;
    args.absent = true;
    enum status status =
        backward ? p->b->ops->op_backward(p->b, s->op, &args, err) : p->b->ops->op_forward(p->b, s->op, &args, err);
    return status == STATUS_OK ? STATUS_OK : error_prefix(err, "%s without samples", p->g->nodes[node].name);
}

enum status program_forward_absent(program *p, struct error *err) {
    for (int i = 0; i < p->g->node_count; i++)
        if (p->g->nodes[i].desc.passes & PASS_FORWARD)
            TRY(run_absent(p, i, false, err));
    return STATUS_OK;
}

enum status program_backward_absent(program *p, const struct program_observer *observer, struct error *err) {
    for (int i = p->g->node_count - 1; i >= 0; i--) {
        if (p->g->nodes[i].desc.passes & BACKWARD_PASSES)
            TRY(run_absent(p, i, true, err));
        TRY(tell(observer, i, err));
    }
    return STATUS_OK;
}
