// Focal loss (Lin et al. 2017), its gradient, and the confusion counts. With z = x for a positive and -x for a negative
// pixel and q = s(-z) the probability of being wrong:
//   loss = a q^gamma softplus(-z),  dloss/dz = -a q^gamma (gamma (1 - q) softplus(-z) + q)
// both divided by the number of pixels that count (mask not 255).
//
// The logits have one channel, padded to eight. First kernel: LOSS_BLOCKS blocks (or fewer) stride over the pixels, sum
// in double, and the last to finish adds the blocks' sums in order. Second kernel: one thread a pixel writes the
// gradient.
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

template <typename T>
static __global__ void sum_losses(size_t pixels, struct focal k, const T *logits, const uint8_t *mask,
                                  struct cuda_workspace *w, struct cuda_step step, int batch, bool ends_step) {
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
    if (threadIdx.x == 0) {
        w->loss.loss = sum[5] > 0 ? sum[0] / sum[5] : 0;
        w->loss.tp = (int64_t)sum[1];
        w->loss.fp = (int64_t)sum[2];
        w->loss.fn = (int64_t)sum[3];
        w->loss.tn = (int64_t)sum[4];
        w->counted_pixels = (float)sum[5];
        if (step.stretch) {
            struct step_result *result = &step.results[step.stretch->step];
            result->sums = w->loss;
            result->grad_norm = 0;
            step.stretch->next_cut += batch;
            step.stretch->step += ends_step;
        }
    }
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

template <typename T>
static cudaError_t focal_loss(struct shape shape, struct focal k, const T *logits, const uint8_t *mask, T *dlogits,
                              struct cuda_step step, struct cuda_workspace *w, cudaStream_t stream) {
    size_t pixels = pixel_count(shape);
    dim3 grid = blocks_for(pixels);
    dim3 few(grid.x < LOSS_BLOCKS ? grid.x : (unsigned)LOSS_BLOCKS);
    cudaError_t code = launch(sum_losses<T>, few, BLOCK_THREADS, stream, pixels, k, logits, mask, w, step, shape.n,
                              dlogits == nullptr);
    if (code != cudaSuccess || !dlogits)
        return code;
    return launch(loss_gradient<T>, grid, BLOCK_THREADS, stream, pixels, k, logits, mask, w, dlogits);
}

cudaError_t cuda_focal_loss(struct shape shape, bool is_bf16, const float *logits, const uint8_t *mask,
                            const struct focal_loss_config *config, float *dlogits, const struct cuda_step *step,
                            struct cuda_workspace *w, cudaStream_t stream) {
    struct focal k = {config->alpha, config->gamma};
    struct cuda_step none = {nullptr, nullptr};
    if (is_bf16)
        return focal_loss(shape, k, reinterpret_cast<const bf16 *>(logits), mask, reinterpret_cast<bf16 *>(dlogits),
                          step ? *step : none, w, stream);
    return focal_loss(shape, k, logits, mask, dlogits, step ? *step : none, w, stream);
}
