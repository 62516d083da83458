// OP_BATCHNORM (Ioffe and Szegedy 2015), fused with an addition and a ReLU:
//   y = relu?(gamma (x - mean) r + beta + residual?),  r = 1 / sqrt(var + eps)
//   dx = gamma r (g - mean(g) - xhat mean(g xhat)),  g = dy where y > 0,  dgamma = sum g xhat,  dbeta = sum g
//
// Two kernels each way. The first goes over all pixels by reduction_grid (device.cuh): forward, every thread runs
// Welford's recurrence for eight channels and partial results are merged in pairs (Chan et al. 1979), so that no digits
// are lost where the mean is large; backward, plain sums. Every block leaves its chunk's result in scratch, and the
// last block of a tile of channels to finish puts the chunks together, always in the same order. The second kernel is
// one thread an octet. Where one block has all pixels of its channels (small maps: most of the encoder) it does both,
// in one kernel, by the same arithmetic. Statistics are float whatever the values are. Training saves mean and r,
// [2][channels].
//
// In a group the first kernel leaves what it has in this member's part: two vectors of channels and the number of
// pixels, [2][channels] and an octet. The parts are gathered, and a third kernel, one thread an octet of channels, puts
// them together in the order of the members.
#include "model/cuda/kernels/device.cuh"
#include "model/cuda/kernels/workspace.cuh"

// ---- statistics of a batch ----

struct moments { // of eight channels over `count` pixels: mean and sum of squared differences from it
    float count;
    float mean[OCTET], m2[OCTET];
};

static __device__ inline void add_pixel(struct moments *a, const float x[OCTET]) {
    a->count += 1.0f;
    float share = 1.0f / a->count;
    for (int i = 0; i < OCTET; i++) {
        float difference = x[i] - a->mean[i];
        a->mean[i] += difference * share;
        a->m2[i] += difference * (x[i] - a->mean[i]);
    }
}

static __device__ inline void merge(struct moments *a, const struct moments *b) {
    float count = a->count + b->count;
    if (count == 0.0f)
        return;
    float share = b->count / count, weight = a->count * share;
    for (int i = 0; i < OCTET; i++) {
        float difference = b->mean[i] - a->mean[i];
        a->mean[i] += difference * share;
        a->m2[i] += b->m2[i] + difference * difference * weight;
    }
    a->count = count;
}

struct shared_moments {
    float count[BLOCK_THREADS], mean[OCTET][BLOCK_THREADS], m2[OCTET][BLOCK_THREADS];
};

static __device__ inline void put_moments(struct shared_moments *s, int thread, const struct moments *a) {
    s->count[thread] = a->count;
    for (int i = 0; i < OCTET; i++) {
        s->mean[i][thread] = a->mean[i];
        s->m2[i][thread] = a->m2[i];
    }
}

static __device__ inline struct moments take_moments(const struct shared_moments *s, int thread) {
    struct moments a;
    a.count = s->count[thread];
    for (int i = 0; i < OCTET; i++) {
        a.mean[i] = s->mean[i][thread];
        a.m2[i] = s->m2[i][thread];
    }
    return a;
}

// As sum_rows: row 0 then holds the moments of all rows.
static __device__ inline void merge_rows(struct reduction_grid g, struct reduction_thread t, struct moments *a,
                                         struct shared_moments *shared) {
    for (int half = t.rows / 2; half > 0; half /= 2) {
        if (t.row >= half && t.row < 2 * half)
            put_moments(shared, (int)threadIdx.x, a);
        __syncthreads();
        if (t.row < half) {
            struct moments b = take_moments(shared, (int)threadIdx.x + half * g.tile_octets);
            merge(a, &b);
        }
    }
}

static __device__ inline struct moments no_moments() {
    struct moments a;
    a.count = 0;
    for (int i = 0; i < OCTET; i++)
        a.mean[i] = a.m2[i] = 0;
    return a;
}

static __device__ inline float chunk_pixels(struct reduction_grid g, int chunk) {
    return (float)(g.pixels * (unsigned)(chunk + 1) / (unsigned)g.chunks -
                   g.pixels * (unsigned)chunk / (unsigned)g.chunks);
}

struct norm {
    float epsilon, momentum;
};

// From the moments of an octet over the whole batch: what training saves, and the running statistics.
static __device__ inline void finish_statistics(struct norm k, const struct moments *a, size_t channel, size_t channels,
                                                float *saved, float *running_mean, float *running_var) {
    for (int i = 0; i < OCTET; i++) {
        size_t c = channel + (size_t)i;
        float variance = a->m2[i] / a->count, unbiased = a->count > 1.0f ? a->m2[i] / (a->count - 1.0f) : variance;
        saved[c] = a->mean[i];
        saved[channels + c] = 1.0f / sqrtf(variance + k.epsilon);
        running_mean[c] = (1.0f - k.momentum) * running_mean[c] + k.momentum * a->mean[i];
        running_var[c] = (1.0f - k.momentum) * running_var[c] + k.momentum * unbiased;
    }
}

// What is made of the moments: a member's part, or (part NULL) the statistics.
struct statistics_targets {
    float *part, *saved, *running_mean, *running_var;
};

static __device__ inline void put_part(float *part, size_t channel, size_t channels, float count, const float *first,
                                       const float *second) {
    store8(part + channel, first);
    store8(part + channels + channel, second);
    if (channel == 0)
        part[2 * channels] = count;
}

// The moments of the whole batch, in row 0 of one block a tile; false in the tile's other blocks. partial:
// [chunk][2][channels]
template <typename T>
static __device__ inline bool batch_moments(struct reduction_grid g, struct reduction_thread t, const T *x,
                                            float *partial, unsigned *counters, struct moments *a) {
    __shared__ struct shared_moments shared;
    size_t channels = (size_t)g.octets * OCTET, channel = (size_t)t.octet * OCTET;
    bool mine = t.octet < g.octets;
    float v[OCTET];
    *a = no_moments();
    for (size_t p = t.first + (size_t)t.row; mine && p < t.end; p += (size_t)t.rows) {
        load8(x + p * channels + channel, v);
        add_pixel(a, v);
    }
    merge_rows(g, t, a, &shared);
    if (g.chunks == 1)
        return true;
    if (mine && t.row == 0) {
        float *to = partial + (size_t)blockIdx.y * 2 * channels + channel;
        store8(to, a->mean);
        store8(to + channels, a->m2);
    }
    if (!last_block(counters + blockIdx.x, (unsigned)g.chunks))
        return false;
    *a = no_moments();
    for (int chunk = t.row; mine && chunk < g.chunks; chunk += t.rows) {
        struct moments b;
        const float *from = partial + (size_t)chunk * 2 * channels + channel;
        b.count = chunk_pixels(g, chunk);
        load8(from, b.mean);
        load8(from + channels, b.m2);
        merge(a, &b);
    }
    merge_rows(g, t, a, &shared);
    return true;
}

template <typename T>
static __global__ void statistics(struct reduction_grid g, struct norm k, const T *x, float *partial,
                                  unsigned *counters, struct statistics_targets target) {
    struct reduction_thread t = reduction_thread_of(g);
    size_t channels = (size_t)g.octets * OCTET, channel = (size_t)t.octet * OCTET;
    struct moments a;
    if (!batch_moments(g, t, x, partial, counters, &a) || t.octet >= g.octets || t.row != 0)
        return;
    if (target.part)
        put_part(target.part, channel, channels, a.count, a.mean, a.m2);
    else
        finish_statistics(k, &a, channel, channels, target.saved, target.running_mean, target.running_var);
}

// parts: [members][2 channels + OCTET]
static __global__ void merge_parts(int members, size_t channels, struct norm k, const float *parts,
                                   struct statistics_targets target) {
    size_t channel = thread_number() * OCTET;
    if (channel >= channels)
        return;
    struct moments a = no_moments();
    for (int m = 0; m < members; m++) {
        struct moments b;
        const float *part = parts + (size_t)m * (2 * channels + OCTET);
        b.count = part[2 * channels];
        load8(part + channel, b.mean);
        load8(part + channels + channel, b.m2);
        merge(&a, &b);
    }
    finish_statistics(k, &a, channel, channels, target.saved, target.running_mean, target.running_var);
}

// mean, spread: [channels]; spread is r in training and the running variance in evaluation.
struct norm_vectors {
    const float *mean, *spread, *gamma, *beta;
};

struct norm_octet { // of one octet of channels
    float mean[OCTET], scale[OCTET], beta[OCTET];
};

static __device__ inline struct norm_octet norm_octet_of(struct norm_vectors k, size_t channel, float epsilon,
                                                         bool training) {
    struct norm_octet o;
    float spread[OCTET], gamma[OCTET];
    load8(k.mean + channel, o.mean);
    load8(k.spread + channel, spread);
    load8(k.gamma + channel, gamma);
    load8(k.beta + channel, o.beta);
    for (int c = 0; c < OCTET; c++)
        o.scale[c] = gamma[c] * (training ? spread[c] : 1.0f / sqrtf(spread[c] + epsilon));
    return o;
}

template <typename T>
static __device__ inline void normalize_octet(const struct norm_octet *o, bool relu, size_t at, const T *x,
                                              const T *residual, T *y) {
    float v[OCTET], other[OCTET] = {0};
    load8(x + at, v);
    if (residual)
        load8(residual + at, other);
    for (int c = 0; c < OCTET; c++) {
        float out = (v[c] - o->mean[c]) * o->scale[c] + o->beta[c] + other[c];
        v[c] = relu && out < 0.0f ? 0.0f : out; // a NaN passes, as in PyTorch
    }
    store8(y + at, v);
}

template <typename T>
static __global__ void normalize(size_t octets, int channel_octets, struct norm_vectors k, float epsilon, bool training,
                                 bool relu, const T *x, const T *residual, T *y) {
    size_t i = thread_number();
    if (i >= octets)
        return;
    const struct norm_octet o = norm_octet_of(k, i % (size_t)channel_octets * OCTET, epsilon, training);
    normalize_octet(&o, relu, i * OCTET, x, residual, y);
}

// Both, in training, where a block has all pixels of its channels.
template <typename T>
static __global__ void forward_at_once(struct reduction_grid g, struct norm k, struct statistics_targets target,
                                       struct norm_vectors vectors, bool relu, const T *x, const T *residual, T *y) {
    struct reduction_thread t = reduction_thread_of(g);
    size_t channels = (size_t)g.octets * OCTET, channel = (size_t)t.octet * OCTET;
    bool mine = t.octet < g.octets;
    struct moments a;
    batch_moments(g, t, x, nullptr, nullptr, &a);
    if (mine && t.row == 0)
        finish_statistics(k, &a, channel, channels, target.saved, target.running_mean, target.running_var);
    __syncthreads();
    if (!mine)
        return;
    const struct norm_octet o = norm_octet_of(vectors, channel, k.epsilon, true);
    for (size_t p = (size_t)t.row; p < g.pixels; p += (size_t)t.rows)
        normalize_octet(&o, relu, p * channels + channel, x, residual, y);
}

// ---- backward ----

// What is made of the sums: a member's part, or (part NULL) the means; and the parameters' gradients, of this batch.
struct sum_targets {
    float *part, *means, *dgamma, *dbeta;
};

// From the sums of an octet over the whole batch, the two vectors that the second kernel needs: mean(g) and r mean(g
// xhat).
static __device__ inline void finish_sums(const float sum[2 * OCTET], float count, size_t channel, size_t channels,
                                          const float *saved, float *means) {
    float r[OCTET];
    load8(saved + channels + channel, r);
    for (int i = 0; i < OCTET; i++) {
        means[channel + (size_t)i] = sum[i] / count;
        means[channels + channel + (size_t)i] = r[i] * sum[OCTET + i] / count;
    }
}

// The sums of the whole batch, of g and of g xhat, in row 0 of one block a tile; false in the tile's other blocks.
template <typename T>
static __device__ inline bool batch_sums(struct reduction_grid g, struct reduction_thread t, bool relu, const T *x,
                                         const T *y, const T *dy, const float *saved, float *partial,
                                         unsigned *counters, float sum[2 * OCTET]) {
    __shared__ float shared[BLOCK_THREADS * 2 * OCTET];
    size_t channels = (size_t)g.octets * OCTET, channel = (size_t)t.octet * OCTET;
    bool mine = t.octet < g.octets;
    float v[OCTET], out[OCTET], slope[OCTET], mean[OCTET], r[OCTET];
    for (int i = 0; i < 2 * OCTET; i++)
        sum[i] = 0;
    if (mine) {
        load8(saved + channel, mean);
        load8(saved + channels + channel, r);
        for (size_t p = t.first + (size_t)t.row; p < t.end; p += (size_t)t.rows) {
            load8(x + p * channels + channel, v);
            load8(dy + p * channels + channel, slope);
            if (relu)
                load8(y + p * channels + channel, out);
            for (int i = 0; i < OCTET; i++) {
                float grad = relu && out[i] <= 0.0f ? 0.0f : slope[i];
                sum[i] += grad;
                sum[OCTET + i] += grad * ((v[i] - mean[i]) * r[i]);
            }
        }
    }
    sum_rows<2 * OCTET>(g, t, sum, shared);
    if (g.chunks == 1)
        return true;
    if (mine && t.row == 0) {
        float *to = partial + (size_t)blockIdx.y * 2 * channels + channel;
        store8(to, sum);
        store8(to + channels, sum + OCTET);
    }
    if (!last_block(counters + blockIdx.x, (unsigned)g.chunks))
        return false;
    for (int i = 0; i < 2 * OCTET; i++)
        sum[i] = 0;
    for (int chunk = t.row; mine && chunk < g.chunks; chunk += t.rows) {
        const float *from = partial + (size_t)chunk * 2 * channels + channel;
        load8(from, v);
        load8(from + channels, out);
        for (int i = 0; i < OCTET; i++) {
            sum[i] += v[i];
            sum[OCTET + i] += out[i];
        }
    }
    sum_rows<2 * OCTET>(g, t, sum, shared);
    return true;
}

static __device__ inline void put_sums(const float sum[2 * OCTET], float count, size_t channel, size_t channels,
                                       const float *saved, struct sum_targets target) {
    if (target.part)
        put_part(target.part, channel, channels, count, sum, sum + OCTET);
    else
        finish_sums(sum, count, channel, channels, saved, target.means);
    if (target.dgamma)
        store8(target.dgamma + channel, sum + OCTET);
    if (target.dbeta)
        store8(target.dbeta + channel, sum);
}

template <typename T>
static __global__ void gradient_sums(struct reduction_grid g, bool relu, const T *x, const T *y, const T *dy,
                                     const float *saved, float *partial, unsigned *counters,
                                     struct sum_targets target) {
    struct reduction_thread t = reduction_thread_of(g);
    float sum[2 * OCTET];
    if (batch_sums(g, t, relu, x, y, dy, saved, partial, counters, sum) && t.octet < g.octets && t.row == 0)
        put_sums(sum, (float)g.pixels, (size_t)t.octet * OCTET, (size_t)g.octets * OCTET, saved, target);
}

// parts: [members][2 channels + OCTET]
static __global__ void add_parts(int members, size_t channels, const float *parts, const float *saved, float *means) {
    size_t channel = thread_number() * OCTET;
    float sum[2 * OCTET] = {0}, v[OCTET], count = 0;
    if (channel >= channels)
        return;
    for (int m = 0; m < members; m++) {
        const float *part = parts + (size_t)m * (2 * channels + OCTET);
        count += part[2 * channels];
        for (int half = 0; half < 2; half++) {
            load8(part + (size_t)half * channels + channel, v);
            for (int i = 0; i < OCTET; i++)
                sum[half * OCTET + i] += v[i];
        }
    }
    finish_sums(sum, count, channel, channels, saved, means);
}

struct grad_targets {
    bool relu, add_x, add_residual;
};

// What the gradient is made of, and goes to: values of the same shape; x's gradient, the residual's, or both.
template <typename T> struct gradient_values {
    const T *x, *y, *dy;
    T *dx, *dresidual;
};

struct gradient_octet { // of one octet of channels
    float mean[OCTET], scale[OCTET], mean_grad[OCTET], mean_product[OCTET];
};

static __device__ inline struct gradient_octet gradient_octet_of(const float *saved, const float *means,
                                                                 const float *gamma, size_t channel, size_t channels) {
    struct gradient_octet o;
    float r[OCTET];
    load8(saved + channel, o.mean);
    load8(saved + channels + channel, r);
    load8(gamma + channel, o.scale);
    load8(means + channel, o.mean_grad);
    load8(means + channels + channel, o.mean_product);
    for (int c = 0; c < OCTET; c++)
        o.scale[c] *= r[c];
    return o;
}

template <typename T>
static __device__ inline void put_gradient(const struct gradient_octet *o, struct grad_targets k, size_t at,
                                           const struct gradient_values<T> *a) {
    float v[OCTET], out[OCTET], grad[OCTET];
    load8(a->dy + at, grad);
    if (k.relu) {
        load8(a->y + at, out);
        for (int c = 0; c < OCTET; c++)
            grad[c] = out[c] <= 0.0f ? 0.0f : grad[c];
    }
    if (a->dresidual)
        write8(a->dresidual + at, grad, k.add_residual);
    if (!a->dx)
        return;
    load8(a->x + at, v);
    for (int c = 0; c < OCTET; c++)
        grad[c] = o->scale[c] * (grad[c] - o->mean_grad[c] - (v[c] - o->mean[c]) * o->mean_product[c]);
    write8(a->dx + at, grad, k.add_x);
}

template <typename T>
static __global__ void gradient(size_t octets, int channel_octets, struct grad_targets k, const float *saved,
                                const float *means, const float *gamma, struct gradient_values<T> values) {
    size_t i = thread_number();
    if (i >= octets)
        return;
    const struct gradient_octet o =
        gradient_octet_of(saved, means, gamma, i % (size_t)channel_octets * OCTET, (size_t)channel_octets * OCTET);
    put_gradient(&o, k, i * OCTET, &values);
}

template <typename T>
static __global__ void backward_at_once(struct reduction_grid g, struct grad_targets k, const float *saved,
                                        const float *gamma, struct sum_targets target,
                                        struct gradient_values<T> values) {
    struct reduction_thread t = reduction_thread_of(g);
    size_t channels = (size_t)g.octets * OCTET, channel = (size_t)t.octet * OCTET;
    bool mine = t.octet < g.octets;
    float sum[2 * OCTET];
    batch_sums(g, t, k.relu, values.x, values.y, values.dy, saved, nullptr, nullptr, sum);
    if (mine && t.row == 0)
        put_sums(sum, (float)g.pixels, channel, channels, saved, target);
    __syncthreads();
    if (!mine || (!values.dx && !values.dresidual))
        return;
    const struct gradient_octet o = gradient_octet_of(saved, target.means, gamma, channel, channels);
    for (size_t p = (size_t)t.row; p < g.pixels; p += (size_t)t.rows)
        put_gradient(&o, k, p * channels + channel, &values);
}

// ---- launchers ----

template <typename T> static const T *values(const float *x) {
    return reinterpret_cast<const T *>(x);
}

template <typename T> static T *values(float *x) {
    return reinterpret_cast<T *>(x);
}

static size_t channels_of(const struct op_desc *d) {
    return (size_t)padded_channels(d->in.c);
}

size_t cuda_batchnorm_saved_bytes(const struct op_desc *d) {
    return 2 * channels_of(d) * sizeof(float);
}

size_t cuda_batchnorm_part_floats(const struct op_desc *d) {
    return 2 * channels_of(d) + OCTET;
}

// Scratch: means [2][channels], chunks [chunks][2][channels], parts.
static size_t chunk_floats(const struct op_desc *d) {
    return (size_t)reduction_grid_of(d->in).chunks * 2 * channels_of(d);
}

size_t cuda_batchnorm_scratch_bytes(const struct op_desc *d) {
    size_t parts = d->members > 1 ? (size_t)d->members * cuda_batchnorm_part_floats(d) : 0;
    return (2 * channels_of(d) + chunk_floats(d) + parts) * sizeof(float);
}

static float *means_of(const struct op_args *a) {
    return static_cast<float *>(a->scratch);
}

static float *chunks_of(const struct op_desc *d, const struct op_args *a) {
    return means_of(a) + 2 * channels_of(d);
}

float *cuda_batchnorm_parts(const struct op_desc *d, const struct op_args *a) {
    return chunks_of(d, a) + chunk_floats(d);
}

static float *own_part(const struct op_desc *d, const struct op_args *a) { // NULL: alone
    return a->together ? cuda_batchnorm_parts(d, a) + (size_t)a->together->member * cuda_batchnorm_part_floats(d)
                       : nullptr;
}

static cudaError_t clear_part(const struct op_desc *d, const struct op_args *a, cudaStream_t stream) {
    return cudaMemsetAsync(own_part(d, a), 0, cuda_batchnorm_part_floats(d) * sizeof(float), stream);
}

static struct statistics_targets targets_of(const struct op_desc *d, const struct op_args *a) {
    return {own_part(d, a), static_cast<float *>(a->saved), a->buffer[0], a->buffer[1]};
}

static struct norm norm_of(const struct op_desc *d) {
    return {d->epsilon, d->momentum};
}

template <typename T>
static cudaError_t take_statistics(const struct op_desc *d, const struct op_args *a, struct cuda_workspace *w,
                                   cudaStream_t stream) {
    struct reduction_grid g = reduction_grid_of(d->in);
    return launch(statistics<T>, reduction_blocks(g), BLOCK_THREADS, stream, g, norm_of(d), values<T>(a->input[0]),
                  chunks_of(d, a), w->counters, targets_of(d, a));
}

static struct norm_vectors vectors_of(const struct op_desc *d, const struct op_args *a) {
    const float *saved = static_cast<const float *>(a->saved);
    if (a->training)
        return {saved, saved + channels_of(d), a->param[0], a->param[1]};
    return {a->buffer[0], a->buffer[1], a->param[0], a->param[1]};
}

template <typename T> static const T *residual_of(const struct op_desc *d, const struct op_args *a) {
    return d->residual ? values<T>(a->input[1]) : nullptr;
}

template <typename T> static cudaError_t apply(const struct op_desc *d, const struct op_args *a, cudaStream_t stream) {
    return launch(normalize<T>, blocks_for(octet_count(d->in)), BLOCK_THREADS, stream, octet_count(d->in),
                  (int)(channels_of(d) / OCTET), vectors_of(d, a), d->epsilon, a->training, d->relu,
                  values<T>(a->input[0]), residual_of<T>(d, a), values<T>(a->output[0]));
}

// In training, without a group.
template <typename T>
static cudaError_t forward_alone(const struct op_desc *d, const struct op_args *a, struct cuda_workspace *w,
                                 cudaStream_t stream) {
    struct reduction_grid g = reduction_grid_of(d->in);
    if (g.chunks == 1)
        return launch(forward_at_once<T>, reduction_blocks(g), BLOCK_THREADS, stream, g, norm_of(d), targets_of(d, a),
                      vectors_of(d, a), d->relu, values<T>(a->input[0]), residual_of<T>(d, a), values<T>(a->output[0]));
    cudaError_t code = take_statistics<T>(d, a, w, stream);
    return code == cudaSuccess ? apply<T>(d, a, stream) : code;
}

static struct sum_targets sum_targets_of(const struct op_desc *d, const struct op_args *a) {
    return {own_part(d, a), means_of(a), a->param_grad[0], a->param_grad[1]};
}

template <typename T>
static struct gradient_values<T> gradient_values_of(const struct op_desc *d, const struct op_args *a) {
    return {values<T>(a->input[0]), d->relu ? values<T>(a->output[0]) : nullptr, values<T>(a->output_grad[0]),
            values<T>(a->input_grad[0]), d->residual ? values<T>(a->input_grad[1]) : nullptr};
}

static struct grad_targets
grad_targets_of(const struct op_desc *d, const struct op_args *a) {
    return {d->relu, a->input_grad_accumulate[0], a->input_grad_accumulate[1]};
}

template <typename T>
static cudaError_t take_sums(const struct op_desc *d, const struct op_args *a, struct cuda_workspace *w,
                             cudaStream_t stream) {
    struct reduction_grid g = reduction_grid_of(d->in);
    struct gradient_values<T> v = gradient_values_of<T>(d, a);
    return launch(gradient_sums<T>, reduction_blocks(g), BLOCK_THREADS, stream, g, d->relu, v.x, v.y, v.dy,
                  static_cast<const float *>(a->saved), chunks_of(d, a), w->counters, sum_targets_of(d, a));
}

template <typename T>
static cudaError_t apply_gradient(const struct op_desc *d, const struct op_args *a, cudaStream_t stream) {
    struct gradient_values<T> v = gradient_values_of<T>(d, a);
    if (!v.dx && !v.dresidual)
        return cudaSuccess;
    return launch(gradient<T>, blocks_for(octet_count(d->in)), BLOCK_THREADS, stream, octet_count(d->in),
                  (int)(channels_of(d) / OCTET), grad_targets_of(d, a), static_cast<const float *>(a->saved),
                  means_of(a), a->param[0], v);
}

// Without a group.
template <typename T>
static cudaError_t backward_alone(const struct op_desc *d, const struct op_args *a, struct cuda_workspace *w,
                                  cudaStream_t stream) {
    struct reduction_grid g = reduction_grid_of(d->in);
    if (g.chunks == 1)
        return launch(backward_at_once<T>, reduction_blocks(g), BLOCK_THREADS, stream, g, grad_targets_of(d, a),
                      static_cast<const float *>(a->saved), a->param[0], sum_targets_of(d, a),
                      gradient_values_of<T>(d, a));
    cudaError_t code = take_sums<T>(d, a, w, stream);
    return code == cudaSuccess ? apply_gradient<T>(d, a, stream) : code;
}

cudaError_t cuda_batchnorm_forward_part(const struct op_desc *d, bool is_bf16, const struct op_args *a,
                                        struct cuda_workspace *w, cudaStream_t stream) {
    if (a->absent)
        return clear_part(d, a, stream);
    return is_bf16 ? take_statistics<bf16>(d, a, w, stream) : take_statistics<float>(d, a, w, stream);
}

cudaError_t cuda_batchnorm_forward_rest(const struct op_desc *d, bool is_bf16, const struct op_args *a,
                                        cudaStream_t stream) {
    cudaError_t code =
        launch(merge_parts, blocks_for(channels_of(d) / OCTET), BLOCK_THREADS, stream, a->together->members,
               channels_of(d), norm_of(d), cuda_batchnorm_parts(d, a), targets_of(d, a));
    if (code != cudaSuccess || a->absent)
        return code;
    return is_bf16 ? apply<bf16>(d, a, stream) : apply<float>(d, a, stream);
}

cudaError_t cuda_batchnorm_backward_part(const struct op_desc *d, bool is_bf16, const struct op_args *a,
                                         struct cuda_workspace *w, cudaStream_t stream) {
    if (a->absent)
        return clear_part(d, a, stream);
    return is_bf16 ? take_sums<bf16>(d, a, w, stream) : take_sums<float>(d, a, w, stream);
}

cudaError_t cuda_batchnorm_backward_rest(const struct op_desc *d, bool is_bf16, const struct op_args *a,
                                         cudaStream_t stream) {
    if (a->absent)
        return cudaSuccess;
    cudaError_t code =
        launch(add_parts, blocks_for(channels_of(d) / OCTET), BLOCK_THREADS, stream, a->together->members,
               channels_of(d), cuda_batchnorm_parts(d, a), static_cast<const float *>(a->saved), means_of(a));
    if (code != cudaSuccess)
        return code;
    return is_bf16 ? apply_gradient<bf16>(d, a, stream) : apply_gradient<float>(d, a, stream);
}

cudaError_t cuda_batchnorm_forward(const struct op_desc *d, bool is_bf16, const struct op_args *a,
                                   struct cuda_workspace *w, cudaStream_t stream) {
    if (a->training)
        return is_bf16 ? forward_alone<bf16>(d, a, w, stream) : forward_alone<float>(d, a, w, stream);
    return is_bf16 ? apply<bf16>(d, a, stream) : apply<float>(d, a, stream);
}

cudaError_t cuda_batchnorm_backward(const struct op_desc *d, bool is_bf16, const struct op_args *a,
                                    struct cuda_workspace *w, cudaStream_t stream) {
    return is_bf16 ? backward_alone<bf16>(d, a, w, stream) : backward_alone<float>(d, a, w, stream);
}
