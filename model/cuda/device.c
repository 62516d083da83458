// Which GPUs there are. See model/device.h.
#include "model/device.h"

#include <cuda_runtime_api.h>
#include <stdio.h>

#include "model/cuda/cuda_backend.h"

// As nvidia-smi and CUDA_VISIBLE_DEVICES write it.
static void format_id(const struct cudaDeviceProp *properties, char out[DEVICE_ID_SIZE]) {
    static const char dashes[16] = {[4] = 1, [6] = 1, [8] = 1, [10] = 1};
    int used = snprintf(out, DEVICE_ID_SIZE, "GPU-");
    for (int i = 0; i < 16; i++)
        used += snprintf(out + used, DEVICE_ID_SIZE - (size_t)used, "%s%02x", dashes[i] ? "-" : "",
                         (unsigned)(unsigned char)properties->uuid.bytes[i]);
}

static enum status read_free(int device, struct backend_device *d, struct error *err) {
    size_t all;
    TRY(cuda_status(cudaSetDevice(device), "choosing a device", err));
    enum status status = cuda_status(cudaMemGetInfo(&d->free_bytes, &all), "asking for free memory", err);
    (void)cudaDeviceReset(); // ends the context; nothing else depends on it
    return status;
}

enum status backend_cuda_devices(bool memory, struct backend_device *devices, int room, int *count, struct error *err) {
    *count = 0;
    int found = 0;
    cudaError_t code = cudaGetDeviceCount(&found);
    if (code == cudaErrorInsufficientDriver || code == cudaErrorNoDevice) {
        (void)cudaGetLastError();
        return STATUS_OK;
    }
    TRY(cuda_status(code, "counting CUDA devices", err));
    for (int i = 0; i < found && i < room; i++) {
        struct cudaDeviceProp properties;
        struct backend_device *d = &devices[i];
        TRY(cuda_status(cudaGetDeviceProperties(&properties, i), "asking what a device is", err));
        snprintf(d->name, sizeof d->name, "%.*s", (int)sizeof d->name - 1, properties.name);
        format_id(&properties, d->id);
        d->bytes = properties.totalGlobalMem;
        d->free_bytes = 0;
        if (memory)
            TRY(read_free(i, d, err));
        *count = i + 1;
    }
    return STATUS_OK;
}
