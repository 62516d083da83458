#include "model/backend.h"

#include <string.h>

#include "model/device.h"

// Fastest first: "auto" takes the first that this machine can run.
static const struct {
    const char *name;
    bool cpu;
    enum status (*create)(const struct backend_config *config, backend **b, struct error *err);
} built[] = {
#ifdef GRIDFOLD_CUDA
    {"cuda", false, backend_cuda_create},
#endif
#ifdef GRIDFOLD_ONEDNN
    {"onednn", true, backend_onednn_create},
#endif
    {"reference", true, backend_reference_create},
};

const char *backend_list(void) {
    return "reference"
#ifdef GRIDFOLD_ONEDNN
           ", onednn"
#endif
#ifdef GRIDFOLD_CUDA
           ", cuda"
#endif
        ;
}

enum status backend_create(const char *name, const struct backend_config *config, backend **b, struct error *err) {
    bool any_cpu = strcmp(name, "cpu") == 0, any = any_cpu || strcmp(name, "auto") == 0;
    if (config->threads < 1)
        return error_set(err, STATUS_INVALID, "backend %s: threads must be at least 1, not %d", name, config->threads);
    for (size_t i = 0; i < sizeof built / sizeof *built; i++) {
        if (any ? any_cpu && !built[i].cpu : strcmp(name, built[i].name) != 0)
            continue;
        enum status status = built[i].create(config, b, err);
        if (!any || status != STATUS_UNSUPPORTED)
            return status;
        if (built[i].cpu)
            return status; // a slower one is no substitute for a precision that the fastest lacks
    }
    return error_set(err, STATUS_UNSUPPORTED, "no backend \"%s\" in this build; it has: auto, cpu, %s", name,
                     backend_list());
}

enum status backend_alloc_params(backend *b, enum params_kind kind, size_t n, float **params, struct error *err) {
    if (b->ops->alloc_params)
        return b->ops->alloc_params(b, kind, n, params, err);
    void *memory;
    TRY(b->ops->alloc(b, n * sizeof(float), &memory, err));
    *params = memory;
    return STATUS_OK;
}

enum status backend_finish(backend *b, struct error *err) {
    return b->ops->finish ? b->ops->finish(b, err) : STATUS_OK;
}

void backend_destroy(backend *b) {
    if (b)
        b->ops->destroy(b);
}

enum status backend_devices(bool memory, struct backend_device *devices, int room, int *count, struct error *err) {
#ifdef GRIDFOLD_CUDA
    return backend_cuda_devices(memory, devices, room, count, err);
#else
    (void)memory, (void)devices, (void)room, (void)err;
    *count = 0;
    return STATUS_OK;
#endif
}
