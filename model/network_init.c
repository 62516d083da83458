// Initial parameters: PyTorch's formulas (torch.nn.init), each tensor from a random stream of its own.
#include <math.h>
#include <stdlib.h>

#include "model/base/rng.h"
#include "model/network_private.h"

enum { PIECE = 1 << 14 }; // numbers that a thread draws at a time; even

// FNV-1a: a tensor's numbers depend on its key, not on its place among the others.
static uint32_t hash_key(const char *key) {
    uint32_t hash = 2166136261u;
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 16777619u;
    return hash;
}

static void fill_constant(float *x, size_t n, float value) {
    for (size_t i = 0; i < n; i++)
        x[i] = value;
}

// Both draw the numbers that a loop over the stream would: the same bits, whatever the number of threads.

static void fill_uniform(float *x, size_t n, double bound, struct rng stream) {
    enum { PER_BLOCK = 2 };
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t first = 0; first < n; first += PIECE)
        rng_fill_uniform(&stream, (uint32_t)(first / PER_BLOCK), n - first < PIECE ? n - first : PIECE, bound,
                         x + first);
}

static void fill_normal(float *x, size_t n, double deviation, struct rng stream) {
#pragma omp parallel for schedule(static) if (n > PIECE)
    for (size_t first = 0; first < n; first += PIECE)
        rng_fill_normal(&stream, (uint32_t)first, n - first < PIECE ? n - first : PIECE, deviation, x + first);
}

static void draw(const struct state_tensor *t, struct rng stream, float *x) {
    size_t n = t->info.count;
    double fan_in = (double)t->fan_in, fan_out = (double)t->fan_out;
    if (t->info.buffer) {
        fill_constant(x, n, t->initial);
        return;
    }
    switch (t->init) {
    case INIT_ZERO:
        fill_constant(x, n, 0);
        break;
    case INIT_ONE:
        fill_constant(x, n, 1);
        break;
    case INIT_KAIMING_NORMAL_FAN_OUT: // He et al. 2015, gain of a ReLU
        fill_normal(x, n, sqrt(2 / fan_out), stream);
        break;
    case INIT_KAIMING_UNIFORM_FAN_IN:
        fill_uniform(x, n, sqrt(6 / fan_in), stream);
        break;
    case INIT_XAVIER_UNIFORM: // Glorot and Bengio 2010
        fill_uniform(x, n, sqrt(6 / (fan_in + fan_out)), stream);
        break;
    case INIT_PYTORCH_DEFAULT_UNIFORM: // Kaiming uniform with a = sqrt(5)
        fill_uniform(x, n, 1 / sqrt(fan_in), stream);
        break;
    }
}

static size_t largest_tensor(const struct network *net) {
    size_t largest = 1;
    for (int i = 0; i < net->tensor_count; i++)
        if (net->tensors[i].info.count > largest)
            largest = net->tensors[i].info.count;
    return largest;
}

enum status network_initialize(network *net, uint64_t seed, struct error *err) {
    float *host = malloc(largest_tensor(net) * sizeof *host);
    if (!host)
        return error_memory(err, "initial parameters");
    for (int i = 0; i < net->tensor_count; i++) {
        draw(&net->tensors[i], rng_stream(seed, 0, RNG_INIT, 0, hash_key(net->tensors[i].info.key)), host);
        network_write(net, ARENA_PARAM, i, host);
    }
    free(host);
    for (int arena = ARENA_MOMENT1; arena <= ARENA_MOMENT2; arena++)
        if (net->arenas[arena])
            net->b->ops->fill(net->b, net->arenas[arena], 0, net->param_floats * sizeof(float));
    net->steps_taken = 0;
    net->write_failed = false;
    network_forget_snapshot(net);
    return STATUS_OK;
}
