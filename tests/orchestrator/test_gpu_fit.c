// Whether trials fit on GPUs: what plans estimate, what a GPU has, what is refused and what is said. This program is
// the one that is asked for GPUs: see main.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "orchestrator/plan_gpu.h"
#include "small_dataset.h"
#include "tests/results/temporary_folder.h"

#define GIB (1024.0 * 1024 * 1024)

static char *dataset_file;
static dataset *ds;

static int setup(void **state) {
    struct error err;
    if (temporary_folder_setup(state) != 0)
        return -1;
    dataset_file = strdup(temporary_path("d.safetensors"));
    small_dataset_write(dataset_file);
    return dataset_open(dataset_file, &ds, &err) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state) {
    dataset_close(ds);
    free(dataset_file);
    return temporary_folder_teardown(state);
}

struct job {
    struct sweep *sweep;
    struct plan *plan;
};

static struct job start(const char *settings, const char *rest) {
    struct job j;
    char *text;
    struct error err = {0};
    assert_true(asprintf(&text,
                         "[sweep]\ndataset = %s\n%s[folds]\ncount = 2\nrun = all\n[base]\nimage-size = "
                         "32\ntemporal-sampling = all\nbatch-size = 4\noptimizer = adamw\n%s",
                         dataset_file, settings, rest) > 0);
    if (sweep_parse_text(text, "s.ini", NULL, 0, &j.sweep, &err) != STATUS_OK ||
        plan_create(j.sweep, ds, &j.plan, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    free(text);
    return j;
}

static void finish(struct job j) {
    plan_destroy(j.plan);
    sweep_destroy(j.sweep);
}

static double first_need(const char *settings, const char *rest) {
    struct job j = start(settings, rest);
    double need = gpu_fit_need(&j.plan->trials[0]);
    finish(j);
    return need;
}

#define HIDDEN "[grid hidden]\nlstm-hidden-dim = 256, 1024\n"

static void test_estimates(void **state) {
    (void)state;
    double base = first_need("", HIDDEN);
    assert_true(base > 1.5 * GIB && base < 2.5 * GIB);
    assert_true(first_need("device = cpu\n", HIDDEN) == 0);
    assert_true(first_need("", "precision = bf16\n" HIDDEN) != base);
    assert_true(first_need("", "[config a]\nlstm-hidden-dim = 256\noptimizer = sgd\n") <
                base - 0.2 * GIB);                                  // a moment less
    assert_true(first_need("gpus-per-trial = 4\n", HIDDEN) < base); // a sample each, not four
    assert_true(first_need("gpus-per-trial = 3\n", HIDDEN) == first_need("gpus-per-trial = 2\n", HIDDEN));
}

static void expect(const char *settings, double gib, const char *message) {
    struct job j = start(settings, HIDDEN);
    struct gpu_room room = {GPU_SOURCE_SETTING, gib * GIB, "free on it"};
    struct error err = {0};
    enum status status = gpu_fit_check(j.plan, &room, &err);
    assert_int_equal(status, message ? STATUS_INVALID : STATUS_OK);
    if (message && !strstr(err.message, message))
        fail_msg("'%s' is not in: %s", message, err.message);
    room.source = GPU_SOURCE_NONE;
    assert_int_equal(gpu_fit_check(j.plan, &room, &err), STATUS_OK);
    finish(j);
}

// Hidden 256 takes 1.8 GiB, hidden 1024 4.8.
static void test_what_is_refused(void **state) {
    (void)state;
    expect("", 3, NULL); // one trainer a GPU: what fails is a row
    expect("trainers-per-gpu = 2\n", 12, NULL);
    expect("trainers-per-gpu = 2\n", 8,
           "trainers-per-gpu = 2: 2 of 4 trials do not fit; lstm-hidden-dim=1024 needs 2 x 4.8");
    expect("trainers-per-gpu = 2\n", 8, "8.00 GiB are free on it; take trainers-per-gpu = 1");
    expect("trainers-per-gpu = 8\n", 12, "8: 4 of 4 trials do not fit; lstm-hidden-dim=1024 needs 8 x 4.8");
    expect("trainers-per-gpu = 8\n", 12, "take trainers-per-gpu = 2");
    expect("trainers-per-gpu = 2\n", 4.5, NULL); // 1024 does not fit alone either
}

static void say(const char *settings, const char *rest, char out[4096]) {
    struct job j = start(settings, rest);
    struct gpu_room room;
    char *text = NULL;
    size_t bytes = 0;
    FILE *f = open_memstream(&text, &bytes);
    assert_non_null(f);
    gpu_room_find(j.sweep, &room);
    if (plan_gpu_wanted(j.plan, &room))
        plan_gpu_print(j.plan, &room, f);
    fclose(f);
    snprintf(out, 4096, "%s", text);
    free(text);
    finish(j);
}

static void expect_words(const char *text, const char *words) {
    if (!strstr(text, words))
        fail_msg("'%s' is not in:\n%s", words, text);
}

static void test_what_is_said(void **state) {
    (void)state;
    char text[4096];
    say("", HIDDEN, text); // device = auto, and none here
    assert_string_equal(text, "");
    say("trainers-per-gpu = 4\n", HIDDEN, text);
    expect_words(text, "GPU memory of a trainer, at most (lstm-hidden-dim=1024): 4.8");
    expect_words(text, "  trainers-per-gpu = 4: 19.3");
    expect_words(text, "; not checked: there is no GPU here, and device-memory-gib does not say what one has\n");
    assert_null(strstr(text, "does not fit"));
    say("trainers-per-gpu = 4\ndevice-memory-gib = 4.5\n", HIDDEN, text);
    expect_words(text, "; 4.50 GiB are given by device-memory-gib: room for 0\n");
    expect_words(text, "  does not fit 4 times: lstm-hidden-dim=256, ");
    expect_words(text, " GiB; 2 at most\n");
    expect_words(text, "  does not fit: lstm-hidden-dim=1024, 4.8");
    char *first = strstr(text, "lstm-hidden-dim=256");
    assert_null(strstr(first + 1, "lstm-hidden-dim=256")); // on two folds, but once
    say("", "precision = bf16\n" HIDDEN, text);
    expect_words(text, "  one trainer a GPU; not checked");
    say("device = cpu\ntrainers-per-gpu = 2\n", HIDDEN, text);
    assert_string_equal(text, "");
}

// The one with the least that is free counts.
static void test_gpus_that_are_here(void **state) {
    (void)state;
    char text[4096];
    setenv("CUDA_VISIBLE_DEVICES", "0,1", 1);
    setenv("TEST_GPUS", "GPU-a\t99\t21474836480\tbig\nGPU-b\t99\t9663676416\tsmall\n", 1);
    say("", HIDDEN, text);
    expect_words(text, "  one trainer a GPU; 9.00 GiB are free on small (GPU-b): room for 1\n");
    struct job j = start("trainers-per-gpu = 2\ndevice-memory-gib = 20\n", HIDDEN); // has precedence
    struct error err = {0};
    assert_int_equal(gpu_fit_check_run(j.plan, &err), STATUS_OK);
    finish(j);
    j = start("trainers-per-gpu = 2\n", HIDDEN);
    assert_int_equal(gpu_fit_check_run(j.plan, &err), STATUS_INVALID);
    expect_words(err.message, "9.00 GiB are free on small (GPU-b); take trainers-per-gpu = 1");
    finish(j);
    j = start("", HIDDEN);
    assert_int_equal(gpu_fit_check_run(j.plan, &err), STATUS_OK);
    finish(j);
    unsetenv("CUDA_VISIBLE_DEVICES");
}

int main(int argc, char **argv) {
    if (argc > 2 && strcmp(argv[1], "trainer") == 0 && strcmp(argv[2], "devices") == 0) {
        bool memory = argc > 3 && strcmp(argv[3], "memory") == 0;
        const char *text = getenv("TEST_GPUS");
        printf("%s", memory && text ? text : "");
        return 0;
    }
    unsetenv("CUDA_VISIBLE_DEVICES");
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_estimates), cmocka_unit_test(test_what_is_refused),
                                       cmocka_unit_test(test_what_is_said), cmocka_unit_test(test_gpus_that_are_here)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
