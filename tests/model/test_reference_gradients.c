// Every reference kernel's backward pass against central finite differences, in float64.
//
// The kernels are the backend's own loops, compiled for double. The scalar that is differentiated is L = sum_k sum_j
// w[k][j] output[k][j] with random weights w, whose gradient by the outputs is w. A derivative passes within 1e-7 of
// the largest of its tensor.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/rng.h"
#include "model/reference/kernels.h"

struct tensor {
    double *value, *grad;
    ptrdiff_t count;
};

struct setup {
    struct op_desc d;
    struct kernel_pair kernels;
    struct kernel_args args;
    struct tensor inputs[OP_MAX_INPUTS], params[OP_MAX_PARAMS], outputs[OP_MAX_OUTPUTS];
    double *buffer[2], *before; // `before`: what an accumulating output held
    double step;
};

static double *random_values(ptrdiff_t count, uint32_t stream) {
    struct rng rng = rng_stream(1, 0, RNG_TEST, 0, stream);
    double *x = malloc((size_t)count * sizeof *x);
    assert_non_null(x);
    for (ptrdiff_t i = 0; i < count; i++)
        x[i] = 2 * rng_uniform(&rng) - 1;
    return x;
}

static struct tensor new_tensor(ptrdiff_t count, uint32_t stream) {
    return (struct tensor){random_values(count, stream), random_values(count, stream + 100), count};
}

static ptrdiff_t param_count(const struct op_desc *d, int i) {
    switch (d->kind) {
    case OP_CONV2D:
    case OP_CONV_TRANSPOSE2D:
        if (i == 0)
            return (ptrdiff_t)d->out.c * d->in.c * d->kernel * d->kernel;
        return d->bias ? d->out.c : 0;
    case OP_BATCHNORM:
        return d->in.c;
    default:
        return 0;
    }
}

static ptrdiff_t input_count(const struct op_desc *d, int i) {
    if (i == 0)
        return element_count(d->in);
    return (d->kind == OP_BATCHNORM && d->residual) || (d->kind == OP_LSTM_CELL && !d->no_previous)
               ? element_count(d->out)
               : 0;
}

static struct setup set_up(struct op_desc d) {
    d.passes = PASS_FORWARD | PASS_INPUT_GRAD | PASS_PARAM_GRAD;
    struct setup s = {.d = d, .kernels = kernels_of(d.kind), .args = {.training = true}, .step = 1e-5};
    for (int i = 0; i < OP_MAX_INPUTS; i++)
        if (input_count(&d, i) > 0) {
            s.inputs[i] = new_tensor(input_count(&d, i), (uint32_t)i);
            s.args.input[i] = s.inputs[i].value;
            s.args.input_grad[i] = s.inputs[i].grad;
        }
    for (int i = 0; i < OP_MAX_PARAMS; i++)
        if (param_count(&d, i) > 0) {
            s.params[i] = new_tensor(param_count(&d, i), (uint32_t)(10 + i));
            s.args.param[i] = s.params[i].value;
            s.args.param_grad[i] = s.params[i].grad;
        }
    for (int i = 0; i < (d.kind == OP_LSTM_CELL ? 2 : 1); i++) {
        s.outputs[i] = new_tensor(element_count(d.out), (uint32_t)(20 + i));
        s.args.output[i] = s.outputs[i].value;
        s.args.output_grad[i] = s.outputs[i].grad; // the weights w
    }
    s.before = random_values(element_count(d.out), 30);
    for (int i = 0; i < 2; i++) {
        s.buffer[i] = random_values(d.in.c, (uint32_t)(40 + i));
        s.args.buffer[i] = s.buffer[i];
    }
    s.args.saved = calloc(1, kernel_saved_bytes(&d) + 1);
    s.args.scratch = calloc(1, kernel_scratch_bytes(&d) + 1);
    assert_true(s.args.saved && s.args.scratch);
    return s;
}

static void tear_down(struct setup *s) {
    for (int i = 0; i < 2; i++) {
        free(s->inputs[i].value);
        free(s->inputs[i].grad);
        free(s->params[i].value);
        free(s->params[i].grad);
        free(s->outputs[i].value);
        free(s->outputs[i].grad);
        free(s->buffer[i]);
    }
    free(s->before);
    free(s->args.saved);
    free(s->args.scratch);
}

static double objective(struct setup *s) {
    memcpy(s->outputs[0].value, s->before, (size_t)s->outputs[0].count * sizeof(double));
    s->kernels.forward(&s->d, &s->args);
    double sum = 0;
    for (int k = 0; k < OP_MAX_OUTPUTS; k++)
        for (ptrdiff_t j = 0; j < s->outputs[k].count && s->args.output_grad[k]; j++)
            sum += s->outputs[k].grad[j] * s->outputs[k].value[j];
    return sum;
}

static double difference(struct setup *s, double *x) {
    double kept = *x;
    *x = kept + s->step;
    double above = objective(s);
    *x = kept - s->step;
    double below = objective(s);
    *x = kept;
    return (above - below) / (2 * s->step);
}

static void compare(struct setup *s, struct tensor *t, const double *held, const char *what, int index) {
    double largest = 0;
    for (ptrdiff_t j = 0; j < t->count; j++)
        largest = fmax(largest, fabs(t->grad[j] - (held ? held[j] : 0)));
    for (ptrdiff_t j = 0; j < t->count; j++) {
        double expected = difference(s, &t->value[j]), actual = t->grad[j] - (held ? held[j] : 0);
        if (!(fabs(actual - expected) <= 1e-7 * fmax(1, largest)))
            fail_msg("%s %d [%td]: backward %.10g, finite difference %.10g", what, index, j, actual, expected);
    }
}

static void check_gradients(struct setup *s) {
    double *held[OP_MAX_INPUTS] = {0};
    for (int i = 0; i < OP_MAX_INPUTS; i++)
        if (s->args.accumulate[i]) {
            held[i] = malloc((size_t)s->inputs[i].count * sizeof(double));
            assert_non_null(held[i]);
            memcpy(held[i], s->inputs[i].grad, (size_t)s->inputs[i].count * sizeof(double));
        }
    objective(s);
    s->kernels.backward(&s->d, &s->args);
    for (int i = 0; i < OP_MAX_INPUTS; i++)
        compare(s, &s->inputs[i], held[i], "input", i);
    for (int i = 0; i < OP_MAX_PARAMS; i++)
        compare(s, &s->params[i], NULL, "parameter", i);
    for (int i = 0; i < OP_MAX_INPUTS; i++)
        free(held[i]);
}

// Once with gradients overwritten, once added to what is there.
static void check_op(struct op_desc d) {
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        struct setup s = set_up(d);
        for (int i = 0; i < OP_MAX_INPUTS; i++)
            s.args.accumulate[i] = accumulate && s.inputs[i].count > 0;
        check_gradients(&s);
        tear_down(&s);
    }
}

static struct op_desc conv(int n, int in, int out, int size, int kernel, int stride) {
    int pad = kernel / 2, outputs = (size + 2 * pad - kernel) / stride + 1;
    return (struct op_desc){.kind = OP_CONV2D,
                            .in = {n, in, size, size},
                            .out = {n, out, outputs, outputs},
                            .kernel = kernel,
                            .stride = stride,
                            .pad = pad};
}

static void conv2d(void **state) {
    (void)state;
    check_op(conv(2, 3, 5, 6, 3, 1));
    check_op(conv(2, 3, 5, 6, 3, 2));
    check_op(conv(2, 3, 5, 7, 3, 2));
    check_op(conv(2, 5, 3, 4, 1, 1));
    check_op(conv(2, 5, 3, 5, 1, 2));
    check_op(conv(1, 3, 2, 9, 7, 2));
    check_op(conv(1, 2, 2, 3, 7, 2));
    check_op(conv(3, 7, 5, 1, 3, 1)); // one pixel: only the middle tap counts
    check_op(conv(1, 1, 1, 1, 1, 1));
    struct op_desc rectangle = conv(2, 3, 2, 4, 3, 1);
    rectangle.in.w = rectangle.out.w = 6;
    check_op(rectangle);
}

static void conv2d_bias_and_accumulate(void **state) {
    (void)state;
    struct op_desc d = conv(2, 3, 5, 4, 3, 1);
    d.bias = true;
    check_op(d);
    d.bias = false;
    d.accumulate = true;
    check_op(d);
}

static void conv_transpose2d(void **state) {
    (void)state;
    for (int size = 1; size <= 3; size++)
        check_op((struct op_desc){.kind = OP_CONV_TRANSPOSE2D,
                                  .in = {2, 5, size, size},
                                  .out = {2, 3, 2 * size, 2 * size},
                                  .kernel = 2,
                                  .stride = 2,
                                  .bias = true});
}

static void batchnorm(void **state) {
    (void)state;
    for (int form = 0; form < 4; form++)
        for (int size = 1; size <= 3; size += 2)
            check_op((struct op_desc){.kind = OP_BATCHNORM,
                                      .in = {4, 3, size, size},
                                      .out = {4, 3, size, size},
                                      .relu = form & 1,
                                      .residual = form & 2,
                                      .epsilon = 1e-5f,
                                      .momentum = 0.1f});
}

static void batchnorm_moves_running_statistics(void **state) {
    (void)state;
    struct setup s = set_up((struct op_desc){
        .kind = OP_BATCHNORM, .in = {4, 1, 1, 1}, .out = {4, 1, 1, 1}, .epsilon = 1e-5f, .momentum = 0.1f});
    memcpy(s.inputs[0].value, (double[]){1, 2, 3, 6}, 4 * sizeof(double));
    s.buffer[0][0] = 0;
    s.buffer[1][0] = 1;
    s.kernels.forward(&s.d, &s.args);
    double momentum = (double)0.1f, unbiased = (4 + 1 + 0 + 9) / 3.0;
    assert_true(fabs(s.buffer[0][0] - momentum * 3) < 1e-12);
    assert_true(fabs(s.buffer[1][0] - (1 - momentum + momentum * unbiased)) < 1e-12);
    tear_down(&s);
}

static void maxpool2d(void **state) {
    (void)state;
    for (int size = 1; size <= 6; size++) {
        int outputs = (size - 1) / 2 + 1;
        check_op((struct op_desc){.kind = OP_MAXPOOL2D,
                                  .in = {2, 3, size, size},
                                  .out = {2, 3, outputs, outputs},
                                  .kernel = 3,
                                  .stride = 2,
                                  .pad = 1});
    }
}

static void maxpool2d_gives_ties_to_the_first(void **state) {
    (void)state;
    struct setup s = set_up((struct op_desc){
        .kind = OP_MAXPOOL2D, .in = {1, 1, 2, 2}, .out = {1, 1, 1, 1}, .kernel = 3, .stride = 2, .pad = 1});
    memcpy(s.inputs[0].value, (double[]){1, 4, 4, 4}, 4 * sizeof(double));
    s.kernels.forward(&s.d, &s.args);
    s.kernels.backward(&s.d, &s.args);
    double w = s.outputs[0].grad[0];
    assert_memory_equal(s.inputs[0].grad, ((double[]){0, w, 0, 0}), 4 * sizeof(double));
    tear_down(&s);
}

static void upsample2d(void **state) {
    (void)state;
    for (int size = 1; size <= 3; size++)
        check_op((struct op_desc){.kind = OP_UPSAMPLE2D, .in = {2, 3, size, size}, .out = {2, 3, 2 * size, 2 * size}});
}

static void temporal(void **state) {
    (void)state;
    for (int steps = 1; steps <= 4; steps++) {
        struct op_desc d = {.kind = OP_TEMPORAL_MAX, .in = {2 * steps, 3, 2, 3}, .out = {2, 3, 2, 3}, .steps = steps};
        check_op(d);
        d.kind = OP_TEMPORAL_MEAN;
        check_op(d);
    }
}

static void temporal_max_gives_ties_to_the_earliest(void **state) {
    (void)state;
    struct setup s =
        set_up((struct op_desc){.kind = OP_TEMPORAL_MAX, .in = {3, 1, 1, 1}, .out = {1, 1, 1, 1}, .steps = 3});
    memcpy(s.inputs[0].value, (double[]){1, 2, 2}, 3 * sizeof(double));
    s.kernels.forward(&s.d, &s.args);
    s.kernels.backward(&s.d, &s.args);
    assert_memory_equal(s.inputs[0].grad, ((double[]){0, s.outputs[0].grad[0], 0}), 3 * sizeof(double));
    tear_down(&s);
}

static struct op_desc cell(bool no_previous, int size) {
    return (struct op_desc){
        .kind = OP_LSTM_CELL, .in = {2, 12, size, size}, .out = {2, 3, size, size}, .no_previous = no_previous};
}

static void lstm_cell(void **state) {
    (void)state;
    for (int size = 1; size <= 2; size++) {
        check_op(cell(false, size));
        check_op(cell(true, size));
    }
}

// The last step: nobody reads c.
static void lstm_cell_without_cell_gradient(void **state) {
    (void)state;
    struct setup s = set_up(cell(false, 2));
    s.args.output_grad[1] = NULL;
    check_gradients(&s);
    tear_down(&s);
}

static void focal_loss(void **state) {
    (void)state;
    struct shape shape = {2, 1, 3, 3};
    const uint8_t mask[18] = {0, 1, 255, 0, 1, 0, 0, 1, 1, 255, 0, 0, 1, 0, 0, 0, 1, 0};
    double *x = random_values(18, 50), gradient[18], unused[18];
    x[0] = 30; // badly wrong, and
    x[1] = 30; // surely right: nothing overflows
    struct focal_loss_config config = {0.25f, 2};
    struct loss_sums sums, above, below;
    kernel_focal_loss(shape, x, mask, &config, gradient, &sums);
    assert_int_equal(sums.tp + sums.fp + sums.fn + sums.tn, 16);
    for (int j = 0; j < 18; j++) {
        double kept = x[j];
        x[j] = kept + 1e-5;
        kernel_focal_loss(shape, x, mask, &config, unused, &above);
        x[j] = kept - 1e-5;
        kernel_focal_loss(shape, x, mask, &config, unused, &below);
        x[j] = kept;
        assert_true(fabs(gradient[j] - (above.loss - below.loss) / 2e-5) < 1e-8);
    }
    assert_true(gradient[2] == 0 && gradient[9] == 0);
    free(x);
}

static void focal_loss_of_ignored_pixels_is_zero(void **state) {
    (void)state;
    const uint8_t mask[4] = {255, 255, 255, 255};
    const double x[4] = {1, 2, 3, 4};
    double gradient[4];
    struct loss_sums sums;
    kernel_focal_loss((struct shape){1, 1, 2, 2}, x, mask, &(struct focal_loss_config){0.25f, 2}, gradient, &sums);
    assert_true(sums.loss == 0 && sums.tp + sums.fp + sums.fn + sums.tn == 0);
    for (int j = 0; j < 4; j++)
        assert_true(gradient[j] == 0);
}

// NaN must reach the loss, so that a diverged network is noticed.
static void not_a_number_passes(void **state) {
    (void)state;
    struct op_desc ops[] = {
        {.kind = OP_MAXPOOL2D, .in = {1, 1, 2, 2}, .out = {1, 1, 1, 1}, .kernel = 3, .stride = 2, .pad = 1},
        {.kind = OP_TEMPORAL_MAX, .in = {4, 1, 1, 1}, .out = {1, 1, 1, 1}, .steps = 4},
        {.kind = OP_BATCHNORM, .in = {4, 1, 1, 1}, .out = {4, 1, 1, 1}, .relu = true},
    };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        struct setup s = set_up(ops[i]);
        s.inputs[0].value[1] = (double)NAN;
        s.kernels.forward(&s.d, &s.args);
        assert_true(isnan(s.outputs[0].value[0]));
        tear_down(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conv2d),
        cmocka_unit_test(conv2d_bias_and_accumulate),
        cmocka_unit_test(conv_transpose2d),
        cmocka_unit_test(batchnorm),
        cmocka_unit_test(batchnorm_moves_running_statistics),
        cmocka_unit_test(maxpool2d),
        cmocka_unit_test(maxpool2d_gives_ties_to_the_first),
        cmocka_unit_test(upsample2d),
        cmocka_unit_test(temporal),
        cmocka_unit_test(temporal_max_gives_ties_to_the_earliest),
        cmocka_unit_test(lstm_cell),
        cmocka_unit_test(lstm_cell_without_cell_gradient),
        cmocka_unit_test(focal_loss),
        cmocka_unit_test(focal_loss_of_ignored_pixels_is_zero),
        cmocka_unit_test(not_a_number_passes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
