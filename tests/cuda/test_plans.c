// cuDNN itself, without a GPU: a plan for every convolution of the full-size model, on devices that are described by
// their properties (tests/cuda/devices). Nothing is run. Prints which engines cuDNN offers and what was taken; with
// GRIDFOLD_TEST_VERBOSE every plan.
//
// Where cuDNN is not to be had the test is skipped.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "model/base/file.h"
#include "model/cuda/cudnn_engine.h"
#include "model/lstm_unet.h"

static const char *const precision_names[] = {"fp32", "tf32", "bf16"};

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static cudnn_engine *open_described(const char *file) {
    struct error err;
    char path[512], *json;
    size_t size;
    cudnn_engine *engine;
    snprintf(path, sizeof path, "%s/cuda/devices/%s", TEST_SOURCE_DIR, file);
    if (file_read(path, &json, &size, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    enum status status = cudnn_engine_create_described(json, &engine, &err);
    free(json);
    if (status == STATUS_OK)
        return engine;
    if (status != STATUS_UNSUPPORTED)
        fail_msg("%s", err.message);
    print_message("skipped: %s\n", err.message);
    skip();
    return NULL;
}

static graph *build(int hidden, int batch, enum decoder_upsample upsample) {
    struct error err;
    graph *g;
    const struct lstm_unet_config config = {.batch = batch,
                                            .steps = 7,
                                            .bands = 9,
                                            .image_size = 64,
                                            .encoder_width = 64,
                                            .lstm_hidden = hidden,
                                            .lstm_layers = 2,
                                            .decoder_channels = {256, 128, 64, 32, 16},
                                            .upsample = upsample};
    if (lstm_unet_build(&config, &g, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return g;
}

struct tally {
    int convolutions, plans, bias_fused, bias_refused, tensor_cores, compiled;
    size_t workspace;
    double seconds;
};

static void create_convolutions(struct cuda_backend *b, const graph *g, struct tally *t) {
    struct error err;
    for (int i = 0; i < g->node_count; i++) {
        const struct op_desc *d = &g->nodes[i].desc;
        if (d->kind != OP_CONV2D && d->kind != OP_CONV_TRANSPOSE2D)
            continue;
        cuda_convolution *c;
        if (cuda_convolution_create(b, d, &c, &err) != STATUS_OK)
            fail_msg("%s, %s: %s", precision_names[b->precision], g->nodes[i].name, err.message);
        cuda_convolution_destroy(c);
        t->convolutions++;
    }
}

static void count_plans(const cudnn_engine *engine, int precision, struct tally *t) {
    for (const cudnn_plan *p = engine->plans; p; p = p->next) {
        char name[256];
        if (p->convolution.precision != precision)
            continue;
        t->plans += p->plan != NULL;
        t->bias_fused += p->convolution.bias && p->plan;
        t->bias_refused += p->convolution.bias && !p->plan;
        t->tensor_cores += p->plan && p->notes.tensor_cores;
        t->compiled += p->plan && p->notes.run_time_compiled;
        if (p->workspace_bytes > t->workspace)
            t->workspace = p->workspace_bytes;
        assert_true(p->plan || p->convolution.bias); // only a bias may be refused: a kernel adds it
        assert_false(p->notes.nondeterministic || p->notes.transforms || p->notes.coarse_sums || p->notes.converts);
        assert_false(precision == PRECISION_FP32 && p->notes.tensor_cores);
        cudnn_convolution_name(&p->convolution, name, sizeof name);
        if (getenv("GRIDFOLD_TEST_VERBOSE"))
            print_message("  %s: engine %d%s, workspace %zu\n", name, (int)p->notes.index,
                          p->plan ? (p->notes.tensor_cores ? ", tensor cores" : "") : " (none)", p->workspace_bytes);
    }
}

// Batch 4 for training and evaluation, and a last batch of one, with hidden 256, 512 and 1024.
static void full_size_model(const char *device) {
    cudnn_engine *engine = open_described(device);
    for (int precision = PRECISION_FP32; engine && precision <= PRECISION_BF16; precision++) {
        struct cuda_backend b = {.precision = (enum precision)precision, .cudnn = engine};
        struct tally t = {0};
        double begin = seconds_now();
        for (int hidden = 256; hidden <= 1024; hidden *= 2)
            for (int batch = 4; batch >= 1; batch -= 3)
                for (int upsample = 0; upsample < 2; upsample++) {
                    graph *g = build(hidden, batch, upsample ? UPSAMPLE_NEAREST : UPSAMPLE_TRANSPOSED);
                    create_convolutions(&b, g, &t);
                    graph_destroy(g);
                }
        t.seconds = seconds_now() - begin;
        count_plans(engine, precision, &t);
        print_message(
            "%s %s: %d convolutions, %d plans (%d on tensor cores, %d compiled at run time), bias fused in %d, "
            "apart in %d, largest workspace %.1f MiB, made in %.1f s\n",
            device, precision_names[precision], t.convolutions, t.plans, t.tensor_cores, t.compiled, t.bias_fused,
            t.bias_refused, (double)t.workspace / (1 << 20), t.seconds);
    }
    cudnn_engine_destroy(engine);
}

static void sm80(void **state) {
    (void)state;
    full_size_model("a100_sm80.json");
}

static void sm90(void **state) {
    (void)state;
    full_size_model("h100_sm90.json");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sm80), cmocka_unit_test(sm90)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
