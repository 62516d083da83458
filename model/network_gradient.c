// The backward pass of a step, and in a group the sum of the members' gradients: where the backend can, piece by piece
// beside what is left of the pass. The gradients lie in the arena as the parameters do in the graph, those that are
// final first at the end; so what is final is the arena from some place on, and a piece is what has been added to it.
#include <stdlib.h>

#include "model/network_private.h"

// Every gradient is written by one node, or by none.
static bool *find_written(const graph *g) {
    bool *awaited = calloc((size_t)g->param_count + 1, sizeof *awaited);
    for (int i = 0; awaited && i < g->node_count; i++)
        for (int k = 0; k < OP_MAX_PARAMS; k++)
            if (g->nodes[i].param[k] >= 0 && g->nodes[i].desc.passes & PASS_PARAM_GRAD)
                awaited[g->nodes[i].param[k]] = true;
    return awaited;
}

enum status network_plan_gradient(const struct network *net, struct compiled *c, struct error *err) {
    if (!c->training || !net->together || net->together->piece == 0)
        return STATUS_OK;
    bool *awaited = find_written(c->g);
    c->final_from = calloc((size_t)c->g->node_count, sizeof *c->final_from);
    if (!awaited || !c->final_from) {
        free(awaited);
        return error_memory(err, "the order of the gradients");
    }
    int first = c->g->param_count; // of those from which on all are final
    for (int i = c->g->node_count - 1; i >= 0; i--) {
        for (int k = 0; k < OP_MAX_PARAMS; k++)
            if (c->g->nodes[i].param[k] >= 0 && c->g->nodes[i].desc.passes & PASS_PARAM_GRAD)
                awaited[c->g->nodes[i].param[k]] = false;
        while (first > 0 && !awaited[first - 1])
            first--;
        c->final_from[i] = first < c->g->param_count ? net->param_offsets[first] : net->param_floats;
    }
    free(awaited);
    return STATUS_OK;
}

struct pieces {
    const struct network *net;
    const size_t *final_from;
    size_t begun; // floats from here on are being summed
};

static enum status begin_piece(void *context, int node, struct error *err) {
    struct pieces *p = context;
    const struct collectives *t = p->net->together;
    size_t from = p->final_from[node], count = p->begun - from;
    if (count == 0 || (node > 0 && count < t->piece))
        return STATUS_OK;
    p->begun = from;
    return t->sum_begin(t->context, count, p->net->arenas[ARENA_GRAD] + from, err);
}

static enum status run(struct network *net, const struct compiled *c, double *seconds,
                       const struct program_observer *observer, struct error *err) {
    if (c->batch.own > 0)
        return program_backward(c->p, seconds, observer, err);
    net->b->ops->fill(net->b, net->arenas[ARENA_GRAD], 0, net->param_floats * sizeof(float));
    return program_backward_absent(c->p, observer, err);
}

enum status network_backward(struct network *net, const struct compiled *c, double *seconds, struct error *err) {
    const struct collectives *t = net->together;
    struct pieces pieces = {net, c->final_from, net->param_floats};
    const struct program_observer observer = {begin_piece, &pieces};
    TRY(run(net, c, seconds, c->final_from ? &observer : NULL, err));
    if (c->final_from)
        return t->sum_end(t->context, err);
    return t ? t->sum(t->context, net->param_floats, net->arenas[ARENA_GRAD], err) : STATUS_OK;
}
