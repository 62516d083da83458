#include "model/device_memory.h"

#include <stdlib.h>

#include "model/memory_plan.h"
#include "model/network_private.h"

// cuDNN's plans may have so much workspace (model/cuda/convolution.h). The context: about half a gibibyte on GPUs of
// today, and some more for the code of kernels and for rounding up.
static const size_t CONVOLUTION_LIMIT = (size_t)128 << 20, CONTEXT = (size_t)640 << 20;
// The backend's small memory (model/cuda/workspace.h, and the state of a stretch), up to a few hundred bytes.
enum { OWN_BYTES = 44 << 10, SAMPLE_BYTES = 24 };

// ---- layouts (model/cuda/cuda_backend.h) ----

static size_t padded(int64_t channels) {
    return (size_t)(channels + 7) / 8 * 8;
}

static size_t pixels(struct shape s) {
    return (size_t)s.n * (size_t)s.h * (size_t)s.w;
}

static size_t elements(struct shape s) {
    return pixels(s) * padded(s.c);
}

static size_t granular(size_t floats) { // a slice of an arena
    return (floats + ARENA_GRANULE - 1) / ARENA_GRANULE * ARENA_GRANULE;
}

static size_t aligned(size_t bytes) {
    return (bytes + 255) / 256 * 256;
}

static size_t parameter_floats(const graph *g) {
    size_t floats = 0;
    for (int i = 0; i < g->param_count; i++) {
        const int64_t *s = g->params[i].shape;
        bool vector = g->params[i].role == PARAM_VECTOR;
        floats += granular(vector ? padded(s[0]) : padded(s[0]) * padded(s[1]) * (size_t)(s[2] * s[3]));
    }
    return floats;
}

static size_t buffer_floats(const graph *g) {
    size_t floats = 0;
    for (int i = 0; i < g->buffer_count; i++)
        floats += granular(padded(g->buffers[i].channels));
    return floats;
}

// ---- operations: what they save, and their scratch (model/cuda/operation.c, kernels) ----

static size_t saved_bytes(const struct op_desc *d) {
    if (!(d->passes & (PASS_INPUT_GRAD | PASS_PARAM_GRAD)))
        return 0;
    switch (d->kind) {
    case OP_BATCHNORM:
        return 2 * padded(d->in.c) * sizeof(float);
    case OP_MAXPOOL2D:
    case OP_TEMPORAL_MAX:
        return elements(d->out); // a byte each
    default:
        return 0;
    }
}

// Chunks of pixels that a reduction is shared out to (kernels/device.cuh).
static size_t chunks(struct shape s) {
    enum { THREADS = 256, TILE = 8, EACH = 8, MOST = 128 };
    size_t octets = padded(s.c) / 8, tile = 1;
    while (tile < octets && tile < TILE)
        tile *= 2;
    size_t count = pixels(s) / (THREADS / tile * EACH);
    return count < 1 ? 1 : count > MOST ? MOST : count;
}

// cuDNN's workspace comes on top.
static size_t scratch_bytes(const struct op_desc *d) {
    size_t bytes = 0;
    if (d->kind == OP_BATCHNORM)
        return (chunks(d->in) + 1) * 2 * padded(d->in.c) * sizeof(float);
    if (d->kind != OP_CONV2D && d->kind != OP_CONV_TRANSPOSE2D)
        return 0;
    if (d->bias && d->passes & PASS_PARAM_GRAD && chunks(d->out) > 1)
        bytes += aligned(chunks(d->out) * padded(d->out.c) * sizeof(float));
    return bytes;
}

static enum status activation_bytes(const graph *g, bool bf16, size_t *bytes, struct error *err) {
    size_t *storage = calloc((size_t)g->storage_count + 1, sizeof *storage);
    size_t *saved = calloc((size_t)g->node_count + 1, sizeof *saved);
    struct memory_plan_sizes sizes = {storage, saved, 0};
    memory_plan *plan = NULL;
    enum status status = storage && saved ? STATUS_OK : error_memory(err, "the estimate");
    for (int i = 0; status == STATUS_OK && i < g->storage_count; i++)
        storage[i] = elements(g->storages[i].shape) * (bf16 ? 2 : 4);
    for (int i = 0; status == STATUS_OK && i < g->node_count; i++) {
        size_t scratch = scratch_bytes(&g->nodes[i].desc);
        saved[i] = saved_bytes(&g->nodes[i].desc);
        sizes.scratch = scratch > sizes.scratch ? scratch : sizes.scratch;
    }
    if (status == STATUS_OK)
        status = memory_plan_create(g, true, &sizes, &plan, err);
    if (status == STATUS_OK)
        *bytes = plan->bytes;
    memory_plan_destroy(plan);
    free(storage);
    free(saved);
    return status;
}

// ---- samples (model/cuda/resident.c) ----

static size_t sample_bytes(const struct lstm_unet_config *c, const struct device_samples *samples) {
    size_t count = (size_t)samples->count, image = (size_t)c->image_size * (size_t)c->image_size;
    return samples->pixels * ((size_t)c->steps * (size_t)c->bands * sizeof(float) + 1) +
           count * (SAMPLE_BYTES + sizeof(struct sample_cut)) + RESIDENT_MAX_STEPS * sizeof(struct step_result) +
           (size_t)c->batch * image;
}

// ---- all of it ----

enum status device_memory_estimate(const struct lstm_unet_config *config, enum optimizer_kind optimizer,
                                   enum precision precision, const struct device_samples *samples,
                                   struct device_memory *memory, struct error *err) {
    graph *g;
    TRY(lstm_unet_build(config, &g, err));
    size_t arenas = optimizer == OPTIMIZER_ADAMW ? 5 : 4; // parameters, their best, gradients, one or two moments
    size_t in_bf16 = precision == PRECISION_BF16 ? 2 : 0; // parameters and gradients (model/cuda/params.c)
    *memory = (struct device_memory){
        .arenas = (arenas * parameter_floats(g) + 2 * buffer_floats(g)) * sizeof(float) +
                  in_bf16 * parameter_floats(g) * sizeof(uint16_t),
        .samples = sample_bytes(config, samples) + OWN_BYTES,
        .convolutions = CONVOLUTION_LIMIT,
        .context = CONTEXT,
    };
    enum status status = activation_bytes(g, precision == PRECISION_BF16, &memory->activations, err);
    graph_destroy(g);
    return status;
}

size_t device_memory_total(const struct device_memory *m) {
    return m->arenas + m->activations + m->samples + m->convolutions + m->context;
}
