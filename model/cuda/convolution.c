// The operation's scratch: [a result that is added afterwards][partial sums of the bias gradient][cuDNN's workspace].
#include "model/cuda/convolution.h"

#include <stdlib.h>

#include "model/cuda/backend_parts.h"
#include "model/cuda/cudnn_engine.h"
#include "model/cuda/kernels.h"

// One of the operation's three passes.
struct pass {
    struct cudnn_launch write, add; // the result replaces what is there, or is added to it
    bool add_apart;                 // cuDNN cannot add to this one: write into scratch, then a kernel adds
    bool bias_apart;                // likewise the bias
};

struct cuda_convolution {
    struct op_desc desc;
    bool transposed;
    struct pass forward, input_grad, weight_grad;
    size_t weight_elements;                           // padded
    size_t result_bytes, sums_bytes, workspace_bytes; // of scratch
};

static size_t aligned(size_t bytes) {
    return (bytes + 255) / 256 * 256;
}

static struct shape padded(struct shape s) {
    s.c = cuda_padded(s.c);
    return s;
}

// A transposed convolution is the data gradient of the convolution from its output to its input, of the same weight.
static struct cudnn_convolution convolution_of(const struct cuda_backend *b, const struct op_desc *d) {
    bool transposed = d->kind == OP_CONV_TRANSPOSE2D;
    return (struct cudnn_convolution){.x = padded(transposed ? d->out : d->in),
                                      .y = padded(transposed ? d->in : d->out),
                                      .kernel = d->kernel,
                                      .stride = d->stride,
                                      .pad = d->pad,
                                      .precision = (int)b->precision};
}

static void count_workspace(cuda_convolution *c, const cudnn_plan *plan) {
    if (aligned(plan->workspace_bytes) > c->workspace_bytes)
        c->workspace_bytes = aligned(plan->workspace_bytes);
}

static enum status plan_launch(struct cuda_backend *b, cuda_convolution *c, const struct cudnn_convolution *wanted,
                               struct cudnn_launch *launch, struct error *err) {
    TRY(cudnn_engine_plan(b->cudnn, wanted, &launch->plan, err));
    count_workspace(c, launch->plan);
    return STATUS_OK;
}

// The plans of a pass that replaces its result (`writes`), adds to it (`adds`), or both: which, the call says.
static enum status plan_pass(struct cuda_backend *b, cuda_convolution *c, struct cudnn_convolution wanted, bool writes,
                             bool adds, struct pass *pass, struct error *err) {
    struct error refusal;
    if (adds) {
        wanted.accumulate = 1;
        enum status status = plan_launch(b, c, &wanted, &pass->add, &refusal);
        wanted.accumulate = 0;
        pass->add_apart = status == STATUS_UNSUPPORTED;
        if (status != STATUS_OK && !pass->add_apart) {
            *err = refusal;
            return status;
        }
    }
    if (writes && wanted.bias && plan_launch(b, c, &wanted, &pass->write, &refusal) == STATUS_OK)
        return STATUS_OK;
    pass->bias_apart = wanted.bias && (writes || pass->add_apart); // else the plan that adds has it
    wanted.bias = 0;
    return writes || pass->add_apart ? plan_launch(b, c, &wanted, &pass->write, err) : STATUS_OK;
}

static enum status plan_passes(struct cuda_backend *b, cuda_convolution *c, struct error *err) {
    const struct op_desc *d = &c->desc;
    struct cudnn_convolution forward = convolution_of(b, d), input_grad = forward, weight_grad = forward;
    forward.pass = c->transposed ? CUDNN_PASS_DATA : CUDNN_PASS_FORWARD;
    forward.bias = d->bias;
    input_grad.pass = c->transposed ? CUDNN_PASS_FORWARD : CUDNN_PASS_DATA;
    weight_grad.pass = CUDNN_PASS_WEIGHTS;
    if (d->passes & PASS_FORWARD)
        TRY(plan_pass(b, c, forward, !d->accumulate, d->accumulate, &c->forward, err));
    if (d->passes & PASS_INPUT_GRAD)
        TRY(plan_pass(b, c, input_grad, true, true, &c->input_grad, err));
    if (d->passes & PASS_PARAM_GRAD)
        TRY(plan_pass(b, c, weight_grad, true, false, &c->weight_grad, err));
    return STATUS_OK;
}

static void count_scratch(const struct cuda_backend *b, cuda_convolution *c) {
    const struct op_desc *d = &c->desc;
    c->weight_elements = (size_t)cuda_padded(d->in.c) * (size_t)cuda_padded(d->out.c) * (size_t)(d->kernel * d->kernel);
    if (c->forward.add_apart)
        c->result_bytes = aligned(cuda_value_elements(d->out) * cuda_element_bytes(b));
    if (c->input_grad.add_apart && aligned(cuda_value_elements(d->in) * cuda_element_bytes(b)) > c->result_bytes)
        c->result_bytes = aligned(cuda_value_elements(d->in) * cuda_element_bytes(b));
    if (d->bias && d->passes & PASS_PARAM_GRAD)
        c->sums_bytes = aligned(cuda_bias_grad_scratch_bytes(d->out));
}

enum status cuda_convolution_create(struct cuda_backend *b, const struct op_desc *desc, cuda_convolution **convolution,
                                    struct error *err) {
    cuda_convolution *c = calloc(1, sizeof *c);
    if (!c)
        return error_memory(err, "a convolution");
    c->desc = *desc;
    c->transposed = desc->kind == OP_CONV_TRANSPOSE2D;
    enum status status = plan_passes(b, c, err);
    count_scratch(b, c);
    if (status == STATUS_OK)
        *convolution = c;
    else
        cuda_convolution_destroy(c);
    return status;
}

static void pass_release(struct pass *pass) {
    cudnn_launch_release(&pass->write);
    cudnn_launch_release(&pass->add);
}

void cuda_convolution_destroy(cuda_convolution *convolution) {
    if (!convolution)
        return;
    pass_release(&convolution->forward);
    pass_release(&convolution->input_grad);
    pass_release(&convolution->weight_grad);
    free(convolution);
}

size_t cuda_convolution_scratch_bytes(const cuda_convolution *convolution) {
    return convolution->result_bytes + convolution->sums_bytes + convolution->workspace_bytes;
}

// ---- Running ----

struct scratch {
    void *result, *sums, *workspace;
};

static struct scratch scratch_of(const cuda_convolution *c, void *scratch) {
    char *at = scratch;
    return (struct scratch){at, at + c->result_bytes, at + c->result_bytes + c->sums_bytes};
}

// What one pass works on: values or their gradients, and the weight or its gradient, as cuDNN reads and writes them.
struct operands {
    const void *in, *out; // of the operation's input and output shapes
    void *weight;
    const float *bias;
};

// cuDNN takes all addresses as writable.
static void *address(const void *p) {
    return (void *)(uintptr_t)p;
}

static enum status launch(struct cuda_backend *b, const cuda_convolution *c, struct cudnn_launch *l,
                          const struct operands *o, const struct scratch *s, struct error *err) {
    void *const operands[CUDNN_OPERANDS] = {
        [CUDNN_OPERAND_X] = address(c->transposed ? o->out : o->in),
        [CUDNN_OPERAND_W] = o->weight,
        [CUDNN_OPERAND_Y] = address(c->transposed ? o->in : o->out),
        [CUDNN_OPERAND_BIAS] = l->plan->convolution.bias ? address(o->bias) : NULL,
    };
    return cudnn_launch_run(b->cudnn->handle, l, operands, s->workspace, err);
}

// The weight as cuDNN reads it, or its gradient as cuDNN writes it: in float the network's, else the one in bf16.
static enum status weight_for(const struct cuda_backend *b, const float *param, void **weight, struct error *err) {
    *weight = b->precision == PRECISION_BF16 ? cuda_params_bf16(b, param) : address(param);
    return *weight ? STATUS_OK : error_set(err, STATUS_INTERNAL, "a weight outside of the memory of parameters");
}

// Adds what a pass makes to *result, which is o->in or o->out.
static enum status add(struct cuda_backend *b, const cuda_convolution *c, struct pass *pass, struct operands *o,
                       const void **result, struct shape shape, const struct scratch *s, struct error *err) {
    if (!pass->add_apart)
        return launch(b, c, &pass->add, o, s, err);
    void *sum = address(*result);
    *result = s->result;
    TRY(launch(b, c, &pass->write, o, s, err));
    return cuda_status(cuda_add(cuda_value_elements(shape), b->precision == PRECISION_BF16, s->result, sum, b->stream),
                       "a sum", err);
}

enum status cuda_convolution_forward(struct cuda_backend *b, cuda_convolution *c, const struct op_args *args,
                                     struct error *err) {
    const struct scratch s = scratch_of(c, args->scratch);
    struct operands o = {.in = args->input[0], .out = args->output[0], .bias = args->param[1]};
    TRY(weight_for(b, args->param[0], &o.weight, err));
    if (c->desc.accumulate)
        TRY(add(b, c, &c->forward, &o, &o.out, c->desc.out, &s, err));
    else
        TRY(launch(b, c, &c->forward.write, &o, &s, err));
    if (!c->forward.bias_apart)
        return STATUS_OK;
    return cuda_status(
        cuda_bias_add(c->desc.out, b->precision == PRECISION_BF16, args->param[1], args->output[0], b->stream),
        "a bias", err);
}

static enum status input_gradient(struct cuda_backend *b, cuda_convolution *c, const struct op_args *args,
                                  const struct scratch *s, struct error *err) {
    struct operands o = {.in = args->input_grad[0], .out = args->output_grad[0]};
    TRY(weight_for(b, args->param[0], &o.weight, err));
    if (args->input_grad_accumulate[0])
        return add(b, c, &c->input_grad, &o, &o.in, c->desc.in, s, err);
    return launch(b, c, &c->input_grad.write, &o, s, err);
}

static enum status weight_gradient(struct cuda_backend *b, cuda_convolution *c, const struct op_args *args,
                                   const struct scratch *s, struct error *err) {
    struct operands o = {.in = args->input[0], .out = args->output_grad[0]};
    TRY(weight_for(b, args->param_grad[0], &o.weight, err));
    TRY(launch(b, c, &c->weight_grad.write, &o, s, err));
    if (b->precision == PRECISION_BF16)
        cuda_gradient_written(b, args->param_grad[0], c->weight_elements);
    return STATUS_OK;
}

enum status cuda_convolution_backward(struct cuda_backend *b, cuda_convolution *c, const struct op_args *args,
                                      struct error *err) {
    const struct scratch s = scratch_of(c, args->scratch);
    if (args->input_grad[0])
        TRY(input_gradient(b, c, args, &s, err));
    if (args->param_grad[0])
        TRY(weight_gradient(b, c, args, &s, err));
    if (!c->desc.bias || !args->param_grad[1])
        return STATUS_OK;
    return cuda_status(cuda_bias_grad(c->desc.out, b->precision == PRECISION_BF16, args->output_grad[0],
                                      args->param_grad[1], s.sums, b->stream),
                       "a bias gradient", err);
}
