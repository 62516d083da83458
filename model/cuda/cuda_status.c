#include "model/cuda/backend_parts.h"

enum status cuda_status(cudaError_t code, const char *what, struct error *err) {
    if (code == cudaSuccess)
        return STATUS_OK;
    return error_set(err, code == cudaErrorMemoryAllocation ? STATUS_MEMORY : STATUS_INTERNAL, "CUDA: %s: %s (%s)",
                     what, cudaGetErrorString(code), cudaGetErrorName(code));
}

void cuda_note(struct cuda_backend *b, cudaError_t code, const char *what) {
    struct error err;
    if (cuda_status(code, what, &err) != STATUS_OK && b->failure.status == STATUS_OK)
        b->failure = err;
}

enum status cuda_failed_before(const struct cuda_backend *b, struct error *err) {
    if (b->failure.status != STATUS_OK)
        *err = b->failure;
    return b->failure.status;
}
