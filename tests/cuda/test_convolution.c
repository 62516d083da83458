// Convolutions on cuDNN's graph API, against the stand-in for cuDNN: which engine is chosen, what is done when cuDNN
// has none, that plans are shared, that nothing leaks, and that a call can be captured into a CUDA graph.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/cuda/cudnn_engine.h"
#include "tests/cuda/standin/cudnn_standin.h"
#include "tests/cuda/standin/standin.h"
#include "tests/model/support/op_runner.h"

#define CONV(n, ci, hw, co, k, s, p)                                                                                   \
    .kind = OP_CONV2D, .in = {n, ci, hw, hw}, .kernel = k, .stride = s, .pad = p,                                      \
    .out = {n, co, ((hw) + 2 * (p) - (k)) / (s) + 1, ((hw) + 2 * (p) - (k)) / (s) + 1}

static const struct op_case plain = {.name = "conv", .desc = {CONV(2, 17, 6, 9, 3, 1, 1)}};
static const struct op_case strided = {.name = "conv, stride 2, bias",
                                       .desc = {CONV(2, 9, 8, 16, 3, 2, 1), .bias = true}};
static const struct op_case adding = {.name = "conv that adds, input gradient added",
                                      .desc = {CONV(3, 16, 2, 24, 3, 1, 1), .accumulate = true},
                                      .accumulate = true};
static const struct op_case transposed = {
    .name = "transposed conv",
    .desc =
        {.kind = OP_CONV_TRANSPOSE2D, .in = {2, 17, 3, 3}, .out = {2, 5, 6, 6}, .kernel = 2, .stride = 2, .bias = true},
    .accumulate = true};

static backend *open_backend(const char *name, enum precision precision) {
    struct error err;
    backend *b;
    const struct backend_config config = {.threads = 1, .precision = precision};
    if (backend_create(name, &config, &b, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return b;
}

static void assert_close(const struct op_case *c, backend *b, double tolerance) {
    backend *reference = open_backend("reference", PRECISION_FP32);
    struct op_result expected, actual;
    op_case_run(reference, c, &expected);
    op_case_run(b, c, &actual);
    for (int slot = 0; slot < SLOTS; slot++) {
        double largest = 1;
        for (size_t i = 0; i < expected.count[slot]; i++)
            largest = largest > (double)expected.values[slot][i] ? largest : (double)expected.values[slot][i];
        for (size_t i = 0; i < expected.count[slot]; i++) {
            double difference = (double)actual.values[slot][i] - (double)expected.values[slot][i];
            if (!(difference <= tolerance * largest && -difference <= tolerance * largest))
                fail_msg("%s: %s: element %zu is %.9g, not %.9g", c->name, op_slot_names[slot], i,
                         (double)actual.values[slot][i], (double)expected.values[slot][i]);
        }
    }
    op_result_free(&expected);
    op_result_free(&actual);
    backend_destroy(reference);
}

static struct cudnn_convolution convolution(enum cudnn_pass pass, enum precision precision) {
    return (struct cudnn_convolution){.x = {2, 16, 6, 6},
                                      .y = {2, 8, 6, 6},
                                      .kernel = 3,
                                      .stride = 1,
                                      .pad = 1,
                                      .pass = pass,
                                      .precision = precision};
}

// Of what the stand-in offers, engine 0 has no notes, engine 7 is on tensor cores and modest; all others would not do.
static void engine_by_precision(void **state) {
    (void)state;
    struct error err;
    for (int precision = PRECISION_FP32; precision <= PRECISION_BF16; precision++) {
        backend *b = open_backend("cuda", precision);
        for (int pass = CUDNN_PASS_FORWARD; pass <= CUDNN_PASS_WEIGHTS; pass++) {
            struct cudnn_convolution c = convolution(pass, precision);
            const cudnn_plan *plan;
            assert_int_equal(cudnn_engine_plan(cuda_backend_of(b)->cudnn, &c, &plan, &err), STATUS_OK);
            assert_int_equal(plan->notes.index, precision == PRECISION_FP32 ? 0 : 7);
            assert_false(plan->notes.nondeterministic || plan->notes.run_time_compiled);
            assert_int_equal(plan->workspace_bytes, precision == PRECISION_FP32 ? 0 : 4096);
        }
        backend_destroy(b);
    }
}

static void all_precisions(void **state) {
    (void)state;
    const double tolerances[] = {2e-5, 2e-3, 1e-2};
    for (int precision = PRECISION_FP32; precision <= PRECISION_BF16; precision++) {
        const struct op_case *const cases[] = {&plain, &strided, &adding, &transposed};
        backend *b = open_backend("cuda", precision);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct op_case c = *cases[i];
            c.bf16 = precision == PRECISION_BF16;
            assert_close(&c, b, tolerances[precision]);
        }
        backend_destroy(b);
    }
}

// TF32 is what it says: further from float than float's own rounding.
static void fp32_is_not_tf32(void **state) {
    (void)state;
    backend *exact = open_backend("cuda", PRECISION_FP32), *coarse = open_backend("cuda", PRECISION_TF32);
    struct op_result a, b;
    op_case_run(exact, &plain, &a);
    op_case_run(coarse, &plain, &b);
    double worst = 0;
    for (size_t i = 0; i < a.count[SLOT_OUTPUT0]; i++) {
        double difference = (double)a.values[SLOT_OUTPUT0][i] - (double)b.values[SLOT_OUTPUT0][i];
        worst = difference > worst ? difference : worst;
    }
    assert_true(worst > 1e-4 && worst < 1e-2);
    op_result_free(&a);
    op_result_free(&b);
    backend_destroy(exact);
    backend_destroy(coarse);
}

static void sums_apart(void **state) {
    (void)state;
    standin_cudnn_refuse_sums(true);
    for (int precision = PRECISION_FP32; precision <= PRECISION_BF16; precision += PRECISION_BF16) {
        backend *b = open_backend("cuda", precision);
        struct op_case c = adding, t = transposed;
        c.bf16 = t.bf16 = precision == PRECISION_BF16;
        assert_close(&c, b, c.bf16 ? 1e-2 : 2e-5);
        assert_close(&t, b, c.bf16 ? 1e-2 : 2e-5);
        backend_destroy(b);
    }
    standin_cudnn_refuse_sums(false);
}

static void bias_apart(void **state) {
    (void)state;
    standin_cudnn_refuse_bias(true);
    backend *b = open_backend("cuda", PRECISION_FP32);
    assert_close(&strided, b, 2e-5);
    backend_destroy(b);
    standin_cudnn_refuse_bias(false);
}

static void refused_shape_is_named(void **state) {
    (void)state;
    struct error err;
    backend *b = open_backend("cuda", PRECISION_BF16);
    struct op_desc desc = strided.desc;
    desc.passes = PASS_FORWARD | PASS_PARAM_GRAD;
    op *o;
    standin_cudnn_refuse_all(true);
    assert_int_equal(b->ops->op_create(b, &desc, NULL, &o, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.message, "convolution of x 2x16x8x8, 3x3 stride 2 pad 1, y 2x16x4x4, bf16"));
    // The refusal is remembered.
    standin_cudnn_refuse_all(false);
    assert_int_equal(b->ops->op_create(b, &desc, NULL, &o, &err), STATUS_UNSUPPORTED);
    backend_destroy(b);
}

static void plans_are_shared(void **state) {
    (void)state;
    struct error err;
    backend *b = open_backend("cuda", PRECISION_TF32);
    struct op_desc desc = plain.desc;
    desc.passes = PASS_FORWARD | PASS_INPUT_GRAD | PASS_PARAM_GRAD;
    op *first, *second;
    assert_int_equal(b->ops->op_create(b, &desc, NULL, &first, &err), STATUS_OK);
    int plans = standin_cudnn_plans();
    assert_int_equal(b->ops->op_create(b, &desc, NULL, &second, &err), STATUS_OK);
    assert_int_equal(standin_cudnn_plans(), plans);
    b->ops->op_destroy(b, first);
    b->ops->op_destroy(b, second);
    backend_destroy(b);
}

// Convolutions that differ in one member of the key, and could stand in one network, do not share a plan.
static void each_convolution_has_its_own_plan(void **state) {
    (void)state;
    const struct cudnn_convolution halving = {
        .x = {2, 16, 8, 8}, .y = {2, 16, 4, 4}, .kernel = 2, .stride = 2, .precision = PRECISION_TF32};
    const struct cudnn_convolution point = {
        .x = {2, 16, 1, 1}, .y = {2, 16, 1, 1}, .kernel = 1, .stride = 1, .precision = PRECISION_TF32};
    const struct cudnn_convolution wide = {
        .x = {2, 16, 4, 4}, .y = {2, 16, 1, 1}, .kernel = 3, .stride = 4, .precision = PRECISION_TF32};
    struct cudnn_convolution pairs[][2] = {{halving, halving}, {halving, halving}, {halving, halving},
                                           {point, point},     {wide, wide},       {halving, halving},
                                           {halving, halving}, {halving, halving}, {halving, halving}};
    pairs[0][1].x.c = pairs[1][1].y.c = 24;
    pairs[2][1].kernel = 1;
    pairs[3][1].stride = 2;
    pairs[4][1].pad = 1;
    pairs[5][1].pass = CUDNN_PASS_DATA;
    pairs[6][1].precision = PRECISION_FP32;
    pairs[7][1].accumulate = 1;
    pairs[8][1].bias = 1;
    backend *b = open_backend("cuda", PRECISION_TF32);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        for (int k = 0; k < 4; k++) { // the second time from what is kept
            const cudnn_plan *plan;
            struct error err;
            if (cudnn_engine_plan(cuda_backend_of(b)->cudnn, &pairs[i][k % 2], &plan, &err) != STATUS_OK)
                fail_msg("%s", err.message);
            assert_memory_equal(&plan->convolution, &pairs[i][k % 2], sizeof plan->convolution);
        }
    backend_destroy(b);
}

static void nothing_leaks(void **state) {
    (void)state;
    int before = standin_cudnn_alive();
    backend *b = open_backend("cuda", PRECISION_BF16);
    struct op_result result;
    op_case_run(b, &transposed, &result);
    op_result_free(&result);
    assert_true(standin_cudnn_alive() > before);
    backend_destroy(b);
    assert_int_equal(standin_cudnn_alive(), before);
}

enum { INPUT, WEIGHT, BIAS, OUTPUT, SCRATCH, ADDRESSES, ONES = 9 * 17 + 1 };

struct fixture {
    backend *b;
    op *o;
    struct op_args args;
    void *memory[ADDRESSES];
    size_t floats[ADDRESSES];
};

static float *device(struct fixture *f, size_t floats) {
    struct error err;
    void *memory;
    assert_int_equal(f->b->ops->alloc(f->b, floats * sizeof(float), &memory, &err), STATUS_OK);
    return memory;
}

static void give_addresses(struct fixture *f) {
    float *const *m = (float *const *)(void *)f->memory;
    f->args = (struct op_args){
        .input = {m[INPUT]}, .output = {m[OUTPUT]}, .param = {m[WEIGHT], m[BIAS]}, .scratch = m[SCRATCH]};
}

// A forward pass of `plain` with a bias, whose operands are all ones: every inner output is 9 taps x 17 channels and 1.
static void fixture_create(struct fixture *f, enum precision precision) {
    struct error err;
    struct op_desc desc = plain.desc;
    desc.passes = PASS_FORWARD;
    desc.bias = true;
    f->b = open_backend("cuda", precision);
    assert_int_equal(f->b->ops->op_create(f->b, &desc, NULL, &f->o, &err), STATUS_OK);
    f->floats[INPUT] = f->b->ops->activation_floats(f->b, desc.in);
    f->floats[WEIGHT] = 24 * 16 * 9;
    f->floats[BIAS] = 16;
    f->floats[OUTPUT] = f->b->ops->activation_floats(f->b, desc.out);
    f->floats[SCRATCH] = f->b->ops->op_scratch_bytes(f->o) / sizeof(float) + 1;
    for (int i = 0; i < ADDRESSES; i++)
        f->memory[i] = device(f, f->floats[i]);
    size_t in = f->floats[INPUT];
    float *host = malloc(in * sizeof *host);
    for (size_t i = 0; i < in; i++)
        host[i] = 1;
    f->b->ops->activation_import(f->b, desc.in, host, f->memory[INPUT]);
    struct graph_param param = {.role = PARAM_CONV_WEIGHT, .rank = 4, .shape = {9, 17, 3, 3}, .count = 9 * 17 * 9};
    param_layout *layout;
    assert_int_equal(f->b->ops->param_layout_create(f->b, &param, &desc, &layout, &err), STATUS_OK);
    assert_true(f->b->ops->param_floats(layout) <= f->floats[WEIGHT] && param.count <= in);
    f->b->ops->param_import(f->b, layout, host, f->memory[WEIGHT]);
    f->b->ops->param_layout_destroy(f->b, layout);
    memcpy(f->memory[BIAS], host, f->floats[BIAS] * sizeof *host); // the stand-in's device memory is the host's
    free(host);
    give_addresses(f);
}

static void fixture_destroy(struct fixture *f) {
    for (int i = 0; i < ADDRESSES; i++)
        f->b->ops->release(f->b, f->memory[i]);
    f->b->ops->op_destroy(f->b, f->o);
    backend_destroy(f->b);
}

static float middle(struct fixture *f) {
    float host[2 * 9 * 6 * 6];
    f->b->ops->activation_export(f->b, plain.desc.out, f->args.output[0], host);
    return host[2 * 6 + 3];
}

static void failed_run_is_told(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    fixture_create(&f, PRECISION_FP32);
    standin_cudnn_fail_next_run();
    assert_int_equal(f.b->ops->op_forward(f.b, f.o, &f.args, &err), STATUS_INTERNAL);
    assert_non_null(strstr(err.message, "convolution of x 2x24x6x6"));
    assert_non_null(strstr(err.message, "CUDNN_STATUS_EXECUTION_FAILED"));
    assert_int_equal(f.b->ops->op_forward(f.b, f.o, &f.args, &err), STATUS_OK);
    assert_true(middle(&f) == ONES);
    fixture_destroy(&f);
}

// The addresses are bound once; after that a run makes no descriptor.
static void runs_make_nothing(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    fixture_create(&f, PRECISION_FP32);
    assert_int_equal(f.b->ops->op_forward(f.b, f.o, &f.args, &err), STATUS_OK);
    int alive = standin_cudnn_alive(), made = standin_cudnn_made();
    long allocations = standin_counts_now().allocations;
    for (int i = 0; i < 3; i++)
        assert_int_equal(f.b->ops->op_forward(f.b, f.o, &f.args, &err), STATUS_OK);
    assert_int_equal(standin_cudnn_alive(), alive);
    assert_int_equal(standin_cudnn_made(), made);
    assert_int_equal(standin_counts_now().allocations, allocations);
    fixture_destroy(&f);
}

// One operand after the other moves, the workspace too, and nobody may touch where it was.
static void each_address_is_followed(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    fixture_create(&f, PRECISION_TF32); // its engine wants workspace
    assert_int_equal(f.b->ops->op_forward(f.b, f.o, &f.args, &err), STATUS_OK);
    int alive = standin_cudnn_alive();
    for (int i = 0; i < ADDRESSES; i++) {
        float *moved = device(&f, f.floats[i]);
        f.b->ops->copy(f.b, moved, f.memory[i], f.floats[i] * sizeof *moved);
        f.b->ops->release(f.b, f.memory[i]);
        f.memory[i] = moved;
        give_addresses(&f);
        f.b->ops->fill(f.b, f.memory[OUTPUT], 0, f.floats[OUTPUT] * sizeof *moved);
        assert_int_equal(f.b->ops->op_forward(f.b, f.o, &f.args, &err), STATUS_OK);
        assert_true(middle(&f) == ONES);
        assert_int_equal(standin_cudnn_alive(), alive);
    }
    fixture_destroy(&f);
}

// But for the first one, at which cuDNN loads code.
static void captured_into_a_graph(void **state) {
    (void)state;
    struct fixture f;
    struct error err;
    cudaGraph_t graph_made;
    cudaGraphExec_t exec;
    fixture_create(&f, PRECISION_FP32);
    cudaStream_t stream = cuda_backend_of(f.b)->stream;
    assert_int_equal(f.b->ops->op_forward(f.b, f.o, &f.args, &err), STATUS_OK);
    f.b->ops->fill(f.b, f.memory[OUTPUT], 0, f.floats[OUTPUT] * sizeof *f.memory[OUTPUT]);
    assert_int_equal(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    assert_int_equal(f.b->ops->op_forward(f.b, f.o, &f.args, &err), STATUS_OK);
    assert_int_equal(cudaStreamEndCapture(stream, &graph_made), cudaSuccess);
    assert_true(middle(&f) == 0); // nothing has run
    assert_int_equal(cudaGraphInstantiate(&exec, graph_made, 0), cudaSuccess);
    assert_int_equal(cudaGraphLaunch(exec, stream), cudaSuccess);
    assert_true(middle(&f) == ONES);
    assert_int_equal(cudaGraphExecDestroy(exec), cudaSuccess);
    assert_int_equal(cudaGraphDestroy(graph_made), cudaSuccess);
    fixture_destroy(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engine_by_precision),
        cmocka_unit_test(all_precisions),
        cmocka_unit_test(fp32_is_not_tf32),
        cmocka_unit_test(sums_apart),
        cmocka_unit_test(bias_apart),
        cmocka_unit_test(refused_shape_is_named),
        cmocka_unit_test(plans_are_shared),
        cmocka_unit_test(each_convolution_has_its_own_plan),
        cmocka_unit_test(nothing_leaks),
        cmocka_unit_test(failed_run_is_told),
        cmocka_unit_test(runs_make_nothing),
        cmocka_unit_test(each_address_is_followed),
        cmocka_unit_test(captured_into_a_graph),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
