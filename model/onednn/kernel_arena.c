// Arithmetic over flat arenas, and per-channel bias. Sums: pieces whose bounds depend on n alone, added in order in
// double.
#include "model/onednn/kernel_common.h"

enum { PIECES = KERNEL_PARTIAL_SUMS };

void KERNEL(add)(struct shape shape, const float *x, float *y, int threads) {
    const element *from = elements_of(x);
    element *to = elements_to(y);
    size_t n = value_elements(planes_of(shape));
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (size_t j = 0; j < n; j++)
        to[j] = to_element(to_float(to[j]) + to_float(from[j]));
}

void KERNEL(scale)(size_t n, float factor, float *x, int threads) {
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (size_t j = 0; j < n; j++)
        x[j] *= factor;
}

double KERNEL(sum_squares)(size_t n, const float *x, double *partial, int threads) {
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < PIECES; i++) {
        size_t last = n * (size_t)(i + 1) / PIECES;
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t j = n * (size_t)i / PIECES; j < last; j++)
            sum += (double)x[j] * (double)x[j];
        partial[i] = sum;
    }
    double total = 0;
    for (int i = 0; i < PIECES; i++)
        total += partial[i];
    return total;
}

void KERNEL(sgd_step)(size_t n, float lr, float momentum, float weight_decay, bool first, const float *grad,
                      float *velocity, float *param, int threads) {
    float keep = first ? 0 : momentum;
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (size_t j = 0; j < n; j++) {
        float g = grad[j] + weight_decay * param[j];
        float v = first ? g : keep * velocity[j] + g;
        velocity[j] = v;
        param[j] -= lr * v;
    }
}

void KERNEL(adamw_step)(size_t n, const struct adamw_config *config, const float *grad, float *moment1, float *moment2,
                        float *param, int threads) {
    double beta1 = (double)config->beta1, beta2 = (double)config->beta2, lr = (double)config->lr;
    double correction1 = 1 - pow(beta1, (double)config->step), correction2 = 1 - pow(beta2, (double)config->step);
    float keep1 = (float)beta1, take1 = (float)(1 - beta1), keep2 = (float)beta2, take2 = (float)(1 - beta2);
    float shrink = (float)(1 - lr * (double)config->weight_decay), size = (float)(lr / correction1);
    float root = (float)(1 / sqrt(correction2)), epsilon = config->epsilon;
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (size_t j = 0; j < n; j++) {
        float g = grad[j], m = keep1 * moment1[j] + take1 * g, v = keep2 * moment2[j] + take2 * g * g;
        moment1[j] = m;
        moment2[j] = v;
        param[j] = param[j] * shrink - size * m / (sqrtf(v) * root + epsilon);
    }
}

void KERNEL(bias_add)(struct shape shape, const float *bias, float *y, int threads) {
    struct planes p = planes_of(shape);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < chunk_count(p); i++) {
        struct chunk k = chunk_at(p, i);
        const float *restrict b = bias + k.block * BLOCK;
        for (int j = 0; j < k.pixels; j++) {
            element *restrict row = elements_to(y) + k.first + (size_t)j * BLOCK;
#pragma omp simd
            for (int l = 0; l < BLOCK; l++)
                store(row + l, b[l], true);
        }
    }
}

size_t KERNEL(bias_grad_scratch_bytes)(const struct op_desc *d) {
    return (size_t)chunk_count(planes_of(d->out)) * BLOCK * sizeof(double);
}

void KERNEL(bias_grad)(struct shape shape, const float *dy, float *dbias, void *scratch, int threads) {
    struct planes p = planes_of(shape);
    double *partial = scratch;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < chunk_count(p); i++) {
        struct chunk k = chunk_at(p, i);
        double sum[BLOCK] = {0};
        for (int j = 0; j < k.pixels; j++) {
            const element *restrict row = elements_of(dy) + k.first + (size_t)j * BLOCK;
#pragma omp simd
            for (int l = 0; l < BLOCK; l++)
                sum[l] += (double)to_float(row[l]);
        }
        memcpy(partial + (size_t)i * BLOCK, sum, sizeof sum);
    }
    for (int c = 0; c < padded_channels(p); c++) {
        double sum = 0;
        for (int n = 0; n < p.frames; n++)
            for (int k = 0; k < p.chunks; k++)
                sum += partial[(size_t)((n * p.blocks + c / BLOCK) * p.chunks + k) * BLOCK + (size_t)(c % BLOCK)];
        dbias[c] = (float)sum;
    }
}
