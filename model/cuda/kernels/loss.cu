// Focal loss (Lin et al. 2017), its gradient, and the confusion counts. With z = x for a positive and -x for a negative
// pixel and q = s(-z) the probability of being wrong:
//   loss = a q^gamma softplus(-z),  dloss/dz = -a q^gamma (gamma (1 - q) softplus(-z) + q)
// both divided by the number of pixels that count (mask not 255).
//
// The logits have one channel, padded to eight. First kernel: LOSS_BLOCKS blocks (or fewer) stride over the pixels, sum
// in double, and the last to finish adds the blocks' sums in order. In a group that is this member's part, and one
// thread adds the parts in the order of the members. Last kernel: one thread a pixel writes the gradient.
#include "model/cuda/kernels/device.cuh"
#include "model/cuda/kernels/workspace.cuh"

enum { MASK_IGNORED = 255, SUMS = 6 }; // loss, tp, fp, fn, tn, pixels that count

struct focal {
    float alpha, gamma;
};

static __device__ inline float pixel_loss(float x, bool positive, struct focal k, float *gradient) {
    float z = positive ? x : -x;
    float entropy = (z < 0.0f ? -z : 0.0f) + log1pf(expf(-fabsf(z))), q = 1.0f / (1.0f + expf(z));
    float weight = (positive ? k.alpha : 1.0f - k.alpha) * powf(q, k.gamma);
    float slope = -weight * (k.gamma * (1.0f - q) * entropy + q);
    *gradient = positive ? slope : -slope;
    return weight * entropy;
}

struct ending { // of a step
    struct cuda_step step;
    int batch;
    bool last; // nothing comes after the loss
};

static __device__ inline void finish_loss(const double sum[SUMS], struct cuda_workspace *w, struct ending e) {
    w->loss.loss = sum[5] > 0 ? sum[0] / sum[5] : 0;
    w->loss.tp = (int64_t)sum[1];
    w->loss.fp = (int64_t)sum[2];
    w->loss.fn = (int64_t)sum[3];
    w->loss.tn = (int64_t)sum[4];
    w->counted_pixels = (float)sum[5];
    if (e.step.stretch) {
        struct step_result *result = &e.step.results[e.step.stretch->step];
        result->sums = w->loss;
        result->grad_norm = 0;
        e.step.stretch->next_cut += e.batch;
        e.step.stretch->step += e.last;
    }
}

static __global__ void add_parts(int members, struct cuda_workspace *w, struct ending e) {
    double sum[SUMS] = {0};
    for (int m = 0; m < members; m++)
        for (int i = 0; i < SUMS; i++)
            sum[i] += w->loss_parts[m][i];
    finish_loss(sum, w, e);
}

// part: this member's; NULL: alone
template <typename T>
static __global__ void sum_losses(size_t pixels, struct focal k, const T *logits, const uint8_t *mask,
                                  struct cuda_workspace *w, double *part, struct ending e) {
    __shared__ double shared[BLOCK_THREADS * SUMS];
    double sum[SUMS] = {0};
    for (size_t p = thread_number(); p < pixels; p += (size_t)gridDim.x * blockDim.x) {
        if (mask[p] == MASK_IGNORED)
            continue;
        float x = to_float(logits[p * OCTET]), gradient;
        bool positive = mask[p] != 0, predicted = x > 0.0f;
        sum[0] += (double)pixel_loss(x, positive, k, &gradient);
        sum[1] += predicted && positive;
        sum[2] += predicted && !positive;
        sum[3] += !predicted && positive;
        sum[4] += !predicted && !positive;
        sum[5] += 1;
    }
    sum_threads<SUMS>(sum, shared);
    if (threadIdx.x == 0)
        for (int i = 0; i < SUMS; i++)
            w->loss_partial[blockIdx.x][i] = sum[i];
    if (!last_block(&w->loss_counter, gridDim.x))
        return;
    for (int i = 0; i < SUMS; i++)
        sum[i] = threadIdx.x < gridDim.x ? w->loss_partial[threadIdx.x][i] : 0;
    sum_threads<SUMS>(sum, shared);
    if (threadIdx.x != 0)
        return;
    for (int i = 0; part && i < SUMS; i++)
        part[i] = sum[i];
    if (!part)
        finish_loss(sum, w, e);
}

template <typename T>
static __global__ void loss_gradient(size_t pixels, struct focal k, const T *logits, const uint8_t *mask,
                                     const struct cuda_workspace *w, T *dlogits) {
    size_t p = thread_number();
    if (p >= pixels)
        return;
    float v[OCTET] = {0};
    if (mask[p] != MASK_IGNORED) {
        pixel_loss(to_float(logits[p * OCTET]), mask[p] != 0, k, v);
        v[0] /= w->counted_pixels;
    }
    store8(dlogits + p * OCTET, v);
}

static struct ending ending_of(const struct cuda_loss_args *a) {
    return {a->step, a->batch, a->dlogits == nullptr};
}

template <typename T>
static cudaError_t put_sums(const struct cuda_loss_args *a, double *part, struct cuda_workspace *w,
                            cudaStream_t stream) {
    size_t pixels = pixel_count(a->shape);
    dim3 grid = blocks_for(pixels);
    dim3 few(grid.x < LOSS_BLOCKS ? grid.x : (unsigned)LOSS_BLOCKS);
    struct focal k = {a->config.alpha, a->config.gamma};
    return launch(sum_losses<T>, few, BLOCK_THREADS, stream, pixels, k, reinterpret_cast<const T *>(a->logits), a->mask,
                  w, part, ending_of(a));
}

cudaError_t cuda_loss_sums(const struct cuda_loss_args *a, struct cuda_workspace *w, cudaStream_t stream) {
    double *part = a->together ? w->loss_parts[a->together->member] : nullptr;
    if (a->shape.n == 0)
        return cudaMemsetAsync(part, 0, sizeof w->loss_parts[0], stream);
    return a->bf16 ? put_sums<bf16>(a, part, w, stream) : put_sums<float>(a, part, w, stream);
}

cudaError_t cuda_loss_total(const struct cuda_loss_args *a, struct cuda_workspace *w, cudaStream_t stream) {
    return launch(add_parts, dim3(1), 1, stream, a->together->members, w, ending_of(a));
}

template <typename T>
static cudaError_t gradient(const struct cuda_loss_args *a, const struct cuda_workspace *w, cudaStream_t stream) {
    size_t pixels = pixel_count(a->shape);
    struct focal k = {a->config.alpha, a->config.gamma};
    return launch(loss_gradient<T>, blocks_for(pixels), BLOCK_THREADS, stream, pixels, k,
                  reinterpret_cast<const T *>(a->logits), a->mask, w, reinterpret_cast<T *>(a->dlogits));
}

cudaError_t cuda_loss_gradient(const struct cuda_loss_args *a, struct cuda_workspace *w, cudaStream_t stream) {
    if (a->shape.n == 0)
        return cudaSuccess;
    return a->bf16 ? gradient<bf16>(a, w, stream) : gradient<float>(a, w, stream);
}
