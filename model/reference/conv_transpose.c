// OP_CONV_TRANSPOSE2D, kernel 2 and stride 2: y[n,o,2p+a,2q+b] = bias[o] + sum_i w[i,o,a,b] x[n,i,p,q]. No two taps
// meet in one output.
#include "model/reference/kernels.h"

static const real *tap(const struct op_desc *d, const struct kernel_args *a, int i, int o, int ky) {
    return a->param[0] + (((ptrdiff_t)i * d->out.c + o) * 2 + ky) * 2;
}

static void forward_row(const struct op_desc *d, const struct kernel_args *a, int n, int o, int row) {
    real *y = a->output[0] + row_at(d->out, n, o, row);
    for (int q = 0; q < d->out.w; q++) {
        double sum = a->param[1][o];
        for (int i = 0; i < d->in.c; i++)
            sum += (double)tap(d, a, i, o, row % 2)[q % 2] * a->input[0][row_at(d->in, n, i, row / 2) + q / 2];
        y[q] = (real)sum;
    }
}

void conv_transpose2d_forward(const struct op_desc *d, const struct kernel_args *a) {
    for (int n = 0; n < d->out.n; n++)
        for (int o = 0; o < d->out.c; o++)
            for (int row = 0; row < d->out.h; row++)
                forward_row(d, a, n, o, row);
}

static void input_grad_row(const struct op_desc *d, const struct kernel_args *a, int n, int i, int p) {
    real *dx = a->input_grad[0] + row_at(d->in, n, i, p);
    for (int q = 0; q < d->in.w; q++) {
        double sum = 0;
        for (int o = 0; o < d->out.c; o++)
            for (int ky = 0; ky < 2; ky++) {
                const real *w = tap(d, a, i, o, ky);
                const real *dy = a->output_grad[0] + row_at(d->out, n, o, 2 * p + ky) + 2 * q;
                sum += (double)w[0] * dy[0] + (double)w[1] * dy[1];
            }
        store(dx + q, sum, a->accumulate[0]);
    }
}

static double weight_grad(const struct op_desc *d, const struct kernel_args *a, int i, int o, int ky, int kx) {
    double sum = 0;
    for (int n = 0; n < d->in.n; n++)
        for (int p = 0; p < d->in.h; p++) {
            const real *x = a->input[0] + row_at(d->in, n, i, p);
            const real *dy = a->output_grad[0] + row_at(d->out, n, o, 2 * p + ky);
            for (int q = 0; q < d->in.w; q++)
                sum += (double)x[q] * dy[2 * q + kx];
        }
    return sum;
}

void conv_transpose2d_backward(const struct op_desc *d, const struct kernel_args *a) {
    if (a->input_grad[0])
        for (int n = 0; n < d->in.n; n++)
            for (int i = 0; i < d->in.c; i++)
                for (int p = 0; p < d->in.h; p++)
                    input_grad_row(d, a, n, i, p);
    if (a->param_grad[0]) {
        real *dw = a->param_grad[0];
        for (int i = 0; i < d->in.c; i++)
            for (int o = 0; o < d->out.c; o++)
                for (int k = 0; k < 4; k++)
                    *dw++ = (real)weight_grad(d, a, i, o, k / 2, k % 2);
    }
    if (a->param_grad[1])
        for (int o = 0; o < d->out.c; o++) {
            double sum = 0;
            for (int n = 0; n < d->out.n; n++)
                for (ptrdiff_t j = 0; j < plane_size(d->out); j++)
                    sum += a->output_grad[0][row_at(d->out, n, o, 0) + j];
            a->param_grad[1][o] = (real)sum;
        }
}
