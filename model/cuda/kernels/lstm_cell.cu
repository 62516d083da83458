// OP_LSTM_CELL (Shi et al. 2015, without peepholes): c = s(f) c' + s(i) tanh(g), h = s(o) tanh(c), with s the logistic
// function and c' the previous state.
//
// The gates of a pixel are one run of 4C channels, i f g o, padded at its end; h and c have C, padded. One thread a
// channel of h: the four gates of a warp's neighbours are four runs of 32. A thread of the padding writes the zeros of
// h and c; those of the gates' gradient are written by the first threads of each pixel.
#include "model/cuda/kernels/device.cuh"

struct cell {
    int channels, padded, gates_padded; // C, C in octets, 4C in octets
    bool no_previous;
};

struct gates {
    float i, f, g, o; // after activation
};

static __device__ inline float logistic(float x) {
    return 1.0f / (1.0f + expf(-x));
}

template <typename T> static __device__ inline struct gates gates_at(const T *x, int channels) {
    struct gates s;
    s.i = logistic(to_float(x[0]));
    s.f = logistic(to_float(x[channels]));
    s.g = tanhf(to_float(x[2 * channels]));
    s.o = logistic(to_float(x[3 * channels]));
    return s;
}

template <typename T>
static __global__ void cell_forward(size_t elements, struct cell k, const T *gates, const T *previous, T *h, T *c) {
    size_t at = thread_number();
    if (at >= elements)
        return;
    size_t pixel = at / (size_t)k.padded;
    int channel = (int)(at % (size_t)k.padded);
    float state = 0, hidden = 0;
    if (channel < k.channels) {
        struct gates s = gates_at(gates + pixel * (size_t)k.gates_padded + channel, k.channels);
        state = s.i * s.g + (k.no_previous ? 0.0f : s.f * to_float(previous[at]));
        hidden = s.o * tanhf(state);
    }
    from_float(h + at, hidden);
    from_float(c + at, state);
}

template <typename T> static __device__ inline void put(T *to, float value, bool accumulate) {
    from_float(to, accumulate ? to_float(*to) + value : value);
}

struct cell_grads { // of inputs, and whether they are added to
    bool add_gates, add_previous;
};

template <typename T>
static __global__ void cell_backward(size_t elements, struct cell k, struct cell_grads add, const T *gates,
                                     const T *previous, const T *c, const T *dh, const T *dc, T *dgates, T *dprevious) {
    size_t at = thread_number();
    if (at >= elements)
        return;
    size_t pixel = at / (size_t)k.padded;
    int channel = (int)(at % (size_t)k.padded);
    T *dx = dgates + pixel * (size_t)k.gates_padded;
    if (!add.add_gates && channel < k.gates_padded - 4 * k.channels)
        from_float(dx + 4 * k.channels + channel, 0.0f);
    if (channel >= k.channels) {
        if (dprevious && !add.add_previous)
            from_float(dprevious + at, 0.0f);
        return;
    }
    struct gates s = gates_at(gates + pixel * (size_t)k.gates_padded + channel, k.channels);
    float squashed = tanhf(to_float(c[at])), before = k.no_previous ? 0.0f : to_float(previous[at]);
    float grad_h = to_float(dh[at]);
    float grad_c = grad_h * s.o * (1.0f - squashed * squashed) + (dc ? to_float(dc[at]) : 0.0f);
    dx += channel;
    put(dx, grad_c * s.g * s.i * (1.0f - s.i), add.add_gates);
    put(dx + k.channels, grad_c * before * s.f * (1.0f - s.f), add.add_gates);
    put(dx + 2 * k.channels, grad_c * s.i * (1.0f - s.g * s.g), add.add_gates);
    put(dx + 3 * k.channels, grad_h * squashed * s.o * (1.0f - s.o), add.add_gates);
    if (dprevious)
        put(dprevious + at, grad_c * s.f, add.add_previous);
}

static struct cell cell_of(const struct op_desc *d) {
    return {d->out.c, padded_channels(d->out.c), padded_channels(d->in.c), d->no_previous};
}

template <typename T> static const T *values(const float *x) {
    return reinterpret_cast<const T *>(x);
}

template <typename T> static T *values(float *x) {
    return reinterpret_cast<T *>(x);
}

template <typename T>
static cudaError_t forward(const struct op_desc *d, const struct op_args *a, cudaStream_t stream) {
    size_t elements = octet_count(d->out) * OCTET;
    return launch(cell_forward<T>, blocks_for(elements), BLOCK_THREADS, stream, elements, cell_of(d),
                  values<T>(a->input[0]), values<T>(a->input[1]), values<T>(a->output[0]), values<T>(a->output[1]));
}

template <typename T>
static cudaError_t backward(const struct op_desc *d, const struct op_args *a, cudaStream_t stream) {
    size_t elements = octet_count(d->out) * OCTET;
    struct cell_grads add = {a->input_grad_accumulate[0], a->input_grad_accumulate[1]};
    return launch(cell_backward<T>, blocks_for(elements), BLOCK_THREADS, stream, elements, cell_of(d), add,
                  values<T>(a->input[0]), values<T>(a->input[1]), values<T>(a->output[1]), values<T>(a->output_grad[0]),
                  values<T>(a->output_grad[1]), values<T>(a->input_grad[0]),
                  d->no_previous ? nullptr : values<T>(a->input_grad[1]));
}

cudaError_t cuda_lstm_cell_forward(const struct op_desc *d, bool is_bf16, const struct op_args *a,
                                   cudaStream_t stream) {
    return is_bf16 ? forward<bf16>(d, a, stream) : forward<float>(d, a, stream);
}

cudaError_t cuda_lstm_cell_backward(const struct op_desc *d, bool is_bf16, const struct op_args *a,
                                    cudaStream_t stream) {
    return is_bf16 ? backward<bf16>(d, a, stream) : backward<float>(d, a, stream);
}
