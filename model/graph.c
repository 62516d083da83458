#include "model/graph.h"

#include <stdlib.h>

void graph_destroy(graph *g) {
    if (!g)
        return;
    free(g->nodes);
    free(g->values);
    free(g->storages);
    free(g->params);
    free(g->buffers);
    free(g);
}

size_t graph_parameter_count(const graph *g) {
    size_t count = 0;
    for (int i = 0; i < g->param_count; i++)
        count += g->params[i].count;
    return count;
}

// Multiply-adds of one pass over a convolution, border taps counted like all others.
static double multiply_adds(const struct op_desc *d) {
    double taps = (double)d->kernel * d->kernel * d->in.c * d->out.c * d->out.n;
    if (d->kind == OP_CONV2D)
        return taps * d->out.h * d->out.w;
    if (d->kind == OP_CONV_TRANSPOSE2D)
        return taps * d->in.h * d->in.w;
    return 0;
}

double graph_op_flops(const struct op_desc *d, unsigned passes) {
    unsigned asked = d->passes & passes;
    int count = ((asked & PASS_FORWARD) != 0) + ((asked & PASS_INPUT_GRAD) != 0) + ((asked & PASS_PARAM_GRAD) != 0);
    return 2 * count * multiply_adds(d);
}

double graph_flops(const graph *g, bool training) {
    unsigned passes = training ? PASS_FORWARD | PASS_INPUT_GRAD | PASS_PARAM_GRAD : PASS_FORWARD;
    double flops = 0;
    for (int i = 0; i < g->node_count; i++)
        flops += graph_op_flops(&g->nodes[i].desc, passes);
    return flops;
}

const char *op_kind_name(enum op_kind kind) {
    static const char *const names[] = {
        [OP_CONV2D] = "conv2d",
        [OP_CONV_TRANSPOSE2D] = "conv_transpose2d",
        [OP_BATCHNORM] = "batchnorm",
        [OP_MAXPOOL2D] = "maxpool2d",
        [OP_UPSAMPLE2D] = "upsample2d",
        [OP_TEMPORAL_MAX] = "temporal_max",
        [OP_TEMPORAL_MEAN] = "temporal_mean",
        [OP_LSTM_CELL] = "lstm_cell",
    };
    return names[kind];
}

unsigned op_backward_reads(const struct op_desc *desc) {
    enum { INPUT0 = 1 << 0, INPUT1 = 1 << 1, OUTPUT0 = 1 << 8, OUTPUT1 = 1 << 9 };
    switch (desc->kind) {
    case OP_CONV2D:
    case OP_CONV_TRANSPOSE2D:
        return desc->passes & PASS_PARAM_GRAD ? INPUT0 : 0;
    case OP_BATCHNORM:
        return desc->relu ? INPUT0 | OUTPUT0 : INPUT0;
    case OP_LSTM_CELL:
        return desc->no_previous ? INPUT0 | OUTPUT1 : INPUT0 | INPUT1 | OUTPUT1;
    case OP_MAXPOOL2D: // the maxima's places are saved
    case OP_TEMPORAL_MAX:
    case OP_UPSAMPLE2D:
    case OP_TEMPORAL_MEAN:
        return 0;
    }
    return 0;
}
