// What a network will take, from the graph and the memory plan alone, with plain layouts: no backend, no device.
#include <stdlib.h>

#include "model/memory_plan.h"
#include "model/network_private.h"

static size_t shape_bytes(struct shape s) {
    return (size_t)s.n * (size_t)s.c * (size_t)s.h * (size_t)s.w * sizeof(float);
}

// What backends keep from forward to backward, roughly: batch statistics, and the places of maxima.
static size_t saved_bytes(const struct op_desc *d) {
    switch (d->kind) {
    case OP_BATCHNORM:
        return (size_t)d->in.c * 2 * sizeof(double);
    case OP_MAXPOOL2D:
    case OP_TEMPORAL_MAX:
        return shape_bytes(d->out);
    default:
        return 0;
    }
}

static enum status activation_bytes(const graph *g, size_t *bytes, struct error *err) {
    size_t *storage = calloc((size_t)g->storage_count + 1, sizeof *storage);
    size_t *saved = calloc((size_t)g->node_count + 1, sizeof *saved);
    memory_plan *plan = NULL;
    enum status status;
    if (storage && saved) {
        for (int i = 0; i < g->storage_count; i++)
            storage[i] = shape_bytes(g->storages[i].shape);
        for (int i = 0; i < g->node_count; i++)
            saved[i] = saved_bytes(&g->nodes[i].desc);
        status = memory_plan_create(g, true, &(struct memory_plan_sizes){storage, saved, 0}, &plan, err);
    } else {
        status = error_memory(err, "the estimate");
    }
    if (status == STATUS_OK)
        *bytes = plan->bytes;
    memory_plan_destroy(plan);
    free(storage);
    free(saved);
    return status;
}

static size_t padded_parameters(const graph *g) {
    size_t floats = 0;
    for (int i = 0; i < g->param_count; i++)
        floats += (g->params[i].count + ARENA_GRANULE - 1) / ARENA_GRANULE * ARENA_GRANULE;
    return floats;
}

enum status network_estimate(const struct lstm_unet_config *config, enum optimizer_kind optimizer,
                             struct network_cost *cost, struct error *err) {
    graph *g;
    TRY(lstm_unet_build(config, &g, err));
    size_t arenas = optimizer == OPTIMIZER_ADAMW ? 5 : 4; // parameters, their best, gradients, one or two moments
    *cost = (struct network_cost){.parameters = graph_parameter_count(g),
                                  .arena_bytes = arenas * padded_parameters(g) * sizeof(float),
                                  .train_flops = graph_flops(g, true),
                                  .eval_flops = graph_flops(g, false)};
    enum status status = activation_bytes(g, &cost->activation_bytes, err);
    graph_destroy(g);
    return status;
}
