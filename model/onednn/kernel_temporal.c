// OP_TEMPORAL_MAX and OP_TEMPORAL_MEAN: frames lie one timestep after the other, so x is `steps` vectors of the length
// of y. The maximum saves the timestep that it came from.
#include "model/onednn/kernel_common.h"

enum { PIECE = 4096 }; // elements

struct piece {
    size_t first, length;
};

static struct piece piece_at(size_t total, int64_t i) {
    size_t first = (size_t)i * PIECE;
    return (struct piece){first, total - first < PIECE ? total - first : PIECE};
}

static int64_t piece_count(size_t total) {
    return (int64_t)((total + PIECE - 1) / PIECE);
}

size_t KERNEL(temporal_max_saved_bytes)(const struct op_desc *d) {
    return value_elements(planes_of(d->out)) * sizeof(int32_t);
}

static void max_of_piece(const element *restrict x, size_t stride, int steps, size_t length, element *restrict y,
                         int32_t *restrict at) {
    memcpy(y, x, length * sizeof *y);
    memset(at, 0, length * sizeof *at);
    for (int t = 1; t < steps; t++) {
        const element *restrict row = x + (size_t)t * stride;
#pragma omp simd
        for (size_t j = 0; j < length; j++) {
            float here = to_float(row[j]), most = to_float(y[j]);
            bool take = (here > most) | ((here != here) & (most == most)); // NaN wins, as in PyTorch
            y[j] = take ? row[j] : y[j];
            at[j] = take ? t : at[j];
        }
    }
}

void KERNEL(temporal_max_forward)(const struct op_desc *d, const struct op_args *args, int threads) {
    size_t total = value_elements(planes_of(d->out));
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < piece_count(total); i++) {
        struct piece p = piece_at(total, i);
        int32_t unsaved[PIECE]; // evaluation saves nothing
        max_of_piece(elements_of(args->input[0]) + p.first, total, d->steps, p.length,
                     elements_to(args->output[0]) + p.first, args->saved ? (int32_t *)args->saved + p.first : unsaved);
    }
}

void KERNEL(temporal_max_backward)(const struct op_desc *d, const struct op_args *args, int threads) {
    size_t total = value_elements(planes_of(d->out));
    bool accumulate = args->input_grad_accumulate[0];
    if (!args->input_grad[0])
        return;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < piece_count(total); i++) {
        struct piece p = piece_at(total, i);
        const element *restrict dy = elements_of(args->output_grad[0]) + p.first;
        const int32_t *restrict at = (const int32_t *)args->saved + p.first;
        for (int t = 0; t < d->steps; t++) {
            element *restrict dx = elements_to(args->input_grad[0]) + (size_t)t * total + p.first;
#pragma omp simd
            for (size_t j = 0; j < p.length; j++)
                store(dx + j, at[j] == t ? to_float(dy[j]) : 0, accumulate);
        }
    }
}

void KERNEL(temporal_mean_forward)(const struct op_desc *d, const struct op_args *args, int threads) {
    size_t total = value_elements(planes_of(d->out));
    float steps = (float)d->steps;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < piece_count(total); i++) {
        struct piece p = piece_at(total, i);
        element *restrict y = elements_to(args->output[0]) + p.first;
        float sum[PIECE] = {0};
        for (int t = 0; t < d->steps; t++) {
            const element *restrict x = elements_of(args->input[0]) + (size_t)t * total + p.first;
#pragma omp simd
            for (size_t j = 0; j < p.length; j++)
                sum[j] += to_float(x[j]);
        }
#pragma omp simd
        for (size_t j = 0; j < p.length; j++)
            y[j] = to_element(sum[j] / steps);
    }
}

void KERNEL(temporal_mean_backward)(const struct op_desc *d, const struct op_args *args, int threads) {
    size_t total = value_elements(planes_of(d->out));
    bool accumulate = args->input_grad_accumulate[0];
    float steps = (float)d->steps;
    if (!args->input_grad[0])
        return;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t i = 0; i < piece_count(total); i++) {
        struct piece p = piece_at(total, i);
        const element *restrict dy = elements_of(args->output_grad[0]) + p.first;
        for (int t = 0; t < d->steps; t++) {
            element *restrict dx = elements_to(args->input_grad[0]) + (size_t)t * total + p.first;
#pragma omp simd
            for (size_t j = 0; j < p.length; j++)
                store(dx + j, to_float(dy[j]) / steps, accumulate);
        }
    }
}
