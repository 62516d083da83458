// The plan: expansion, shared trials, references, refusals, winners.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/safetensors.h"
#include "orchestrator/plan.h"
#include "orchestrator/winner.h"
#include "tests/results/temporary_folder.h"

enum { SAMPLES = 12, BANDS = 1, STEPS = 2, HEIGHT = 65, WIDTH = 70 };

static const char *dataset_file;
static dataset *ds;

static void write_dataset(const char *path) {
    struct error err;
    safetensors_writer *w;
    static float image[STEPS * BANDS * HEIGHT * WIDTH];
    static uint8_t mask[HEIGHT * WIDTH];
    assert_int_equal(safetensors_writer_create(&w, &err), STATUS_OK);
    assert_int_equal(safetensors_add_metadata(w, "format", "gridfold-dataset-1", &err), STATUS_OK);
    assert_int_equal(safetensors_add_metadata(w, "bands", "nir", &err), STATUS_OK);
    assert_int_equal(safetensors_add_metadata(w, "steps", "2018, 2024", &err), STATUS_OK);
    assert_int_equal(safetensors_add_metadata(w, "test", "s10\ns11", &err), STATUS_OK);
    for (int i = 0; i < SAMPLES; i++) {
        char name[32];
        snprintf(name, sizeof name, "s%02d/image", i);
        int64_t shape[] = {STEPS, BANDS, HEIGHT, WIDTH};
        assert_int_equal(safetensors_add(w, name, DTYPE_F32, 4, shape, image, &err), STATUS_OK);
        snprintf(name, sizeof name, "s%02d/mask", i);
        assert_int_equal(safetensors_add(w, name, DTYPE_U8, 2, shape + 2, mask, &err), STATUS_OK);
    }
    assert_int_equal(safetensors_write(w, path, &err), STATUS_OK);
    safetensors_writer_destroy(w);
}

static int setup(void **state) {
    struct error err;
    if (temporary_folder_setup(state) != 0)
        return -1;
    dataset_file = strdup(temporary_path("d.safetensors"));
    write_dataset(dataset_file);
    return dataset_open(dataset_file, &ds, &err) == STATUS_OK ? 0 : -1;
}

static int teardown(void **state) {
    dataset_close(ds);
    free((char *)dataset_file);
    return temporary_folder_teardown(state);
}

// `text` without its [sweep]. A narrow model, so that estimates are quick.
static struct sweep *parse(const char *text) {
    char *whole;
    struct sweep *s;
    struct error err = {0};
    assert_true(asprintf(&whole,
                         "[sweep]\ndataset = %s\n[base]\nencoder-width = 2\nlstm-hidden-dim = 4\nbatch-size = "
                         "3\nepochs = 10\ndecoder-channels = 4,4,4,4,4\n%s",
                         dataset_file, text) > 0);
    if (sweep_parse_text(whole, "s.ini", NULL, 0, &s, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    free(whole);
    return s;
}

static struct plan *plan_of(const struct sweep *s) {
    struct plan *p;
    struct error err = {0};
    if (plan_create(s, ds, &p, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return p;
}

// outcomes[i] of the first trials; NaN: not finished; -1: failed.
static int resolve(struct plan *p, const double *iou, int count) {
    struct plan_outcome *outcomes = calloc((size_t)p->trial_count + 1, sizeof *outcomes);
    for (int i = 0; i < p->trial_count; i++)
        outcomes[i] = (struct plan_outcome){.finished = i < count && !isnan(iou[i]),
                                            .score = i < count && iou[i] >= 0 ? iou[i] : NAN};
    int added;
    struct error err = {0};
    if (plan_resolve(p, ds, outcomes, &added, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    free(outcomes);
    return added;
}

static void expect_row(const struct plan *p, int row, int grid, int config, int fold, int trial, const char *label) {
    assert_in_range(row, 0, p->row_count - 1);
    const struct plan_row *r = &p->rows[row];
    assert_string_equal(r->label, label);
    assert_int_equal(r->grid, grid);
    assert_int_equal(r->config, config);
    assert_int_equal(r->fold, fold);
    assert_int_equal(r->trial, trial);
}

static void test_phase1(void **state) {
    (void)state;
    struct sweep *s;
    struct error err = {0};
    char override[PATH_SIZE + 16];
    snprintf(override, sizeof override, "dataset=%s", dataset_file);
    const char *const overrides[] = {override};
    if (sweep_parse(TEST_SOURCE_DIR "/../sweeps/phase1.ini", overrides, 1, &s, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    struct plan *p = plan_of(s);
    assert_int_equal(p->row_count, 14);   // 3 + 4 + 3 + 2 + 2
    assert_int_equal(p->trial_count, 10); // the row of [base] stands in all five grids
    assert_true(plan_is_complete(p));
    expect_row(p, 0, 0, -1, 3, 0, "lr=0.0001");
    expect_row(p, 2, 0, -1, 3, 2, "lr=0.01");
    expect_row(p, 3, 1, -1, 3, 2, "optimizer=sgd scheduler=linear");
    expect_row(p, 4, 1, -1, 3, 3, "optimizer=sgd scheduler=cosine");
    expect_row(p, 5, 1, -1, 3, 4, "optimizer=adamw scheduler=linear");
    expect_row(p, 8, 2, -1, 3, 2, "lstm-hidden-dim=512");
    expect_row(p, 11, 3, -1, 3, 8, "image-size=128");
    expect_row(p, 12, 4, -1, 3, 2, "epochs=200");
    assert_string_equal(p->trials[2].id, "48920c8329a715f7");
    assert_string_equal(p->trials[2].config, "lr=0.01");
    assert_int_equal(p->trials[8].hp.image_size, 128);
    assert_string_equal(p->trials[8].refused,
                        "image-size 128: 12 of 12 tiles are smaller, the first is s00 with 65 x 70; take 64");
    for (int i = 0; i < p->trial_count; i++)
        assert_int_equal(*p->trials[i].refused != '\0', i == 8);
    plan_destroy(p);
    sweep_destroy(s);
}

static void test_shipped_sweeps(void **state) {
    (void)state;
    static const struct {
        const char *path;
        int rows, trials, grids, configs, all_rows; // at first, and in the end
    } cases[] = {
        {TEST_SOURCE_DIR "/../sweeps/phase2.ini", 10, 10, 0, 2, 10},
        {TEST_SOURCE_DIR "/../sweeps/s2-urban.ini", 21, 20, 1, 1, 26},
    };
    char override[PATH_SIZE + 16];
    snprintf(override, sizeof override, "dataset=%s", dataset_file);
    const char *const overrides[] = {override};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct sweep *s;
        struct error err = {0};
        if (sweep_parse(cases[i].path, overrides, 1, &s, &err) != STATUS_OK)
            fail_msg("%s", err.message);
        struct plan *p = plan_of(s);
        assert_int_equal(p->row_count, cases[i].rows);
        assert_int_equal(p->trial_count, cases[i].trials);
        assert_int_equal(p->grids_expanded, cases[i].grids);
        assert_int_equal(p->configs_expanded, cases[i].configs);
        double iou[64];
        for (int t = 0; t < 64; t++)
            iou[t] = 0.01 * t;
        resolve(p, iou, p->trial_count);
        assert_true(plan_is_complete(p));
        assert_int_equal(p->row_count, cases[i].all_rows);
        plan_destroy(p);
        sweep_destroy(s);
    }
}

// The report's models by the table of the specification; one band here, so the first convolution is smaller by 8 bands.
static void test_costs(void **state) {
    (void)state;
    struct sweep *s = parse("[grid a]\nlstm-hidden-dim = 256, 512\nencoder-width = 64\ndecoder-channels = "
                            "256,128,64,32,16\nfolds = 0\n[grid b]\nepochs = 10, 20\nbatch-size = 1\nfolds = 0\n");
    struct plan *p = plan_of(s);
    size_t missing = 64 * 8 * 7 * 7;
    assert_int_equal(p->trials[0].cost.parameters, 54606337 - missing);
    assert_int_equal(p->trials[1].cost.parameters, 94978561 - missing);
    // 10 samples in 5 folds: 8 to train, 2 to validate
    const struct plan_trial *t = &p->trials[2];
    double epoch = 8 * t->cost.train_flops + 2 * t->cost.eval_flops;
    assert_true(t->cost.train_flops > t->cost.eval_flops && t->cost.eval_flops > 0);
    assert_true(fabs(t->work / (10 * epoch) - 1) < 1e-12);
    assert_true(fabs(p->trials[3].work / t->work - 2) < 1e-12);
    assert_true(t->cost.arena_bytes >= 3 * 4 * t->cost.parameters && t->cost.activation_bytes > 0);
    plan_destroy(p);
    sweep_destroy(s);
}

static void test_folds_of_sections(void **state) {
    (void)state;
    struct sweep *s = parse("[folds]\ncount = 3\nrun = 1\n[grid a]\nlr = 0.1, 0.2\nfolds = 2, 0\n[grid b]\nlr = 0.2\n"
                            "[config c]\nlr = 0.2\nfolds = all\n");
    struct plan *p = plan_of(s);
    assert_int_equal(p->row_count, 8);
    assert_int_equal(p->trial_count, 5);
    expect_row(p, 0, 0, -1, 0, 0, "lr=0.1");
    expect_row(p, 1, 0, -1, 2, 1, "lr=0.1");
    expect_row(p, 2, 0, -1, 0, 2, "lr=0.2");
    expect_row(p, 3, 0, -1, 2, 3, "lr=0.2");
    expect_row(p, 4, 1, -1, 1, 4, "lr=0.2");
    expect_row(p, 5, -1, 0, 0, 2, "c");
    expect_row(p, 6, -1, 0, 1, 4, "c");
    expect_row(p, 7, -1, 0, 2, 3, "c");
    assert_int_equal(p->rows[2].point, 1);
    assert_int_equal(p->trials[4].fold, 1);
    plan_destroy(p);
    sweep_destroy(s);
}

static const char chained[] = "[folds]\ncount = 2\nrun = 0\n"
                              "[grid lr]\nlr = 0.1, 0.2, 0.3\n"
                              "[grid opt]\nlr = @lr\noptimizer = sgd, adamw\n"
                              "[config plain]\nlr = 0.2\n"
                              "[config best]\nfrom = @this\nepochs = 5\n"
                              "[config one]\nlr = @lr\n"
                              "[compare]\nbaseline = plain\ncandidate = best\n";

static void test_references(void **state) {
    (void)state;
    struct sweep *s = parse(chained);
    struct plan *p = plan_of(s);
    assert_int_equal(p->row_count, 4); // the grid, and the config that waits for nobody
    assert_int_equal(p->trial_count, 3);
    assert_int_equal(p->grids_expanded, 1);
    assert_false(plan_is_complete(p));
    assert_int_equal(plan_grid_rows(&s->grids[1]), 2);

    assert_int_equal(resolve(p, (double[]){0.1, 0.5, NAN}, 3), 0); // one is not finished
    assert_int_equal(p->row_count, 4);
    assert_int_equal(resolve(p, (double[]){0.1, 0.5, -1}, 3), 1); // lr = 0.2, one point of two is there already
    assert_int_equal(p->grids_expanded, 2);
    assert_int_equal(p->row_count, 6); // [config one] could stand, but its turn is after [config best]
    expect_row(p, 4, 1, -1, 0, 1, "lr=0.2 optimizer=sgd");
    expect_row(p, 5, 1, -1, 0, 3, "lr=0.2 optimizer=adamw");
    assert_true(p->trials[3].hp.lr == 0.2);

    assert_int_equal(resolve(p, (double[]){0.1, 0.5, -1, 0.6}, 4), 1);
    assert_true(plan_is_complete(p));
    expect_row(p, 6, -1, 1, 0, 4, "best");
    expect_row(p, 7, -1, 2, 0, 1, "one");
    assert_true(p->trials[4].hp.lr == 0.2);
    assert_int_equal(p->trials[4].hp.optimizer, 1);
    assert_int_equal(p->trials[4].hp.epochs, 5);
    assert_int_equal(resolve(p, (double[]){0.1, 0.5, -1, 0.6}, 4), 0);
    plan_destroy(p);
    sweep_destroy(s);
}

// A resumed sweep knows results from the start, and must come to the same trials and rows.
static void test_resumed_expansion_is_the_same(void **state) {
    (void)state;
    struct sweep *s = parse(chained);
    struct plan *slow = plan_of(s), *fast = plan_of(s);
    resolve(slow, (double[]){0.1, 0.5, 0.2}, 3);
    resolve(slow, (double[]){0.1, 0.5, 0.2, 0.6}, 4);
    resolve(fast, (double[]){0.1, 0.5, 0.2}, 3);
    resolve(fast, (double[]){0.1, 0.5, 0.2, 0.6, 0.7}, 4);
    assert_true(plan_is_complete(slow) && plan_is_complete(fast));
    assert_int_equal(slow->row_count, fast->row_count);
    for (int i = 0; i < slow->row_count; i++) {
        assert_string_equal(slow->rows[i].label, fast->rows[i].label);
        assert_string_equal(slow->trials[slow->rows[i].trial].id, fast->trials[fast->rows[i].trial].id);
    }
    plan_destroy(slow);
    plan_destroy(fast);
    sweep_destroy(s);
}

static void test_no_winner_is_an_error(void **state) {
    (void)state;
    struct sweep *s = parse(chained);
    struct plan *p = plan_of(s);
    struct plan_outcome outcomes[3] = {{true, NAN}, {true, NAN}, {true, NAN}};
    struct error err;
    int added;
    assert_int_equal(plan_resolve(p, ds, outcomes, &added, &err), STATUS_INVALID);
    assert_string_equal(err.message,
                        "[grid lr] has no winner: none of its 3 trials gave a result; see trials.csv for why");
    plan_destroy(p);
    sweep_destroy(s);
}

static void test_refused_trials_lose(void **state) {
    (void)state;
    struct sweep *s = parse("[folds]\ncount = 2\nrun = 0\n[grid size]\nimage-size = 128, 64\n"
                            "[grid sampling]\nimage-size = @size\ntemporal-sampling = annual, quarterly\n");
    struct plan *p = plan_of(s);
    assert_true(*p->trials[0].refused && !*p->trials[1].refused);
    assert_true(p->trials[0].work == 0 && p->trials[0].cost.parameters > 0);
    assert_int_equal(resolve(p, (double[]){NAN, 0.3}, 2), 1);
    assert_int_equal(p->trials[2].hp.image_size, 64);
    assert_true(*p->trials[2].refused); // the file holds years
    assert_true(p->trials[2].cost.parameters == 0);
    assert_true(plan_is_complete(p));
    plan_destroy(p);
    sweep_destroy(s);
}

static void test_more_folds_than_samples(void **state) {
    (void)state;
    struct sweep *s = parse("[folds]\ncount = 11\n[config a]\n");
    struct plan *p;
    struct error err;
    assert_int_equal(plan_create(s, ds, &p, &err), STATUS_INVALID);
    assert_null(p);
    sweep_destroy(s);
}

static void test_labels_stay_apart(void **state) {
    (void)state;
    char text[2048] = "[folds]\nrun = 0\n[grid a]\nlr = 0.0123456789012345, 0.0123456789012346\n";
    strcat(text, "adam-beta1 = 0.123456789012345\nadam-beta2 = 0.123456789012345\nadam-epsilon = 0.123456789012345\n"
                 "weight-decay = 0.123456789012345\nfocal-alpha = 0.123456789012345\nmomentum = 0.1, 0.2\n");
    struct sweep *s = parse(text);
    struct plan *p = plan_of(s);
    assert_int_equal(p->row_count, 4);
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(p->rows[i].label, p->rows[j].label);
    plan_destroy(p);
    sweep_destroy(s);
}

static int winner_of(int points, size_t rows, const int *point, const double *best_iou) {
    struct error error;
    int winner;
    assert_int_equal(winner_point(points, rows, point, best_iou, &winner, &error), STATUS_OK);
    return winner;
}

static void test_winner(void **state) {
    (void)state;
    assert_int_equal(winner_of(2, 4, (int[]){0, 0, 1, 1}, (double[]){0.9, 0.1, 0.5, 0.6}), 1);
    assert_int_equal(winner_of(2, 4, (int[]){0, 0, 1, 1}, (double[]){0.9, NAN, 0.5, 0.6}), 0);
    assert_int_equal(winner_of(3, 3, (int[]){0, 1, 2}, (double[]){NAN, 0.5, 0.5}), 1);
    assert_int_equal(winner_of(2, 2, (int[]){0, 1}, (double[]){NAN, 0}), 1);
    assert_int_equal(winner_of(2, 2, (int[]){0, 1}, (double[]){NAN, NAN}), -1);
    assert_int_equal(winner_of(0, 0, NULL, NULL), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phase1),
        cmocka_unit_test(test_shipped_sweeps),
        cmocka_unit_test(test_costs),
        cmocka_unit_test(test_folds_of_sections),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_resumed_expansion_is_the_same),
        cmocka_unit_test(test_no_winner_is_an_error),
        cmocka_unit_test(test_refused_trials_lose),
        cmocka_unit_test(test_more_folds_than_samples),
        cmocka_unit_test(test_labels_stay_apart),
        cmocka_unit_test(test_winner),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
