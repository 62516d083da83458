// Arithmetic over flat arenas of n floats: sum of squares and the update rules of SGD and AdamW (as PyTorch's
// torch.optim; Loshchilov and Hutter 2019). One thread four floats, in 16-byte
// loads and stores; with bf16 the update also writes the parameters' copy (params.c).
//
// The update's numbers stand in device memory (struct cuda_update), where the host or `begin_update` puts them: a
// captured step replays with another learning rate. `begin_update` takes the global norm from the sum of squares, as
// torch.nn.utils.clip_grad_norm_ clips by it; a norm or loss that is not finite switches the update off.
#include "model/cuda/kernels/device.cuh"
#include "model/cuda/kernels/workspace.cuh"

// Floats first .. first + 3 of an array of n, in one load where all four are there; what is past n is zero.
struct quad {
    float v[4];
};

static __device__ inline struct quad load4(size_t n, size_t first, const float *x) {
    struct quad q = {{0, 0, 0, 0}};
    if (first + 4 <= n) {
        const float4 four = *reinterpret_cast<const float4 *>(x + first);
        q.v[0] = four.x, q.v[1] = four.y, q.v[2] = four.z, q.v[3] = four.w;
    } else {
        for (int i = 0; first + (size_t)i < n; i++)
            q.v[i] = x[first + (size_t)i];
    }
    return q;
}

static __device__ inline void store4(size_t n, size_t first, struct quad q, float *x) {
    if (first + 4 <= n)
        *reinterpret_cast<float4 *>(x + first) = make_float4(q.v[0], q.v[1], q.v[2], q.v[3]);
    else
        for (int i = 0; first + (size_t)i < n; i++)
            x[first + (size_t)i] = q.v[i];
}

static __device__ inline void store4(size_t n, size_t first, struct quad q, bf16 *x) {
    if (first + 4 <= n)
        *reinterpret_cast<uint2 *>(x + first) = make_uint2(pack2(q.v[0], q.v[1]), pack2(q.v[2], q.v[3]));
    else
        for (int i = 0; first + (size_t)i < n; i++)
            x[first + (size_t)i] = __float2bfloat16_rn(q.v[i]);
}

static inline size_t quad_count(size_t n) {
    return (n + 3) / 4;
}

static __global__ void sum_squares(size_t n, const float *x, struct cuda_workspace *w) {
    __shared__ double shared[BLOCK_THREADS];
    double sum[1] = {0};
    for (size_t first = thread_number() * 4; first < n; first += (size_t)gridDim.x * blockDim.x * 4) {
        struct quad q = load4(n, first, x);
        for (int i = 0; i < 4; i++)
            sum[0] += (double)q.v[i] * (double)q.v[i];
    }
    sum_threads<1>(sum, shared);
    if (threadIdx.x == 0)
        w->square_partial[blockIdx.x] = sum[0];
    if (!last_block(&w->square_counter, gridDim.x))
        return;
    sum[0] = 0;
    for (unsigned i = threadIdx.x; i < gridDim.x; i += blockDim.x)
        sum[0] += w->square_partial[i];
    sum_threads<1>(sum, shared);
    if (threadIdx.x == 0)
        w->squares = sum[0];
}

static __global__ void sgd(size_t n, const struct cuda_update *u, const float *grad, float *velocity, float *param,
                           bf16 *copy) {
    const struct cuda_update k = *u;
    size_t first = thread_number() * 4;
    if (k.skip)
        return;
    struct quad g = load4(n, first, grad), v = load4(n, first, velocity), p = load4(n, first, param);
    for (int i = 0; i < 4; i++) {
        float slope = k.clip * g.v[i] + k.weight_decay * p.v[i];
        v.v[i] = k.first ? slope : k.momentum * v.v[i] + slope;
        p.v[i] -= k.lr * v.v[i];
    }
    store4(n, first, v, velocity);
    store4(n, first, p, param);
    if (copy)
        store4(n, first, p, copy);
}

static __global__ void adamw(size_t n, const struct cuda_update *u, const float *grad, float *moment1, float *moment2,
                             float *param, bf16 *copy) {
    const struct cuda_update k = *u;
    size_t first = thread_number() * 4;
    if (k.skip)
        return;
    struct quad g = load4(n, first, grad), m = load4(n, first, moment1), v = load4(n, first, moment2);
    struct quad p = load4(n, first, param);
    for (int i = 0; i < 4; i++) {
        float slope = k.clip * g.v[i];
        m.v[i] = k.beta1 * m.v[i] + k.take1 * slope;
        v.v[i] = k.beta2 * v.v[i] + k.take2 * slope * slope;
        p.v[i] = p.v[i] * k.shrink - k.size * m.v[i] / (sqrtf(v.v[i]) * k.root + k.epsilon);
    }
    store4(n, first, m, moment1);
    store4(n, first, v, moment2);
    store4(n, first, p, param);
    if (copy)
        store4(n, first, p, copy);
}

// One thread. The numbers are worked out in double, as the host does for the steps that it leads.
static __global__ void begin_update(struct optimizer_config config, struct cuda_step step, struct cuda_workspace *w) {
    struct cuda_stretch *stretch = step.stretch;
    struct step_result *result = &step.results[stretch->step];
    struct cuda_update *u = &w->update;
    double norm = sqrt(w->squares), lr = (double)(float)stretch->lr, t = (double)(stretch->optimizer_steps + 1);
    result->grad_norm = norm;
    if (!isfinite(result->sums.loss) || !isfinite(norm))
        stretch->halted = 1;
    double factor = config.clip_norm > 0 ? (double)config.clip_norm / (norm + 1e-6) : 1;
    u->clip = factor < 1 ? (float)factor : 1.0f;
    u->lr = (float)lr;
    u->momentum = config.momentum;
    u->weight_decay = config.weight_decay;
    u->beta1 = config.beta1;
    u->take1 = (float)(1 - (double)config.beta1);
    u->beta2 = config.beta2;
    u->take2 = (float)(1 - (double)config.beta2);
    u->shrink = (float)(1 - lr * (double)config.weight_decay);
    u->size = (float)(lr / (1 - pow((double)config.beta1, t)));
    u->root = (float)(1 / sqrt(1 - pow((double)config.beta2, t)));
    u->epsilon = config.epsilon;
    u->first = stretch->optimizer_steps == 0;
    u->skip = stretch->halted;
    stretch->optimizer_steps += !stretch->halted;
    stretch->step++;
}

cudaError_t cuda_begin_update(const struct optimizer_config *config, const struct cuda_step *step,
                              struct cuda_workspace *w, cudaStream_t stream) {
    return launch(begin_update, dim3(1), 1, stream, *config, *step, w);
}

cudaError_t cuda_sum_squares(size_t n, const float *x, struct cuda_workspace *w, cudaStream_t stream) {
    size_t blocks = (n + BLOCK_THREADS * 16 - 1) / (BLOCK_THREADS * 16);
    dim3 grid(blocks < 1 ? 1 : blocks > SQUARE_BLOCKS ? (unsigned)SQUARE_BLOCKS : (unsigned)blocks);
    return launch(sum_squares, grid, BLOCK_THREADS, stream, n, x, w);
}

cudaError_t cuda_sgd_step(size_t n, const float *grad, float *velocity, float *param, void *copy,
                          struct cuda_workspace *w, cudaStream_t stream) {
    return launch(sgd, blocks_for(quad_count(n)), BLOCK_THREADS, stream, n, &w->update, grad, velocity, param,
                  static_cast<bf16 *>(copy));
}

cudaError_t cuda_adamw_step(size_t n, const float *grad, float *moment1, float *moment2, float *param, void *copy,
                            struct cuda_workspace *w, cudaStream_t stream) {
    return launch(adamw, blocks_for(quad_count(n)), BLOCK_THREADS, stream, n, &w->update, grad, moment1, moment2, param,
                  static_cast<bf16 *>(copy));
}
