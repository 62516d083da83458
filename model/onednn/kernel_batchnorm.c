// OP_BATCHNORM (Ioffe and Szegedy 2015): y = relu?(gamma (x - mean) / sqrt(var + eps) + beta + residual?).
//
// Statistics in one pass over x: sums of x - s and (x - s)^2, where s is the channel's mean over frame 0, so that
// nothing cancels; short sums run in float, across pieces in double. Saved: mean and 1 / sqrt(var + eps) of every
// channel.
#include "model/onednn/kernel_common.h"

enum { SHORT_SUM = 64 }; // pixels added in float before going on in double

static void sums_of_chunk(const element *restrict x, int pixels, const float *restrict shift, double *restrict sums) {
    double sum[BLOCK] = {0}, squares[BLOCK] = {0};
    for (int first = 0; first < pixels; first += SHORT_SUM) {
        int last = first + SHORT_SUM < pixels ? first + SHORT_SUM : pixels;
        float s1[BLOCK] = {0}, s2[BLOCK] = {0};
        for (int j = first; j < last; j++) {
            const element *row = x + (size_t)j * BLOCK;
#pragma omp simd
            for (int l = 0; l < BLOCK; l++) {
                float d = to_float(row[l]) - shift[l];
                s1[l] += d;
                s2[l] += d * d;
            }
        }
#pragma omp simd
        for (int l = 0; l < BLOCK; l++) {
            sum[l] += (double)s1[l];
            squares[l] += (double)s2[l];
        }
    }
    memcpy(sums, sum, sizeof sum);
    memcpy(sums + BLOCK, squares, sizeof squares);
}

// shift[c] = mean of channel c over frame 0
static void shift_of_block(struct planes p, const element *x, int block, float *shift) {
    const element *plane = x + (size_t)block * plane_elements(p);
    double sum[BLOCK] = {0};
    for (int j = 0; j < p.pixels; j++) {
#pragma omp simd
        for (int l = 0; l < BLOCK; l++)
            sum[l] += (double)to_float(plane[(size_t)j * BLOCK + (size_t)l]);
    }
    for (int l = 0; l < BLOCK; l++)
        shift[block * BLOCK + l] = (float)(sum[l] / p.pixels);
}

// Adds up the two sums of every chunk of a block of channels, in order: total[BLOCK], total[BLOCK + ...].
static void total_of_block(struct planes p, const double *partial, int block, double *total) {
    for (int l = 0; l < 2 * BLOCK; l++)
        total[l] = 0;
    for (int n = 0; n < p.frames; n++)
        for (int k = 0; k < p.chunks; k++) {
            const double *sums = partial + (size_t)((n * p.blocks + block) * p.chunks + k) * 2 * BLOCK;
            for (int l = 0; l < 2 * BLOCK; l++)
                total[l] += sums[l];
        }
}

// Scratch: [chunk_count][2][BLOCK] doubles of partial sums, then three vectors over channels.
struct workspace {
    double *partial;
    float *a, *b, *c;
};

static struct workspace workspace_of(struct planes p, void *scratch) {
    struct workspace w = {.partial = scratch};
    w.a = (float *)(w.partial + (size_t)chunk_count(p) * 2 * BLOCK);
    w.b = w.a + padded_channels(p);
    w.c = w.b + padded_channels(p);
    return w;
}

size_t KERNEL(batchnorm_scratch_bytes)(const struct op_desc *d) {
    struct planes p = planes_of(d->in);
    return (size_t)chunk_count(p) * 2 * BLOCK * sizeof(double) + 3 * (size_t)padded_channels(p) * sizeof(float);
}

size_t KERNEL(batchnorm_saved_bytes)(const struct op_desc *d) {
    return 2 * (size_t)padded_channels(planes_of(d->in)) * sizeof(float);
}

// y = x * factor + offset for channel c, from its mean and inverse deviation; zero where the channel is padding.
static void set_line(const struct op_desc *d, const struct op_args *args, struct workspace w, int c, double mean,
                     double inverse) {
    double factor = c < d->in.c ? (double)args->param[0][c] * inverse : 0;
    w.a[c] = (float)factor;
    w.b[c] = c < d->in.c ? (float)((double)args->param[1][c] - mean * factor) : 0;
}

// Mean and variance of `count` pixels of channel c: what training saves, the line, the running statistics.
static void set_statistics(const struct op_desc *d, const struct op_args *args, struct workspace w, int c, double count,
                           double m, double variance) {
    float *mean = args->saved, *inverse = mean + padded_channels(planes_of(d->in));
    double momentum = (double)d->momentum, r = 1 / sqrt(variance + (double)d->epsilon);
    mean[c] = (float)m;
    inverse[c] = (float)r;
    set_line(d, args, w, c, m, r);
    if (c < d->in.c) {
        double unbiased = count > 1 ? variance * count / (count - 1) : variance;
        args->buffer[0][c] = (float)((1 - momentum) * (double)args->buffer[0][c] + momentum * m);
        args->buffer[1][c] = (float)((1 - momentum) * (double)args->buffer[1][c] + momentum * unbiased);
    }
}

// Means and variances of a block of channels over this batch.
static void moments_of_block(struct planes p, struct workspace w, int block, double *mean, double *variance) {
    double count = (double)p.frames * p.pixels, total[2 * BLOCK];
    total_of_block(p, w.partial, block, total);
    for (int l = 0; l < BLOCK; l++) {
        double shifted = total[l] / count, v = total[BLOCK + l] / count - shifted * shifted;
        mean[l] = (double)w.c[block * BLOCK + l] + shifted;
        variance[l] = v < 0 ? 0 : v;
    }
}

static void statistics_of_block(const struct op_desc *d, const struct op_args *args, struct planes p,
                                struct workspace w, int block) {
    double mean[BLOCK], variance[BLOCK];
    moments_of_block(p, w, block, mean, variance);
    for (int l = 0; l < BLOCK; l++)
        set_statistics(d, args, w, block * BLOCK + l, (double)p.frames * p.pixels, mean[l], variance[l]);
}

ALWAYS_INLINE void apply_line(const element *restrict x, const element *restrict residual, element *restrict y,
                              int pixels, const float *restrict a, const float *restrict b, bool relu,
                              bool with_residual) {
    for (int j = 0; j < pixels; j++) {
        size_t row = (size_t)j * BLOCK;
#pragma omp simd
        for (int l = 0; l < BLOCK; l++) {
            float v = to_float(x[row + (size_t)l]) * a[l] + b[l];
            if (with_residual)
                v += to_float(residual[row + (size_t)l]);
            y[row + (size_t)l] = to_element(relu && v < 0 ? 0 : v); // NaN passes
        }
    }
}

static void apply_chunk(const struct op_desc *d, const struct op_args *args, struct workspace w, struct chunk k) {
    const element *x = elements_of(args->input[0]) + k.first;
    const float *a = w.a + k.block * BLOCK, *b = w.b + k.block * BLOCK;
    element *y = elements_to(args->output[0]) + k.first;
    if (d->residual && d->relu)
        apply_line(x, elements_of(args->input[1]) + k.first, y, k.pixels, a, b, true, true);
    else if (d->residual)
        apply_line(x, elements_of(args->input[1]) + k.first, y, k.pixels, a, b, false, true);
    else
        apply_line(x, NULL, y, k.pixels, a, b, d->relu, false);
}

static void running_line_of_block(const struct op_desc *d, const struct op_args *args, struct workspace w, int block) {
    for (int c = block * BLOCK; c < (block + 1) * BLOCK; c++) {
        double mean = c < d->in.c ? (double)args->buffer[0][c] : 0, var = c < d->in.c ? (double)args->buffer[1][c] : 1;
        set_line(d, args, w, c, mean, 1 / sqrt(var + (double)d->epsilon));
    }
}

// Chunk number k of a block of channels, of all frames: its number among all chunks.
static int chunk_of_block(struct planes p, int block, int k) {
    return (k / p.chunks * p.blocks + block) * p.chunks + k % p.chunks;
}

enum { SHORT_PLANE = 1024 }; // elements: shorter ones lie too scattered to be taken a block of channels at a time

// Whether each thread should take whole blocks of channels, both passes over a block while it lies in the cache, rather
// than chunks of all blocks pass by pass. The sums are the same bits.
static bool by_block(struct planes p, int threads) {
    return plane_elements(p) >= SHORT_PLANE && (p.blocks % threads == 0 || p.blocks >= 4 * threads);
}

static void sums_of_numbered_chunk(const struct op_args *args, struct planes p, struct workspace w, int i) {
    struct chunk k = chunk_at(p, i);
    sums_of_chunk(elements_of(args->input[0]) + k.first, k.pixels, w.c + k.block * BLOCK,
                  w.partial + (size_t)i * 2 * BLOCK);
}

static void forward_block(const struct op_desc *d, const struct op_args *args, struct planes p, struct workspace w,
                          int block) {
    int chunks = p.frames * p.chunks;
    if (args->training) {
        shift_of_block(p, elements_of(args->input[0]), block, w.c);
        for (int k = 0; k < chunks; k++)
            sums_of_numbered_chunk(args, p, w, chunk_of_block(p, block, k));
        statistics_of_block(d, args, p, w, block);
    } else {
        running_line_of_block(d, args, w, block);
    }
    for (int k = 0; k < chunks; k++)
        apply_chunk(d, args, w, chunk_at(p, chunk_of_block(p, block, k)));
}

// Called by every thread of a team.
static void sums_of_all_chunks(const struct op_args *args, struct planes p, struct workspace w) {
#pragma omp for schedule(static)
    for (int block = 0; block < p.blocks; block++)
        shift_of_block(p, elements_of(args->input[0]), block, w.c);
#pragma omp for schedule(static)
    for (int i = 0; i < chunk_count(p); i++)
        sums_of_numbered_chunk(args, p, w, i);
}

// Pass by pass, for maps with fewer blocks of channels than threads; called by every thread of a team.
static void forward_chunks(const struct op_desc *d, const struct op_args *args, struct planes p, struct workspace w) {
    int chunks = chunk_count(p);
    if (args->training)
        sums_of_all_chunks(args, p, w);
#pragma omp for schedule(static)
    for (int block = 0; block < p.blocks; block++)
        if (args->training)
            statistics_of_block(d, args, p, w, block);
        else
            running_line_of_block(d, args, w, block);
#pragma omp for schedule(static)
    for (int i = 0; i < chunks; i++)
        apply_chunk(d, args, w, chunk_at(p, i));
}

void KERNEL(batchnorm_forward)(const struct op_desc *d, const struct op_args *args, int threads) {
    struct planes p = planes_of(d->in);
    struct workspace w = workspace_of(p, args->scratch);
    if (by_block(p, threads)) {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int block = 0; block < p.blocks; block++)
            forward_block(d, args, p, w, block);
        return;
    }
#pragma omp parallel num_threads(threads)
    forward_chunks(d, args, p, w);
}

void KERNEL(batchnorm_moments)(const struct op_desc *d, const struct op_args *args, struct channel_sums *sums,
                               int threads) {
    struct planes p = planes_of(d->in);
    struct workspace w = workspace_of(p, args->scratch);
    double count = (double)p.frames * p.pixels, mean[BLOCK], variance[BLOCK];
#pragma omp parallel num_threads(threads)
    sums_of_all_chunks(args, p, w);
    for (int block = 0; block < p.blocks; block++) {
        moments_of_block(p, w, block, mean, variance);
        for (int l = 0; l < BLOCK && block * BLOCK + l < d->in.c; l++)
            sums[block * BLOCK + l] = (struct channel_sums){count, mean[l], variance[l] * count};
    }
}

void KERNEL(batchnorm_finish)(const struct op_desc *d, const struct op_args *args, const struct channel_sums *sums,
                              int threads) {
    struct planes p = planes_of(d->in);
    struct workspace w = workspace_of(p, args->scratch);
    for (int c = 0; c < padded_channels(p); c++) {
        struct channel_sums s = c < d->in.c ? sums[c] : (struct channel_sums){.count = 1};
        set_statistics(d, args, w, c, s.count, s.first, s.second / s.count);
    }
    if (args->absent)
        return;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < chunk_count(p); i++)
        apply_chunk(d, args, w, chunk_at(p, i));
}

// Sums of g and g (x - mean), where g is dy past the ReLU.
ALWAYS_INLINE void grad_sums(const element *restrict x, const element *restrict y, const element *restrict dy,
                             int pixels, const float *restrict mean, double *restrict sums, bool relu) {
    double sum[BLOCK] = {0}, product[BLOCK] = {0};
    for (int first = 0; first < pixels; first += SHORT_SUM) {
        int last = first + SHORT_SUM < pixels ? first + SHORT_SUM : pixels;
        float s1[BLOCK] = {0}, s2[BLOCK] = {0};
        for (int j = first; j < last; j++) {
            size_t row = (size_t)j * BLOCK;
#pragma omp simd
            for (int l = 0; l < BLOCK; l++) {
                float g = to_float(dy[row + (size_t)l]);
                if (relu && to_float(y[row + (size_t)l]) <= 0)
                    g = 0;
                s1[l] += g;
                s2[l] += g * (to_float(x[row + (size_t)l]) - mean[l]);
            }
        }
#pragma omp simd
        for (int l = 0; l < BLOCK; l++) {
            sum[l] += (double)s1[l];
            product[l] += (double)s2[l];
        }
    }
    memcpy(sums, sum, sizeof sum);
    memcpy(sums + BLOCK, product, sizeof product);
}

// dx = a g + b (x - mean) + c, from dx = gamma / sigma (g - mean(g) - xhat mean(g xhat)).
static void set_grad_line(const struct op_desc *d, const struct op_args *args, struct workspace w, int c,
                          const struct channel_sums *s) {
    const float *inverse = (const float *)args->saved + padded_channels(planes_of(d->in));
    bool padding = c >= d->in.c;
    double r = (double)inverse[c], a = padding ? 0 : (double)args->param[0][c] * r;
    w.a[c] = (float)a;
    w.b[c] = padding ? 0 : (float)(-a * r * r * s->second / s->count);
    w.c[c] = padding ? 0 : (float)(-a * s->first / s->count);
}

// The parameters' gradients are this batch's part of them.
static void set_param_grads(const struct op_desc *d, const struct op_args *args, int c, double sum, double product) {
    const float *inverse = (const float *)args->saved + padded_channels(planes_of(d->in));
    bool padding = c >= d->in.c;
    if (args->param_grad[0])
        args->param_grad[0][c] = padding ? 0 : (float)(product * (double)inverse[c]);
    if (args->param_grad[1])
        args->param_grad[1][c] = padding ? 0 : (float)sum;
}

static void grad_line_of_block(const struct op_desc *d, const struct op_args *args, struct planes p, struct workspace w,
                               int block) {
    double count = (double)p.frames * p.pixels, total[2 * BLOCK];
    total_of_block(p, w.partial, block, total);
    for (int l = 0; l < BLOCK; l++) {
        int c = block * BLOCK + l;
        set_grad_line(d, args, w, c, &(struct channel_sums){count, total[l], total[BLOCK + l]});
        set_param_grads(d, args, c, total[l], total[BLOCK + l]);
    }
}

struct grad_rows {
    const element *x, *y, *dy;
    const float *mean, *a, *b, *c;
    element *dx, *dresidual; // NULL: not wanted
    int pixels;
};

ALWAYS_INLINE void apply_grad_line(const struct grad_rows *r, bool relu, bool add_x, bool add_residual) {
    for (int j = 0; j < r->pixels; j++) {
        size_t row = (size_t)j * BLOCK;
        const element *restrict x = r->x + row, *restrict y = relu ? r->y + row : NULL, *restrict dy = r->dy + row;
        float g[BLOCK];
#pragma omp simd
        for (int l = 0; l < BLOCK; l++)
            g[l] =
                relu && to_float(y[l]) <= 0 ? 0 : to_float(dy[l]); // a NaN in y lets the gradient pass, as in PyTorch
        if (r->dx) {
            element *restrict dx = r->dx + row;
#pragma omp simd
            for (int l = 0; l < BLOCK; l++)
                store(dx + l, r->a[l] * g[l] + (r->b[l] * (to_float(x[l]) - r->mean[l]) + r->c[l]), add_x);
        }
        if (r->dresidual) {
            element *restrict dresidual = r->dresidual + row;
#pragma omp simd
            for (int l = 0; l < BLOCK; l++)
                store(dresidual + l, g[l], add_residual);
        }
    }
}

static void grad_chunk(const struct op_desc *d, const struct op_args *args, struct workspace w, struct chunk k) {
    int c = k.block * BLOCK;
    bool residual = d->residual && args->input_grad[1];
    struct grad_rows rows = {
        .x = elements_of(args->input[0]) + k.first,
        .y = d->relu ? elements_of(args->output[0]) + k.first : NULL,
        .dy = elements_of(args->output_grad[0]) + k.first,
        .mean = (const float *)args->saved + c,
        .a = w.a + c,
        .b = w.b + c,
        .c = w.c + c,
        .dx = args->input_grad[0] ? elements_to(args->input_grad[0]) + k.first : NULL,
        .dresidual = residual ? elements_to(args->input_grad[1]) + k.first : NULL,
        .pixels = k.pixels,
    };
    bool add_x = args->input_grad_accumulate[0], add_residual = args->input_grad_accumulate[1];
    if (!add_x && !add_residual && d->relu)
        apply_grad_line(&rows, true, false, false);
    else if (!add_x && !add_residual)
        apply_grad_line(&rows, false, false, false);
    else
        apply_grad_line(&rows, d->relu, add_x, add_residual);
}

static void grad_sums_of_chunk(const struct op_desc *d, const struct op_args *args, struct workspace w, struct planes p,
                               int i) {
    struct chunk k = chunk_at(p, i);
    const element *x = elements_of(args->input[0]) + k.first, *dy = elements_of(args->output_grad[0]) + k.first;
    const float *mean = (const float *)args->saved + k.block * BLOCK;
    double *sums = w.partial + (size_t)i * 2 * BLOCK;
    if (d->relu)
        grad_sums(x, elements_of(args->output[0]) + k.first, dy, k.pixels, mean, sums, true);
    else
        grad_sums(x, NULL, dy, k.pixels, mean, sums, false);
}

static void backward_block(const struct op_desc *d, const struct op_args *args, struct planes p, struct workspace w,
                           int block) {
    int chunks = p.frames * p.chunks;
    for (int k = 0; k < chunks; k++)
        grad_sums_of_chunk(d, args, w, p, chunk_of_block(p, block, k));
    grad_line_of_block(d, args, p, w, block);
    for (int k = 0; k < chunks; k++)
        grad_chunk(d, args, w, chunk_at(p, chunk_of_block(p, block, k)));
}

static void backward_chunks(const struct op_desc *d, const struct op_args *args, struct planes p, struct workspace w) {
    int chunks = chunk_count(p);
#pragma omp for schedule(static)
    for (int i = 0; i < chunks; i++)
        grad_sums_of_chunk(d, args, w, p, i);
#pragma omp for schedule(static)
    for (int block = 0; block < p.blocks; block++)
        grad_line_of_block(d, args, p, w, block);
#pragma omp for schedule(static)
    for (int i = 0; i < chunks; i++)
        grad_chunk(d, args, w, chunk_at(p, i));
}

void KERNEL(batchnorm_gradient_sums)(const struct op_desc *d, const struct op_args *args, struct channel_sums *sums,
                                     int threads) {
    struct planes p = planes_of(d->in);
    struct workspace w = workspace_of(p, args->scratch);
    double total[2 * BLOCK];
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < chunk_count(p); i++)
        grad_sums_of_chunk(d, args, w, p, i);
    for (int block = 0; block < p.blocks; block++) {
        total_of_block(p, w.partial, block, total);
        for (int l = 0; l < BLOCK; l++) {
            int c = block * BLOCK + l;
            set_param_grads(d, args, c, total[l], total[BLOCK + l]);
            if (c < d->in.c)
                sums[c] = (struct channel_sums){(double)p.frames * p.pixels, total[l], total[BLOCK + l]};
        }
    }
}

void KERNEL(batchnorm_gradient)(const struct op_desc *d, const struct op_args *args, const struct channel_sums *sums,
                                int threads) {
    struct planes p = planes_of(d->in);
    struct workspace w = workspace_of(p, args->scratch);
    for (int c = 0; c < padded_channels(p); c++)
        set_grad_line(d, args, w, c, c < d->in.c ? &sums[c] : &(struct channel_sums){.count = 1});
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int i = 0; i < chunk_count(p); i++)
        grad_chunk(d, args, w, chunk_at(p, i));
}

void KERNEL(batchnorm_backward)(const struct op_desc *d, const struct op_args *args, int threads) {
    struct planes p = planes_of(d->in);
    struct workspace w = workspace_of(p, args->scratch);
    if (by_block(p, threads)) {
#pragma omp parallel for num_threads(threads) schedule(static)
        for (int block = 0; block < p.blocks; block++)
            backward_block(d, args, p, w, block);
        return;
    }
#pragma omp parallel num_threads(threads)
    backward_chunks(d, args, p, w);
}
