// Arithmetic over flat arenas, and per-channel bias. Sums: pieces whose bounds depend on n alone, added in order in
// double.
#include "model/onednn/kernel_common.h"

#ifdef __SSE2__
#include <immintrin.h>
#endif

enum { PIECES = KERNEL_PARTIAL_SUMS };

void KERNEL(add)(struct shape shape, const float *x, float *y, int threads) {
    const element *from = elements_of(x);
    element *to = elements_to(y);
    size_t n = value_elements(planes_of(shape));
#pragma omp parallel for simd num_threads(threads) schedule(static)
    for (size_t j = 0; j < n; j++)
        to[j] = to_element(to_float(to[j]) + to_float(from[j]));
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

// The optimizers go by runs of an arena. Where results go to other memory than they were read from, they stay in the
// first cache until a run is done and are then stored past the caches, which would else read that memory for nothing.
enum { RUN = 512 };

ALWAYS_INLINE size_t run_length(size_t n, size_t first) {
    return n - first < RUN ? n - first : RUN;
}

ALWAYS_INLINE void stream(size_t n, const float *from, float *to) {
    size_t done = 0;
#ifdef __SSE2__
    for (; done + 4 <= n; done += 4)
        _mm_stream_ps(to + done, _mm_load_ps(from + done));
#endif
    for (; done < n; done++)
        to[done] = from[done];
}

// Before another thread reads what went past the caches.
ALWAYS_INLINE void end_streams(void) {
#ifdef __SSE2__
    _mm_sfence();
#endif
}

ALWAYS_INLINE void sgd_run(const struct sgd_config *o, size_t n, const float *grad, const float *p, const float *v,
                           float *new_p, float *new_v) {
#pragma omp simd
    for (size_t j = 0; j < n; j++) {
        float g = o->clip * grad[j] + o->weight_decay * p[j];
        float velocity = o->first ? g : o->momentum * v[j] + g;
        new_v[j] = velocity;
        new_p[j] = p[j] - o->lr * velocity;
    }
}

void KERNEL(sgd_step)(size_t n, const struct sgd_config *config, const float *grad, const struct optimizer_state *from,
                      const struct optimizer_state *to, int threads) {
    const struct sgd_config o = *config;
    const float *p = from->param, *v = from->moment1;
    if (p == to->param) {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (size_t i = 0; i < n; i += RUN)
            sgd_run(&o, run_length(n, i), grad + i, p + i, v + i, to->param + i, to->moment1 + i);
        return;
    }
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (size_t i = 0; i < n; i += RUN) {
            _Alignas(64) float new_p[RUN], new_v[RUN];
            size_t count = run_length(n, i);
            sgd_run(&o, count, grad + i, p + i, v + i, new_p, new_v);
            stream(count, new_p, to->param + i);
            stream(count, new_v, to->moment1 + i);
        }
        end_streams();
    }
}

struct adamw {
    float clip, keep1, take1, keep2, take2, shrink, size, root, epsilon;
};

static struct adamw adamw_of(const struct adamw_config *config) {
    double beta1 = (double)config->beta1, beta2 = (double)config->beta2, lr = (double)config->lr;
    double correction1 = 1 - pow(beta1, (double)config->step), correction2 = 1 - pow(beta2, (double)config->step);
    return (struct adamw){.clip = config->clip,
                          .keep1 = (float)beta1,
                          .take1 = (float)(1 - beta1),
                          .keep2 = (float)beta2,
                          .take2 = (float)(1 - beta2),
                          .shrink = (float)(1 - lr * (double)config->weight_decay),
                          .size = (float)(lr / correction1),
                          .root = (float)(1 / sqrt(correction2)),
                          .epsilon = config->epsilon};
}

ALWAYS_INLINE void adamw_run(const struct adamw *o, size_t n, const float *grad, const float *p, const float *m,
                             const float *v, float *new_p, float *new_m, float *new_v) {
    struct adamw a = *o;
#pragma omp simd
    for (size_t j = 0; j < n; j++) {
        float g = a.clip * grad[j], moment1 = a.keep1 * m[j] + a.take1 * g, moment2 = a.keep2 * v[j] + a.take2 * g * g;
        new_m[j] = moment1;
        new_v[j] = moment2;
        new_p[j] = p[j] * a.shrink - a.size * moment1 / (sqrtf(moment2) * a.root + a.epsilon);
    }
}

void KERNEL(adamw_step)(size_t n, const struct adamw_config *config, const float *grad,
                        const struct optimizer_state *from, const struct optimizer_state *to, int threads) {
    const struct adamw o = adamw_of(config);
    const float *p = from->param, *m = from->moment1, *v = from->moment2;
    if (p == to->param) {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (size_t i = 0; i < n; i += RUN)
            adamw_run(&o, run_length(n, i), grad + i, p + i, m + i, v + i, to->param + i, to->moment1 + i,
                      to->moment2 + i);
        return;
    }
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (size_t i = 0; i < n; i += RUN) {
            _Alignas(64) float new_p[RUN], new_m[RUN], new_v[RUN];
            size_t count = run_length(n, i);
            adamw_run(&o, count, grad + i, p + i, m + i, v + i, new_p, new_m, new_v);
            stream(count, new_p, to->param + i);
            stream(count, new_m, to->moment1 + i);
            stream(count, new_v, to->moment2 + i);
        }
        end_streams();
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
