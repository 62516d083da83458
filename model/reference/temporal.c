// OP_TEMPORAL_MAX and OP_TEMPORAL_MEAN over frames in time-major order. The maximum saves the timestep that won, an
// int32 for each output.
#include <math.h>

#include "model/reference/kernels.h"

void temporal_max_forward(const struct op_desc *d, const struct kernel_args *a) {
    int32_t *index = a->saved;
    ptrdiff_t count = element_count(d->out);
    for (ptrdiff_t j = 0; j < count; j++) {
        int best = 0;
        for (int t = 1; t < d->steps; t++) {
            real x = a->input[0][t * count + j], top = a->input[0][best * count + j];
            if (x > top || (isnan(x) && !isnan(top)))
                best = t;
        }
        a->output[0][j] = a->input[0][best * count + j];
        if (index)
            index[j] = best;
    }
}

void temporal_max_backward(const struct op_desc *d, const struct kernel_args *a) {
    const int32_t *index = a->saved;
    ptrdiff_t count = element_count(d->out);
    for (ptrdiff_t j = 0; j < count; j++)
        for (int t = 0; t < d->steps; t++)
            store(a->input_grad[0] + t * count + j, t == index[j] ? a->output_grad[0][j] : 0, a->accumulate[0]);
}

void temporal_mean_forward(const struct op_desc *d, const struct kernel_args *a) {
    ptrdiff_t count = element_count(d->out);
    for (ptrdiff_t j = 0; j < count; j++) {
        double sum = 0;
        for (int t = 0; t < d->steps; t++)
            sum += a->input[0][t * count + j];
        a->output[0][j] = (real)(sum / d->steps);
    }
}

void temporal_mean_backward(const struct op_desc *d, const struct kernel_args *a) {
    ptrdiff_t count = element_count(d->out);
    for (ptrdiff_t j = 0; j < count; j++)
        for (int t = 0; t < d->steps; t++)
            store(a->input_grad[0] + t * count + j, (double)a->output_grad[0][j] / d->steps, a->accumulate[0]);
}
