// OP_CONV2D: cross-correlation y[n,o,p,q] = b[o] + sum_{i,a,b} w[o,i,a,b] x[n,i,p*s+a-pad,q*s+b-pad], zero outside the
// map.
#include "model/reference/kernels.h"

struct range {
    int first, end;
};

// The output positions whose tap `k` falls inside an input of `size`.
static struct range inside(const struct op_desc *d, int k, int size, int outputs) {
    int low = d->pad - k, high = size - 1 + d->pad - k;
    struct range r = {low > 0 ? (low + d->stride - 1) / d->stride : 0, high < 0 ? 0 : high / d->stride + 1};
    if (r.end > outputs)
        r.end = outputs;
    return r;
}

static void forward_row(const struct op_desc *d, const struct kernel_args *a, int n, int o, int p, double *row) {
    struct shape in = d->in, out = d->out;
    for (int q = 0; q < out.w; q++)
        row[q] = d->bias ? a->param[1][o] : 0;
    for (int i = 0; i < in.c; i++)
        for (int ky = 0; ky < d->kernel; ky++) {
            int y = p * d->stride + ky - d->pad;
            if (y < 0 || y >= in.h)
                continue;
            const real *w = a->param[0] + (((ptrdiff_t)o * in.c + i) * d->kernel + ky) * d->kernel;
            const real *x = a->input[0] + row_at(in, n, i, y);
            for (int kx = 0; kx < d->kernel; kx++) {
                struct range r = inside(d, kx, in.w, out.w);
                double weight = w[kx];
                for (int q = r.first; q < r.end; q++)
                    row[q] += weight * x[q * d->stride + kx - d->pad];
            }
        }
}

void conv2d_forward(const struct op_desc *d, const struct kernel_args *a) {
    double *row = a->scratch;
    for (int n = 0; n < d->out.n; n++)
        for (int o = 0; o < d->out.c; o++)
            for (int p = 0; p < d->out.h; p++) {
                forward_row(d, a, n, o, p, row);
                real *y = a->output[0] + row_at(d->out, n, o, p);
                for (int q = 0; q < d->out.w; q++)
                    store(y + q, row[q], d->accumulate);
            }
}

static void input_grad_row(const struct op_desc *d, const struct kernel_args *a, int n, int i, int y, double *row) {
    struct shape in = d->in, out = d->out;
    for (int x = 0; x < in.w; x++)
        row[x] = 0;
    for (int o = 0; o < out.c; o++)
        for (int ky = 0; ky < d->kernel; ky++) {
            int scaled = y + d->pad - ky;
            if (scaled < 0 || scaled % d->stride != 0 || scaled / d->stride >= out.h)
                continue;
            const real *w = a->param[0] + (((ptrdiff_t)o * in.c + i) * d->kernel + ky) * d->kernel;
            const real *dy = a->output_grad[0] + row_at(out, n, o, scaled / d->stride);
            for (int kx = 0; kx < d->kernel; kx++) {
                struct range r = inside(d, kx, in.w, out.w);
                double weight = w[kx];
                for (int q = r.first; q < r.end; q++)
                    row[q * d->stride + kx - d->pad] += weight * dy[q];
            }
        }
}

static double weight_grad(const struct op_desc *d, const struct kernel_args *a, int o, int i, int ky, int kx) {
    struct shape in = d->in, out = d->out;
    struct range rows = inside(d, ky, in.h, out.h), columns = inside(d, kx, in.w, out.w);
    double sum = 0;
    for (int n = 0; n < out.n; n++)
        for (int p = rows.first; p < rows.end; p++) {
            const real *dy = a->output_grad[0] + row_at(out, n, o, p);
            const real *x = a->input[0] + row_at(in, n, i, p * d->stride + ky - d->pad);
            for (int q = columns.first; q < columns.end; q++)
                sum += (double)dy[q] * x[q * d->stride + kx - d->pad];
        }
    return sum;
}

static double bias_grad(const struct op_desc *d, const real *dy, int o) {
    double sum = 0;
    for (int n = 0; n < d->out.n; n++) {
        const real *plane = dy + row_at(d->out, n, o, 0);
        for (ptrdiff_t j = 0; j < plane_size(d->out); j++)
            sum += plane[j];
    }
    return sum;
}

void conv2d_backward(const struct op_desc *d, const struct kernel_args *a) {
    if (a->input_grad[0]) {
        double *row = a->scratch;
        for (int n = 0; n < d->in.n; n++)
            for (int i = 0; i < d->in.c; i++)
                for (int y = 0; y < d->in.h; y++) {
                    input_grad_row(d, a, n, i, y, row);
                    real *dx = a->input_grad[0] + row_at(d->in, n, i, y);
                    for (int x = 0; x < d->in.w; x++)
                        store(dx + x, row[x], a->accumulate[0]);
                }
    }
    if (a->param_grad[0]) {
        real *dw = a->param_grad[0];
        for (int o = 0; o < d->out.c; o++)
            for (int i = 0; i < d->in.c; i++)
                for (int ky = 0; ky < d->kernel; ky++)
                    for (int kx = 0; kx < d->kernel; kx++)
                        *dw++ = (real)weight_grad(d, a, o, i, ky, kx);
    }
    if (d->bias && a->param_grad[1])
        for (int o = 0; o < d->out.c; o++)
            a->param_grad[1][o] = (real)bias_grad(d, a->output_grad[0], o);
}
