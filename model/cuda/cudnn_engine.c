#include "model/cuda/cudnn_engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum status open_handle(cudnn_engine *e, cudaStream_t stream, struct error *err) {
    const struct cudnn_library *library = e->device.library;
    TRY(cudnn_checked(library, library->cudnnCreate(&e->handle), "opening it", err));
    TRY(cudnn_checked(library, library->cudnnSetStream(e->handle, stream), "its stream", err));
    e->stream = stream;
    return cudnn_device_of_handle(library, e->handle, &e->device, err);
}

static enum status engine_create(const struct cuda_backend *b, const char *json, cudnn_engine **engine,
                                 struct error *err) {
    cudnn_engine *e = calloc(1, sizeof *e);
    if (!e)
        return error_memory(err, "cuDNN's engine");
    enum status status;
    TRY_OR_FAIL(cudnn_library_load(&e->device.library, err));
    if (b)
        TRY_OR_FAIL(open_handle(e, b->stream, err));
    else
        TRY_OR_FAIL(cudnn_device_described(e->device.library, json, &e->device, err));
    *engine = e;
    return STATUS_OK;
fail:
    cudnn_engine_destroy(e);
    return status;
}

enum status cudnn_engine_create(struct cuda_backend *b, cudnn_engine **engine, struct error *err) {
    return engine_create(b, NULL, engine, err);
}

enum status cudnn_engine_create_described(const char *json, cudnn_engine **engine, struct error *err) {
    return engine_create(NULL, json, engine, err);
}

void cudnn_engine_destroy(cudnn_engine *engine) {
    if (!engine)
        return;
    while (engine->plans) {
        cudnn_plan *next = engine->plans->next;
        cudnn_plan_destroy(engine->plans);
        engine->plans = next;
    }
    cudnn_device_release(&engine->device);
    if (engine->handle)
        engine->device.library->cudnnDestroy(engine->handle);
    free(engine);
}

void cudnn_engine_describe(const cudnn_engine *engine, char *text, size_t size) {
    size_t version = engine->device.library->cudnnGetVersion();
    snprintf(text, size, "cuDNN %zu.%zu.%zu", version / 10000, version / 100 % 100, version % 100);
}

enum status cudnn_engine_plan(cudnn_engine *engine, const struct cudnn_convolution *c, const cudnn_plan **plan,
                              struct error *err) {
    cudnn_plan *p = engine->plans;
    while (p && memcmp(&p->convolution, c, sizeof *c) != 0)
        p = p->next;
    if (!p) {
        TRY(cudnn_plan_create(&engine->device, CUDNN_WORKSPACE_LIMIT, c, &p, err));
        p->next = engine->plans;
        engine->plans = p;
    }
    *plan = p;
    if (p->plan)
        return STATUS_OK;
    *err = p->refusal;
    return err->status;
}
