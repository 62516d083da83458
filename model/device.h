// The GPUs that this process may use, as CUDA_VISIBLE_DEVICES leaves them. Asking loads the driver, and may hang with a
// sick one: ranks have it done by a process that goes away again (worker/devices.h).
#ifndef GRIDFOLD_MODEL_DEVICE_H
#define GRIDFOLD_MODEL_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#include "model/base/status.h"

enum { DEVICE_NAME_SIZE = 64, DEVICE_ID_SIZE = 64 };

struct backend_device {
    char name[DEVICE_NAME_SIZE]; // "NVIDIA H100 80GB HBM3"
    char id[DEVICE_ID_SIZE];     // "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"; of a MIG instance its own number
    size_t bytes;                // of memory
    size_t free_bytes;           // 0: not asked for
};

// The first `room` of them, in the order of backend_config.device. *count is 0 in a build without GPUs, without a
// driver, and without devices. With `memory` also what is free, for which a context is made on each and ended again:
// that of the caller is not counted as free.
NODISCARD enum status backend_devices(bool memory, struct backend_device *devices, int room, int *count,
                                      struct error *err);

// The CUDA backend's, behind it.
NODISCARD enum status backend_cuda_devices(bool memory, struct backend_device *devices, int room, int *count,
                                           struct error *err);

#endif
