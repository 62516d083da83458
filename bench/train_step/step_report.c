#include "bench/train_step/step_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BACKWARD = PASS_INPUT_GRAD | PASS_PARAM_GRAD };

// Nodes are told apart by the beginning of their names.
static const struct part {
    const char *name, *prefixes[2];
} parts[] = {
    {"encoder", {"encoder.", NULL}},
    {"skips (over time)", {"skip.", NULL}},
    {"ConvLSTM", {"convlstm.", NULL}},
    {"decoder and head", {"decoder.", "segmentation_head."}},
};
enum { PARTS = sizeof parts / sizeof *parts };

static bool belongs(const struct graph_node *node, const struct part *part) {
    for (int i = 0; i < 2; i++)
        if (part->prefixes[i] && strncmp(node->name, part->prefixes[i], strlen(part->prefixes[i])) == 0)
            return true;
    return false;
}

static double rate(double flops, double ms) {
    return ms > 0 ? flops / ms * 1e-6 : 0;
}

void report_parts(const graph *g, const struct network_profile *profile, int steps) {
    double scale = 1e3 / steps;
    printf("| part | forward, ms | backward, ms | GFLOP | GFLOP/s |\n| --- | ---: | ---: | ---: | ---: |\n");
    for (int k = 0; k < PARTS; k++) {
        double forward = 0, backward = 0, flops = 0;
        for (int i = 0; i < g->node_count; i++)
            if (belongs(&g->nodes[i], &parts[k])) {
                forward += profile->forward[i] * scale;
                backward += profile->backward[i] * scale;
                flops += graph_op_flops(&g->nodes[i].desc, PASS_FORWARD | BACKWARD);
            }
        printf("| %s | %.1f | %.1f | %.2f | %.0f |\n", parts[k].name, forward, backward, flops * 1e-9,
               rate(flops, forward + backward));
    }
    printf("| images in | %.1f | | | |\n| loss | %.1f | | | |\n| clipping, optimizer | | %.1f | | |\n",
           profile->input * scale, profile->loss * scale, profile->optimizer * scale);
}

// Operations of one kind, convolutions by the size of their kernel and of the map that they write.
static bool same_kind(const struct op_desc *a, const struct op_desc *b) {
    bool convolution = a->kind == OP_CONV2D;
    return a->kind == b->kind &&
           (!convolution || (a->kernel == b->kernel && a->stride == b->stride && a->out.h == b->out.h));
}

static void print_kind(const graph *g, const struct network_profile *profile, int steps, int first) {
    const struct op_desc *d = &g->nodes[first].desc;
    double forward = 0, backward = 0, flops = 0;
    int count = 0;
    for (int i = first; i < g->node_count; i++)
        if (same_kind(d, &g->nodes[i].desc)) {
            forward += profile->forward[i] * 1e3 / steps;
            backward += profile->backward[i] * 1e3 / steps;
            flops += graph_op_flops(&g->nodes[i].desc, PASS_FORWARD | BACKWARD);
            count++;
        }
    char what[64] = "";
    if (d->kind == OP_CONV2D)
        snprintf(what, sizeof what, " %dx%d, stride %d, to %dx%d", d->kernel, d->kernel, d->stride, d->out.h, d->out.w);
    printf("| %s%s | %d | %.1f | %.1f | %.2f | %.0f |\n", op_kind_name(d->kind), what, count, forward, backward,
           flops * 1e-9, rate(flops, forward + backward));
}

void report_kinds(const graph *g, const struct network_profile *profile, int steps) {
    printf("| operation | how many | forward, ms | backward, ms | GFLOP | GFLOP/s |\n"
           "| --- | ---: | ---: | ---: | ---: | ---: |\n");
    for (int i = 0; i < g->node_count; i++) {
        bool seen = false;
        for (int k = 0; k < i && !seen; k++)
            seen = same_kind(&g->nodes[i].desc, &g->nodes[k].desc);
        if (!seen)
            print_kind(g, profile, steps, i);
    }
}

struct layer {
    int node;
    double seconds;
};

static int dearest_first(const void *a, const void *b) {
    double x = ((const struct layer *)a)->seconds, y = ((const struct layer *)b)->seconds;
    return (x < y) - (x > y);
}

static void print_layer(const struct graph_node *n, double forward, double backward) {
    const struct op_desc *d = &n->desc;
    char what[96] = "";
    if (d->kernel > 0)
        snprintf(what, sizeof what, ", %dx%d, stride %d", d->kernel, d->kernel, d->stride);
    printf("| %s | %s, %d x %d x %d -> %d%s on %dx%d | %.1f | %.1f | %.0f | %.0f |\n", n->name, op_kind_name(d->kind),
           d->in.n, d->in.c, d->in.h, d->out.c, what, d->out.h, d->out.w, forward, backward,
           rate(graph_op_flops(d, PASS_FORWARD), forward), rate(graph_op_flops(d, BACKWARD), backward));
}

void report_layers(const graph *g, const struct network_profile *profile, int steps, int count) {
    struct layer *layers = calloc((size_t)g->node_count, sizeof *layers);
    if (!layers)
        return;
    for (int i = 0; i < g->node_count; i++)
        layers[i] = (struct layer){i, profile->forward[i] + profile->backward[i]};
    qsort(layers, (size_t)g->node_count, sizeof *layers, dearest_first);
    printf("| layer | what (frames x channels x height -> channels) | forward, ms | backward, ms | GFLOP/s forward | "
           "backward |\n| --- | --- | ---: | ---: | ---: | ---: |\n");
    for (int i = 0; i < count && i < g->node_count; i++) {
        int node = layers[i].node;
        print_layer(&g->nodes[node], profile->forward[node] * 1e3 / steps, profile->backward[node] * 1e3 / steps);
    }
    free(layers);
}
