// Cuts a batch out of the samples that live on the device: crop, flips, quarter turns (sample_cut.h), and the mask with
// them. The samples are the loader's, (T,C,height,width) float, normalized; the batch is a value of frames n = t *
// batch + b, and its masks (batch,S,S). Which cuts come next stands in device memory (struct cuda_stretch), so that a
// recorded step takes other samples at every replay.
//
// One thread a pixel of a frame and octet of its channels; the threads of a warp read neighbouring pixels of a plane,
// unless the cut is turned. blockIdx.y is the frame.
#include "model/cuda/kernels/device.cuh"
#include "model/cuda/workspace.h"

struct batch_shape {
    int first, batch, steps, bands, size, octets;
};

template <typename T>
static __global__ void cut(struct batch_shape k, const struct cuda_sample *samples, const struct sample_cut *cuts,
                           const struct cuda_stretch *stretch, T *input, uint8_t *mask) {
    int i = (int)thread_number(), pixels = k.size * k.size, last = k.size - 1;
    if (i >= pixels * k.octets)
        return;
    int octet = i / pixels, pixel = i % pixels, b = (int)blockIdx.y % k.batch, t = (int)blockIdx.y / k.batch;
    const struct sample_cut c = cuts[stretch->next_cut + k.first + b];
    const struct cuda_sample s = samples[c.sample];
    int y = pixel / k.size, x = pixel % k.size;
    for (int turn = 0; turn < c.quarter_turns; turn++) {
        int before = y;
        y = x;
        x = last - before;
    }
    y = c.top + (c.flip_vertical ? last - y : y);
    x = c.left + (c.flip_horizontal ? last - x : x);
    size_t from = (size_t)y * (size_t)s.width + (size_t)x, plane = (size_t)s.height * (size_t)s.width;
    float v[OCTET] = {0};
    for (int channel = 0; channel < OCTET && octet * OCTET + channel < k.bands; channel++)
        v[channel] = s.image[(size_t)(t * k.bands + octet * OCTET + channel) * plane + from];
    store8(input + (((size_t)blockIdx.y * (size_t)pixels + (size_t)pixel) * (size_t)k.octets + (size_t)octet) * OCTET,
           v);
    if (t == 0 && octet == 0)
        mask[b * pixels + pixel] = s.mask[from];
}

cudaError_t cuda_cut(const struct cuda_cut_args *a, bool is_bf16, float *input, cudaStream_t stream) {
    struct batch_shape k = {a->first, a->batch, a->steps, a->bands, a->size, padded_channels(a->bands) / OCTET};
    dim3 grid = blocks_for((size_t)k.size * (size_t)k.size * (size_t)k.octets);
    grid.y = (unsigned)(k.batch * k.steps);
    if (is_bf16)
        return launch(cut<bf16>, grid, BLOCK_THREADS, stream, k, a->samples, a->cuts, a->stretch,
                      reinterpret_cast<bf16 *>(input), a->mask);
    return launch(cut<float>, grid, BLOCK_THREADS, stream, k, a->samples, a->cuts, a->stretch, input, a->mask);
}
