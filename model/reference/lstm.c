// OP_LSTM_CELL (Shi et al. 2015, without peepholes): c = s(f) c_prev + s(i) tanh(g), h = s(o) tanh(c), with s the
// logistic function.
#include <math.h>

#include "model/reference/kernels.h"

static double logistic(double x) {
    return 1 / (1 + exp(-x));
}

struct gates {
    double i, f, g, o; // after activation
};

// j counts within a sample's (H,h,w); the four gates lie a sample's h apart.
static struct gates gates_at(const struct op_desc *d, const real *gates, int n, ptrdiff_t j) {
    ptrdiff_t block = d->out.c * plane_size(d->out);
    const real *x = gates + 4 * n * block + j;
    return (struct gates){logistic(x[0]), logistic(x[block]), tanh(x[2 * block]), logistic(x[3 * block])};
}

void lstm_cell_forward(const struct op_desc *d, const struct kernel_args *a) {
    ptrdiff_t block = d->out.c * plane_size(d->out);
    for (int n = 0; n < d->out.n; n++)
        for (ptrdiff_t j = 0; j < block; j++) {
            struct gates s = gates_at(d, a->input[0], n, j);
            double c = s.i * s.g + (d->no_previous ? 0 : s.f * a->input[1][n * block + j]);
            a->output[0][n * block + j] = (real)(s.o * tanh(c));
            a->output[1][n * block + j] = (real)c;
        }
}

void lstm_cell_backward(const struct op_desc *d, const struct kernel_args *a) {
    ptrdiff_t block = d->out.c * plane_size(d->out);
    for (int n = 0; n < d->out.n; n++)
        for (ptrdiff_t j = 0; j < block; j++) {
            ptrdiff_t k = n * block + j;
            struct gates s = gates_at(d, a->input[0], n, j);
            double squashed = tanh(a->output[1][k]), previous = d->no_previous ? 0 : a->input[1][k];
            double dh = a->output_grad[0][k];
            double dc = dh * s.o * (1 - squashed * squashed) + (a->output_grad[1] ? a->output_grad[1][k] : 0);
            real *dx = a->input_grad[0] + 4 * n * block + j;
            store(dx, dc * s.g * s.i * (1 - s.i), a->accumulate[0]);
            store(dx + block, dc * previous * s.f * (1 - s.f), a->accumulate[0]);
            store(dx + 2 * block, dc * s.i * (1 - s.g * s.g), a->accumulate[0]);
            store(dx + 3 * block, dh * squashed * s.o * (1 - s.o), a->accumulate[0]);
            if (!d->no_previous && a->input_grad[1])
                store(a->input_grad[1] + k, dc * s.f, a->accumulate[1]);
        }
}
