// How many pieces of work a step of the full-size model (T 7, 64x64, batch 4, nine bands) puts on the device, counted
// while it is recorded. On a GPU each of them costs a few microseconds beside what it does, and a whole step is to take
// two thousand: what adds some fails here.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/cuda/small_steps.h"
#include "tests/cuda/standin/standin.h"
#include "worker/hyperparameters.h"
#include "worker/trial_model.h"

enum { STEPS = 7, BANDS = 9, SIZE = 64, BATCH = 4 };

struct work {
    long kernels, convolutions, fills, copies;
};

static struct work work_between(struct standin_counts a, struct standin_counts b) {
    return (struct work){b.launches - a.launches, b.library - a.library, b.fills - a.fills, b.copies - a.copies};
}

static void hold_a_batch(network *net) {
    static float image[STEPS * BANDS * SIZE * SIZE];
    static uint8_t mask[SIZE * SIZE];
    const struct resident_sample sample = {image, mask, SIZE, SIZE}, samples[BATCH] = {sample, sample, sample, sample};
    const struct resident_config config = {STEPS, BANDS, SIZE, BATCH, BATCH, samples};
    struct error err;
    check(network_hold_samples(net, &config, &err), &err);
}

// Of a stretch of one step, which is run and recorded, less what a stretch takes once it is recorded: the step twice.
static struct work recorded_step(network *net, const struct optimizer_config *optimizer) {
    struct sample_cut cuts[BATCH];
    struct step_result result;
    struct network_stretch stretch = {cuts, BATCH, BATCH, &result, NULL, NULL};
    struct work w[2];
    struct error err;
    memset(cuts, 0, sizeof cuts);
    for (int i = 0; i < 2; i++) {
        struct standin_counts before = standin_counts_now();
        int done;
        check(network_train_stretch(net, &stretch, optimizer, 1e-3, &done, &err), &err);
        w[i] = work_between(before, standin_counts_now());
    }
    return (struct work){(w[0].kernels - w[1].kernels) / 2, (w[0].convolutions - w[1].convolutions) / 2,
                         (w[0].fills - w[1].fills) / 2, (w[0].copies - w[1].copies) / 2};
}

static struct work step_of(enum precision precision, enum decoder_upsample upsample,
                           const struct optimizer_config *optimizer) {
    struct hyperparameters hp = hyperparameters_default();
    struct backend_config b_config = {.threads = 1, .precision = precision};
    struct error err;
    backend *b;
    hp.batch_size = BATCH;
    hp.decoder_upsample = upsample;
    const struct lstm_unet_config config = trial_model(&hp, STEPS, BANDS);
    standin_set_memory((size_t)1 << 40);
    standin_set_hollow(true);
    check(backend_create("cuda", &b_config, &b, &err), &err);
    network *net = new_network(b, &config, 1);
    hold_a_batch(net);
    struct work w = recorded_step(net, optimizer);
    network_destroy(net);
    backend_destroy(b);
    standin_set_hollow(false);
    return w;
}

static void a_step_is_no_more_than_this(void **state) {
    (void)state;
    static const struct {
        const char *name;
        enum precision precision;
        enum decoder_upsample upsample;
        const struct optimizer_config *optimizer;
        struct work most;
    } steps[] = {
        {"bf16, transposed, AdamW", PRECISION_BF16, UPSAMPLE_TRANSPOSED, &adamw, {253, 250, 4, 0}},
        {"bf16, nearest, SGD", PRECISION_BF16, UPSAMPLE_NEAREST, &sgd, {250, 235, 3, 0}},
        {"fp32, transposed, AdamW", PRECISION_FP32, UPSAMPLE_TRANSPOSED, &adamw, {249, 250, 4, 0}},
    };
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        struct work w = step_of(steps[i].precision, steps[i].upsample, steps[i].optimizer);
        print_message("%s: %ld kernels, %ld convolutions, %ld fills, %ld copies\n", steps[i].name, w.kernels,
                      w.convolutions, w.fills, w.copies);
        const struct work *most = &steps[i].most;
        assert_true(w.kernels > 0 && w.convolutions > 0); // it was recorded
        if (w.kernels > most->kernels || w.convolutions > most->convolutions || w.fills > most->fills ||
            w.copies > most->copies)
            fail_msg("%s: at most %ld, %ld, %ld and %ld", steps[i].name, most->kernels, most->convolutions, most->fills,
                     most->copies);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_step_is_no_more_than_this)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
