#include "tests/model/support/op_runner.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/bf16.h"
#include "model/base/rng.h"

const char *const op_slot_names[SLOTS] = {"output 0",         "output 1",        "input gradient 0",
                                          "input gradient 1", "weight gradient", "bias or beta gradient",
                                          "running mean",     "running variance"};

enum tensor_number {
    TENSOR_INPUT,
    TENSOR_OUTPUT = 10,
    TENSOR_OUTPUT_GRAD = 20,
    TENSOR_INPUT_GRAD = 30,
    TENSOR_PARAM = 40,
    TENSOR_BUFFER = 50
};

struct run {
    backend *b;
    const struct op_case *c;
    struct op_desc desc;
    struct op_args args;
    op *o;
    param_layout *layout[OP_MAX_PARAMS];
    struct op_result *result;
    void *memory[32]; // everything allocated
    int memories;
};

static void check(const struct run *r, enum status status, const struct error *err) {
    if (status != STATUS_OK)
        fail_msg("%s on %s: %s", r->c->name, r->b->ops->name, err->message);
}

void op_fill(uint32_t tensor, size_t count, float *values) {
    struct rng rng = rng_stream(7, 0, RNG_TEST, 0, tensor);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(2 * rng_uniform(&rng) - 1);
}

static float *host_alloc(size_t count) {
    float *host = calloc(count + 1, sizeof *host);
    assert_non_null(host);
    return host;
}

static float *device_alloc(struct run *r, size_t bytes, bool poisoned) {
    struct error err;
    void *memory;
    assert_true(r->memories < (int)(sizeof r->memory / sizeof *r->memory));
    check(r, r->b->ops->alloc(r->b, bytes, &memory, &err), &err);
    if (poisoned)
        r->b->ops->fill(r->b, memory, 0xff, bytes); // NaN
    r->memory[r->memories++] = memory;
    return memory;
}

static float *param_alloc(struct run *r, enum params_kind kind, size_t floats) {
    struct error err;
    float *param;
    assert_true(r->memories < (int)(sizeof r->memory / sizeof *r->memory));
    check(r, backend_alloc_params(r->b, kind, floats, &param, &err), &err);
    r->b->ops->fill(r->b, param, 0xff, floats * sizeof *param);
    r->memory[r->memories++] = param;
    return param;
}

static size_t elements(struct shape s) {
    return (size_t)s.n * (size_t)s.c * (size_t)s.h * (size_t)s.w;
}

static float *value_create(struct run *r, struct shape s, uint32_t tensor, bool filled) {
    float *value = device_alloc(r, r->b->ops->activation_floats(r->b, s) * sizeof(float), true);
    if (!filled)
        return value;
    float *host = host_alloc(elements(s));
    op_fill(tensor, elements(s), host);
    for (size_t i = 0; r->c->ties && tensor < TENSOR_OUTPUT && i < elements(s); i++)
        host[i] = roundf(2 * host[i]) / 2;
    for (size_t i = 0; r->c->bf16 && i < elements(s); i++)
        host[i] = bf16_to_float(bf16_from_float(host[i]));
    if (r->c->poison != 0 && tensor == TENSOR_INPUT)
        host[elements(s) / 2] = r->c->poison;
    r->b->ops->activation_import(r->b, s, host, value);
    free(host);
    return value;
}

// The padding is zero when the tensor, brought to the host and back, is the same bytes again; what lies in the padding
// adds to the sum of squares, whatever the elements are.
static void check_padding(struct run *r, enum op_slot slot, size_t floats, const float *value, const float *again) {
    double all = r->b->ops->sum_squares(r->b, floats, value), clean = r->b->ops->sum_squares(r->b, floats, again);
    if (isfinite(clean) && all != clean)
        fail_msg("%s on %s: %s has something in its padding (%.9g, of it %.9g in the tensor)", r->c->name,
                 r->b->ops->name, op_slot_names[slot], all, clean);
}

static void take_value(struct run *r, enum op_slot slot, struct shape s, const float *value) {
    r->result->count[slot] = elements(s);
    r->result->values[slot] = host_alloc(elements(s));
    r->b->ops->activation_export(r->b, s, value, r->result->values[slot]);
    size_t floats = r->b->ops->activation_floats(r->b, s);
    float *again = device_alloc(r, floats * sizeof(float), false);
    r->b->ops->activation_import(r->b, s, r->result->values[slot], again);
    check_padding(r, slot, floats, value, again);
}

static void take_param(struct run *r, enum op_slot slot, const struct graph_param *param, const param_layout *layout,
                       const float *value, bool padded) {
    r->result->count[slot] = param->count;
    r->result->values[slot] = host_alloc(param->count);
    r->b->ops->param_export(r->b, layout, value, 0, param->shape[0], r->result->values[slot]);
    if (!padded)
        return;
    size_t floats = r->b->ops->param_floats(layout);
    float *again = device_alloc(r, floats * sizeof(float), false);
    r->b->ops->param_import(r->b, layout, r->result->values[slot], again);
    check_padding(r, slot, floats, value, again);
}

static struct graph_param param_of(const struct op_desc *d, int i) {
    bool transposed = d->kind == OP_CONV_TRANSPOSE2D;
    bool weight = i == 0 && (d->kind == OP_CONV2D || transposed);
    struct graph_param p = {.key = "weight", .role = PARAM_VECTOR, .rank = 1, .shape = {d->out.c}};
    p.count = (size_t)d->out.c;
    if (weight) {
        int k = transposed ? 2 : d->kernel;
        p = (struct graph_param){.key = "weight", .rank = 4, .shape = {d->out.c, d->in.c, k, k}};
        p.role = transposed ? PARAM_CONV_TRANSPOSE_WEIGHT : PARAM_CONV_WEIGHT;
        if (transposed) {
            p.shape[0] = d->in.c;
            p.shape[1] = d->out.c;
        }
        p.count = (size_t)d->out.c * (size_t)d->in.c * (size_t)(k * k);
    }
    return p;
}

static int param_count(const struct op_desc *d) {
    switch (d->kind) {
    case OP_CONV2D:
        return d->bias ? 2 : 1;
    case OP_CONV_TRANSPOSE2D:
    case OP_BATCHNORM:
        return 2;
    default:
        return 0;
    }
}

static void create_params(struct run *r) {
    struct error err;
    struct op_desc first = r->desc;
    if (r->c->layout_frames) {
        first.in.n = first.out.n = r->c->layout_frames;
        first.passes = PASS_PARAM_GRAD;
        first.accumulate = false;
    }
    for (int i = 0; i < param_count(&r->desc); i++) {
        struct graph_param p = param_of(&r->desc, i);
        check(r, r->b->ops->param_layout_create(r->b, &p, &first, &r->layout[i], &err), &err);
        size_t floats = r->b->ops->param_floats(r->layout[i]);
        float *param = param_alloc(r, PARAMS_VALUES, floats), *host = host_alloc(p.count);
        op_fill((uint32_t)(TENSOR_PARAM + i), p.count, host);
        r->b->ops->param_import(r->b, r->layout[i], host, param);
        free(host);
        r->args.param[i] = param;
        if (r->desc.passes & PASS_PARAM_GRAD)
            r->args.param_grad[i] = param_alloc(r, PARAMS_GRADIENTS, floats);
    }
}

// Running statistics live in the layout of a vector parameter.
static void create_buffers(struct run *r) {
    for (int i = 0; r->desc.kind == OP_BATCHNORM && i < OP_MAX_BUFFERS; i++) {
        size_t count = (size_t)r->desc.in.c;
        float *host = host_alloc(count);
        op_fill((uint32_t)(TENSOR_BUFFER + i), count, host);
        for (size_t j = 0; i == 1 && j < count; j++)
            host[j] = 0.5f + fabsf(host[j]);
        r->args.buffer[i] = device_alloc(r, r->b->ops->param_floats(r->layout[0]) * sizeof(float), false);
        r->b->ops->param_import(r->b, r->layout[0], host, r->args.buffer[i]);
        free(host);
    }
}

static int input_count(const struct op_desc *d) {
    return (d->kind == OP_BATCHNORM && d->residual) || (d->kind == OP_LSTM_CELL && !d->no_previous) ? 2 : 1;
}

static int output_count(const struct op_desc *d) {
    return d->kind == OP_LSTM_CELL ? 2 : 1;
}

static struct shape input_shape(const struct op_desc *d, int i) {
    return i == 1 && d->kind == OP_LSTM_CELL ? d->out : d->in;
}

static void create_operands(struct run *r) {
    const struct op_desc *d = &r->desc;
    for (int i = 0; i < input_count(d); i++) {
        r->args.input[i] = value_create(r, input_shape(d, i), (uint32_t)(TENSOR_INPUT + i), true);
        r->args.input_grad_accumulate[i] = r->c->accumulate;
        if (d->passes & PASS_INPUT_GRAD)
            r->args.input_grad[i] =
                value_create(r, input_shape(d, i), (uint32_t)(TENSOR_INPUT_GRAD + i), r->c->accumulate);
    }
    for (int i = 0; i < output_count(d); i++) {
        r->args.output[i] = value_create(r, d->out, (uint32_t)(TENSOR_OUTPUT + i), d->accumulate);
        if (!(i == 1 && r->c->no_cell_grad))
            r->args.output_grad[i] = value_create(r, d->out, (uint32_t)(TENSOR_OUTPUT_GRAD + i), true);
    }
    r->args.saved = device_alloc(r, r->b->ops->op_saved_bytes(r->o) + sizeof(float), true);
    r->args.scratch = device_alloc(r, r->b->ops->op_scratch_bytes(r->o) + sizeof(float), true);
    r->args.training = !r->c->evaluation;
}

static void take_results(struct run *r) {
    const struct op_desc *d = &r->desc;
    for (int i = 0; i < output_count(d) && d->passes & PASS_FORWARD; i++)
        take_value(r, (enum op_slot)(SLOT_OUTPUT0 + i), d->out, r->args.output[i]);
    struct graph_param buffer = {.shape = {d->in.c}, .count = (size_t)d->in.c};
    for (int i = 0; i < OP_MAX_BUFFERS && r->args.buffer[i]; i++)
        take_param(r, (enum op_slot)(SLOT_BUFFER0 + i), &buffer, r->layout[0], r->args.buffer[i], false);
    if (r->c->evaluation)
        return;
    for (int i = 0; i < input_count(d) && d->passes & PASS_INPUT_GRAD; i++)
        take_value(r, (enum op_slot)(SLOT_INPUT_GRAD0 + i), input_shape(d, i), r->args.input_grad[i]);
    for (int i = 0; i < param_count(d) && d->passes & PASS_PARAM_GRAD; i++) {
        struct graph_param param = param_of(d, i);
        take_param(r, (enum op_slot)(SLOT_PARAM_GRAD0 + i), &param, r->layout[i], r->args.param_grad[i], true);
    }
}

void op_case_run(backend *b, const struct op_case *c, struct op_result *result) {
    struct error err;
    struct run r = {.b = b, .c = c, .desc = c->desc, .result = result};
    *result = (struct op_result){{0}, {NULL}};
    if (!r.desc.passes)
        r.desc.passes = PASS_FORWARD | PASS_INPUT_GRAD | PASS_PARAM_GRAD;
    create_params(&r);
    create_buffers(&r);
    check(&r, b->ops->op_create(b, &r.desc, r.layout[0], &r.o, &err), &err);
    create_operands(&r);
    if (r.desc.passes & PASS_FORWARD)
        check(&r, b->ops->op_forward(b, r.o, &r.args, &err), &err);
    if (!c->evaluation && r.desc.passes & (PASS_INPUT_GRAD | PASS_PARAM_GRAD))
        check(&r, b->ops->op_backward(b, r.o, &r.args, &err), &err);
    take_results(&r);
    b->ops->op_destroy(b, r.o);
    for (int i = 0; i < r.memories; i++)
        b->ops->release(b, r.memory[i]);
    for (int i = 0; i < OP_MAX_PARAMS; i++)
        if (r.layout[i])
            b->ops->param_layout_destroy(b, r.layout[i]);
}

void op_result_free(struct op_result *result) {
    for (int i = 0; i < SLOTS; i++)
        free(result->values[i]);
}
