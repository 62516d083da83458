// OP_BATCHNORM (Ioffe and Szegedy 2015), fused with an addition and a ReLU: y = relu?(gamma (x - mean) / sqrt(var +
// eps) + beta + residual?). Training saves the batch's mean and 1/sqrt(var + eps), a pair of doubles for each channel.
#include <math.h>

#include "model/reference/kernels.h"

static struct channel_sums moments_of(const struct op_desc *d, const real *x, int c) {
    struct channel_sums s = {.count = (double)d->in.n * (double)plane_size(d->in)};
    double sum = 0;
    for (int n = 0; n < d->in.n; n++)
        for (ptrdiff_t j = 0; j < plane_size(d->in); j++)
            sum += x[row_at(d->in, n, c, 0) + j];
    s.first = sum / s.count;
    for (int n = 0; n < d->in.n; n++)
        for (ptrdiff_t j = 0; j < plane_size(d->in); j++) {
            double difference = x[row_at(d->in, n, c, 0) + j] - s.first;
            s.second += difference * difference;
        }
    return s;
}

void batchnorm_moments(const struct op_desc *d, const struct kernel_args *a, struct channel_sums *sums) {
    for (int c = 0; c < d->in.c; c++)
        sums[c] = moments_of(d, a->input[0], c);
}

static void update_running(const struct op_desc *d, const struct kernel_args *a, int c, const struct channel_sums *s) {
    double momentum = (double)d->momentum, unbiased = s->second / (s->count > 1 ? s->count - 1 : 1);
    a->buffer[0][c] = (real)((1 - momentum) * a->buffer[0][c] + momentum * s->first);
    a->buffer[1][c] = (real)((1 - momentum) * a->buffer[1][c] + momentum * unbiased);
}

static void normalize(const struct op_desc *d, const struct kernel_args *a, int c, double mean, double inverse) {
    for (int n = 0; n < d->in.n; n++)
        for (ptrdiff_t j = row_at(d->in, n, c, 0), end = j + plane_size(d->in); j < end; j++) {
            double y = (a->input[0][j] - mean) * inverse * a->param[0][c] + a->param[1][c];
            if (d->residual)
                y += a->input[1][j];
            a->output[0][j] = (real)(d->relu && y < 0 ? 0 : y); // NaN passes, as in PyTorch
        }
}

static void finish_channel(const struct op_desc *d, const struct kernel_args *a, int c, const struct channel_sums *s,
                           bool absent) {
    double(*saved)[2] = a->saved, inverse = 1 / sqrt(s->second / s->count + (double)d->epsilon);
    update_running(d, a, c, s);
    saved[c][0] = s->first;
    saved[c][1] = inverse;
    if (!absent)
        normalize(d, a, c, s->first, inverse);
}

void batchnorm_finish(const struct op_desc *d, const struct kernel_args *a, const struct channel_sums *sums,
                      bool absent) {
    for (int c = 0; c < d->in.c; c++)
        finish_channel(d, a, c, &sums[c], absent);
}

void batchnorm_forward(const struct op_desc *d, const struct kernel_args *a) {
    for (int c = 0; c < d->in.c; c++) {
        if (a->training) {
            struct channel_sums s = moments_of(d, a->input[0], c);
            finish_channel(d, a, c, &s, false);
        } else {
            normalize(d, a, c, a->buffer[0][c], 1 / sqrt(a->buffer[1][c] + (double)d->epsilon));
        }
    }
}

static double gradient_at(const struct op_desc *d, const struct kernel_args *a, ptrdiff_t j) {
    return d->relu && !(a->output[0][j] > 0) ? 0 : a->output_grad[0][j];
}

// Sums of dy and of dy xhat.
static struct channel_sums gradient_sums_of(const struct op_desc *d, const struct kernel_args *a, int c) {
    const double(*saved)[2] = a->saved;
    struct channel_sums s = {.count = (double)d->in.n * (double)plane_size(d->in)};
    for (int n = 0; n < d->in.n; n++)
        for (ptrdiff_t j = row_at(d->in, n, c, 0), end = j + plane_size(d->in); j < end; j++) {
            double dy = gradient_at(d, a, j);
            s.first += dy;
            s.second += dy * (a->input[0][j] - saved[c][0]) * saved[c][1];
        }
    return s;
}

void batchnorm_gradient_sums(const struct op_desc *d, const struct kernel_args *a, struct channel_sums *sums) {
    for (int c = 0; c < d->in.c; c++)
        sums[c] = gradient_sums_of(d, a, c);
}

// dx = gamma / sigma (dy - mean(dy) - xhat mean(dy xhat)); the parameters' gradients are this batch's part of them.
static void backward_channel(const struct op_desc *d, const struct kernel_args *a, int c,
                             const struct channel_sums *own, const struct channel_sums *s) {
    const double(*saved)[2] = a->saved, mean = saved[c][0], inverse = saved[c][1];
    for (int n = 0; n < d->in.n; n++)
        for (ptrdiff_t j = row_at(d->in, n, c, 0), end = j + plane_size(d->in); j < end; j++) {
            double dy = gradient_at(d, a, j), xhat = (a->input[0][j] - mean) * inverse;
            if (a->input_grad[0])
                store(a->input_grad[0] + j,
                      a->param[0][c] * inverse * (dy - s->first / s->count - xhat * s->second / s->count),
                      a->accumulate[0]);
            if (d->residual && a->input_grad[1])
                store(a->input_grad[1] + j, dy, a->accumulate[1]);
        }
    if (a->param_grad[0])
        a->param_grad[0][c] = (real)own->second;
    if (a->param_grad[1])
        a->param_grad[1][c] = (real)own->first;
}

void batchnorm_gradient(const struct op_desc *d, const struct kernel_args *a, const struct channel_sums *own,
                        const struct channel_sums *sums) {
    for (int c = 0; c < d->in.c; c++)
        backward_channel(d, a, c, &own[c], &sums[c]);
}

void batchnorm_backward(const struct op_desc *d, const struct kernel_args *a) {
    for (int c = 0; c < d->in.c; c++) {
        struct channel_sums s = gradient_sums_of(d, a, c);
        backward_channel(d, a, c, &s, &s);
    }
}
