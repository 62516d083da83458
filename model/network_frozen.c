// What a network was at one moment, kept beside it for a writer in another thread.
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "model/network_private.h"

struct network_frozen {
    const struct network *net;
    // Parameters, moments and buffers, laid out as the network's. `arenas` is what is read (NULL: zeros); `memory` is
    // our own, which the network takes in exchange for an arena.
    const float *arenas[ARENA_COUNT];
    float *memory[ARENA_COUNT], *buffers;
    float *best_params, *best_buffers; // the network's own until it was frozen; NULL: none yet
    float *staging;                    // network_staging_floats
    int64_t steps_taken;
};

enum { KEPT_MOST = 3 };
static const enum network_arena KEPT[KEPT_MOST] = {ARENA_PARAM, ARENA_MOMENT1, ARENA_MOMENT2}; // SGD: all but the last

static int kept_arenas(enum optimizer_kind optimizer) {
    return optimizer == OPTIMIZER_ADAMW ? KEPT_MOST : KEPT_MOST - 1;
}

bool network_can_freeze(const network *net) {
    return net->b->ops->host_memory;
}

size_t network_frozen_bytes(const network *net, enum optimizer_kind optimizer) {
    size_t floats = (size_t)kept_arenas(optimizer) * net->param_floats + net->buffer_floats;
    return (floats + network_staging_floats(net)) * sizeof(float);
}

static enum status reserve(const network *net, size_t floats, float **out, struct error *err) {
    void *memory;
    TRY(net->b->ops->reserve(net->b, floats * sizeof(float), &memory, err));
    *out = memory;
    return STATUS_OK;
}

static enum status reserve_all(const network *net, enum optimizer_kind optimizer, network_frozen *f,
                               struct error *err) {
    for (int i = 0; i < kept_arenas(optimizer); i++)
        TRY(reserve(net, net->param_floats, &f->memory[KEPT[i]], err));
    TRY(reserve(net, net->buffer_floats, &f->buffers, err));
    return reserve(net, network_staging_floats(net), &f->staging, err);
}

enum status network_frozen_create(network *net, enum optimizer_kind optimizer, network_frozen **out,
                                  struct error *err) {
    network_frozen *f = calloc(1, sizeof *f);
    if (!f)
        return error_memory(err, "a copy of the training state");
    f->net = net;
    enum status status = reserve_all(net, optimizer, f, err);
    if (status == STATUS_OK)
        *out = f;
    else
        network_frozen_destroy(f);
    return status == STATUS_OK ? STATUS_OK : error_prefix(err, "a copy of the training state");
}

void network_frozen_destroy(network_frozen *f) {
    if (!f)
        return;
    float *const all[] = {
        f->memory[ARENA_PARAM], f->memory[ARENA_MOMENT1], f->memory[ARENA_MOMENT2], f->buffers, f->staging,
        f->best_params,         f->best_buffers};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i])
            f->net->b->ops->release(f->net->b, all[i]);
    free(f);
}

static void exchange(float **a, float **b) {
    float *kept = *a;
    *a = *b;
    *b = kept;
}

void network_freeze(network *net, bool best, network_frozen *f) {
    f->steps_taken = net->steps_taken;
    network_copy(net, f->buffers, net->buffer_arena, net->buffer_floats); // a forward pass changes them
    for (int arena = ARENA_PARAM; arena < ARENA_COUNT; arena++)
        f->arenas[arena] = f->memory[arena] ? net->arenas[arena] : NULL;
    net->freezing = f;
    if (!best)
        return;
    exchange(&f->best_params, &net->snapshot_params);
    exchange(&f->best_buffers, &net->snapshot_buffers);
    network_forget_snapshot(net);
}

bool network_is_freezing(const network *net) {
    return net->freezing;
}

void network_keep_arenas(network *net) {
    net->freezing = NULL;
}

float *network_next_arena(const struct network *net, enum network_arena arena) {
    float *other = net->freezing ? net->freezing->memory[arena] : NULL;
    return other ? other : net->arenas[arena];
}

void network_leave_to_frozen(struct network *net) {
    if (!net->freezing)
        return;
    for (int arena = ARENA_PARAM; arena < ARENA_COUNT; arena++) {
        float *left = net->arenas[arena];
        if (!net->freezing->memory[arena])
            continue;
        network_place_arena(net, arena, net->freezing->memory[arena]);
        net->freezing->memory[arena] = left;
    }
    network_keep_arenas(net);
    network_bind_programs(net);
}

// The byte `i` of all the memory in turn.
static volatile char *byte_at(network_frozen *f, size_t i) {
    size_t arena = f->net->param_floats * sizeof(float);
    for (int k = 0; k < KEPT_MOST; k++)
        if (f->memory[KEPT[k]]) {
            if (i < arena)
                return (volatile char *)f->memory[KEPT[k]] + i;
            i -= arena;
        }
    size_t buffers = f->net->buffer_floats * sizeof(float);
    return i < buffers ? (volatile char *)f->buffers + i : (volatile char *)f->staging + (i - buffers);
}

bool network_frozen_touch(network_frozen *f, size_t first, size_t count) {
    enum { PAGE = 4096 };
    size_t bytes = network_frozen_bytes(f->net, f->memory[ARENA_MOMENT2] ? OPTIMIZER_ADAMW : OPTIMIZER_SGD);
    size_t last = count < bytes - first ? first + count : bytes;
    for (size_t i = first; i < last; i += PAGE)
        *byte_at(f, i) = 0;
    return last < bytes;
}

// Backends run on as many threads as OpenMP says to the calling one, and the others are the training's.
void network_frozen_read(network_frozen *f, const struct network_piece *piece, float *host) {
    omp_set_num_threads(1);
    const float *arena = piece->snapshot ? f->best_params : f->arenas[piece->arena];
    network_export(f->net, arena, piece->snapshot ? f->best_buffers : f->buffers, piece, f->staging, host);
}

int64_t network_frozen_steps_taken(const network_frozen *f) {
    return f->steps_taken;
}
