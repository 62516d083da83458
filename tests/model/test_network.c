// A network as its callers see it: initialisation, the state dict, steps, batches of several sizes, snapshots,
// divergence. Runs on every backend.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/rng.h"
#include "model/network.h"
#include "tests/model/support/backends.h"

enum { BATCH = 3, STEPS = 2, BANDS = 3, SIZE = 32, FRAME = BANDS * SIZE * SIZE, PIXELS = SIZE * SIZE };

static const struct optimizer_config adamw = {.kind = OPTIMIZER_ADAMW,
                                              .beta1 = 0.9f,
                                              .beta2 = 0.999f,
                                              .epsilon = 1e-8f,
                                              .weight_decay = 5e-4f,
                                              .clip_norm = 1,
                                              .focal = {0.25f, 2}};
static const struct optimizer_config sgd = {
    .kind = OPTIMIZER_SGD, .momentum = 0.9f, .weight_decay = 5e-4f, .clip_norm = 1, .focal = {0.25f, 2}};

struct fixture {
    backend *b;
    network *net;
    float image[BATCH * STEPS * FRAME];
    uint8_t mask[BATCH * PIXELS];
};

static const char *backend_name;

static void check(enum status status, const struct error *err) {
    if (status != STATUS_OK)
        fail_msg("%s", err->message);
}

static struct lstm_unet_config small(int steps) {
    return (struct lstm_unet_config){.batch = BATCH,
                                     .steps = steps,
                                     .bands = BANDS,
                                     .image_size = SIZE,
                                     .encoder_width = 2,
                                     .lstm_hidden = 3,
                                     .lstm_layers = 2,
                                     .decoder_channels = {6, 5, 4, 3, 2}};
}

static network *new_network(backend *b, int steps, uint64_t seed) {
    struct lstm_unet_config config = small(steps);
    struct error err;
    network *net;
    check(network_create(b, &config, &net, &err), &err);
    check(network_initialize(net, seed, &err), &err);
    return net;
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    struct error err;
    check(backend_create(backend_name, &(struct backend_config){.threads = 2}, &f->b, &err), &err);
    f->net = new_network(f->b, STEPS, 1);
    struct rng rng = rng_stream(2, 0, RNG_TEST, 0, 0);
    for (int i = 0; i < BATCH * STEPS * FRAME; i++)
        f->image[i] = (float)rng_normal(&rng);
    for (int i = 0; i < BATCH * PIXELS; i++)
        f->mask[i] = i % SIZE < 10;
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    network_destroy(f->net);
    backend_destroy(f->b);
    free(f);
    return 0;
}

static float *read_tensor(network *net, enum network_arena arena, int index) {
    float *host = malloc(network_tensor_at(net, index)->count * sizeof *host);
    assert_non_null(host);
    network_read(net, arena, index, host);
    return host;
}

static bool same_parameters(network *a, network *b) {
    bool same = true;
    for (int i = 0; i < network_tensor_count(a) && same; i++) {
        float *x = read_tensor(a, ARENA_PARAM, i), *y = read_tensor(b, ARENA_PARAM, i);
        same = memcmp(x, y, network_tensor_at(a, i)->count * sizeof *x) == 0;
        free(x);
        free(y);
    }
    return same;
}

static double train(struct fixture *f, network *net, int batch, const struct optimizer_config *config) {
    struct step_result result;
    struct error err;
    check(network_train_step(net, batch, f->image, f->mask, config, 0.01, &result, &err), &err);
    return result.sums.loss;
}

static void state_dict_order(void **state) {
    const struct fixture *f = *state;
    const char *const head[] = {"encoder.conv1.weight",     "encoder.bn1.weight",      "encoder.bn1.bias",
                                "encoder.bn1.running_mean", "encoder.bn1.running_var", "encoder.layer1.0.conv1.weight"};
    for (int i = 0; i < 6; i++)
        assert_string_equal(network_tensor_at(f->net, i)->key, head[i]);
    assert_int_equal(network_tensor_count(f->net), 331);
    int joined = network_tensor_find(f->net, "convlstm.cell_list.0.conv.weight");
    const struct network_tensor *t = network_tensor_at(f->net, joined);
    assert_true(t->shape[0] == 12 && t->shape[1] == 64 + 3 && t->shape[2] == 3);
    assert_string_equal(network_tensor_at(f->net, joined + 1)->key, "convlstm.cell_list.0.conv.bias");
    assert_int_equal(network_tensor_find(f->net, "encoder.fc.weight"), -1);
    size_t scalars = 0;
    for (int i = 0; i < network_tensor_count(f->net); i++)
        if (!network_tensor_at(f->net, i)->buffer)
            scalars += network_tensor_at(f->net, i)->count;
    assert_int_equal(scalars, graph_parameter_count(network_graph(f->net)));
}

static void spread(network *net, const char *key, double *mean, double *deviation, double *largest) {
    int index = network_tensor_find(net, key);
    assert_true(index >= 0);
    size_t count = network_tensor_at(net, index)->count;
    float *x = read_tensor(net, ARENA_PARAM, index);
    double sum = 0, squares = 0;
    *largest = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)x[i];
        squares += (double)x[i] * (double)x[i];
        *largest = fmax(*largest, fabs((double)x[i]));
    }
    free(x);
    *mean = sum / (double)count;
    *deviation = sqrt(squares / (double)count - *mean * *mean);
}

static void check_uniform(network *net, const char *key, double bound) {
    double mean, deviation, largest;
    spread(net, key, &mean, &deviation, &largest);
    if (largest > bound || largest < 0.8 * bound || fabs(mean) > 0.3 * bound)
        fail_msg("%s: mean %g, largest %g, bound %g", key, mean, largest, bound);
}

static void initialisation(void **state) {
    const struct fixture *f = *state;
    double mean, deviation, largest;
    spread(f->net, "encoder.layer4.1.conv2.weight", &mean, &deviation, &largest);
    double expected = sqrt(2.0 / (16 * 9));
    assert_true(fabs(deviation - expected) < 0.1 * expected && fabs(mean) < 0.1 * expected);
    check_uniform(f->net, "convlstm.cell_list.0.conv.weight", sqrt(6.0 / (67 * 9 + 12 * 9)));
    check_uniform(f->net, "decoder.blocks.0.conv1.0.weight", sqrt(6.0 / ((6 + 32) * 9)));
    check_uniform(f->net, "decoder.blocks.0.up.weight", sqrt(1.0 / (6 * 4)));
    check_uniform(f->net, "segmentation_head.0.weight", sqrt(6.0 / (2 * 9 + 9)));
    spread(f->net, "convlstm.cell_list.1.conv.bias", &mean, &deviation, &largest);
    assert_true(largest == 0);
    spread(f->net, "encoder.layer2.0.bn3.weight", &mean, &deviation, &largest);
    assert_true(mean == 1 && deviation == 0);
    spread(f->net, "encoder.layer2.0.bn3.running_var", &mean, &deviation, &largest);
    assert_true(mean == 1 && deviation == 0);
    spread(f->net, "decoder.blocks.0.up.bias", &mean, &deviation, &largest);
    assert_true(largest > 0 && largest <= sqrt(1.0 / (6 * 4)));

    network *same = new_network(f->b, STEPS, 1), *other = new_network(f->b, STEPS, 2);
    assert_true(same_parameters(f->net, same));
    assert_false(same_parameters(f->net, other));
    network_destroy(same);
    network_destroy(other);
}

static uint32_t fnv1a(const char *key) {
    uint32_t hash = 2166136261u;
    for (; *key; key++)
        hash = (hash ^ (unsigned char)*key) * 16777619u;
    return hash;
}

// Threads draw pieces of a tensor; the numbers are those of one loop over its stream, as they always were.
static void initialisation_is_one_stream_a_tensor(void **state) {
    const struct fixture *f = *state;
    static const char *const keys[] = {"encoder.layer4.1.conv2.weight", "decoder.blocks.0.conv1.0.weight"};
    struct lstm_unet_config wide = small(STEPS);
    struct error err;
    network *net;
    wide.encoder_width = 8;
    check(network_create(f->b, &wide, &net, &err), &err);
    check(network_initialize(net, 5, &err), &err);
    for (int k = 0; k < 2; k++) {
        int index = network_tensor_find(net, keys[k]);
        const struct network_tensor *t = network_tensor_at(net, index);
        double fan = (double)(t->shape[k ? 1 : 0] * 9);
        struct rng rng = rng_stream(5, 0, RNG_INIT, 0, fnv1a(keys[k]));
        float *x = read_tensor(net, ARENA_PARAM, index);
        assert_true(k == 1 || t->count > 1 << 14); // more than one piece
        for (size_t i = 0; i < t->count; i++)
            assert_true(x[i] == (k ? (float)((2 * rng_uniform(&rng) - 1) * sqrt(6 / fan))
                                   : (float)(rng_normal(&rng) * sqrt(2 / fan))));
        free(x);
    }
    network_destroy(net);
}

static void what_is_written_is_read(void **state) {
    const struct fixture *f = *state;
    for (int arena = ARENA_PARAM; arena <= ARENA_MOMENT2; arena++)
        for (int i = 0; i < network_tensor_count(f->net); i++) {
            const struct network_tensor *t = network_tensor_at(f->net, i);
            if (t->buffer && arena != ARENA_PARAM)
                continue;
            float *x = malloc(t->count * sizeof *x);
            assert_non_null(x);
            for (size_t k = 0; k < t->count; k++)
                x[k] = (float)(1000 * arena + i) + (float)k / (float)t->count;
            network_write(f->net, (enum network_arena)arena, i, x);
            float *y = read_tensor(f->net, (enum network_arena)arena, i);
            assert_memory_equal(x, y, t->count * sizeof *x);
            free(x);
            free(y);
        }
}

static void moments_begin_at_zero(void **state) {
    const struct fixture *f = *state;
    float *x = read_tensor(f->net, ARENA_MOMENT1, 0);
    assert_true(x[0] == 0);
    free(x);
}

static void training_lowers_the_loss(void **state) {
    struct fixture *f = *state;
    const struct optimizer_config *const configs[] = {&adamw, &sgd};
    for (int k = 0; k < 2; k++) {
        network *net = new_network(f->b, STEPS, 1);
        double first = train(f, net, BATCH, configs[k]), last = first;
        for (int i = 0; i < 15; i++)
            last = train(f, net, BATCH, configs[k]);
        if (!(last < 0.8 * first))
            fail_msg("loss went from %g to %g", first, last);
        assert_int_equal(network_steps_taken(net), 16);
        network_destroy(net);
    }
}

// The same calls give the same bits, and other batch sizes in between leave nothing behind.
static void batches_of_any_size_share_one_network(void **state) {
    struct fixture *f = *state;
    network *other = new_network(f->b, STEPS, 1);
    struct error err;
    struct loss_sums sums;
    float logits[BATCH * PIXELS];
    train(f, other, BATCH, &adamw);
    train(f, other, 1, &adamw);
    train(f, other, BATCH, &adamw);
    train(f, f->net, BATCH, &adamw);
    check(network_evaluate(f->net, 2, f->image, f->mask, &adamw.focal, logits, &sums, &err), &err);
    train(f, f->net, 1, &adamw);
    check(network_evaluate(f->net, BATCH, f->image, NULL, NULL, logits, NULL, &err), &err);
    train(f, f->net, BATCH, &adamw);
    assert_true(same_parameters(f->net, other));
    network_destroy(other);

    struct step_result result;
    assert_int_equal(network_train_step(f->net, BATCH + 1, f->image, f->mask, &adamw, 0.01, &result, &err),
                     STATUS_INVALID);
    assert_string_equal(err.message, "batch of 4 samples; this network takes 1 to 3");
}

// A sample's logits in evaluation do not depend on its neighbours in the batch.
static void evaluation_is_sample_by_sample(void **state) {
    struct fixture *f = *state;
    struct error err;
    float together[BATCH * PIXELS], alone[PIXELS];
    check(network_evaluate(f->net, BATCH, f->image, NULL, NULL, together, NULL, &err), &err);
    for (int b = 0; b < BATCH; b++) {
        check(network_evaluate(f->net, 1, f->image + b * STEPS * FRAME, NULL, NULL, alone, NULL, &err), &err);
        for (int i = 0; i < PIXELS; i++)
            assert_true(fabsf(alone[i] - together[b * PIXELS + i]) < 1e-4f * (1 + fabsf(alone[i])));
    }
}

static void one_timestep_keeps_the_recurrent_weights(void **state) {
    struct fixture *f = *state;
    network *net = new_network(f->b, 1, 1);
    int index = network_tensor_find(net, "convlstm.cell_list.0.conv.weight");
    const struct network_tensor *t = network_tensor_at(net, index);
    assert_int_equal(t->shape[1], 64 + 3);
    train(f, net, BATCH, &sgd);
    float *gradient = read_tensor(net, ARENA_GRAD, index);
    double input = 0, recurrent = 0;
    for (int64_t o = 0; o < t->shape[0]; o++)
        for (int64_t i = 0; i < t->shape[1] * 9; i++)
            *(i < 64 * 9 ? &input : &recurrent) += fabs((double)gradient[o * t->shape[1] * 9 + i]);
    assert_true(input > 0 && recurrent == 0);
    free(gradient);
    network_destroy(net);
}

// Two samples of which the second is ignored count as the first alone, up to batch normalization: evaluation has none
// of that.
static void ignored_pixels_count_nowhere(void **state) {
    struct fixture *f = *state;
    struct error err;
    struct loss_sums alone, both, none;
    check(network_evaluate(f->net, 1, f->image, f->mask, &adamw.focal, NULL, &alone, &err), &err);
    memset(f->mask + PIXELS, 255, PIXELS);
    check(network_evaluate(f->net, 2, f->image, f->mask, &adamw.focal, NULL, &both, &err), &err);
    assert_true(fabs(alone.loss - both.loss) < 1e-6);
    assert_int_equal(both.tp + both.fp + both.fn + both.tn, PIXELS);
    memset(f->mask, 255, sizeof f->mask);
    check(network_evaluate(f->net, 2, f->image, f->mask, &adamw.focal, NULL, &none, &err), &err);
    assert_true(none.loss == 0 && none.tp + none.fp + none.fn + none.tn == 0);
    struct step_result result;
    check(network_gradients(f->net, BATCH, f->image, f->mask, &adamw.focal, NULL, &result, &err), &err);
    assert_true(result.grad_norm == 0);
}

static void divergence_leaves_parameters_alone(void **state) {
    struct fixture *f = *state;
    network *untouched = new_network(f->b, STEPS, 1);
    f->image[5] = NAN;
    struct step_result result;
    struct error err;
    assert_int_equal(network_train_step(f->net, BATCH, f->image, f->mask, &adamw, 0.01, &result, &err),
                     STATUS_DIVERGED);
    assert_non_null(strstr(err.message, "step 1"));
    assert_int_equal(network_steps_taken(f->net), 0);
    for (int i = 0; i < network_tensor_count(f->net); i++) {
        if (network_tensor_at(f->net, i)->buffer)
            continue;
        float *x = read_tensor(f->net, ARENA_PARAM, i), *y = read_tensor(untouched, ARENA_PARAM, i);
        assert_memory_equal(x, y, network_tensor_at(f->net, i)->count * sizeof *x);
        free(x);
        free(y);
    }
    network_destroy(untouched);
}

static void copy_arena(network *to, network *from, enum network_arena arena) {
    for (int i = 0; i < network_tensor_count(from); i++) {
        if (network_tensor_at(from, i)->buffer && arena != ARENA_PARAM)
            continue;
        float *x = read_tensor(from, arena, i);
        network_write(to, arena, i, x);
        free(x);
    }
}

// Parameters, moments and the step count are all that a resumed network needs.
static void training_resumes_from_the_state(void **state) {
    struct fixture *f = *state;
    const struct optimizer_config *const configs[] = {&adamw, &sgd};
    for (int k = 0; k < 2; k++) {
        network *net = new_network(f->b, STEPS, 1), *resumed = new_network(f->b, STEPS, 9);
        train(f, net, BATCH, configs[k]);
        train(f, net, BATCH, configs[k]);
        copy_arena(resumed, net, ARENA_PARAM);
        copy_arena(resumed, net, ARENA_MOMENT1);
        copy_arena(resumed, net, ARENA_MOMENT2);
        network_set_steps_taken(resumed, network_steps_taken(net));
        train(f, net, BATCH, configs[k]);
        train(f, resumed, BATCH, configs[k]);
        assert_true(same_parameters(net, resumed));
        network_destroy(net);
        network_destroy(resumed);
    }
}

static void snapshot_keeps_the_best(void **state) {
    struct fixture *f = *state;
    struct error err;
    assert_false(network_has_snapshot(f->net));
    check(network_snapshot(f->net, &err), &err);
    assert_true(network_has_snapshot(f->net));
    network *untouched = new_network(f->b, STEPS, 1);
    train(f, f->net, BATCH, &adamw);
    assert_false(same_parameters(f->net, untouched));
    for (int i = 0; i < network_tensor_count(f->net); i++) {
        float *x = read_tensor(f->net, ARENA_PARAM, i);
        struct network_piece all = {.snapshot = true, .index = i, .rows = network_tensor_at(f->net, i)->shape[0]};
        network_read_piece(f->net, &all, x);
        network_write(f->net, ARENA_PARAM, i, x);
        free(x);
    }
    assert_true(same_parameters(f->net, untouched));
    check(network_initialize(f->net, 3, &err), &err);
    assert_false(network_has_snapshot(f->net));
    network_destroy(untouched);
}

static bool same_frozen(network_frozen *frozen, network *net, enum network_arena arena, bool best) {
    bool same = true;
    for (int i = 0; same && i < network_tensor_count(net); i++) {
        const struct network_tensor *t = network_tensor_at(net, i);
        if (t->buffer && arena != ARENA_PARAM)
            continue;
        float *x = read_tensor(net, arena, i), *y = malloc(t->count * sizeof *y);
        assert_non_null(y);
        struct network_piece piece = {.arena = arena, .snapshot = best, .index = i};
        int64_t step = network_piece_rows(net, i), all = t->shape[0];
        for (; piece.first < all; piece.first += step) {
            piece.rows = all - piece.first < step ? all - piece.first : step;
            network_frozen_read(frozen, &piece, y + (size_t)piece.first * (t->count / (size_t)all));
        }
        same = memcmp(x, y, t->count * sizeof *x) == 0;
        free(x);
        free(y);
    }
    return same;
}

static network_frozen *new_frozen(network *net, enum optimizer_kind optimizer) {
    struct error err;
    network_frozen *frozen;
    check(network_frozen_create(net, optimizer, &frozen, &err), &err);
    size_t bytes = network_frozen_bytes(net, optimizer), touched = 0;
    while (network_frozen_touch(frozen, touched, 1000))
        touched += 1000;
    assert_true(touched < bytes && bytes - touched <= 1000);
    return frozen;
}

static bool same_state(network_frozen *frozen, network *net, bool moment2) {
    return same_frozen(frozen, net, ARENA_PARAM, false) && same_frozen(frozen, net, ARENA_MOMENT1, false) &&
           (!moment2 || same_frozen(frozen, net, ARENA_MOMENT2, false));
}

// After the exchange of arenas the network goes on as one that never was frozen.
static void same_training(struct fixture *f, network *net, network *twin) {
    struct loss_sums sums, twin_sums;
    struct error err;
    assert_true(same_parameters(net, twin));
    check(network_evaluate(net, BATCH, f->image, f->mask, &adamw.focal, NULL, &sums, &err), &err);
    check(network_evaluate(twin, BATCH, f->image, f->mask, &adamw.focal, NULL, &twin_sums, &err), &err);
    assert_true(sums.loss == twin_sums.loss);
}

static void what_is_frozen_stays(void **state) {
    struct fixture *f = *state;
    struct error err;
    static const struct optimizer_config *const configs[] = {&adamw, &sgd};
    if (!network_can_freeze(f->net)) {
        assert_string_equal(backend_name, "cuda");
        return;
    }
    for (int k = 0; k < 2; k++) {
        network *net = new_network(f->b, STEPS, 2), *twin = new_network(f->b, STEPS, 2),
                *first = new_network(f->b, STEPS, 2);
        check(network_snapshot(net, &err), &err); // of the first parameters
        for (int i = 0; i < 2; i++) {
            train(f, net, BATCH, configs[k]);
            train(f, twin, BATCH, configs[k]);
        }
        network_frozen *frozen = new_frozen(net, configs[k]->kind);
        network_freeze(net, true, frozen);
        assert_true(network_is_freezing(net));
        assert_true(same_state(frozen, twin, k == 0)); // before the step that leaves it
        assert_false(network_has_snapshot(net));       // it was taken
        check(network_snapshot(net, &err), &err);
        train(f, net, BATCH, configs[k]);
        assert_false(network_is_freezing(net));
        assert_false(same_parameters(net, twin));
        assert_true(same_state(frozen, twin, k == 0));
        train(f, net, BATCH, configs[k]); // a second step leaves it alone
        assert_true(same_state(frozen, twin, k == 0));
        assert_true(same_frozen(frozen, first, ARENA_PARAM, true));
        assert_int_equal(network_frozen_steps_taken(frozen), 2);
        network_frozen_destroy(frozen);
        network_frozen_destroy(NULL);
        for (int i = 0; i < 2; i++)
            train(f, twin, BATCH, configs[k]);
        same_training(f, net, twin);
        network_destroy(net);
        network_destroy(twin);
        network_destroy(first);
    }
}

// A frozen state takes the next one as well, and the memory goes to and fro.
static void what_is_frozen_once_can_freeze_again(void **state) {
    struct fixture *f = *state;
    struct error err;
    if (!network_can_freeze(f->net))
        return;
    network *net = new_network(f->b, STEPS, 2), *twin = new_network(f->b, STEPS, 2);
    network_frozen *frozen = new_frozen(net, OPTIMIZER_ADAMW);
    for (int i = 0; i < 3; i++) {
        const bool best = i != 1;
        check(network_snapshot(net, &err), &err);
        network_freeze(net, best, frozen);
        assert_true(network_has_snapshot(net) == !best);
        check(network_snapshot(net, &err), &err); // elsewhere than in what is frozen
        train(f, net, BATCH, &adamw);
        check(network_snapshot(net, &err), &err);
        assert_int_equal(network_frozen_steps_taken(frozen), i);
        assert_true(same_state(frozen, twin, true));
        assert_true(!best || same_frozen(frozen, twin, ARENA_PARAM, true));
        train(f, twin, BATCH, &adamw);
        same_training(f, net, twin);
    }
    network_frozen_destroy(frozen);
    network_destroy(net);
    network_destroy(twin);
}

// Tensors of several megabytes, one of them of two slices.
static void large_tensors_are_read_in_pieces(void **state) {
    struct fixture *f = *state;
    struct error err;
    struct lstm_unet_config wide = small(STEPS);
    wide.encoder_width = 16;
    wide.lstm_hidden = 72;
    network *net;
    int cut = 0;
    check(network_create(f->b, &wide, &net, &err), &err);
    check(network_initialize(net, 1, &err), &err);
    for (int i = 0; i < network_tensor_count(net); i++) {
        const struct network_tensor *t = network_tensor_at(net, i);
        struct network_piece piece = {.arena = ARENA_PARAM, .index = i};
        int64_t step = network_piece_rows(net, i), all = t->shape[0];
        size_t row = t->count / (size_t)all;
        float *whole = read_tensor(net, ARENA_PARAM, i), *part = malloc(((size_t)step * row + 1) * sizeof *part);
        assert_non_null(part);
        cut += step < all;
        for (; piece.first < all; piece.first += step) {
            piece.rows = all - piece.first < step ? all - piece.first : step;
            size_t floats = (size_t)piece.rows * row;
            part[floats] = 42;
            network_read_piece(net, &piece, part);
            assert_memory_equal(part, whole + (size_t)piece.first * row, floats * sizeof *part);
            assert_true(part[floats] == 42); // nothing behind it
        }
        free(whole);
        free(part);
    }
    assert_true(cut > 0);
    network_destroy(net);
}

static void what_is_frozen_can_be_read_without_a_step(void **state) {
    struct fixture *f = *state;
    if (!network_can_freeze(f->net))
        return;
    network *net = new_network(f->b, STEPS, 2), *twin = new_network(f->b, STEPS, 2);
    network_frozen *early = new_frozen(net, OPTIMIZER_ADAMW), *late = new_frozen(net, OPTIMIZER_ADAMW);
    network_freeze(net, false, early); // there are no moments yet
    network_keep_arenas(net);
    assert_false(network_is_freezing(net));
    assert_true(same_state(early, twin, true));
    network_frozen_destroy(early);
    train(f, net, BATCH, &adamw);
    train(f, twin, BATCH, &adamw);
    network_freeze(net, false, late);
    network_keep_arenas(net);
    assert_true(same_state(late, twin, true));
    network_frozen_destroy(late);
    train(f, net, BATCH, &adamw);
    train(f, twin, BATCH, &adamw);
    same_training(f, net, twin);
    network_destroy(net);
    network_destroy(twin);
}

static void initialising_again_forgets_the_past(void **state) {
    struct fixture *f = *state;
    struct error err;
    network *fresh = new_network(f->b, STEPS, 1);
    train(f, f->net, BATCH, &adamw);
    check(network_initialize(f->net, 1, &err), &err);
    train(f, f->net, BATCH, &adamw);
    train(f, fresh, BATCH, &adamw);
    assert_true(same_parameters(f->net, fresh));
    network_destroy(fresh);
}

static void factory(void **state) {
    (void)state;
    backend *b;
    struct error err;
    assert_int_equal(backend_create("abacus", &(struct backend_config){.threads = 1}, &b, &err), STATUS_UNSUPPORTED);
    assert_non_null(strstr(err.message, "auto, cpu, reference"));
    assert_int_equal(backend_create("reference", &(struct backend_config){.threads = 0}, &b, &err), STATUS_INVALID);
    check(backend_create("auto", &(struct backend_config){.threads = 1}, &b, &err), &err);
    char text[128];
    b->ops->describe(b, text, sizeof text);
    assert_true(strlen(text) > 0);
    backend_destroy(b);
    check(backend_create("cpu", &(struct backend_config){.threads = 1}, &b, &err), &err);
    assert_string_not_equal(b->ops->name, "cuda");
    backend_destroy(b);
    backend_destroy(NULL);
}

#define NETWORK_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        NETWORK_TEST(state_dict_order),
        NETWORK_TEST(initialisation),
        NETWORK_TEST(what_is_written_is_read),
        NETWORK_TEST(moments_begin_at_zero),
        NETWORK_TEST(training_lowers_the_loss),
        NETWORK_TEST(batches_of_any_size_share_one_network),
        NETWORK_TEST(evaluation_is_sample_by_sample),
        NETWORK_TEST(one_timestep_keeps_the_recurrent_weights),
        NETWORK_TEST(ignored_pixels_count_nowhere),
        NETWORK_TEST(divergence_leaves_parameters_alone),
        NETWORK_TEST(training_resumes_from_the_state),
        NETWORK_TEST(snapshot_keeps_the_best),
        NETWORK_TEST(what_is_frozen_stays),
        NETWORK_TEST(what_is_frozen_once_can_freeze_again),
        NETWORK_TEST(large_tensors_are_read_in_pieces),
        NETWORK_TEST(what_is_frozen_can_be_read_without_a_step),
        NETWORK_TEST(initialisation_is_one_stream_a_tensor),
        NETWORK_TEST(initialising_again_forgets_the_past),
        cmocka_unit_test(factory),
    };
    char names[128];
    int failures = 0;
    test_backends(names, sizeof names);
    for (char *name = strtok(names, ", "); name; name = strtok(NULL, ", ")) {
        backend_name = name;
        failures += _cmocka_run_group_tests(name, tests, sizeof tests / sizeof *tests, NULL, NULL);
    }
    return failures;
}
