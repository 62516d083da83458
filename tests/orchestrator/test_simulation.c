// The scheduler under thousands of random fault schedules, and at full size: what it costs, and how close it comes to
// the shortest time in which the trials can be trained at all.
//
// GRIDFOLD_SCHEDULES: how many random schedules (1,000), and half as many with rungs. GRIDFOLD_SEED: only this one, to
// look at a violation again.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/rng.h"
#include "simulation.h"

static double one_of(struct rng *rng, double a, double b, double c) {
    uint32_t i = rng_below(rng, 3);
    return i == 0 ? a : i == 1 ? b : c;
}

// Each kind of trouble is absent in a third of the schedules, and frequent in another.
static struct simulation_config random_schedule(uint64_t seed) {
    struct rng rng = rng_stream(seed, 1, RNG_TEST, 0, 0);
    int ranks = 1 + (int)rng_below(&rng, 24);
    return (struct simulation_config){
        .seed = seed,
        .ranks = ranks,
        .trials = (int)rng_below(&rng, 80),
        .workers_per_host = 1 + (int)rng_below(&rng, 8),
        .workers_per_device = 1 + (int)rng_below(&rng, 4),
        .epochs = 1 + (int)rng_below(&rng, 6),
        .seconds = one_of(&rng, 5, 100, 1000),
        .sigma = rng_uniform(&rng),
        .estimate_sigma = rng_uniform(&rng),
        .heartbeat_seconds = one_of(&rng, 2, 5, 20),
        .crash = one_of(&rng, 0, 0.05, 0.4),
        .poison = one_of(&rng, 0, 0.02, 0.2),
        .hungry = one_of(&rng, 0, 0.1, 0.6),
        .bad_workers = one_of(&rng, 0, 0.1, 0.5),
        .bad_hosts = one_of(&rng, 0, 0.1, 0.5),
        .silence = one_of(&rng, 0, 0.02, 0.3),
        .death = one_of(&rng, 0, 0.01, 0.1),
        .leaves = one_of(&rng, 0, 0.01, 0.1),
        .late = one_of(&rng, 0, 0.1, 0.5),
        .stragglers = one_of(&rng, 0, 0.1, 0.5),
        .restarts = (int)rng_below(&rng, 4),
        .stops = (int)rng_below(&rng, 3),
        .told = one_of(&rng, 0, 0.5, 1),
    };
}

static long from_environment(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : otherwise;
}

static void test_random_schedules(void **state) {
    (void)state;
    long only = from_environment("GRIDFOLD_SEED", -1), count = from_environment("GRIDFOLD_SCHEDULES", 1000);
    struct simulation_report sum = {0}, r;
    for (long seed = only >= 0 ? only : 0; seed < (only >= 0 ? only + 1 : count); seed++) {
        struct simulation_config config = random_schedule((uint64_t)seed);
        simulate(&config, &r);
        if (r.violation[0])
            fail_msg("schedule %ld: %s", seed, r.violation);
        assert_int_equal(r.done + r.given_up, config.trials);
        sum.runs += r.runs;
        sum.done += r.done;
        sum.given_up += r.given_up;
        sum.assigned += r.assigned;
        sum.lost += r.lost;
        sum.retried_alone += r.retried_alone;
        sum.quarantined += r.quarantined;
        sum.readmitted += r.readmitted;
    }
    printf("%ld schedules, %d runs: %d trials done, %d given up; %d assignments, %d losses, %d retried alone, %d "
           "quarantines, %d lifted\n",
           only >= 0 ? 1 : count, sum.runs, sum.done, sum.given_up, sum.assigned, sum.lost, sum.retried_alone,
           sum.quarantined, sum.readmitted);
    if (only < 0) // the schedules do reach the rules
        assert_true(sum.lost > count && sum.retried_alone > count / 10 && sum.quarantined > count / 10 &&
                    sum.readmitted > count / 100);
}

// With rungs no trial is lost, trained twice or left waiting either; and which are stopped where is the same as without
// troubles on another number of ranks, unless chance has had another trial fail.
static void test_random_schedules_with_rungs(void **state) {
    (void)state;
    enum { MOST = 80 };
    long only = from_environment("GRIDFOLD_SEED", -1), count = from_environment("GRIDFOLD_SCHEDULES", 1000) / 2;
    long compared = 0, runs = 0, paused = 0, stopped = 0, done = 0, given_up = 0;
    for (long seed = only >= 0 ? only : 0; seed < (only >= 0 ? only + 1 : count); seed++) {
        int outcome[2][MOST] = {{0}};
        bool same_failures = true;
        struct simulation_report r, quiet;
        struct simulation_config config = random_schedule((uint64_t)seed);
        struct rng rng = rng_stream((uint64_t)seed, 3, RNG_TEST, 0, 0);
        config.first_rung = 1 + (int)rng_below(&rng, 3);
        config.epochs = config.first_rung + 1 + (int)rng_below(&rng, 12);
        config.reduction_factor = 2 + (int)rng_below(&rng, 3);
        config.folds = 1 + (int)rng_below(&rng, 3);
        config.outcome = outcome[0];
        simulate(&config, &r);
        if (r.violation[0])
            fail_msg("schedule %ld: %s", seed, r.violation);
        assert_int_equal(r.done + r.given_up + r.stopped, config.trials);
        struct simulation_config calm = {.seed = config.seed,
                                         .ranks = 1 + (int)rng_below(&rng, 24),
                                         .trials = config.trials,
                                         .workers_per_host = 1,
                                         .workers_per_device = config.workers_per_device,
                                         .epochs = config.epochs,
                                         .first_rung = config.first_rung,
                                         .reduction_factor = config.reduction_factor,
                                         .folds = config.folds,
                                         .seconds = config.seconds,
                                         .sigma = config.sigma,
                                         .heartbeat_seconds = 5,
                                         .poison = config.poison,
                                         .hungry = config.hungry,
                                         .outcome = outcome[1]};
        simulate(&calm, &quiet);
        if (quiet.violation[0])
            fail_msg("schedule %ld, without troubles: %s", seed, quiet.violation);
        for (int i = 0; i < config.trials; i++)
            same_failures = same_failures && (outcome[0][i] < 0) == (outcome[1][i] < 0);
        for (int i = 0; i < config.trials && same_failures; i++)
            if (outcome[0][i] != outcome[1][i])
                fail_msg("schedule %ld: trial %d ends with %d, without troubles with %d", seed, i, outcome[0][i],
                         outcome[1][i]);
        compared += same_failures;
        runs += r.runs;
        paused += r.paused;
        stopped += r.stopped;
        done += r.done;
        given_up += r.given_up;
    }
    printf(
        "%ld schedules with rungs, %ld runs: %ld trials done, %ld stopped, %ld given up, %ld pauses; %ld compared with "
        "one without troubles\n",
        only >= 0 ? 1 : count, runs, done, stopped, given_up, paused, compared);
    if (only < 0)
        assert_true(compared > count / 3 && stopped > count && paused > stopped);
}

static void print_report(const char *name, const struct simulation_config *c, const struct simulation_report *r) {
    double bound = r->longest > r->total / c->ranks ? r->longest : r->total / c->ranks;
    printf("%-28s %5d ranks %7d trials: %.0f s, %.4f of the bound %.0f s; %ld events, %.2f us each; %d losses, "
           "%d given up of %d hopeless, %d quarantines, %d lifted, %d runs\n",
           name, c->ranks, c->trials, r->makespan, r->makespan / bound, bound, r->events,
           1e6 * r->scheduler_seconds / (double)r->events, r->lost, r->given_up, r->hopeless, r->quarantined,
           r->readmitted, r->runs);
}

// 12 minutes a trial in the median, as the report's folds.
static const struct simulation_config full_size = {
    .seed = 1,
    .ranks = 1000,
    .trials = 100000,
    .workers_per_host = 8,
    .workers_per_device = 1,
    .epochs = 5,
    .seconds = 720,
    .sigma = 0.7,
    .estimate_sigma = 0.3,
    .heartbeat_seconds = 20,
};

// Any list schedule on m equal workers takes at most total / m + (1 - 1 / m) * longest (Graham, 1969), whatever the
// estimates; the second is for messages and starts.
static void test_makespan_without_faults(void **state) {
    (void)state;
    struct simulation_config config = full_size;
    struct simulation_report r;
    simulate(&config, &r);
    print_report("no faults", &config, &r);
    assert_string_equal(r.violation, "");
    double messages = 1 + 0.2 * config.trials / config.ranks;
    assert_true(r.makespan <= r.total / config.ranks + r.longest + messages);
}

// Until the last assignment a worker that may be used is training, or a message is under way to it; so that the time
// until then is no more than what was spent on training, useful or lost, and on being away, divided among all ranks.
// After it there is one attempt at most.
static void check_busy_until_the_end(const struct simulation_config *c, const struct simulation_report *r) {
    double messages = 2 + 0.3 * r->assigned / c->ranks;
    assert_string_equal(r->violation, "");
    printf("  busy until %.0f s, which may be %.0f s; then %.0f s\n", r->makespan - r->tail,
           (r->spent + r->unusable + r->cut) / c->ranks + messages, r->tail);
    assert_true(r->makespan - r->tail <= (r->spent + r->unusable + r->cut) / c->ranks + messages);
    assert_true(r->tail <= 4 * r->longest + 180 + messages);
}

static void test_makespan_with_faults(void **state) {
    (void)state;
    struct simulation_config config = full_size;
    struct simulation_report r;
    config.crash = 0.02;
    config.poison = 0.001;
    config.bad_workers = 0.01;
    config.bad_hosts = 0.02;
    config.silence = 0.001;
    config.death = 0.00005;
    config.late = 0.1;
    simulate(&config, &r);
    print_report("crashes, bad hosts, silence", &config, &r);
    check_busy_until_the_end(&config, &r);
    assert_true(r.given_up <= r.hopeless + config.trials / 10000); // three crashes in a row are possible
    config.stragglers = 0.05;
    config.restarts = 3;
    simulate(&config, &r);
    print_report("and stragglers, restarts", &config, &r);
    assert_string_equal(r.violation, "");
    assert_int_equal(r.done + r.given_up, config.trials);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_schedules),
        cmocka_unit_test(test_random_schedules_with_rungs),
        cmocka_unit_test(test_makespan_without_faults),
        cmocka_unit_test(test_makespan_with_faults),
    };
    if (getenv("FULL"))
        cmocka_set_test_filter("test_makespan_with*");
    if (getenv("GRIDFOLD_SEED"))
        cmocka_set_test_filter("test_random_schedules*");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
