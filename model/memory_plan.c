#include "model/memory_plan.h"

#include <limits.h>
#include <stdlib.h>

struct item {
    int first, last; // times, both inclusive; first > last: never lives
    size_t bytes;
    size_t *offset; // where the answer goes
};

static void live_at(struct item *item, int time) {
    if (time < item->first)
        item->first = time;
    if (time > item->last)
        item->last = time;
}

static int backward_time(const graph *g, int node) {
    return 2 * g->node_count - node;
}

static void mark_forward(const graph *g, int node, struct item *storages) {
    const struct graph_node *n = &g->nodes[node];
    for (int i = 0; i < OP_MAX_INPUTS; i++)
        if (n->input[i] != NO_VALUE)
            live_at(&storages[g->values[n->input[i]].storage], node);
    for (int i = 0; i < OP_MAX_OUTPUTS; i++)
        if (n->output[i] != NO_VALUE)
            live_at(&storages[g->values[n->output[i]].storage], node);
}

// A backward pass reads what op_backward_reads names and the outputs' gradients, and writes the inputs' gradients.
static void mark_backward(const graph *g, int node, struct item *storages, struct item *gradients) {
    const struct graph_node *n = &g->nodes[node];
    unsigned reads = op_backward_reads(&n->desc);
    int time = backward_time(g, node);
    for (int i = 0; i < OP_MAX_INPUTS; i++) {
        if (n->input[i] == NO_VALUE)
            continue;
        int storage = g->values[n->input[i]].storage;
        if (reads >> i & 1)
            live_at(&storages[storage], time);
        if (n->desc.passes & PASS_INPUT_GRAD)
            live_at(&gradients[storage], time);
    }
    for (int i = 0; i < OP_MAX_OUTPUTS; i++) {
        if (n->output[i] == NO_VALUE)
            continue;
        int storage = g->values[n->output[i]].storage;
        if (reads >> (8 + i) & 1)
            live_at(&storages[storage], time);
        live_at(&gradients[storage], time);
    }
}

static void mark(const graph *g, bool training, struct item *storages, struct item *gradients, struct item *saved) {
    int input = g->values[g->input].storage, logits = g->values[g->logits].storage;
    live_at(&storages[input], 0);
    live_at(&storages[logits], g->node_count); // the loss
    if (training)
        live_at(&gradients[logits], g->node_count);
    for (int i = 0; i < g->node_count; i++) {
        unsigned passes = g->nodes[i].desc.passes;
        if (passes & PASS_FORWARD)
            mark_forward(g, i, storages);
        if (passes & PASS_FORWARD)
            live_at(&saved[i], i);
        if (training && passes & (PASS_INPUT_GRAD | PASS_PARAM_GRAD)) {
            mark_backward(g, i, storages, gradients);
            live_at(&saved[i], backward_time(g, i));
        }
    }
}

static int larger_first(const void *a, const void *b) {
    const struct item *x = *(const struct item *const *)a, *y = *(const struct item *const *)b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x < y ? -1 : x > y; // array order: the same graph gives the same plan
}

// Placed items are kept sorted by offset. The smallest gap, among those that live at the same time, that holds the
// item; else after the last.
static size_t best_fit(struct item *const *placed, int count, const struct item *item) {
    size_t best = MEMORY_PLAN_NONE, smallest = MEMORY_PLAN_NONE, end = 0;
    for (int i = 0; i < count; i++) {
        const struct item *other = placed[i];
        if (other->first > item->last || other->last < item->first)
            continue;
        size_t start = *other->offset, other_end = start + other->bytes;
        if (start >= end && start - end >= item->bytes && start - end < smallest) {
            smallest = start - end;
            best = end;
        }
        if (other_end > end)
            end = other_end;
    }
    return best == MEMORY_PLAN_NONE ? end : best;
}

static void insert(struct item **placed, int count, struct item *item) {
    int i = count;
    for (; i > 0 && *placed[i - 1]->offset > *item->offset; i--)
        placed[i] = placed[i - 1];
    placed[i] = item;
}

static enum status place(struct item *items, int count, size_t *bytes, struct error *err) {
    struct item **order = calloc((size_t)count + 1, sizeof *order),
                **placed = calloc((size_t)count + 1, sizeof *placed);
    if (!order || !placed) {
        free(order);
        free(placed);
        return error_memory(err, "the memory plan");
    }
    int live = 0, done = 0;
    for (int i = 0; i < count; i++) {
        items[i].bytes = (items[i].bytes + MEMORY_PLAN_ALIGNMENT - 1) / MEMORY_PLAN_ALIGNMENT * MEMORY_PLAN_ALIGNMENT;
        *items[i].offset = MEMORY_PLAN_NONE; // NOLINT(clang-analyzer-core.NullDereference): every item has one
        if (items[i].bytes > 0 && items[i].first <= items[i].last)
            order[live++] = &items[i];
    }
    qsort(order, (size_t)live, sizeof *order, larger_first);
    *bytes = 0;
    for (; done < live; done++) {
        struct item *item = order[done];
        *item->offset = best_fit(placed, done, item);
        if (*item->offset + item->bytes > *bytes)
            *bytes = *item->offset + item->bytes;
        insert(placed, done, item);
    }
    free(order);
    free(placed);
    return STATUS_OK;
}

static struct item new_item(size_t bytes, size_t *offset) {
    return (struct item){.first = INT_MAX, .last = INT_MIN, .bytes = bytes, .offset = offset};
}

static memory_plan *allocate(const graph *g) {
    memory_plan *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    size_t storages = (size_t)g->storage_count + 1, nodes = (size_t)g->node_count + 1;
    p->storage = calloc(storages, sizeof *p->storage);
    p->gradient = calloc(storages, sizeof *p->gradient);
    p->saved = calloc(nodes, sizeof *p->saved);
    if (p->storage && p->gradient && p->saved)
        return p;
    memory_plan_destroy(p);
    return NULL;
}

enum status memory_plan_create(const graph *g, bool training, const struct memory_plan_sizes *sizes, memory_plan **plan,
                               struct error *err) {
    int storages = g->storage_count, count = 2 * storages + g->node_count;
    memory_plan *p = allocate(g);
    struct item *items = calloc((size_t)count + 1, sizeof *items);
    if (!p || !items) {
        free(items);
        memory_plan_destroy(p);
        return error_memory(err, "the memory plan");
    }
    for (int i = 0; i < storages; i++) {
        items[i] = new_item(sizes->storage[i], &p->storage[i]);
        items[storages + i] = new_item(sizes->storage[i], &p->gradient[i]);
    }
    for (int i = 0; i < g->node_count; i++)
        items[2 * storages + i] = new_item(sizes->saved[i], &p->saved[i]);
    mark(g, training, items, items + storages, items + 2 * storages);
    enum status status = place(items, count, &p->bytes, err);
    free(items);
    if (status != STATUS_OK) {
        memory_plan_destroy(p);
        return status;
    }
    p->scratch = p->bytes; // behind everything
    p->bytes += sizes->scratch;
    *plan = p;
    return STATUS_OK;
}

void memory_plan_destroy(memory_plan *plan) {
    if (!plan)
        return;
    free(plan->storage);
    free(plan->gradient);
    free(plan->saved);
    free(plan);
}
