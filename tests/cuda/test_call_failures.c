// Every CUDA call is checked: a small life of the backend, from its creation to its last result, is led again and
// again, and each time another call fails. It must come back as that failure, wherever it was.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/rng.h"
#include "model/cuda/backend_parts.h"
#include "tests/cuda/small_steps.h"
#include "tests/cuda/standin/standin.h"

static const struct tiles tiles; // zeros

struct life {
    backend *b;
    network *net;
};

static enum status begin(struct life *l, enum precision precision, struct error *err) {
    const struct backend_config config = {.threads = 1, .precision = precision};
    const struct lstm_unet_config model = {.batch = SMALL_BATCH,
                                           .steps = TILE_STEPS,
                                           .bands = TILE_BANDS,
                                           .image_size = TILE_SIZE,
                                           .encoder_width = 2,
                                           .lstm_hidden = 3,
                                           .lstm_layers = 1,
                                           .decoder_channels = {3, 3, 3, 3, 3}};
    TRY(backend_create("cuda", &config, &l->b, err));
    TRY(network_create(l->b, &model, &l->net, err));
    return network_initialize(l->net, 1, err);
}

static enum status train_epoch(network *net, struct error *err) {
    struct tile_epoch epoch;
    const struct network_stretch stretch = whole_epoch(&epoch);
    int done;
    return network_train_stretch(net, &stretch, &adamw, 0.01, &done, err);
}

// A recorded epoch, its validation, and the best epoch's copy.
static enum status train(struct life *l, struct error *err) {
    struct tile_epoch epoch;
    const struct network_stretch stretch = whole_epoch(&epoch);
    TRY(hold_tiles(l->net, &tiles, err));
    TRY(train_epoch(l->net, err));
    TRY(network_evaluate_stretch(l->net, &stretch, &adamw.focal, err));
    TRY(network_snapshot(l->net, err));
    return backend_finish(l->b, err);
}

// A step that the host leads, and what a checkpoint reads.
static enum status lead(struct life *l, struct error *err) {
    static float host[1 << 16];
    struct step_result result;
    TRY(network_train_step(l->net, SMALL_BATCH, tiles.image, tiles.mask, &adamw, 0.01, &result, err));
    for (int i = 0; i < network_tensor_count(l->net); i++) {
        assert_true(network_tensor_at(l->net, i)->count <= sizeof host / sizeof *host);
        network_read(l->net, ARENA_PARAM, i, host);
    }
    return backend_finish(l->b, err);
}

// cuDNN has a word of its own for a call of its own.
static bool is_told(enum status status, const struct error *err) {
    return status == STATUS_INTERNAL &&
           (strstr(err->message, "cudaErrorIllegalAddress") || strstr(err->message, "CUDNN_STATUS_EXECUTION_FAILED"));
}

// False: no call has failed, for there are fewer. Of the whole life, or of `train` without its kernels.
static bool fails(enum precision precision, bool whole, int nth) {
    struct life l = {NULL, NULL};
    struct error err = {STATUS_OK, ""};
    standin_fail_call(whole ? nth : 0, true);
    enum status status = begin(&l, precision, &err);
    if (!whole)
        standin_fail_call(nth, false);
    if (status == STATUS_OK)
        status = train(&l, &err);
    if (whole && status == STATUS_OK)
        status = lead(&l, &err);
    bool failed = standin_call_has_failed();
    standin_fail_call(0, true);
    network_destroy(l.net);
    if (l.b)
        backend_destroy(l.b);
    if (failed && !is_told(status, &err))
        fail_msg("call %d has failed, and nobody noticed: status %d, \"%s\"", nth, (int)status, err.message);
    assert_true(failed || status == STATUS_OK);
    return failed;
}

// Most are the same ones again and again: a hundredth of them.
static void calls_are_checked(void **state) {
    (void)state;
    enum { FIRST = 20, STRIDE = 101 };
    for (int p = 0; p < 2; p++) {
        int nth = 1, tried = 0;
        for (; fails(p == 0 ? PRECISION_FP32 : PRECISION_BF16, true, nth); tried++)
            nth += nth <= FIRST ? 1 : STRIDE + p;
        print_message("%d calls made to fail, of about %d\n", tried, nth);
        assert_true(tried > 2 * FIRST);
    }
}

// Samples, arenas, recording, replaying, results: each of them.
static void all_calls_around_recorded_steps_are_checked(void **state) {
    (void)state;
    int nth = 1;
    while (fails(PRECISION_BF16, false, nth))
        nth++;
    print_message("%d calls made to fail\n", nth - 1);
    assert_true(nth > 30);
}

static void end(struct life *l) {
    standin_fail_call(0, true);
    network_destroy(l->net);
    if (l->b)
        backend_destroy(l->b);
    *l = (struct life){NULL, NULL};
}

// With all memory there, and no recording.
static enum status trained(struct life *l, struct error *err) {
    TRY(begin(l, PRECISION_BF16, err));
    TRY(hold_tiles(l->net, &tiles, err));
    TRY(train_epoch(l->net, err));
    return hold_tiles(l->net, &tiles, err);
}

// Each call of a step that is being recorded. A failure that the backend keeps ends that backend.
static void all_calls_of_a_recorded_step_are_checked(void **state) {
    (void)state;
    struct life l = {NULL, NULL};
    struct error err, kept;
    bool failed = true;
    int nth = 0;
    while (failed) {
        enum status status = l.b ? STATUS_OK : trained(&l, &err);
        assert_int_equal(status, STATUS_OK);
        standin_fail_call(++nth, true);
        status = train_epoch(l.net, &err);
        failed = standin_call_has_failed();
        standin_fail_call(0, true);
        if (failed ? !is_told(status, &err) : status != STATUS_OK)
            fail_msg("call %d has failed, and nobody noticed: status %d, \"%s\"", nth, (int)status, err.message);
        if (cuda_failed_before(cuda_backend_of(l.b), &kept) != STATUS_OK)
            end(&l);
    }
    end(&l);
    print_message("%d calls made to fail\n", nth - 1);
    assert_true(nth > 200);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(calls_are_checked),
                                       cmocka_unit_test(all_calls_around_recorded_steps_are_checked),
                                       cmocka_unit_test(all_calls_of_a_recorded_step_are_checked)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
