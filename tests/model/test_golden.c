// The whole model, its training steps and the optimizers against tensors that PyTorch computed in float64 (see
// golden/README.md).
//
// Every file of GRIDFOLD_GOLDEN_DIR (or of tests/model/golden) runs on every backend of the build. Each expected tensor
// X comes with noise/X, the relative distance of PyTorch's own float32. A tensor passes when its relative L2 distance
// is at most 10 noise + 1e-5. With GRIDFOLD_GOLDEN_FRESH=1 the files are fresh draws, in which a ReLU or a maximum may
// sit on its kink: then the medians and the losses are judged. GRIDFOLD_TEST_PRECISION: tf32 and bf16 likewise, with
// limits as much wider as they round coarser.
#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/file.h"
#include "tests/model/support/backends.h"
#include "tests/model/support/golden.h"

enum { MAX_CASES = 128, MAX_STEPS = 64 };

struct golden_case {
    char backend[32], path[PATH_SIZE], name[512];
};

static void check(enum status status, const struct error *err) {
    if (status != STATUS_OK)
        fail_msg("%s", err->message);
}

static uint8_t *to_mask(const struct safetensors_tensor *t) {
    const float *x = t->data;
    uint8_t *mask = malloc(t->count);
    assert_non_null(mask);
    for (size_t i = 0; i < t->count; i++)
        mask[i] = x[i] > 0.5f;
    return mask;
}

static network *load_network(backend *b, const safetensors *file, const char *image) {
    struct error err;
    struct lstm_unet_config config;
    check(golden_config(file, image, &config, &err), &err);
    network *net;
    check(network_create(b, &config, &net, &err), &err);
    for (int i = 0; i < network_tensor_count(net); i++) {
        const struct network_tensor *t = network_tensor_at(net, i);
        network_write(net, ARENA_PARAM, i, golden_floats(file, "param/", t->key, t->count));
    }
    return net;
}

static void judge_state(struct golden_verdict *v, network *net, enum network_arena arena, const char *prefix,
                        bool parameters, bool buffers) {
    for (int i = 0; i < network_tensor_count(net); i++) {
        const struct network_tensor *t = network_tensor_at(net, i);
        if (t->buffer ? !buffers : !parameters)
            continue;
        float *host = malloc(t->count * sizeof *host);
        assert_non_null(host);
        network_read(net, arena, i, host);
        golden_judge(v, prefix, t->key, host, t->count);
        free(host);
    }
}

static void judge_confusion(struct golden_verdict *v, const struct loss_sums *sums) {
    const struct safetensors_tensor *t = safetensors_find(v->file, "confusion");
    assert_non_null(t);
    const int64_t *expected = t->data, counts[] = {sums->tp, sums->fp, sums->fn, sums->tn};
    int64_t off = 0;
    for (int i = 0; i < 4; i++)
        off += llabs(counts[i] - expected[i]);
    int64_t all = sums->tp + sums->fp + sums->fn + sums->tn;
    assert_true(off <= (v->coarseness > 1 ? all / 20 : v->fresh ? 4 : 0)); // a fresh draw may have a logit on zero
}

static void run_model(backend *b, struct golden_verdict *v) {
    struct error err;
    network *net = load_network(b, v->file, "image");
    const struct safetensors_tensor *image = safetensors_find(v->file, "image");
    uint8_t *mask = to_mask(safetensors_find(v->file, "mask"));
    int batch = (int)image->shape[0];
    size_t pixels = (size_t)(image->shape[0] * image->shape[3] * image->shape[4]);
    float *logits = malloc(pixels * sizeof *logits);
    assert_non_null(logits);
    struct focal_loss_config focal = golden_focal(v->file);

    struct loss_sums sums;
    check(network_evaluate(net, batch, image->data, mask, &focal, logits, &sums, &err), &err);
    golden_judge(v, "eval/", "logits", logits, pixels);
    judge_confusion(v, &sums);

    struct step_result result;
    check(network_gradients(net, batch, image->data, mask, &focal, logits, &result, &err), &err);
    golden_judge(v, "train/", "logits", logits, pixels);
    golden_judge(v, "train/", "loss", &(float){(float)result.sums.loss}, 1);
    golden_judge(v, "train/", "grad_norm", &(float){(float)result.grad_norm}, 1);
    judge_state(v, net, ARENA_GRAD, "grad/", true, false);
    judge_state(v, net, ARENA_PARAM, "buffer/", false, true);
    free(logits);
    free(mask);
    network_destroy(net);
}

static void run_training(backend *b, struct golden_verdict *v) {
    struct error err;
    network *net = load_network(b, v->file, "step0/image");
    struct optimizer_config config = golden_optimizer(v->file);
    for (int k = 0; k < MAX_STEPS; k++) {
        char name[64], prefix[32];
        snprintf(prefix, sizeof prefix, "step%d/", k);
        snprintf(name, sizeof name, "step%d/image", k);
        const struct safetensors_tensor *image = safetensors_find(v->file, name);
        if (!image)
            break;
        snprintf(name, sizeof name, "step%d/mask", k);
        uint8_t *mask = to_mask(safetensors_find(v->file, name));
        double lr = (double)*golden_floats(v->file, prefix, "lr", 1);
        struct step_result result;
        check(network_train_step(net, (int)image->shape[0], image->data, mask, &config, lr, &result, &err), &err);
        golden_judge(v, prefix, "loss", &(float){(float)result.sums.loss}, 1);
        golden_judge(v, prefix, "grad_norm", &(float){(float)result.grad_norm}, 1);
        free(mask);
    }
    judge_state(v, net, ARENA_PARAM, "after/", true, true);
    network_destroy(net);
}

static void run_optimizer(backend *b, struct golden_verdict *v) {
    const struct safetensors_tensor *start = safetensors_find(v->file, "param");
    assert_non_null(start);
    struct golden_vectors vectors;
    struct error err;
    check(golden_vectors_create(b, start, &vectors, &err), &err);
    float *host = malloc(start->bytes);
    assert_non_null(host);
    struct optimizer_config config = golden_optimizer(v->file);
    for (int k = 0; k < MAX_STEPS; k++) {
        char number[16], name[32];
        snprintf(number, sizeof number, "%d", k);
        snprintf(name, sizeof name, "grad%d", k);
        if (!safetensors_find(v->file, name))
            break;
        double lr = (double)*golden_floats(v->file, "lr", number, 1);
        golden_vectors_step(&vectors, &config, golden_floats(v->file, "grad", number, start->count), lr, k + 1, host);
        double distance = golden_distance(host, golden_floats(v->file, "after", number, start->count), start->count);
        if (distance > 1e-6)
            fail_msg("after step %d: relative distance %.2e, at most 1e-6", k, distance);
    }
    free(host);
    golden_vectors_destroy(&vectors);
}

static void run_case(void **state) {
    const struct golden_case *c = *state;
    struct error err;
    backend *b;
    const struct backend_config config = {.threads = 2, .precision = test_precision()};
    check(backend_create(c->backend, &config, &b, &err), &err);
    safetensors *file;
    check(safetensors_open(c->path, &file, &err), &err);
    struct golden_verdict verdict = golden_verdict_begin(file, config.precision);
    const char *base = strrchr(c->path, '/') + 1;
    if (strncmp(base, "model_", 6) == 0)
        run_model(b, &verdict);
    else if (strncmp(base, "train_", 6) == 0)
        run_training(b, &verdict);
    else
        run_optimizer(b, &verdict);
    char report[2048];
    bool passed = golden_verdict_end(&verdict, report, sizeof report);
    printf("%s: %s\n", c->name, report);
    safetensors_close(file);
    backend_destroy(b);
    assert_true(passed);
}

static int is_golden(const struct dirent *entry) {
    const char *end = strstr(entry->d_name, ".safetensors");
    return end && end[12] == 0;
}

static int list_cases(const char *folder, struct golden_case *cases) {
    struct dirent **entries;
    int files = scandir(folder, &entries, is_golden, alphasort), count = 0;
    char names[256];
    test_backends(names, sizeof names);
    for (char *name = strtok(names, ", "); name; name = strtok(NULL, ", "))
        for (int i = 0; i < files && count < MAX_CASES; i++) {
            struct golden_case *c = &cases[count++];
            snprintf(c->backend, sizeof c->backend, "%s", name);
            snprintf(c->path, sizeof c->path, "%s/%s", folder, entries[i]->d_name);
            snprintf(c->name, sizeof c->name, "%s %s", name, entries[i]->d_name);
        }
    for (int i = 0; i < files; i++)
        free(entries[i]);
    if (files >= 0)
        free(entries);
    return count;
}

static bool no_backend(void) {
    char names[256];
    test_backends(names, sizeof names);
    return names[0] == 0;
}

int main(void) {
    static struct golden_case cases[MAX_CASES];
    static struct CMUnitTest tests[MAX_CASES];
    const char *folder = getenv("GRIDFOLD_GOLDEN_DIR");
    int count = list_cases(folder ? folder : TEST_SOURCE_DIR "/model/golden", cases);
    if (count == 0 && no_backend())
        return 0;
    if (count == 0) {
        fprintf(stderr, "no golden files in %s\n", folder ? folder : TEST_SOURCE_DIR "/model/golden");
        return 1;
    }
    for (int i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){cases[i].name, run_case, NULL, NULL, &cases[i]};
    return _cmocka_run_group_tests("golden", tests, (size_t)count, NULL, NULL);
}
