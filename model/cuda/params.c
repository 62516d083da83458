// Memory of parameters, and of their gradients: float, and with bf16 as many elements in bf16 behind them.
//
// Of parameters that is a copy, which convolutions read. Whatever writes to such memory brings the copy up to date
// (cuda_params_changed, or an optimizer's kernel), so that it is never older than the parameters. Cast once a step; a
// step reads most weights twice, the recurrent ones at every timestep. Of gradients it is what convolutions write
// (gradients.c).
#include <stdlib.h>

#include "model/cuda/backend_parts.h"

struct cuda_params {
    float *params;
    size_t floats; // whole octets; so many elements in bf16 begin behind them
    enum params_kind kind;
    struct cuda_params *next;
};

static size_t whole_octets(size_t floats) {
    return (floats + CUDA_CHANNEL_BLOCK - 1) / CUDA_CHANNEL_BLOCK * CUDA_CHANNEL_BLOCK;
}

enum status cuda_params_alloc(backend *base, enum params_kind kind, size_t floats, float **params, struct error *err) {
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
        *p = (struct cuda_params){memory, floats, kind, b->params};
        b->params = p;
    }
    return STATUS_OK;
}

void cuda_params_forget(struct cuda_backend *b, const void *memory) {
    for (struct cuda_params **at = &b->params; *at; at = &(*at)->next)
        if ((*at)->params == memory) {
            struct cuda_params *gone = *at;
            if (gone->kind == PARAMS_GRADIENTS)
                cuda_gradients_forget(b);
            *at = gone->next;
            free(gone);
            return;
        }
}

static const struct cuda_params *params_of(const struct cuda_backend *b, const float *param) {
    const struct cuda_params *p = b->params;
    while (p && !(param >= p->params && param < p->params + p->floats))
        p = p->next;
    return p;
}

void *cuda_params_bf16(const struct cuda_backend *b, const float *param) {
    const struct cuda_params *p = params_of(b, param);
    return p ? (uint16_t *)(void *)(p->params + p->floats) + (param - p->params) : NULL;
}

void cuda_params_changed(struct cuda_backend *b, const float *param, size_t floats) {
    const struct cuda_params *p = params_of(b, param);
    void *copy = cuda_params_bf16(b, param);
    if (p && p->kind == PARAMS_VALUES && floats > 0)
        cuda_note(b, cuda_cast_to_bf16(whole_octets(floats), param, copy, b->stream), "parameters to bf16");
}
