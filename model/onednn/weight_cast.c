// Copies of a weight in bf16, one for each layout that a pass wants.
//
// A step reads most weights twice (forward, input gradient), the recurrent ones at every timestep; each copy is made
// once a step, on two cores at the rate of the memory.
#include <stdlib.h>

#include "model/onednn/onednn.h"

struct weight_cast {
    compat_md md;
    struct dnnl_call reorder;
    void *copy, *scratchpad;
    const float *source; // what the copy was made of; NULL: not made yet
    uint64_t changes;    // and when
    struct weight_cast *next;
};

static void destroy(struct weight_cast *c) {
    call_destroy(&c->reorder);
    compat_md_destroy(c->md);
    free(c->copy);
    free(c->scratchpad);
    free(c);
}

void weight_casts_destroy(struct weight_casts *casts) {
    for (struct weight_cast *c = casts ? casts->first : NULL, *next; c; c = next) {
        next = c->next;
        destroy(c);
    }
    free(casts);
}

static void *allocate(size_t bytes) {
    return aligned_alloc(SCRATCH_ALIGNMENT, (bytes / SCRATCH_ALIGNMENT + 1) * SCRATCH_ALIGNMENT);
}

static enum status prepare(const param_layout *layout, compat_const_md md, struct weight_cast *c, struct error *err) {
    TRY(onednn_status(compat_md_clone(&c->md, md), "weight descriptor", err));
    TRY(call_create_reorder(layout->owner, &c->reorder, layout->md, md, err));
    c->copy = allocate(dnnl_memory_desc_get_size(md));
    c->scratchpad = allocate(c->reorder.scratchpad_bytes);
    return c->copy && c->scratchpad ? STATUS_OK : error_memory(err, "a weight in bf16");
}

enum status weight_cast_find(const param_layout *layout, compat_const_md md, struct weight_cast **cast,
                             struct error *err) {
    for (struct weight_cast *c = layout->casts->first; c; c = c->next)
        if (dnnl_memory_desc_equal(c->md, md)) {
            *cast = c;
            return STATUS_OK;
        }
    struct weight_cast *c = calloc(1, sizeof *c);
    if (!c)
        return error_memory(err, "a weight in bf16");
    enum status status = prepare(layout, md, c, err);
    if (status != STATUS_OK) {
        destroy(c);
        return status;
    }
    c->next = layout->casts->first;
    layout->casts->first = c;
    *cast = c;
    return STATUS_OK;
}

enum status weight_cast_run(const struct onednn *o, struct weight_cast *cast, const float *weight, const void **copy,
                            struct error *err) {
    *copy = cast->copy;
    if (cast->source == weight && cast->changes == o->changes)
        return STATUS_OK;
    TRY(call_run(o, &cast->reorder, (const void *[]){weight, cast->copy}, cast->scratchpad, err));
    cast->source = weight;
    cast->changes = o->changes;
    return STATUS_OK;
}
