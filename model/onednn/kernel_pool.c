// OP_MAXPOOL2D and OP_UPSAMPLE2D, one plane a piece of work. Max pooling saves the tap (ky * kernel + kx) of each
// maximum in one byte.
#include "model/onednn/kernel_common.h"

size_t KERNEL(maxpool_saved_bytes)(const struct op_desc *d) {
    return value_elements(planes_of(d->out));
}

struct window {
    int y0, y1, x0, x1; // input rows and columns that lie within the map
    int top, left;      // of the window, perhaps outside
};

static struct window window_at(const struct op_desc *d, int oy, int ox) {
    int top = oy * d->stride - d->pad, left = ox * d->stride - d->pad;
    int bottom = top + d->kernel, right = left + d->kernel;
    return (struct window){top < 0 ? 0 : top,
                           bottom > d->in.h ? d->in.h : bottom,
                           left < 0 ? 0 : left,
                           right > d->in.w ? d->in.w : right,
                           top,
                           left};
}

static void maxpool_window(const struct op_desc *d, struct window w, const element *restrict x, element *restrict y,
                           uint8_t *restrict tap) {
    float best[BLOCK];
    int at[BLOCK];
    for (int l = 0; l < BLOCK; l++) {
        best[l] = -INFINITY;
        at[l] = (w.y0 - w.top) * d->kernel + w.x0 - w.left;
    }
    for (int iy = w.y0; iy < w.y1; iy++)
        for (int ix = w.x0; ix < w.x1; ix++) {
            const element *row = x + (size_t)(iy * d->in.w + ix) * BLOCK;
            int here = (iy - w.top) * d->kernel + ix - w.left;
#pragma omp simd
            for (int l = 0; l < BLOCK; l++) {
                float here_is = to_float(row[l]);
                bool take = (here_is > best[l]) | (here_is != here_is); // NaN wins, as in PyTorch
                best[l] = take ? here_is : best[l];
                at[l] = take ? here : at[l];
            }
        }
    for (int l = 0; l < BLOCK; l++) {
        y[l] = to_element(best[l]);
        tap[l] = (uint8_t)at[l];
    }
}

void KERNEL(maxpool_forward)(const struct op_desc *d, const struct op_args *args, int threads) {
    struct planes in = planes_of(d->in), out = planes_of(d->out);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int plane = 0; plane < in.frames * in.blocks; plane++) {
        const element *x = elements_of(args->input[0]) + (size_t)plane * plane_elements(in);
        size_t first = (size_t)plane * plane_elements(out);
        for (int j = 0; j < out.pixels; j++) {
            size_t at = first + (size_t)j * BLOCK;
            uint8_t unsaved[BLOCK]; // evaluation saves nothing
            maxpool_window(d, window_at(d, j / d->out.w, j % d->out.w), x, elements_to(args->output[0]) + at,
                           args->saved ? (uint8_t *)args->saved + at : unsaved);
        }
    }
}

static void maxpool_scatter(const struct op_desc *d, struct window w, const element *restrict dy,
                            const uint8_t *restrict tap, element *restrict dx) {
    for (int iy = w.y0; iy < w.y1; iy++)
        for (int ix = w.x0; ix < w.x1; ix++) {
            element *row = dx + (size_t)(iy * d->in.w + ix) * BLOCK;
            int here = (iy - w.top) * d->kernel + ix - w.left;
#pragma omp simd
            for (int l = 0; l < BLOCK; l++)
                store(row + l, tap[l] == here ? to_float(dy[l]) : 0, true);
        }
}

void KERNEL(maxpool_backward)(const struct op_desc *d, const struct op_args *args, int threads) {
    struct planes in = planes_of(d->in), out = planes_of(d->out);
    if (!args->input_grad[0])
        return;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int plane = 0; plane < in.frames * in.blocks; plane++) {
        element *dx = elements_to(args->input_grad[0]) + (size_t)plane * plane_elements(in);
        size_t first = (size_t)plane * plane_elements(out);
        if (!args->input_grad_accumulate[0])
            memset(dx, 0, plane_elements(in) * sizeof *dx);
        for (int j = 0; j < out.pixels; j++) {
            size_t at = first + (size_t)j * BLOCK;
            maxpool_scatter(d, window_at(d, j / d->out.w, j % d->out.w), elements_of(args->output_grad[0]) + at,
                            (const uint8_t *)args->saved + at, dx);
        }
    }
}

void KERNEL(upsample_forward)(const struct op_desc *d, const struct op_args *args, int threads) {
    struct planes in = planes_of(d->in), out = planes_of(d->out);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int plane = 0; plane < in.frames * in.blocks; plane++) {
        const element *x = elements_of(args->input[0]) + (size_t)plane * plane_elements(in);
        element *y = elements_to(args->output[0]) + (size_t)plane * plane_elements(out);
        for (int oy = 0; oy < d->out.h; oy++)
            for (int ox = 0; ox < d->out.w; ox++)
                memcpy(y + (size_t)(oy * d->out.w + ox) * BLOCK, x + (size_t)(oy / 2 * d->in.w + ox / 2) * BLOCK,
                       BLOCK * sizeof *y);
    }
}

void KERNEL(upsample_backward)(const struct op_desc *d, const struct op_args *args, int threads) {
    struct planes in = planes_of(d->in), out = planes_of(d->out);
    bool accumulate = args->input_grad_accumulate[0];
    if (!args->input_grad[0])
        return;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int plane = 0; plane < in.frames * in.blocks; plane++)
        for (int j = 0; j < in.pixels; j++) {
            const element *a = elements_of(args->output_grad[0]) + (size_t)plane * plane_elements(out) +
                               (size_t)(j / d->in.w * 2 * d->out.w + j % d->in.w * 2) * BLOCK;
            const element *b = a + (size_t)d->out.w * BLOCK;
            element *dx = elements_to(args->input_grad[0]) + (size_t)plane * plane_elements(in) + (size_t)j * BLOCK;
#pragma omp simd
            for (int l = 0; l < BLOCK; l++)
                store(dx + l, (to_float(a[l]) + to_float(a[l + BLOCK])) + (to_float(b[l]) + to_float(b[l + BLOCK])),
                      accumulate);
        }
}
