// Memory of parameters: float, and with bf16 a copy of each in bf16 behind them, which convolutions read. Whatever
// writes to such memory brings the copy up to date (cuda_params_changed, or an optimizer's kernel), so that it is never
// older than the parameters. Cast once a step; a step reads most weights twice, the recurrent ones at every timestep.
#include <stdlib.h>

#include "model/cuda/backend_parts.h"

struct cuda_params {
    float *params;
    size_t floats; // whole octets; so many elements of the copy begin behind them
    struct cuda_params *next;
};

static size_t whole_octets(size_t floats) {
    return (floats + CUDA_CHANNEL_BLOCK - 1) / CUDA_CHANNEL_BLOCK * CUDA_CHANNEL_BLOCK;
}

enum status cuda_params_alloc(backend *base, size_t floats, float **params, struct error *err) {
    struct cuda_backend *b = cuda_backend_of(base);
    const bool bf16 = b->precision == PRECISION_BF16;
    void *memory;
    floats = whole_octets(floats);
    struct cuda_params *p = bf16 ? malloc(sizeof *p) : NULL;
    if (bf16 && !p)
        return error_memory(err, "the parameters");
    enum status status = base->ops->alloc(base, floats * (sizeof(float) + (bf16 ? 2 : 0)), &memory, err);
    if (status != STATUS_OK) {
        free(p);
        return status;
    }
    *params = memory;
    if (p) {
        *p = (struct cuda_params){memory, floats, b->params};
        b->params = p;
    }
    return STATUS_OK;
}

void cuda_params_forget(struct cuda_backend *b, const void *memory) {
    for (struct cuda_params **at = &b->params; *at; at = &(*at)->next)
        if ((*at)->params == memory) {
            struct cuda_params *gone = *at;
            *at = gone->next;
            free(gone);
            return;
        }
}

void *cuda_params_bf16(const struct cuda_backend *b, const float *param) {
    for (const struct cuda_params *p = b->params; p; p = p->next)
        if (param >= p->params && param < p->params + p->floats)
            return (uint16_t *)(void *)(p->params + p->floats) + (param - p->params);
    return NULL;
}

void cuda_params_changed(struct cuda_backend *b, const float *param, size_t floats) {
    void *copy = cuda_params_bf16(b, param);
    if (copy && floats > 0)
        cuda_note(b, cuda_cast_to_bf16(whole_octets(floats), param, copy, b->stream), "parameters to bf16");
}
