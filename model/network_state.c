// The state dict: which slices make a tensor, and moving tensors between host and arenas.
#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "model/network_private.h"

static size_t count_of(const struct network_tensor *t) {
    size_t count = 1;
    for (int i = 0; i < t->rank; i++)
        count *= (size_t)t->shape[i];
    return count;
}

static void append(struct network *net, struct state_tensor tensor) {
    tensor.info.count = count_of(&tensor.info);
    net->tensors[net->tensor_count++] = tensor;
}

// The tensor that begins with parameter `first`, joined along dimension 1 when it is sliced.
static struct state_tensor parameter_tensor(const graph *g, int first) {
    const struct graph_param *p = &g->params[first];
    struct state_tensor t = {.info = {.rank = p->rank},
                             .first = first,
                             .slices = 1,
                             .init = p->init,
                             .fan_in = p->fan_in,
                             .fan_out = p->fan_out};
    memcpy(t.info.key, p->key, sizeof t.info.key);
    memcpy(t.info.shape, p->shape, sizeof t.info.shape);
    while (first + t.slices < g->param_count && g->params[first + t.slices].slice_first > 0)
        t.info.shape[1] += g->params[first + t.slices++].shape[1];
    return t;
}

static struct state_tensor buffer_tensor(const graph *g, int buffer) {
    const struct graph_buffer *b = &g->buffers[buffer];
    struct state_tensor t = {
        .info = {.buffer = true, .rank = 1, .shape = {b->channels}}, .first = buffer, .initial = b->initial};
    memcpy(t.info.key, b->key, sizeof t.info.key);
    return t;
}

// Whether both keys name the same module: all but the last component agree.
static bool same_module(const char *a, const char *b) {
    size_t length = (size_t)(strrchr(a, '.') - a);
    return (size_t)(strrchr(b, '.') - b) == length && strncmp(a, b, length) == 0;
}

// PyTorch lists a module's parameters, then its buffers. Both arrays are in declaration order, so the running
// statistics follow their bias.
enum status network_list_tensors(struct network *net, struct error *err) {
    const graph *g = net->g;
    net->tensors = calloc((size_t)(g->param_count + g->buffer_count) + 1, sizeof *net->tensors);
    if (!net->tensors)
        return error_memory(err, "the state dict");
    int buffer = 0;
    for (int i = 0; i < g->param_count;) {
        struct state_tensor t = parameter_tensor(g, i);
        append(net, t);
        i += t.slices;
        bool last_of_module = i == g->param_count || !same_module(t.info.key, g->params[i].key);
        while (last_of_module && buffer < g->buffer_count && same_module(t.info.key, g->buffers[buffer].key))
            append(net, buffer_tensor(g, buffer++));
    }
    return STATUS_OK;
}

size_t network_largest_slice(const struct network *net) {
    size_t largest = 0;
    for (int i = 0; i < net->g->param_count; i++)
        if (net->g->params[i].count > largest)
            largest = net->g->params[i].count;
    return largest;
}

enum status network_ensure_arena(struct network *net, enum network_arena arena, struct error *err) {
    if (net->arenas[arena])
        return STATUS_OK;
    void *memory;
    if (arena == ARENA_PARAM || arena == ARENA_GRAD) {
        TRY(backend_alloc_params(net->b, arena == ARENA_PARAM ? PARAMS_VALUES : PARAMS_GRADIENTS, net->param_floats,
                                 &net->arenas[arena], err));
    } else {
        TRY(net->b->ops->alloc(net->b, net->param_floats * sizeof(float), &memory, err));
        net->arenas[arena] = memory;
    }
    network_place_arena(net, arena, net->arenas[arena]);
    return STATUS_OK;
}

void network_place_arena(struct network *net, enum network_arena arena, float *memory) {
    net->arenas[arena] = memory;
    float **addresses = arena == ARENA_PARAM ? net->params : arena == ARENA_GRAD ? net->grads : NULL;
    for (int i = 0; addresses && i < net->g->param_count; i++)
        addresses[i] = memory + net->param_offsets[i];
}

int network_tensor_count(const network *net) {
    return net->tensor_count;
}

const struct network_tensor *network_tensor_at(const network *net, int index) {
    return &net->tensors[index].info;
}

int network_tensor_find(const network *net, const char *key) {
    for (int i = 0; i < net->tensor_count; i++)
        if (strcmp(net->tensors[i].info.key, key) == 0)
            return i;
    return -1;
}

// A slice of dimension 1 lies in the joined tensor as one run in every output channel.
struct runs {
    size_t count, floats, stride, first;
};

static struct runs slice_runs(const struct network_tensor *t, const struct graph_param *p, int64_t rows) {
    size_t inner = (size_t)(p->shape[2] * p->shape[3]);
    return (struct runs){(size_t)rows, (size_t)p->shape[1] * inner, (size_t)t->shape[1] * inner,
                         (size_t)p->slice_first * inner};
}

static void join_slice(struct runs r, const float *slice, float *joined) {
    for (size_t i = 0; i < r.count; i++)
        memcpy(joined + i * r.stride + r.first, slice + i * r.floats, r.floats * sizeof(float));
}

static void split_slice(struct runs r, const float *joined, float *slice) {
    for (size_t i = 0; i < r.count; i++)
        memcpy(slice + i * r.floats, joined + i * r.stride + r.first, r.floats * sizeof(float));
}

static float *take_slice(struct network *net) {
    net->slice_touched = true;
    return net->slice;
}

void network_release_slice(struct network *net) {
    if (!net->slice_touched)
        return;
    net->slice_touched = false;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = ((uintptr_t)net->slice + page - 1) / page * page;
    uintptr_t last = (uintptr_t)(net->slice + network_largest_slice(net)) / page * page;
    if (first < last)
        madvise((void *)first, last - first, MADV_DONTNEED); // where that fails, it stays
}

static int64_t row_group(const struct network *net, const struct state_tensor *t) {
    if (t->info.buffer)
        return net->b->ops->param_row_group(net->buffer_layouts[t->first]);
    int64_t largest = 1; // the others divide it
    for (int i = t->first; i < t->first + t->slices; i++) {
        int64_t group = net->b->ops->param_row_group(net->param_layouts[i]);
        largest = group > largest ? group : largest;
    }
    return largest;
}

int64_t network_piece_rows(const network *net, int index) {
    enum { BYTES = 1 << 20 };
    const struct state_tensor *t = &net->tensors[index];
    int64_t all = t->info.shape[0], row = (int64_t)(t->info.count * sizeof(float)) / all;
    int64_t group = row_group(net, t), rows = group * (BYTES / (group * row));
    rows = rows > group ? rows : group;
    return rows < all ? rows : all;
}

size_t network_staging_floats(const struct network *net) {
    size_t most = 0;
    for (int i = 0; i < net->tensor_count; i++) {
        const struct state_tensor *t = &net->tensors[i];
        for (int k = t->first; !t->info.buffer && t->slices > 1 && k < t->first + t->slices; k++) {
            const struct graph_param *p = &net->g->params[k];
            size_t floats = p->count / (size_t)p->shape[0] * (size_t)network_piece_rows(net, i);
            most = floats > most ? floats : most;
        }
    }
    return most;
}

static void export_parameter(const struct network *net, const float *arena, const struct network_piece *piece,
                             float *staging, float *host) {
    const struct state_tensor *t = &net->tensors[piece->index];
    for (int i = t->first; i < t->first + t->slices; i++) {
        float *to = t->slices == 1 ? host : staging;
        net->b->ops->param_export(net->b, net->param_layouts[i], arena + net->param_offsets[i], piece->first,
                                  piece->rows, to);
        if (t->slices > 1)
            join_slice(slice_runs(&t->info, &net->g->params[i], piece->rows), staging, host);
    }
}

void network_export(const struct network *net, const float *arena, const float *buffers,
                    const struct network_piece *piece, float *staging, float *host) {
    const struct state_tensor *t = &net->tensors[piece->index];
    size_t row = t->info.count / (size_t)t->info.shape[0];
    if (t->info.buffer)
        net->b->ops->param_export(net->b, net->buffer_layouts[t->first], buffers + net->buffer_offsets[t->first],
                                  piece->first, piece->rows, host);
    else if (arena)
        export_parameter(net, arena, piece, staging, host);
    else
        memset(host, 0, (size_t)piece->rows * row * sizeof(float));
}

static void write_parameter(struct network *net, float *arena, const struct state_tensor *t, const float *host) {
    for (int i = t->first; i < t->first + t->slices; i++) {
        if (t->slices > 1)
            split_slice(slice_runs(&t->info, &net->g->params[i], t->info.shape[0]), host, take_slice(net));
        net->b->ops->param_import(net->b, net->param_layouts[i], t->slices == 1 ? host : net->slice,
                                  arena + net->param_offsets[i]);
    }
}

void network_read_piece(network *net, const struct network_piece *piece, float *host) {
    const float *arena = piece->snapshot ? net->snapshot_params : net->arenas[piece->arena];
    network_export(net, arena, piece->snapshot ? net->snapshot_buffers : net->buffer_arena, piece, take_slice(net),
                   host);
}

void network_read(network *net, enum network_arena arena, int index, float *host) {
    struct network_piece all = {.arena = arena, .index = index, .rows = net->tensors[index].info.shape[0]};
    network_read_piece(net, &all, host);
}

void network_write(network *net, enum network_arena arena, int index, const float *host) {
    const struct state_tensor *t = &net->tensors[index];
    struct error err;
    if (t->info.buffer)
        net->b->ops->param_import(net->b, net->buffer_layouts[t->first], host, net->buffers[t->first]);
    else if (network_ensure_arena(net, arena, &err) == STATUS_OK)
        write_parameter(net, net->arenas[arena], t, host);
    else
        net->write_failed = true; // the next training step says so
}

void network_copy(const struct network *net, float *to, const float *from, size_t floats) {
    enum { LEAST = 1 << 18 }; // for which it is worth to wake another thread
    if (!net->b->ops->host_memory) {
        net->b->ops->copy(net->b, to, from, floats * sizeof(float));
        return;
    }
    // One run a thread: memcpy then writes past the caches.
#pragma omp parallel if (floats >= LEAST)
    {
        size_t threads = (size_t)omp_get_num_threads(), i = (size_t)omp_get_thread_num();
        size_t first = floats * i / threads, last = floats * (i + 1) / threads;
        memcpy(to + first, from + first, (last - first) * sizeof(float));
    }
}

static enum status ensure_copy(struct network *net, size_t floats, float **copy, struct error *err) {
    void *memory;
    if (*copy)
        return STATUS_OK;
    TRY(net->b->ops->alloc(net->b, floats * sizeof(float), &memory, err));
    *copy = memory;
    return STATUS_OK;
}

static enum status ensure_snapshot(struct network *net, struct error *err) {
    TRY(ensure_copy(net, net->param_floats, &net->snapshot_params, err));
    return ensure_copy(net, net->buffer_floats, &net->snapshot_buffers, err);
}

enum status network_snapshot(network *net, struct error *err) {
    if (ensure_snapshot(net, err) != STATUS_OK)
        return error_prefix(err, "a copy of the best epoch's parameters");
    network_copy(net, net->snapshot_params, net->arenas[ARENA_PARAM], net->param_floats);
    network_copy(net, net->snapshot_buffers, net->buffer_arena, net->buffer_floats);
    net->has_snapshot = true;
    return STATUS_OK;
}

bool network_has_snapshot(const network *net) {
    return net->has_snapshot;
}

void network_forget_snapshot(struct network *net) {
    net->has_snapshot = false;
}
