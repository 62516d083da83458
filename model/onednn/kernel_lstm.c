// OP_LSTM_CELL (Shi et al. 2015, without peepholes): c = s(f) c_prev + s(i) tanh(g), h = s(o) tanh(c), with s the
// logistic function. One plane of h is a piece of work. Backward works the activations out again: the maps are tiny.
#include "model/onednn/kernel_common.h"

static float logistic(float x) {
    return 1 / (1 + expf(-x));
}

struct gates {
    float i, f, g, o; // after activation
};

static struct gates gates_of(const float *gates, const size_t at[4]) {
    const element *x = elements_of(gates);
    return (struct gates){logistic(to_float(x[at[0]])), logistic(to_float(x[at[1]])), tanhf(to_float(x[at[2]])),
                          logistic(to_float(x[at[3]]))};
}

// 0 where there is no value.
ALWAYS_INLINE float read_at(const float *value, size_t at) {
    return value ? to_float(elements_of(value)[at]) : 0;
}

// One element of h and c: `at` its offset, `gate` the offsets of its four gates.
static void cell_forward(const struct op_args *args, size_t at, const size_t gate[4], float previous) {
    struct gates s = gates_of(args->input[0], gate);
    float c = s.f * previous + s.i * s.g;
    store(elements_to(args->output[0]) + at, s.o * tanhf(c), false);
    store(elements_to(args->output[1]) + at, c, false);
}

static void cell_backward(const struct op_args *args, size_t at, const size_t gate[4], float previous) {
    struct gates s = gates_of(args->input[0], gate);
    float squashed = tanhf(read_at(args->output[1], at)), dh = read_at(args->output_grad[0], at);
    float dc = dh * s.o * (1 - squashed * squashed) + read_at(args->output_grad[1], at);
    bool accumulate = args->input_grad_accumulate[0];
    element *dx = elements_to(args->input_grad[0]);
    if (dx) {
        store(dx + gate[0], dc * s.g * s.i * (1 - s.i), accumulate);
        store(dx + gate[1], dc * previous * s.f * (1 - s.f), accumulate);
        store(dx + gate[2], dc * s.i * (1 - s.g * s.g), accumulate);
        store(dx + gate[3], dh * squashed * s.o * (1 - s.o), accumulate);
    }
    if (args->input_grad[1])
        store(elements_to(args->input_grad[1]) + at, dc * s.f, args->input_grad_accumulate[1]);
}

typedef void cell(const struct op_args *args, size_t at, const size_t gate[4], float previous);

static void plane_cells(const struct op_desc *d, const struct op_args *args, int plane, cell *apply) {
    struct planes p = planes_of(d->out), gates = planes_of(d->in);
    int n = plane / p.blocks, first = plane % p.blocks * BLOCK;
    for (int j = 0; j < p.pixels; j++)
        for (int c = first; c < first + BLOCK && c < d->out.c; c++) {
            size_t at = element_at(p, n, c, j), gate[4];
            for (int q = 0; q < 4; q++)
                gate[q] = element_at(gates, n, q * d->out.c + c, j);
            apply(args, at, gate, d->no_previous ? 0 : read_at(args->input[1], at));
        }
}

// Zeros the padding channels of one plane of a value, unless it holds something to be added to.
static void clear_padding(struct shape s, int plane, float *value, bool accumulate) {
    struct planes p = planes_of(s);
    int real_channels = s.c - plane % p.blocks * BLOCK;
    if (!value || accumulate || real_channels >= BLOCK)
        return;
    element *rows = elements_to(value) + (size_t)plane * plane_elements(p);
    for (int j = 0; j < p.pixels; j++)
        memset(rows + (size_t)j * BLOCK + real_channels, 0, (size_t)(BLOCK - real_channels) * sizeof *rows);
}

void KERNEL(lstm_cell_forward)(const struct op_desc *d, const struct op_args *args, int threads) {
    struct planes p = planes_of(d->out);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int plane = 0; plane < p.frames * p.blocks; plane++) {
        plane_cells(d, args, plane, cell_forward);
        clear_padding(d->out, plane, args->output[0], false);
        clear_padding(d->out, plane, args->output[1], false);
    }
}

void KERNEL(lstm_cell_backward)(const struct op_desc *d, const struct op_args *args, int threads) {
    struct planes p = planes_of(d->out), gates = planes_of(d->in);
    int planes = p.frames * p.blocks, last = gates.blocks - 1;
#pragma omp parallel num_threads(threads)
    {
#pragma omp for schedule(static)
        for (int plane = 0; plane < planes; plane++) {
            plane_cells(d, args, plane, cell_backward);
            clear_padding(d->out, plane, args->input_grad[1], args->input_grad_accumulate[1]);
        }
#pragma omp for schedule(static)
        for (int n = 0; n < gates.frames; n++)
            clear_padding(d->in, n * gates.blocks + last, args->input_grad[0], args->input_grad_accumulate[0]);
    }
}
