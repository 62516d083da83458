// method = asha on a plan, and run-cap: which trial is trained how far.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/rng.h"
#include "orchestrator/run_cap.h"
#include "orchestrator/rungs.h"
#include "orchestrator/sweep_random.h"

enum { MOST_TRIALS = 400, MOST_ROWS = 400, MOST_EPOCHS = 100 };

// A plan as it would be expanded, without a dataset; and what is on record of its trials.
struct world {
    struct sweep *sweep;
    struct plan plan;
    struct plan_trial trials[MOST_TRIALS];
    struct plan_row rows[MOST_ROWS];
    rungs *rungs;
    int epochs[MOST_TRIALS];
    bool ended[MOST_TRIALS];
    int fails_at[MOST_TRIALS]; // epochs; 0: never
    double score[MOST_TRIALS];
};

static struct sweep *parse(const char *text) {
    struct sweep *s;
    struct error err;
    if (sweep_parse_text(text, "t.ini", NULL, 0, &s, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return s;
}

static void add_row(struct world *w, int grid, int config, int point, int fold, int trial) {
    if (trial == w->plan.trial_count) {
        w->trials[trial] = (struct plan_trial){.hp = w->sweep->base, .fold = fold, .refused = ""};
        w->score[trial] = trial / 1000.0;
        w->plan.trial_count++;
    }
    w->rows[w->plan.row_count++] =
        (struct plan_row){.grid = grid, .config = config, .point = point, .fold = fold, .trial = trial};
}

// Every row has a trial of its own.
static void set_up(struct world *w, const char *text) {
    memset(w, 0, sizeof *w);
    w->sweep = parse(text);
    w->plan = (struct plan){.sweep = w->sweep, .trials = w->trials, .rows = w->rows};
    for (int g = 0; g < w->sweep->grid_count; g++)
        for (int point = 0; point < sweep_grid_points(&w->sweep->grids[g]); point++)
            for (int f = 0; f < w->sweep->grids[g].run_count; f++)
                add_row(w, g, -1, point, w->sweep->grids[g].run_folds[f], w->plan.trial_count);
    w->plan.grids_expanded = w->sweep->grid_count;
    for (int c = 0; c < w->sweep->config_count; c++)
        for (int f = 0; f < w->sweep->configs[c].run_count; f++)
            add_row(w, -1, c, 0, w->sweep->configs[c].run_folds[f], w->plan.trial_count);
    w->rungs = rungs_create();
    assert_non_null(w->rungs);
}

static void tear_down(struct world *w) {
    rungs_destroy(w->rungs);
    sweep_destroy(w->sweep);
}

// The longer it is trained, the better; how much so differs.
static enum halving_state look(void *context, int trial, int epochs, double *score) {
    const struct world *w = context;
    *score = w->score[trial] + epochs / 1000.0 * (trial % 7);
    return w->epochs[trial] >= epochs ? HALVING_THERE : w->ended[trial] ? HALVING_OUT : HALVING_PENDING;
}

static void update(struct world *w) {
    struct rungs_record record = {w, look};
    struct error err;
    assert_int_equal(rungs_update(w->rungs, &w->plan, &record, &err), STATUS_OK);
}

// Trains it as far as it may be.
static void advance(struct world *w, int trial) {
    int until = rungs_until(w->rungs, trial);
    if (w->fails_at[trial] > 0 && w->fails_at[trial] <= until) {
        w->epochs[trial] = w->fails_at[trial] - 1;
        w->ended[trial] = true;
    } else {
        w->epochs[trial] = until;
        w->ended[trial] = until == w->sweep->base.epochs;
    }
    update(w);
}

static const char head[] = "[sweep]\ndataset = /dev/null\nmethod = asha\nfirst-rung = 1\nreduction-factor = 3\n";

static void expect(const struct world *w, int trial, int until, bool stopped) {
    assert_int_equal(rungs_until(w->rungs, trial), until);
    assert_int_equal(rungs_has_stopped(w->rungs, trial), stopped);
}

static void test_folds_go_together(void **state) {
    (void)state;
    static struct world w;
    char text[1024], reason[128];
    snprintf(text, sizeof text, "%s[folds]\ncount = 2\nrun = all\n[base]\nepochs = 9\n[grid g]\nlr = 0.1, 0.2, 0.3\n",
             head);
    set_up(&w, text);
    assert_int_equal(rungs_configurations(&w.plan, 0), 3);
    update(&w);
    for (int i = 0; i < 6; i++)
        expect(&w, i, 1, false);
    // The second fold of the first is good, but its mean is not the best.
    static const double score[] = {0.1, 0.6, 0.4, 0.5, 0.2, 0.1};
    memcpy(w.score, score, sizeof score);
    for (int i = 0; i < 5; i++)
        advance(&w, i);
    expect(&w, 0, 1, true); // whatever the last brings
    expect(&w, 2, 1, false);
    advance(&w, 5);
    for (int i = 0; i < 6; i++)
        expect(&w, i, i / 2 == 1 ? 9 : 1, i / 2 != 1);
    rungs_reason(w.rungs, 5, reason, sizeof reason);
    assert_string_equal(reason, "at rung 1 of 2: not among the best 1 of 3");
    tear_down(&w);
}

static void test_a_failed_fold_is_the_worst(void **state) {
    (void)state;
    static struct world w;
    char text[1024], reason[128];
    snprintf(text, sizeof text, "%s[folds]\ncount = 2\nrun = all\n[base]\nepochs = 9\n[grid g]\nlr = 0.1, 0.2, 0.3\n",
             head);
    set_up(&w, text);
    w.score[0] = 0.9;
    w.fails_at[1] = 1;
    update(&w);
    for (int i = 0; i < 6; i++)
        advance(&w, i);
    expect(&w, 0, 1, true);
    rungs_reason(w.rungs, 0, reason, sizeof reason);
    assert_string_equal(reason, "at rung 1 of 2: a fold of its configuration has no result there");
    expect(&w, 2, 1, true);
    expect(&w, 4, 9, false);
    tear_down(&w);
}

static void test_shared_trials_go_the_farthest(void **state) {
    (void)state;
    static struct world w;
    char text[1024];
    snprintf(
        text, sizeof text,
        "%s[folds]\ncount = 2\nrun = 0\n[base]\nepochs = 9\n[grid g]\nlr = 0.1, 0.2, 0.3\n[grid h]\nlr = 0.1, 0.4, 0.5\n"
        "[config c]\nlr = 0.2\n",
        head);
    set_up(&w, text);
    w.rows[3].trial = 0; // lr = 0.1 stands in both grids, and lr = 0.2 in the config
    w.rows[6].trial = 1;
    static const double score[] = {0.5, 0.1, 0.9, 0.0, 0.2, 0.3};
    memcpy(w.score, score, sizeof score);
    update(&w);
    expect(&w, 0, 1, false);
    expect(&w, 1, 9, false); // the config's
    for (int i = 0; i < 6; i++)
        advance(&w, i);
    expect(&w, 0, 9, false); // stopped in g, the best of h
    expect(&w, 2, 9, false);
    expect(&w, 4, 1, true);
    tear_down(&w);
}

// What becomes of every trial: by how many epochs it has, and whether it was stopped.
static void play(struct world *w, const char *text, uint32_t round, uint32_t order, int outcome[MOST_TRIALS]) {
    set_up(w, text);
    struct rng world = rng_stream(5, 0, RNG_TEST, round, 0), rng = rng_stream(6, 0, RNG_TEST, round, order);
    for (int i = 0; i < w->plan.trial_count; i++) {
        w->score[i] = rng_below(&world, 20) / 20.0;
        w->fails_at[i] = rng_below(&world, 12) == 0 ? 1 + (int)rng_below(&world, (uint32_t)w->sweep->base.epochs) : 0;
    }
    update(w);
    for (;;) {
        int ready[MOST_TRIALS], count = 0, before[MOST_TRIALS], n = w->plan.trial_count;
        bool stopped[MOST_TRIALS];
        for (int i = 0; i < n; i++) {
            before[i] = rungs_until(w->rungs, i);
            stopped[i] = rungs_has_stopped(w->rungs, i);
            if (!w->ended[i] && before[i] > w->epochs[i])
                ready[count++] = i;
        }
        if (count == 0)
            break;
        advance(w, ready[rng_below(&rng, (uint32_t)count)]);
        for (int i = 0; i < n; i++) { // what has been decided stays
            assert_true(rungs_until(w->rungs, i) >= before[i]);
            assert_true(!stopped[i] || (rungs_has_stopped(w->rungs, i) && rungs_until(w->rungs, i) == before[i]));
        }
    }
    for (int i = 0; i < w->plan.trial_count; i++) {
        assert_true(w->ended[i] || rungs_has_stopped(w->rungs, i)); // nobody waits for ever
        outcome[i] = 2 * w->epochs[i] + w->ended[i];
    }
    tear_down(w);
}

static void test_any_order_gives_the_same(void **state) {
    (void)state;
    static struct world w;
    int stopped = 0, done = 0;
    for (uint32_t round = 0; round < 300; round++) {
        struct rng rng = rng_stream(4, 0, RNG_TEST, round, 0);
        char text[1024];
        int points = 1 + (int)rng_below(&rng, 30), first = 1 + (int)rng_below(&rng, 4);
        snprintf(
            text, sizeof text,
            "[sweep]\ndataset = /dev/null\nmethod = asha\nfirst-rung = %d\nreduction-factor = %u\n[folds]\ncount = "
            "3\nrun = %s\n[base]\nepochs = %u\n[random g]\npoints = %d\nlr = log-uniform 0.001 .. 0.1\n",
            first, 2 + rng_below(&rng, 3), rng_below(&rng, 2) ? "0" : "all", (unsigned)first + 1 + rng_below(&rng, 30),
            points);
        int outcome[2][MOST_TRIALS] = {{0}};
        play(&w, text, round, 0, outcome[0]);
        play(&w, text, round, 1, outcome[1]);
        assert_memory_equal(outcome[0], outcome[1], sizeof outcome[0]);
        for (int i = 0; i < w.plan.trial_count; i++) {
            stopped += outcome[0][i] % 2 == 0;
            done += outcome[0][i] % 2;
        }
    }
    assert_true(stopped > 1000 && done > 500);
}

// ---- run-cap ----

static int kept(struct world *w, int cap, bool chosen[MOST_TRIALS]) {
    struct error err;
    w->sweep->run_cap = cap;
    assert_int_equal(run_cap_apply(&w->plan, &err), STATUS_OK);
    for (int i = 0; i < w->plan.trial_count; i++)
        chosen[i] = !w->trials[i].withheld;
    return w->plan.trial_count - w->plan.withheld;
}

static void test_run_cap(void **state) {
    (void)state;
    static struct world w;
    bool chosen[MOST_TRIALS], before[MOST_TRIALS];
    set_up(&w, "[sweep]\ndataset = /dev/null\n[folds]\ncount = 2\nrun = all\n[grid g]\nlr = 0.1, 0.2, 0.3, 0.4\n"
               "[config c]\nlr = 0.2\n");
    assert_int_equal(kept(&w, 0, chosen), 10);
    assert_int_equal(kept(&w, 5, chosen), 4); // whole configurations, in the order of the plan
    for (int i = 0; i < 10; i++)
        assert_int_equal(chosen[i], i < 4);
    w.rows[8].trial = 2; // the config's are the grid's second: they cost nothing
    w.rows[9].trial = 3;
    w.plan.trial_count = 8;
    assert_int_equal(kept(&w, 8, chosen), 8);
    w.trials[0].refused = "it cannot run";
    assert_int_equal(kept(&w, 3, chosen), 4); // three that are run, and one that is refused
    w.trials[0].refused = "";
    // Drawn: other ones than the first, and a larger cap adds to a smaller.
    w.sweep->method = METHOD_RANDOM;
    bool other = false;
    for (int cap = 2; cap <= 8; cap += 2) {
        assert_int_equal(kept(&w, cap, chosen), cap);
        for (int i = 0; i < 8; i++) {
            assert_int_equal(chosen[i], chosen[i ^ 1]);
            assert_true(cap == 2 || !before[i] || chosen[i]);
            other = other || (cap < 8 && chosen[i] && i >= cap);
        }
        memcpy(before, chosen, sizeof before);
    }
    assert_true(other);
    struct error err;
    w.sweep->run_cap = 1;
    assert_int_equal(run_cap_apply(&w.plan, &err), STATUS_INVALID);
    assert_non_null(strstr(err.message, "run-cap = 1: the first configuration has 2 trials"));
    tear_down(&w);
}

static void test_a_capped_search_is_halved_by_what_is_run(void **state) {
    (void)state;
    static struct world w;
    char text[1024];
    bool chosen[MOST_TRIALS];
    snprintf(
        text, sizeof text,
        "%s[folds]\ncount = 2\nrun = 0\n[base]\nepochs = 9\n[random g]\npoints = 20\nlr = log-uniform 0.001 .. 0.1\n",
        head);
    set_up(&w, text);
    assert_int_equal(kept(&w, 6, chosen), 6);
    assert_int_equal(rungs_configurations(&w.plan, 0), 6);
    update(&w);
    for (int i = 0; i < 6; i++)
        advance(&w, i);
    for (int i = 0; i < 20; i++) // the later the better: two of six go on, nothing is asked of the others
        if (i < 6)
            expect(&w, i, i < 4 ? 1 : 3, i < 4);
        else
            expect(&w, i, 0, false);
    tear_down(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_folds_go_together),
        cmocka_unit_test(test_a_failed_fold_is_the_worst),
        cmocka_unit_test(test_shared_trials_go_the_farthest),
        cmocka_unit_test(test_any_order_gives_the_same),
        cmocka_unit_test(test_run_cap),
        cmocka_unit_test(test_a_capped_search_is_halved_by_what_is_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
