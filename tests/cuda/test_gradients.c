// Weight gradients in bf16, which become float together when somebody reads them: all of them, whatever their sizes and
// however many; whoever reads, alone; nothing beside them; and none in memory that has been released.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/bf16.h"
#include "model/cuda/backend_parts.h"
#include "tests/cuda/small_steps.h"

enum { FLOATS = 40 };
static const float UNTOUCHED = -77;

static float value_at(size_t i) { // that bf16 can hold
    return (float)(i % 120) - 50;
}

static int set_up(void **state) {
    struct error err;
    backend *b;
    check(backend_create("cuda", &(struct backend_config){.threads = 1, .precision = PRECISION_BF16}, &b, &err), &err);
    *state = b;
    return 0;
}

static int tear_down(void **state) {
    backend_destroy(*state);
    return 0;
}

static void finish(backend *b) {
    struct error err;
    check(backend_finish(b, &err), &err);
}

// The stand-in's device memory is the host's.
static float *gradients(backend *b, size_t floats) {
    struct error err;
    float *grad;
    check(backend_alloc_params(b, PARAMS_GRADIENTS, floats, &grad, &err), &err);
    finish(b);
    for (size_t i = 0; i < floats; i++)
        grad[i] = UNTOUCHED;
    return grad;
}

static float *zeros(backend *b) {
    struct error err;
    void *memory;
    check(b->ops->alloc(b, FLOATS * sizeof(float), &memory, &err), &err);
    return memory;
}

// As cuDNN would.
static void write_gradient(backend *b, float *grad, size_t count) {
    uint16_t *bf16 = cuda_params_bf16(cuda_backend_of(b), grad);
    assert_non_null(bf16);
    for (size_t i = 0; i < count; i++)
        bf16[i] = bf16_from_float(value_at(i));
    cuda_gradient_written(cuda_backend_of(b), grad, count);
}

static void expect_gradient(const float *grad, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (grad[i] != value_at(i))
            fail_msg("element %zu of %zu: %g, not %g", i, count, (double)grad[i], (double)value_at(i));
}

// With eight floats between them. Sizes around that of a block's part.
static void all_become_float(void **state) {
    static const size_t sizes[] = {8, 16384, 24, 16392, 16376, 40000, 8, 16};
    enum { KINDS = sizeof sizes / sizeof *sizes, GAP = 8 };
    backend *b = *state;
    for (int count = 1; count <= 2 * CUDA_MOST_CASTS + 3; count += CUDA_MOST_CASTS / 2 - 1) {
        size_t floats = 0, at = 0;
        for (int i = 0; i < count; i++)
            floats += sizes[i % KINDS] + GAP;
        float *grad = gradients(b, floats);
        for (int i = 0; i < count; at += sizes[i++ % KINDS] + GAP)
            write_gradient(b, grad + at, sizes[i % KINDS]);
        (void)b->ops->sum_squares(b, 8, grad);
        finish(b);
        at = 0;
        for (int i = 0; i < count; at += sizes[i++ % KINDS] + GAP) {
            expect_gradient(grad + at, sizes[i % KINDS]);
            for (size_t k = 0; k < GAP; k++)
                assert_true(grad[at + sizes[i % KINDS] + k] == UNTOUCHED);
        }
        b->ops->release(b, grad);
    }
}

static void what_is_written_again_is_the_later(void **state) {
    backend *b = *state;
    float *grad = gradients(b, FLOATS);
    write_gradient(b, grad, FLOATS);
    ((uint16_t *)cuda_params_bf16(cuda_backend_of(b), grad))[3] = bf16_from_float(1000);
    write_gradient(b, grad, FLOATS);
    (void)b->ops->sum_squares(b, FLOATS, grad);
    expect_gradient(grad, FLOATS);
    grad[3] = 5; // what has become float once does not again
    (void)b->ops->sum_squares(b, FLOATS, grad);
    assert_true(grad[3] == 5);
    b->ops->release(b, grad);
}

// ---- who reads ----

static void the_norm_reads_float(void **state) {
    backend *b = *state;
    double wanted = 0;
    float *grad = gradients(b, FLOATS);
    for (size_t i = 0; i < FLOATS; i++)
        wanted += (double)value_at(i) * (double)value_at(i);
    write_gradient(b, grad, FLOATS);
    assert_true(b->ops->sum_squares(b, FLOATS, grad) == wanted);
    b->ops->release(b, grad);
}

static void sgd_reads_float(void **state) {
    backend *b = *state;
    float *grad = gradients(b, FLOATS);
    struct optimizer_state s = {zeros(b), zeros(b), NULL};
    write_gradient(b, grad, FLOATS);
    b->ops->sgd_step(b, FLOATS, &(struct sgd_config){.clip = 1, .lr = 0.5f, .first = true}, grad, &s, &s);
    finish(b);
    for (size_t i = 0; i < FLOATS; i++)
        assert_true(s.param[i] == -0.5f * value_at(i));
    b->ops->release(b, grad);
    b->ops->release(b, s.param);
    b->ops->release(b, s.moment1);
}

static void adamw_reads_float(void **state) {
    backend *b = *state;
    const struct adamw_config config = {
        .clip = 1, .lr = 0.5f, .beta1 = 0.5f, .beta2 = 0.75f, .epsilon = 1e-8f, .step = 1};
    float *grad = gradients(b, FLOATS);
    struct optimizer_state s = {zeros(b), zeros(b), zeros(b)};
    write_gradient(b, grad, FLOATS);
    b->ops->adamw_step(b, FLOATS, &config, grad, &s, &s);
    finish(b);
    for (size_t i = 0; i < FLOATS; i++)
        assert_true(s.moment1[i] == 0.5f * value_at(i));
    b->ops->release(b, grad);
    b->ops->release(b, s.param);
    b->ops->release(b, s.moment1);
    b->ops->release(b, s.moment2);
}

static void a_copy_is_of_floats(void **state) {
    backend *b = *state;
    float *grad = gradients(b, FLOATS), *copy = zeros(b);
    write_gradient(b, grad, FLOATS);
    b->ops->copy(b, copy, grad, FLOATS * sizeof *grad);
    finish(b);
    expect_gradient(copy, FLOATS);
    b->ops->release(b, grad);
    b->ops->release(b, copy);
}

static void the_host_reads_float(void **state) {
    backend *b = *state;
    const struct graph_param param = {.role = PARAM_VECTOR, .rank = 1, .shape = {FLOATS}, .count = FLOATS};
    const struct op_desc conv = {.kind = OP_CONV2D, .out = {1, FLOATS, 1, 1}};
    float *grad = gradients(b, FLOATS), host[FLOATS];
    param_layout *layout;
    struct error err;
    check(b->ops->param_layout_create(b, &param, &conv, &layout, &err), &err);
    write_gradient(b, grad, FLOATS);
    b->ops->param_export(b, layout, grad, 0, FLOATS, host);
    expect_gradient(host, FLOATS);
    b->ops->param_layout_destroy(b, layout);
    b->ops->release(b, grad);
}

// What was led before a step is recorded is no part of it.
static void a_recording_begins_with_none(void **state) {
    backend *b = *state;
    float *grad = gradients(b, FLOATS);
    recording *r;
    struct error err;
    write_gradient(b, grad, FLOATS);
    check(b->ops->resident->record_begin(b, &err), &err);
    check(b->ops->resident->record_end(b, &r, &err), &err);
    finish(b);
    expect_gradient(grad, FLOATS);
    b->ops->resident->recording_destroy(b, r);
    b->ops->release(b, grad);
}

static void released_memory_is_left_alone(void **state) {
    backend *b = *state;
    float *grad = gradients(b, FLOATS), *other = zeros(b);
    write_gradient(b, grad, FLOATS);
    b->ops->release(b, grad);
    assert_true(b->ops->sum_squares(b, FLOATS, other) == 0);
    finish(b);
    b->ops->release(b, other);
}

#define GRADIENTS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        GRADIENTS_TEST(all_become_float),
        GRADIENTS_TEST(what_is_written_again_is_the_later),
        GRADIENTS_TEST(the_norm_reads_float),
        GRADIENTS_TEST(sgd_reads_float),
        GRADIENTS_TEST(adamw_reads_float),
        GRADIENTS_TEST(a_copy_is_of_floats),
        GRADIENTS_TEST(the_host_reads_float),
        GRADIENTS_TEST(a_recording_begins_with_none),
        GRADIENTS_TEST(released_memory_is_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
