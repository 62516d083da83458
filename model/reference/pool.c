// OP_MAXPOOL2D and OP_UPSAMPLE2D. Pooling saves, for each output, the offset of its maximum within the input plane.
#include <math.h>
#include <string.h>

#include "model/reference/kernels.h"

// The first maximum in row-major order; NaN wins, as in PyTorch.
static int32_t window_maximum(const struct op_desc *d, const real *plane, int p, int q) {
    int32_t best = -1;
    for (int ky = 0; ky < d->kernel; ky++)
        for (int kx = 0; kx < d->kernel; kx++) {
            int y = p * d->stride + ky - d->pad, x = q * d->stride + kx - d->pad;
            if (y < 0 || y >= d->in.h || x < 0 || x >= d->in.w)
                continue;
            int32_t at = y * d->in.w + x;
            if (best < 0 || plane[at] > plane[best] || isnan(plane[at]))
                best = at;
        }
    return best;
}

void maxpool2d_forward(const struct op_desc *d, const struct kernel_args *a) {
    int32_t *index = a->saved;
    ptrdiff_t planes = (ptrdiff_t)d->in.n * d->in.c;
    for (ptrdiff_t k = 0, j = 0; k < planes; k++)
        for (int p = 0; p < d->out.h; p++)
            for (int q = 0; q < d->out.w; q++, j++) {
                const real *plane = a->input[0] + k * plane_size(d->in);
                int32_t best = window_maximum(d, plane, p, q);
                a->output[0][j] = plane[best];
                if (index)
                    index[j] = best;
            }
}

void maxpool2d_backward(const struct op_desc *d, const struct kernel_args *a) {
    const int32_t *index = a->saved;
    ptrdiff_t planes = (ptrdiff_t)d->in.n * d->in.c, outputs = plane_size(d->out);
    if (!a->accumulate[0])
        memset(a->input_grad[0], 0, (size_t)element_count(d->in) * sizeof(real));
    for (ptrdiff_t k = 0; k < planes; k++)
        for (ptrdiff_t j = k * outputs; j < (k + 1) * outputs; j++)
            a->input_grad[0][k * plane_size(d->in) + index[j]] += a->output_grad[0][j];
}

void upsample2d_forward(const struct op_desc *d, const struct kernel_args *a) {
    for (int n = 0; n < d->out.n; n++)
        for (int c = 0; c < d->out.c; c++)
            for (int y = 0; y < d->out.h; y++)
                for (int x = 0; x < d->out.w; x++)
                    a->output[0][row_at(d->out, n, c, y) + x] = a->input[0][row_at(d->in, n, c, y / 2) + x / 2];
}

void upsample2d_backward(const struct op_desc *d, const struct kernel_args *a) {
    for (int n = 0; n < d->in.n; n++)
        for (int c = 0; c < d->in.c; c++)
            for (int y = 0; y < d->in.h; y++)
                for (int x = 0; x < d->in.w; x++) {
                    const real *dy = a->output_grad[0] + row_at(d->out, n, c, 2 * y) + 2 * x;
                    double sum = (double)dy[0] + (double)dy[1] + (double)dy[d->out.w] + (double)dy[d->out.w + 1];
                    store(a->input_grad[0] + row_at(d->in, n, c, y) + x, sum, a->accumulate[0]);
                }
}
