// The parameters' copy in bf16, which convolutions read: it is the parameters, rounded, whoever has written to them
// last: initialisation, a step that the host leads or that is recorded, with either optimizer, a step that is left out
// because the one before diverged, a state dict that is loaded, arithmetic over the arena. Network and trainer tell it
// nothing; a writer that forgets it shows here. And no pass casts a weight any more.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/bf16.h"
#include "model/base/rng.h"
#include "model/cuda/backend_parts.h"
#include "model/network_private.h"
#include "tests/cuda/small_steps.h"
#include "tests/cuda/standin/standin.h"

struct fixture {
    backend *b;
    network *net, *other; // on the same backend, with other parameters
    struct tiles tiles;
};

static network *make_network(backend *b, uint64_t seed) {
    const struct lstm_unet_config config = {.batch = SMALL_BATCH,
                                            .steps = TILE_STEPS,
                                            .bands = TILE_BANDS,
                                            .image_size = TILE_SIZE,
                                            .encoder_width = 4,
                                            .lstm_hidden = 12,
                                            .lstm_layers = 2,
                                            .decoder_channels = {12, 8, 4, 4, 3}};
    return new_network(b, &config, seed);
}

static int set_up(void **state) {
    struct fixture *f = calloc(1, sizeof *f);
    struct error err;
    assert_non_null(f);
    struct rng rng = rng_stream(3, 0, RNG_TEST, 0, 0);
    for (size_t i = 0; i < sizeof f->tiles.image / sizeof *f->tiles.image; i++)
        f->tiles.image[i] = (float)(2 * rng_uniform(&rng) - 1);
    for (size_t i = 0; i < sizeof f->tiles.mask; i++)
        f->tiles.mask[i] = rng_uniform(&rng) < 0.3;
    const struct backend_config config = {.threads = 1, .precision = PRECISION_BF16};
    check(backend_create("cuda", &config, &f->b, &err), &err);
    f->net = make_network(f->b, 1);
    f->other = make_network(f->b, 2);
    check(hold_tiles(f->net, &f->tiles, &err), &err);
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    struct fixture *f = *state;
    network_destroy(f->net);
    network_destroy(f->other);
    backend_destroy(f->b);
    free(f);
    return 0;
}

// Bit by bit; the stand-in's device memory is the host's.
static void assert_current(const network *net, const char *after) {
    struct error err;
    check(backend_finish(net->b, &err), &err);
    const float *param = net->arenas[ARENA_PARAM];
    const uint16_t *copy = cuda_params_bf16((const struct cuda_backend *)net->b, param);
    assert_non_null(copy);
    for (size_t i = 0; i < net->param_floats; i++)
        if (copy[i] != bf16_from_float(param[i]))
            fail_msg("after %s: parameter %zu of %zu is %a, its copy %a", after, i, net->param_floats, (double)param[i],
                     (double)bf16_to_float(copy[i]));
}

static void assert_both_current(const struct fixture *f, const char *after) {
    assert_current(f->net, after);
    assert_current(f->other, after);
}

static float *parameter_copy(const network *net) {
    struct error err;
    check(backend_finish(net->b, &err), &err);
    float *copy = malloc(net->param_floats * sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, net->arenas[ARENA_PARAM], net->param_floats * sizeof *copy);
    return copy;
}

static void assert_moved(const network *net, float *before, bool moved) {
    float *now = parameter_copy(net);
    assert_true((memcmp(before, now, net->param_floats * sizeof *now) != 0) == moved);
    free(before);
    free(now);
}

static void step(struct fixture *f, network *net, const struct optimizer_config *config, const char *name) {
    struct step_result result;
    struct error err;
    float *before = parameter_copy(net);
    check(network_train_step(net, SMALL_BATCH, f->tiles.image, f->tiles.mask, config, 0.01, &result, &err), &err);
    assert_moved(net, before, true);
    assert_both_current(f, name);
}

static int replay(struct fixture *f, const struct optimizer_config *config, double lr, enum status *status) {
    struct tile_epoch epoch;
    struct error err;
    int done;
    const struct network_stretch stretch = whole_epoch(&epoch);
    *status = network_train_stretch(f->net, &stretch, config, lr, &done, &err);
    if (*status != STATUS_DIVERGED)
        check(*status, &err);
    return done;
}

static void replayed(struct fixture *f, const struct optimizer_config *config, const char *name) {
    enum status status;
    float *before = parameter_copy(f->net);
    assert_int_equal(replay(f, config, 0.01, &status), TILES / SMALL_BATCH);
    assert_moved(f->net, before, true);
    assert_both_current(f, name);
}

static void steps_leave_no_stale_copy(void **state) {
    struct fixture *f = *state;
    assert_both_current(f, "initialisation");
    step(f, f->net, &adamw, "a step of AdamW");
    step(f, f->other, &sgd, "a step of SGD");
    replayed(f, &adamw, "recorded steps of AdamW");
    replayed(f, &adamw, "replayed steps of AdamW");
    replayed(f, &sgd, "recorded steps of SGD");
    step(f, f->net, &sgd, "a step between");
    replayed(f, &sgd, "replayed steps of SGD");
}

static void lead_epoch(struct fixture *f, network *net, const struct optimizer_config *config,
                       struct step_result results[]) {
    struct error err;
    for (int i = 0; i < TILES; i += SMALL_BATCH)
        check(network_train_step(net, SMALL_BATCH, f->tiles.image + i * TILE_FLOATS, f->tiles.mask + i * TILE_PIXELS,
                                 config, 0.01, &results[i / SMALL_BATCH], &err),
              &err);
}

// Bit by bit, in bf16 (test_resident: in float, and more of it).
static void recorded_steps_are_those_that_are_led(void **state) {
    struct fixture *f = *state;
    struct error err;
    check(network_initialize(f->other, 1, &err), &err);
    for (int epoch = 0; epoch < 4; epoch++) {
        const struct optimizer_config *config = epoch < 2 ? &adamw : &sgd;
        struct step_result led[TILES / SMALL_BATCH];
        struct tile_epoch recorded;
        const struct network_stretch stretch = whole_epoch(&recorded);
        int done;
        lead_epoch(f, f->other, config, led);
        check(network_train_stretch(f->net, &stretch, config, 0.01, &done, &err), &err);
        for (int i = 0; i < TILES / SMALL_BATCH; i++) {
            assert_true(led[i].grad_norm > 0 && led[i].grad_norm == recorded.results[i].grad_norm);
            assert_true(led[i].sums.loss == recorded.results[i].sums.loss);
        }
        assert_moved(f->net, parameter_copy(f->other), false);
    }
}

// The last convolution of a step breaks its capture and does not say so; who finds out is a function that returns
// nothing.
static void a_broken_capture_leaves_no_failure(void **state) {
    struct fixture *f = *state;
    struct error err;
    struct optimizer_config changed = adamw;
    changed.beta1 = 0.5f;
    long before = standin_counts_now().library;
    replayed(f, &adamw, "recorded steps");
    standin_set_breaking((int)(standin_counts_now().library - before) / 2); // run and recorded
    replayed(f, &changed, "steps that cannot be recorded");
    standin_set_breaking(0);
    assert_non_null(network_unrecorded(f->net));
    assert_int_equal(cuda_failed_before(cuda_backend_of(f->b), &err), STATUS_OK);
    replayed(f, &changed, "steps after that");
}

static void divergence_leaves_no_stale_copy(void **state) {
    struct fixture *f = *state;
    struct optimizer_config wild = sgd;
    enum status status = STATUS_OK;
    wild.momentum = 0;
    int done = TILES;
    for (int epoch = 0; status == STATUS_OK && epoch < 40; epoch++) {
        done = replay(f, &wild, 1e18, &status);
        assert_both_current(f, "large steps");
    }
    assert_int_equal(status, STATUS_DIVERGED);
    assert_true(done < TILES / SMALL_BATCH);
}

static void arithmetic_leaves_no_stale_copy(void **state) {
    struct fixture *f = *state;
    float *params = f->net->arenas[ARENA_PARAM];
    size_t n = f->net->param_floats, half = n / 32 * 16;
    f->b->ops->copy(f->b, params, f->other->arenas[ARENA_PARAM], n * sizeof *params);
    assert_both_current(f, "copy");
    f->b->ops->copy(f->b, params + half, params, half * sizeof *params);
    assert_both_current(f, "copy of a part");
    f->b->ops->fill(f->b, params, 0x3d, n * sizeof *params);
    assert_both_current(f, "fill");
    f->b->ops->fill(f->b, params + half, 0, half * sizeof *params);
    assert_both_current(f, "fill of a part");
    check(network_initialize(f->net, 5, &(struct error){0}), &(struct error){0});
    assert_both_current(f, "initialisation anew");
}

static void give(network *to, network *from, bool best) {
    for (int i = 0; i < network_tensor_count(from); i++) {
        float *host = malloc(network_tensor_at(from, i)->count * sizeof *host);
        assert_non_null(host);
        if (best)
            network_read_piece(
                from,
                &(struct network_piece){.snapshot = true, .index = i, .rows = network_tensor_at(from, i)->shape[0]},
                host);
        else
            network_read(from, ARENA_PARAM, i, host);
        network_write(to, ARENA_PARAM, i, host);
        free(host);
    }
}

static void evaluate(struct fixture *f, network *net, float logits[SMALL_BATCH * TILE_PIXELS]) {
    struct error err;
    check(network_evaluate(net, SMALL_BATCH, f->tiles.image, NULL, NULL, logits, NULL, &err), &err);
}

// Set parameters, step, restore the best, evaluate: the logits of the best, to the bit.
static void restored_parameters_are_those_that_are_evaluated(void **state) {
    struct fixture *f = *state;
    struct error err;
    static float first[SMALL_BATCH * TILE_PIXELS], best[SMALL_BATCH * TILE_PIXELS], later[SMALL_BATCH * TILE_PIXELS],
        again[SMALL_BATCH * TILE_PIXELS];
    evaluate(f, f->net, first);
    give(f->net, f->other, false);
    evaluate(f, f->net, best);
    evaluate(f, f->other, again);
    assert_memory_equal(best, again, sizeof best);
    assert_memory_not_equal(best, first, sizeof best);
    replayed(f, &adamw, "steps from parameters that were set");
    check(network_snapshot(f->net, &err), &err);
    evaluate(f, f->net, best);
    replayed(f, &adamw, "steps after the best");
    evaluate(f, f->net, later);
    assert_memory_not_equal(later, best, sizeof best);
    give(f->net, f->net, true);
    assert_both_current(f, "the best");
    evaluate(f, f->net, again);
    assert_memory_equal(best, again, sizeof best);
}

static long evaluation_launches(backend *b, const float *image) {
    struct error err;
    network *net = make_network(b, 1);
    check(network_evaluate(net, SMALL_BATCH, image, NULL, NULL, NULL, NULL, &err), &err);
    long before = standin_counts_now().launches;
    check(network_evaluate(net, SMALL_BATCH, image, NULL, NULL, NULL, NULL, &err), &err);
    long launches = standin_counts_now().launches - before;
    network_destroy(net);
    return launches;
}

// A pass in bf16 has more kernels of ours than one in fp32 only where cuDNN adds no bias.
static void no_pass_casts_a_weight(void **state) {
    struct fixture *f = *state;
    struct error err;
    backend *fp32;
    long biases = 0;
    const graph *g = network_graph(f->net);
    for (int i = 0; i < g->node_count; i++)
        biases += g->nodes[i].desc.bias && g->nodes[i].desc.passes & PASS_FORWARD;
    check(backend_create("cuda", &(struct backend_config){.threads = 1}, &fp32, &err), &err);
    long more = evaluation_launches(f->b, f->tiles.image) - evaluation_launches(fp32, f->tiles.image);
    backend_destroy(fp32);
    if (more > biases)
        fail_msg("an evaluation in bf16 launches %ld kernels more than in fp32, and has %ld biases", more, biases);
}

#define PARAMS_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        PARAMS_TEST(steps_leave_no_stale_copy),
        PARAMS_TEST(divergence_leaves_no_stale_copy),
        PARAMS_TEST(arithmetic_leaves_no_stale_copy),
        PARAMS_TEST(restored_parameters_are_those_that_are_evaluated),
        PARAMS_TEST(no_pass_casts_a_weight),
        PARAMS_TEST(recorded_steps_are_those_that_are_led),
        PARAMS_TEST(a_broken_capture_leaves_no_failure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
