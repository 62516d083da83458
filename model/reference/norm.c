// OP_BATCHNORM (Ioffe and Szegedy 2015), fused with an addition and a ReLU: y = relu?(gamma (x - mean) / sqrt(var +
// eps) + beta + residual?). Training saves the batch's mean and 1/sqrt(var + eps), a pair of doubles for each channel.
#include <math.h>

#include "model/reference/kernels.h"

static void batch_statistics(const struct op_desc *d, const real *x, int c, double *mean, double *variance) {
    double count = (double)d->in.n * (double)plane_size(d->in), sum = 0, squares = 0;
    for (int n = 0; n < d->in.n; n++)
        for (ptrdiff_t j = 0; j < plane_size(d->in); j++)
            sum += x[row_at(d->in, n, c, 0) + j];
    *mean = sum / count;
    for (int n = 0; n < d->in.n; n++)
        for (ptrdiff_t j = 0; j < plane_size(d->in); j++) {
            double difference = x[row_at(d->in, n, c, 0) + j] - *mean;
            squares += difference * difference;
        }
    *variance = squares / count;
}

static void update_running(const struct op_desc *d, const struct kernel_args *a, int c, double mean, double variance) {
    double count = (double)d->in.n * (double)plane_size(d->in), momentum = (double)d->momentum;
    double unbiased = count > 1 ? variance * count / (count - 1) : variance;
    a->buffer[0][c] = (real)((1 - momentum) * a->buffer[0][c] + momentum * mean);
    a->buffer[1][c] = (real)((1 - momentum) * a->buffer[1][c] + momentum * unbiased);
}

void batchnorm_forward(const struct op_desc *d, const struct kernel_args *a) {
    double(*saved)[2] = a->saved;
    for (int c = 0; c < d->in.c; c++) {
        double mean, variance;
        if (a->training) {
            batch_statistics(d, a->input[0], c, &mean, &variance);
            update_running(d, a, c, mean, variance);
        } else {
            mean = a->buffer[0][c];
            variance = a->buffer[1][c];
        }
        double inverse = 1 / sqrt(variance + (double)d->epsilon);
        if (a->training) {
            saved[c][0] = mean;
            saved[c][1] = inverse;
        }
        for (int n = 0; n < d->in.n; n++)
            for (ptrdiff_t j = row_at(d->in, n, c, 0), end = j + plane_size(d->in); j < end; j++) {
                double y = (a->input[0][j] - mean) * inverse * a->param[0][c] + a->param[1][c];
                if (d->residual)
                    y += a->input[1][j];
                a->output[0][j] = (real)(d->relu && y < 0 ? 0 : y); // NaN passes, as in PyTorch
            }
    }
}

static double gradient_at(const struct op_desc *d, const struct kernel_args *a, ptrdiff_t j) {
    return d->relu && !(a->output[0][j] > 0) ? 0 : a->output_grad[0][j];
}

// dx = gamma / sigma (dy - mean(dy) - xhat mean(dy xhat))
static void backward_channel(const struct op_desc *d, const struct kernel_args *a, int c, double mean, double inverse) {
    double count = (double)d->in.n * (double)plane_size(d->in), sum = 0, product = 0;
    for (int n = 0; n < d->in.n; n++)
        for (ptrdiff_t j = row_at(d->in, n, c, 0), end = j + plane_size(d->in); j < end; j++) {
            double dy = gradient_at(d, a, j);
            sum += dy;
            product += dy * (a->input[0][j] - mean) * inverse;
        }
    for (int n = 0; n < d->in.n; n++)
        for (ptrdiff_t j = row_at(d->in, n, c, 0), end = j + plane_size(d->in); j < end; j++) {
            double dy = gradient_at(d, a, j), xhat = (a->input[0][j] - mean) * inverse;
            if (a->input_grad[0])
                store(a->input_grad[0] + j, a->param[0][c] * inverse * (dy - sum / count - xhat * product / count),
                      a->accumulate[0]);
            if (d->residual && a->input_grad[1])
                store(a->input_grad[1] + j, dy, a->accumulate[1]);
        }
    if (a->param_grad[0])
        a->param_grad[0][c] = (real)product;
    if (a->param_grad[1])
        a->param_grad[1][c] = (real)sum;
}

void batchnorm_backward(const struct op_desc *d, const struct kernel_args *a) {
    const double(*saved)[2] = a->saved;
    for (int c = 0; c < d->in.c; c++)
        backward_channel(d, a, c, saved[c][0], saved[c][1]);
}
