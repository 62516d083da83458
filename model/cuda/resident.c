// Steps as CUDA graphs over samples in device memory. See model/resident.h.
#include "model/resident.h"

#include <stdlib.h>
#include <string.h>

#include "model/cuda/backend_parts.h"
#include "model/cuda/group.h"
#include "model/cuda/kernels.h"
#include "model/cuda/workspace.h"

struct resident {
    int steps, bands, size, samples;
    char *images;                 // device: all tiles, one after the other
    uint8_t *masks;               // likewise
    struct cuda_sample *sample;   // device: [samples]
    struct sample_cut *cuts;      // device: [cut_room]
    struct cuda_stretch *stretch; // device
    struct step_result *results;  // device: [RESIDENT_MAX_STEPS]
    uint8_t *mask;                // device: of one batch
    int cut_room;
};

struct recording {
    cudaGraphExec_t exec;
};

static enum status device_memory(size_t bytes, void *pointer, const char *what, struct error *err) {
    void *memory = NULL;
    cudaError_t code = cudaMalloc(&memory, bytes ? bytes : 1);
    if (code != cudaSuccess)
        (void)cudaGetLastError();
    TRY(cuda_status(code, what, err));
    memcpy(pointer, &memory, sizeof memory);
    return STATUS_OK;
}

static void resident_destroy(backend *base, resident *r) {
    struct cuda_backend *b = cuda_backend_of(base);
    if (!r)
        return;
    void *const memory[] = {r->images, r->masks, r->sample, r->cuts, r->stretch, r->results, r->mask};
    for (size_t i = 0; i < sizeof memory / sizeof *memory; i++)
        cuda_note(b, cudaFree(memory[i]), "releasing the samples");
    free(r);
}

static size_t tile_pixels(const struct resident_sample *s) {
    return (size_t)s->height * (size_t)s->width;
}

static enum status upload(struct cuda_backend *b, void *to, const void *from, size_t bytes, struct error *err) {
    TRY(cuda_status(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, b->stream), "copying the samples", err));
    return cuda_status(cudaStreamSynchronize(b->stream), "copying the samples", err);
}

static enum status upload_samples(struct cuda_backend *b, const resident *r, const struct resident_config *config,
                                  struct error *err) {
    struct cuda_sample *table = calloc((size_t)config->samples + 1, sizeof *table);
    if (!table)
        return error_memory(err, "the samples");
    enum status status = STATUS_OK;
    char *image = r->images;
    uint8_t *mask = r->masks;
    for (int i = 0; i < config->samples && status == STATUS_OK; i++) {
        const struct resident_sample *s = &config->sample[i];
        size_t pixels = tile_pixels(s);
        size_t bytes = pixels * (size_t)config->steps * (size_t)config->bands * sizeof(float);
        table[i] = (struct cuda_sample){(const float *)(const void *)image, mask, s->height, s->width};
        status = upload(b, image, s->image, bytes, err);
        if (status == STATUS_OK)
            status = upload(b, mask, s->mask, pixels, err);
        image += bytes;
        mask += pixels;
    }
    if (status == STATUS_OK)
        status = upload(b, r->sample, table, (size_t)config->samples * sizeof *table, err);
    free(table);
    return status;
}

static enum status allocate(resident *r, const struct resident_config *config, struct error *err) {
    size_t pixels = 0, count = (size_t)config->samples;
    for (int i = 0; i < config->samples; i++)
        pixels += tile_pixels(&config->sample[i]);
    TRY(device_memory(pixels * (size_t)config->steps * (size_t)config->bands * sizeof(float), &r->images, "the samples",
                      err));
    TRY(device_memory(pixels, &r->masks, "the samples' masks", err));
    TRY(device_memory(count * sizeof *r->sample, &r->sample, "the samples", err));
    TRY(device_memory(count * sizeof *r->cuts, &r->cuts, "the cuts of an epoch", err));
    TRY(device_memory(sizeof *r->stretch, &r->stretch, "an epoch's state", err));
    TRY(device_memory(RESIDENT_MAX_STEPS * sizeof *r->results, &r->results, "an epoch's results", err));
    TRY(device_memory((size_t)config->batch * (size_t)config->image_size * (size_t)config->image_size, &r->mask,
                      "a mask", err));
    r->cut_room = config->samples;
    return STATUS_OK;
}

static enum status resident_create(backend *base, const struct resident_config *config, resident **out,
                                   struct error *err) {
    struct cuda_backend *b = cuda_backend_of(base);
    TRY(cuda_failed_before(b, err));
    resident *r = calloc(1, sizeof *r);
    if (!r)
        return error_memory(err, "the samples");
    r->steps = config->steps;
    r->bands = config->bands;
    r->size = config->image_size;
    r->samples = config->samples;
    enum status status;
    TRY_OR_FAIL(allocate(r, config, err));
    TRY_OR_FAIL(upload_samples(b, r, config, err));
    *out = r;
    return STATUS_OK;
fail:
    resident_destroy(base, r);
    return status;
}

// What a library does that must not be done in a recording, or has done so.
static bool cannot_be_recorded(cudaError_t code) {
    return code == cudaErrorStreamCaptureUnsupported || code == cudaErrorStreamCaptureInvalidated;
}

static enum status recording_status(cudaError_t code, struct error *err) {
    enum status status = cuda_status(code, "recording a step", err);
    return cannot_be_recorded(code) ? err->status = STATUS_UNSUPPORTED : status;
}

// Relaxed: what a library loads at its first launch may allocate; a step itself does not.
static enum status record_begin(backend *base, struct error *err) {
    struct cuda_backend *b = cuda_backend_of(base);
    cuda_gradients_settle(b); // those of a step that was led: no part of what is recorded
    TRY(cuda_failed_before(b, err));
    return recording_status(cudaStreamBeginCapture(b->stream, cudaStreamCaptureModeRelaxed), err);
}

static enum status record_end(backend *base, recording **out, struct error *err) {
    struct cuda_backend *b = cuda_backend_of(base);
    cudaGraph_t captured = NULL;
    cudaError_t code = cudaStreamEndCapture(b->stream, &captured);
    recording *r = out && code == cudaSuccess ? calloc(1, sizeof *r) : NULL;
    if (r)
        code = cudaGraphInstantiate(&r->exec, captured, 0);
    if (captured)
        (void)cudaGraphDestroy(captured);
    if (cannot_be_recorded(code)) {
        (void)cudaGetLastError();      // it is no fault of the calls to come,
        b->failure.status = STATUS_OK; // nor is what came of it; there was none before
    } else if (!out) {
        return STATUS_OK; // thrown away
    }
    if (!r && code == cudaSuccess)
        return error_memory(err, "a recorded step");
    if (code != cudaSuccess)
        free(r);
    else
        *out = r;
    return recording_status(code, err);
}

static enum status replay(backend *base, recording *r, struct error *err) {
    return cuda_status(cudaGraphLaunch(r->exec, cuda_backend_of(base)->stream), "a recorded step", err);
}

static void recording_destroy(backend *base, recording *r) {
    if (!r)
        return;
    cuda_note(cuda_backend_of(base), cudaGraphExecDestroy(r->exec), "forgetting a recorded step");
    free(r);
}

static enum status cut(backend *base, resident *r, const struct resident_batch *batch, float *input,
                       struct error *err) {
    struct cuda_backend *b = cuda_backend_of(base);
    struct cuda_cut_args args = {.first = batch->first,
                                 .batch = batch->own,
                                 .steps = r->steps,
                                 .bands = r->bands,
                                 .size = r->size,
                                 .samples = r->sample,
                                 .cuts = r->cuts,
                                 .stretch = r->stretch,
                                 .mask = r->mask};
    return cuda_status(cuda_cut(&args, b->precision == PRECISION_BF16, input, b->stream), "cutting a batch", err);
}

static enum status loss(backend *base, resident *r, const struct resident_batch *batch, struct shape shape,
                        const float *logits, const struct focal_loss_config *config, const struct collectives *together,
                        float *dlogits, struct error *err) {
    struct cuda_backend *b = cuda_backend_of(base);
    const struct cuda_loss_args args = {.shape = shape,
                                        .bf16 = b->precision == PRECISION_BF16,
                                        .logits = logits,
                                        .mask = r->mask,
                                        .dlogits = dlogits,
                                        .config = *config,
                                        .step = {r->stretch, r->results},
                                        .batch = batch->all,
                                        .together = together};
    return cuda_loss(b, &args, err);
}

static enum status update(backend *base, resident *r, const struct resident_update *u, struct error *err) {
    struct cuda_backend *b = cuda_backend_of(base);
    struct cuda_step step = {r->stretch, r->results};
    void *copy = cuda_params_bf16(b, u->param);
    cuda_gradients_settle(b);
    TRY(cuda_status(cuda_sum_squares(u->n, u->grad, b->workspace, b->stream), "gradient norm", err));
    TRY(cuda_status(cuda_begin_update(u->config, &step, b->workspace, b->stream), "optimizer step", err));
    if (u->config->kind == OPTIMIZER_SGD)
        return cuda_status(cuda_sgd_step(u->n, u->grad, u->moment1, u->param, copy, b->workspace, b->stream),
                           "SGD step", err);
    return cuda_status(cuda_adamw_step(u->n, u->grad, u->moment1, u->moment2, u->param, copy, b->workspace, b->stream),
                       "AdamW step", err);
}

// Both copies come from pageable memory: when they return, the host's side may change.
static enum status begin(backend *base, resident *r, const struct sample_cut *cuts, int count, double lr,
                         int64_t optimizer_steps, struct error *err) {
    struct cuda_backend *b = cuda_backend_of(base);
    struct cuda_stretch stretch = {.lr = lr, .optimizer_steps = optimizer_steps};
    TRY(cuda_failed_before(b, err));
    if (count > r->cut_room)
        return error_set(err, STATUS_INVALID, "a stretch of %d samples; at most %d", count, r->cut_room);
    TRY(cuda_status(cudaMemcpyAsync(r->cuts, cuts, (size_t)count * sizeof *cuts, cudaMemcpyHostToDevice, b->stream),
                    "an epoch's samples", err));
    return cuda_status(cudaMemcpyAsync(r->stretch, &stretch, sizeof stretch, cudaMemcpyHostToDevice, b->stream),
                       "an epoch's state", err);
}

static enum status finish(backend *base, resident *r, int steps, struct step_result *results, struct error *err) {
    struct cuda_backend *b = cuda_backend_of(base);
    TRY(cuda_read(b, r->results, results, (size_t)steps * sizeof *results, "an epoch's results", err));
    return cuda_failed_before(b, err);
}

const struct resident_ops cuda_resident_ops = {
    .create = resident_create,
    .destroy = resident_destroy,
    .record_begin = record_begin,
    .record_end = record_end,
    .replay = replay,
    .recording_destroy = recording_destroy,
    .cut = cut,
    .loss = loss,
    .update = update,
    .begin = begin,
    .finish = finish,
};
