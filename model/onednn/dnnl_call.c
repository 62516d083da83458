#include "model/onednn/onednn.h"

#include <string.h>

static const char *status_name(dnnl_status_t status) {
    switch (status) {
    case dnnl_success:
        return "success";
    case dnnl_out_of_memory:
        return "out of memory";
    case dnnl_invalid_arguments:
        return "invalid arguments";
    case dnnl_unimplemented:
        return "not implemented";
    case dnnl_runtime_error:
        return "runtime error";
    default:
        return "failure";
    }
}

enum status onednn_status(dnnl_status_t status, const char *what, struct error *err) {
    switch (status) {
    case dnnl_success:
        return STATUS_OK;
    case dnnl_out_of_memory:
        return error_memory(err, what);
    case dnnl_unimplemented:
        return error_set(err, STATUS_UNSUPPORTED, "oneDNN has no %s for this CPU", what);
    default:
        return error_set(err, STATUS_INTERNAL, "oneDNN: %s: %s", what, status_name(status));
    }
}

enum status call_create(struct dnnl_call *call, dnnl_primitive_desc_t pd, const char *what, struct error *err) {
    *call = (struct dnnl_call){0};
    enum status status = onednn_status(dnnl_primitive_create(&call->primitive, pd), what, err);
    dnnl_primitive_desc_destroy(pd);
    return status;
}

static enum status bind_memory(const struct onednn *o, struct dnnl_call *call, int arg, compat_const_md md,
                               struct error *err) {
    dnnl_memory_t memory = NULL;
    TRY(onednn_status(dnnl_memory_create(&memory, md, o->engine, DNNL_MEMORY_NONE), "memory object", err));
    call->args[call->count++] = (dnnl_exec_arg_t){arg, memory};
    return STATUS_OK;
}

// The scratchpad is always bound right after the primitive was made, and kept last.
static enum status bind_scratchpad(const struct onednn *o, struct dnnl_call *call, struct error *err) {
    const_dnnl_primitive_desc_t pd = NULL;
    TRY(onednn_status(dnnl_primitive_get_primitive_desc(call->primitive, &pd), "primitive descriptor", err));
    compat_const_md md = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    call->scratchpad_bytes = md ? dnnl_memory_desc_get_size(md) : 0;
    if (call->scratchpad_bytes == 0)
        return STATUS_OK;
    call->scratchpad = true;
    return bind_memory(o, call, DNNL_ARG_SCRATCHPAD, md, err);
}

enum status call_bind(const struct onednn *o, struct dnnl_call *call, int arg, compat_const_md md, struct error *err) {
    if (call->count == 0)
        TRY(bind_scratchpad(o, call, err));
    TRY(bind_memory(o, call, arg, md, err));
    if (call->scratchpad) {
        dnnl_exec_arg_t scratchpad = call->args[call->count - 2];
        call->args[call->count - 2] = call->args[call->count - 1];
        call->args[call->count - 1] = scratchpad;
    }
    return STATUS_OK;
}

enum status call_run(const struct onednn *o, const struct dnnl_call *call, const void *const *handles, void *scratchpad,
                     struct error *err) {
    int bound = call->count - (call->scratchpad ? 1 : 0);
    for (int i = 0; i < call->count; i++) {
        union {
            const void *in;
            void *out;
        } handle = {i < bound ? handles[i] : scratchpad}; // oneDNN takes inputs and outputs by one type
        TRY(onednn_status(dnnl_memory_set_data_handle(call->args[i].memory, handle.out), "memory handle", err));
    }
    return onednn_status(dnnl_primitive_execute(call->primitive, o->stream, call->count, call->args), "execution", err);
}

void call_destroy(struct dnnl_call *call) {
    for (int i = 0; i < call->count; i++)
        dnnl_memory_destroy(call->args[i].memory);
    if (call->primitive)
        dnnl_primitive_destroy(call->primitive);
    *call = (struct dnnl_call){0};
}

enum status call_create_reorder(const struct onednn *o, struct dnnl_call *call, compat_const_md from,
                                compat_const_md to, struct error *err) {
    dnnl_primitive_desc_t pd = NULL;
    TRY(onednn_status(dnnl_reorder_primitive_desc_create(&pd, from, o->engine, to, o->engine, o->attr), "reorder",
                      err));
    TRY(call_create(call, pd, "reorder", err));
    TRY(call_bind(o, call, DNNL_ARG_FROM, from, err));
    return call_bind(o, call, DNNL_ARG_TO, to, err);
}
