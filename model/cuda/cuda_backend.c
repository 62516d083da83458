// The CUDA backend: its life, its memory, and the table of its functions. See cuda_backend.h.
#include "model/cuda/cuda_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/cuda/backend_parts.h"
#include "model/cuda/convolution.h"
#include "model/cuda/group.h"
#include "model/cuda/workspace.h"

enum { STAGING_BYTES = 8 << 20 };

static void cuda_destroy(backend *base) {
    struct cuda_backend *b = cuda_backend_of(base);
    cuda_group_destroy(b);
    cudnn_engine_destroy(b->cudnn);
    // Nothing can be done about a failure here; the process's next call would report it.
    if (b->workspace)
        (void)cudaFree(b->workspace);
    if (b->mask)
        (void)cudaFree(b->mask);
    if (b->staging)
        (void)cudaFreeHost(b->staging);
    if (b->stream)
        (void)cudaStreamDestroy(b->stream);
    free(b);
}

static void cuda_describe(const backend *base, char *text, size_t size) {
    const struct cuda_backend *b = (const struct cuda_backend *)base;
    static const char *const precisions[] = {"fp32", "tf32", "bf16"};
    char cudnn[64];
    int version = 0;
    (void)cudaRuntimeGetVersion(&version); // 0 is shown when it is not to be had
    cudnn_engine_describe(b->cudnn, cudnn, sizeof cudnn);
    snprintf(text, size, "CUDA %d.%d, %s, device %d: %s, %s", version / 1000, version % 1000 / 10, cudnn, b->device,
             b->device_name, precisions[b->precision]);
}

static enum status cuda_alloc(backend *base, size_t bytes, void **memory, struct error *err) {
    struct cuda_backend *b = cuda_backend_of(base);
    TRY(cuda_failed_before(b, err));
    size_t size = bytes ? bytes : 1;
    cudaError_t code = cudaMalloc(memory, size);
    if (code == cudaErrorMemoryAllocation) {
        (void)cudaGetLastError(); // it is no fault of the calls to come
        return error_set(err, STATUS_MEMORY, "out of memory on CUDA device %d (%s): %zu bytes were asked for",
                         b->device, b->device_name, bytes);
    }
    TRY(cuda_status(code, "device memory", err));
    enum status status = cuda_status(cudaMemsetAsync(*memory, 0, size, b->stream), "clearing device memory", err);
    if (status != STATUS_OK)
        (void)cudaFree(*memory);
    return status;
}

static void cuda_release(backend *base, void *memory) {
    struct cuda_backend *b = cuda_backend_of(base);
    cuda_params_forget(b, memory);
    cuda_note(b, cudaFree(memory), "releasing device memory");
}

static void cuda_fill(backend *base, void *memory, int byte, size_t bytes) {
    struct cuda_backend *b = cuda_backend_of(base);
    cuda_note(b, cudaMemsetAsync(memory, byte, bytes, b->stream), "filling device memory");
    cuda_params_changed(b, memory, bytes / sizeof(float));
}

static void cuda_copy(backend *base, void *to, const void *from, size_t bytes) {
    struct cuda_backend *b = cuda_backend_of(base);
    cuda_gradients_settle(b);
    cuda_note(b, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, b->stream), "copying device memory");
    cuda_params_changed(b, to, bytes / sizeof(float));
}

static enum status cuda_finish(backend *base, struct error *err) {
    struct cuda_backend *b = cuda_backend_of(base);
    TRY(cuda_failed_before(b, err)); // it says more than what has come of it
    return cuda_wait(b, "waiting for the device", err);
}

static const struct backend_ops cuda_ops = {
    .name = "cuda",
    .destroy = cuda_destroy,
    .describe = cuda_describe,
    .alloc = cuda_alloc,
    .alloc_params = cuda_params_alloc,
    .release = cuda_release,
    .fill = cuda_fill,
    .copy = cuda_copy,
    .finish = cuda_finish,
    .activation_floats = cuda_activation_floats,
    .activation_import = cuda_activation_import,
    .activation_export = cuda_activation_export,
    .param_layout_create = cuda_param_layout_create,
    .param_layout_destroy = cuda_param_layout_destroy,
    .param_floats = cuda_param_floats,
    .param_import = cuda_param_import,
    .param_row_group = cuda_param_row_group,
    .param_export = cuda_param_export,
    .op_create = cuda_op_create,
    .op_destroy = cuda_op_destroy,
    .op_saved_bytes = cuda_op_saved_bytes,
    .op_scratch_bytes = cuda_op_scratch_bytes,
    .op_forward = cuda_op_forward,
    .op_backward = cuda_op_backward,
    .focal_loss = cuda_backend_focal_loss,
    .sum_squares = cuda_backend_sum_squares,
    .sgd_step = cuda_backend_sgd_step,
    .adamw_step = cuda_backend_adamw_step,
    .join = cuda_join,
    .resident = &cuda_resident_ops,
};

// The static runtime loads the driver when it is first needed, so a machine without one gets here and is told.
static enum status open_device(struct cuda_backend *b, struct error *err) {
    int count = 0;
    cudaError_t code = cudaGetDeviceCount(&count);
    if (code == cudaErrorInsufficientDriver || code == cudaErrorNoDevice || (code == cudaSuccess && count == 0)) {
        (void)cudaGetLastError();
        return error_set(err, STATUS_UNSUPPORTED, "backend cuda: no CUDA device here (%s)", cudaGetErrorString(code));
    }
    TRY(cuda_status(code, "counting CUDA devices", err));
    if (b->device < 0 || b->device >= count)
        return error_set(err, STATUS_INVALID, "backend cuda: there is no device %d; this machine has %d, from 0",
                         b->device, count);
    struct cudaDeviceProp properties;
    TRY(cuda_status(cudaGetDeviceProperties(&properties, b->device), "asking what the device is", err));
    snprintf(b->device_name, sizeof b->device_name, "%.*s", (int)sizeof b->device_name - 1, properties.name);
    if (properties.major < 8)
        return error_set(err, STATUS_UNSUPPORTED,
                         "backend cuda: device %d (%s) has compute capability %d.%d; 8.0 is needed", b->device,
                         b->device_name, properties.major, properties.minor);
    TRY(cuda_status(cudaSetDevice(b->device), "choosing the device", err));
    return cuda_status(cudaStreamCreateWithFlags(&b->stream, cudaStreamNonBlocking), "a stream", err);
}

static enum status allocate_own(struct cuda_backend *b, struct error *err) {
    void *workspace = NULL;
    TRY(cuda_status(cudaMallocHost(&b->staging, STAGING_BYTES), "page-locked memory", err));
    b->staging_bytes = STAGING_BYTES;
    TRY(cuda_status(cudaMalloc(&workspace, sizeof *b->workspace), "the workspace", err));
    b->workspace = workspace;
    return cuda_status(cudaMemsetAsync(workspace, 0, sizeof *b->workspace, b->stream), "clearing the workspace", err);
}

enum status backend_cuda_create(const struct backend_config *config, backend **out, struct error *err) {
    struct cuda_backend *b = calloc(1, sizeof *b);
    if (!b)
        return error_memory(err, "the CUDA backend");
    b->base.ops = &cuda_ops;
    b->device = config->device;
    b->precision = config->precision;
    enum status status;
    TRY_OR_FAIL(open_device(b, err));
    TRY_OR_FAIL(allocate_own(b, err));
    TRY_OR_FAIL(cudnn_engine_create(b, &b->cudnn, err));
    *out = &b->base;
    return STATUS_OK;
fail:
    cuda_destroy(&b->base);
    return status;
}
