// The LSTM-UNet's graph: parameter counts, keys, shapes, FLOPs, liveness, errors. No backend is needed.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/lstm_unet.h"
#include "model/memory_plan.h"
#include "model/network.h"

static struct lstm_unet_config full(int hidden, enum decoder_upsample upsample) {
    return (struct lstm_unet_config){.batch = 4,
                                     .steps = 7,
                                     .bands = 9,
                                     .image_size = 64,
                                     .encoder_width = 64,
                                     .lstm_hidden = hidden,
                                     .lstm_layers = 2,
                                     .decoder_channels = {256, 128, 64, 32, 16},
                                     .upsample = upsample};
}

static graph *build(struct lstm_unet_config config) {
    graph *g;
    struct error err;
    if (lstm_unet_build(&config, &g, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return g;
}

// The counts of PyTorch's model with the same channels.
static void parameter_counts(void **state) {
    (void)state;
    const struct {
        int hidden;
        enum decoder_upsample upsample;
        size_t count;
    } cases[] = {
        {256, UPSAMPLE_TRANSPOSED, 54606337},   {512, UPSAMPLE_TRANSPOSED, 94978561},
        {1024, UPSAMPLE_TRANSPOSED, 218190337}, {256, UPSAMPLE_NEAREST, 54365457},
        {512, UPSAMPLE_NEAREST, 95065361},      {1024, UPSAMPLE_NEAREST, 218932497},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        graph *g = build(full(cases[i].hidden, cases[i].upsample));
        assert_int_equal(graph_parameter_count(g), cases[i].count);
        graph_destroy(g);
    }
}

static void parameter_count_does_not_depend_on_steps(void **state) {
    (void)state;
    for (int steps = 1; steps <= 14; steps += 13) {
        struct lstm_unet_config config = full(256, UPSAMPLE_TRANSPOSED);
        config.steps = steps;
        graph *g = build(config);
        assert_int_equal(graph_parameter_count(g), 54606337);
        graph_destroy(g);
    }
}

static const struct graph_param *find_param(const graph *g, const char *key) {
    for (int i = 0; i < g->param_count; i++)
        if (strcmp(g->params[i].key, key) == 0)
            return &g->params[i];
    fail_msg("no parameter %s", key);
    return &g->params[0];
}

static void check_shape(const graph *g, const char *key, int64_t a, int64_t b, int64_t c) {
    const int64_t *shape = find_param(g, key)->shape;
    if (shape[0] != a || shape[1] != b || shape[2] != c)
        fail_msg("%s is (%ld,%ld,%ld,..)", key, (long)shape[0], (long)shape[1], (long)shape[2]);
}

static void state_dict_keys(void **state) {
    (void)state;
    graph *g = build(full(256, UPSAMPLE_TRANSPOSED));
    check_shape(g, "encoder.conv1.weight", 64, 9, 7);
    check_shape(g, "encoder.layer1.0.downsample.0.weight", 256, 64, 1);
    check_shape(g, "encoder.layer4.2.conv2.weight", 512, 512, 3);
    check_shape(g, "convlstm.cell_list.0.conv.weight", 1024, 2048, 3); // the input's slice stands first
    check_shape(g, "convlstm.cell_list.1.conv.bias", 1024, 0, 0);
    check_shape(g, "decoder.blocks.0.up.weight", 256, 256, 2);
    check_shape(g, "decoder.blocks.4.conv1.0.weight", 16, 16, 3);
    check_shape(g, "segmentation_head.0.bias", 1, 0, 0);
    assert_int_equal(find_param(g, "convlstm.cell_list.0.conv.weight")->slice_total, 2048 + 256);
    assert_string_equal(g->params[0].key, "encoder.conv1.weight");
    assert_string_equal(g->params[g->param_count - 1].key, "segmentation_head.0.bias");
    assert_string_equal(g->buffers[0].key, "encoder.bn1.running_mean");
    graph_destroy(g);
}

static void flops(void **state) {
    (void)state;
    graph *g = build(full(256, UPSAMPLE_TRANSPOSED));
    double forward = graph_flops(g, false) / 2e9;
    assert_true(fabs(forward - 13.7) < 0.1);
    // The three passes of every convolution but the first, which has two.
    assert_true(graph_flops(g, true) < 6e9 * forward && graph_flops(g, true) > 5.8e9 * forward);
    graph_destroy(g);
}

static void shapes_for_every_sampling(void **state) {
    (void)state;
    const int steps[] = {1, 2, 7, 14};
    for (size_t i = 0; i < 4; i++)
        for (int skip = SKIP_MAX; skip <= SKIP_LAST; skip++) {
            struct lstm_unet_config config = full(256, UPSAMPLE_NEAREST);
            config.steps = steps[i];
            config.skip = (enum skip_aggregation)skip;
            graph *g = build(config);
            struct shape in = g->values[g->input].shape, out = g->values[g->logits].shape;
            assert_true(in.n == 4 * steps[i] && in.c == 9 && in.h == 64 && in.w == 64);
            assert_true(out.n == 4 && out.c == 1 && out.h == 64 && out.w == 64);
            graph_destroy(g);
        }
}

static bool within(const graph *g, const struct graph_value *v) {
    struct shape s = g->storages[v->storage].shape;
    return v->first_frame >= 0 && v->first_frame + v->shape.n <= s.n && v->shape.c == s.c && v->shape.h == s.h &&
           v->shape.w == s.w;
}

static void nodes_agree_with_their_values(void **state) {
    (void)state;
    graph *g = build(full(256, UPSAMPLE_TRANSPOSED));
    for (int i = 0; i < g->value_count; i++)
        assert_true(within(g, &g->values[i]));
    for (int i = 0; i < g->node_count; i++) {
        const struct graph_node *n = &g->nodes[i];
        assert_memory_equal(&n->desc.in, &g->values[n->input[0]].shape, sizeof(struct shape));
        assert_memory_equal(&n->desc.out, &g->values[n->output[0]].shape, sizeof(struct shape));
        assert_false(n->desc.accumulate && n->desc.bias);
        assert_true(strlen(n->name) > 0);
    }
    graph_destroy(g);
}

static void bad_configurations(void **state) {
    (void)state;
    const struct {
        size_t offset;
        int value;
        const char *message;
    } cases[] = {
        {offsetof(struct lstm_unet_config, image_size), 60,
         "model: image size 60 is not a multiple of 32; the nearest is 64"},
        {offsetof(struct lstm_unet_config, image_size), 16,
         "model: image size 16 is not a multiple of 32; the nearest is 32"},
        {offsetof(struct lstm_unet_config, batch), 0, "model: batch must be at least 1, not 0"},
        {offsetof(struct lstm_unet_config, steps), -1, "model: timesteps must be at least 1, not -1"},
        {offsetof(struct lstm_unet_config, lstm_layers), 0, "model: LSTM layers must be at least 1, not 0"},
        {offsetof(struct lstm_unet_config, decoder_channels[2]), 0,
         "model: channels of decoder stage 2 must be at least 1, not 0"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct lstm_unet_config config = full(256, UPSAMPLE_NEAREST);
        memcpy((char *)&config + cases[i].offset, &cases[i].value, sizeof(int));
        graph *g;
        struct error err;
        assert_int_equal(lstm_unet_build(&config, &g, &err), STATUS_INVALID);
        assert_string_equal(err.message, cases[i].message);
    }
}

static size_t bytes_of(struct shape s) {
    return (size_t)s.n * (size_t)s.c * (size_t)s.h * (size_t)s.w * sizeof(float);
}

static memory_plan *plan_for(const graph *g, bool training, size_t *total) {
    size_t *storage = calloc((size_t)g->storage_count, sizeof *storage);
    size_t *saved = calloc((size_t)g->node_count, sizeof *saved);
    assert_true(storage && saved);
    *total = 0;
    for (int i = 0; i < g->storage_count; i++) {
        storage[i] = bytes_of(g->storages[i].shape);
        *total += (training ? 2 : 1) * storage[i];
    }
    memory_plan *plan;
    struct error err;
    struct memory_plan_sizes sizes = {storage, saved, 4096};
    assert_int_equal(memory_plan_create(g, training, &sizes, &plan, &err), STATUS_OK);
    free(storage);
    free(saved);
    return plan;
}

// While a node runs, its inputs and outputs must not share a byte.
static void plan_keeps_a_nodes_tensors_apart(void **state) {
    (void)state;
    graph *g = build(full(256, UPSAMPLE_TRANSPOSED));
    for (int training = 0; training < 2; training++) {
        size_t total;
        memory_plan *plan = plan_for(g, training, &total);
        assert_true(plan->bytes < total * 2 / 3);
        for (int i = 0; i < g->node_count; i++) {
            if (!(g->nodes[i].desc.passes & PASS_FORWARD))
                continue;
            int in = g->values[g->nodes[i].input[0]].storage, out = g->values[g->nodes[i].output[0]].storage;
            size_t a = plan->storage[in], b = plan->storage[out];
            assert_true(a % MEMORY_PLAN_ALIGNMENT == 0 && a + bytes_of(g->storages[in].shape) <= plan->scratch);
            assert_true(a + bytes_of(g->storages[in].shape) <= b || b + bytes_of(g->storages[out].shape) <= a);
        }
        memory_plan_destroy(plan);
    }
    graph_destroy(g);
}

static void estimate(void **state) {
    (void)state;
    struct lstm_unet_config config = full(256, UPSAMPLE_TRANSPOSED);
    struct network_cost sgd, adamw, larger;
    struct error err;
    assert_int_equal(network_estimate(&config, OPTIMIZER_SGD, &sgd, &err), STATUS_OK);
    assert_int_equal(network_estimate(&config, OPTIMIZER_ADAMW, &adamw, &err), STATUS_OK);
    assert_int_equal(sgd.parameters, 54606337);
    assert_true(adamw.arena_bytes >= 5 * 4 * sgd.parameters && adamw.arena_bytes < 5 * 4 * sgd.parameters * 101 / 100);
    assert_true(sgd.arena_bytes == adamw.arena_bytes / 5 * 4);
    assert_true(sgd.train_flops > 2.9 * sgd.eval_flops);
    config.batch = 8;
    assert_int_equal(network_estimate(&config, OPTIMIZER_SGD, &larger, &err), STATUS_OK);
    assert_true(larger.activation_bytes > 19 * sgd.activation_bytes / 10);
    config.image_size = 33;
    assert_int_equal(network_estimate(&config, OPTIMIZER_SGD, &larger, &err), STATUS_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameter_counts),
        cmocka_unit_test(parameter_count_does_not_depend_on_steps),
        cmocka_unit_test(state_dict_keys),
        cmocka_unit_test(flops),
        cmocka_unit_test(shapes_for_every_sampling),
        cmocka_unit_test(nodes_agree_with_their_values),
        cmocka_unit_test(bad_configurations),
        cmocka_unit_test(plan_keeps_a_nodes_tensors_apart),
        cmocka_unit_test(estimate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
