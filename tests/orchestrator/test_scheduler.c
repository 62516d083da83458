#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/base/rng.h"
#include "orchestrator/scheduler.h"

static scheduler *create_patient(int workers, int max_attempts, double empty_timeout) {
    scheduler *s;
    struct error err;
    struct scheduler_config config = {
        .workers = workers, .max_attempts = max_attempts, .worker_timeout = 10, .empty_timeout = empty_timeout};
    assert_int_equal(scheduler_create(&config, &s, &err), STATUS_OK);
    return s;
}

static scheduler *create(int workers, int max_attempts) {
    return create_patient(workers, max_attempts, 20);
}

static void add(scheduler *s, double work, bool started, bool finished) {
    struct error err;
    struct scheduler_trial t = {work, started, finished};
    assert_int_equal(scheduler_add(s, &t, 1, &err), STATUS_OK);
}

static struct scheduler_actions step(scheduler *s, enum scheduler_event_kind kind, int worker, int trial, double now) {
    return scheduler_step(s, &(struct scheduler_event){.kind = kind, .worker = worker, .trial = trial, .now = now});
}

static void expect(struct scheduler_actions a, int index, enum scheduler_action_kind kind, int worker, int trial,
                   int attempt) {
    assert_true(index < a.count);
    assert_int_equal(a.at[index].kind, kind);
    assert_int_equal(a.at[index].worker, worker);
    assert_int_equal(a.at[index].trial, trial);
    assert_int_equal(a.at[index].attempt, attempt);
}

static void test_order(void **state) {
    (void)state;
    scheduler *s = create(1, 3);
    const struct scheduler_trial trials[] = {{1, false, false}, {5, false, false}, {2, true, false},
                                             {5, false, false}, {9, false, true},  {3, true, false}};
    struct error err;
    assert_int_equal(scheduler_add(s, trials, 6, &err), STATUS_OK);
    static const int order[] = {5, 2, 1, 3, 0};
    struct scheduler_actions a = step(s, SCHEDULER_WORKER_IDLE, 0, -1, 0);
    for (int i = 0; i < 5; i++) {
        expect(a, i > 0, SCHEDULER_ASSIGN, 0, order[i], 1);
        a = step(s, SCHEDULER_TRIAL_FINISHED, 0, order[i], i + 1);
        expect(a, 0, SCHEDULER_ACCEPT, 0, order[i], 1);
    }
    assert_int_equal(a.count, 1); // the plan may still grow
    a = step(s, SCHEDULER_PLAN_COMPLETE, 0, -1, 9);
    expect(a, 0, SCHEDULER_FINISH, -1, -1, 0);
    assert_int_equal(scheduler_ending(s), SCHEDULER_ALL_DONE);
    scheduler_destroy(s);
}

static void test_lost_trial_is_retried_then_given_up(void **state) {
    (void)state;
    scheduler *s = create(2, 3);
    add(s, 1, false, false);
    step(s, SCHEDULER_PLAN_COMPLETE, 0, -1, 0);
    expect(step(s, SCHEDULER_WORKER_IDLE, 1, -1, 0), 0, SCHEDULER_ASSIGN, 1, 0, 1);
    struct scheduler_actions a = step(s, SCHEDULER_TRIAL_LOST, 1, 0, 1);
    expect(a, 0, SCHEDULER_RETRY, -1, 0, 1);
    expect(a, 1, SCHEDULER_ASSIGN, 1, 0, 2);
    a = step(s, SCHEDULER_TRIAL_LOST, 1, 0, 2);
    expect(a, 1, SCHEDULER_ASSIGN, 1, 0, 3);
    a = step(s, SCHEDULER_TRIAL_LOST, 1, 0, 3);
    expect(a, 0, SCHEDULER_GIVE_UP, -1, 0, 3);
    expect(a, 1, SCHEDULER_FINISH, -1, -1, 0);
    scheduler_destroy(s);
}

// What dies now and then but gets on is not given up.
static void test_new_epochs_start_the_count_anew(void **state) {
    (void)state;
    scheduler *s = create(1, 2);
    add(s, 1, false, false);
    step(s, SCHEDULER_PLAN_COMPLETE, 0, -1, 0);
    step(s, SCHEDULER_WORKER_IDLE, 0, -1, 0);
    struct scheduler_event e = {.kind = SCHEDULER_TRIAL_EPOCH, .worker = 0, .trial = 0, .fresh = true};
    for (int attempt = 1; attempt <= 5; attempt++) {
        scheduler_step(s, &e);
        expect(step(s, SCHEDULER_TRIAL_LOST, 0, 0, 0), 1, SCHEDULER_ASSIGN, 0, 0, attempt + 1);
    }
    e.fresh = false; // an epoch that was trained before
    scheduler_step(s, &e);
    expect(step(s, SCHEDULER_TRIAL_LOST, 0, 0, 0), 0, SCHEDULER_GIVE_UP, -1, 0, 6);
    scheduler_destroy(s);
}

static void test_silent_worker(void **state) {
    (void)state;
    scheduler *s = create(2, 3);
    add(s, 2, false, false);
    add(s, 1, false, false);
    step(s, SCHEDULER_PLAN_COMPLETE, 0, -1, 0);
    step(s, SCHEDULER_WORKER_IDLE, 0, -1, 0);
    step(s, SCHEDULER_WORKER_IDLE, 1, -1, 0);
    assert_int_equal(step(s, SCHEDULER_WORKER_HEARD, 1, 1, 8).count, 0);
    assert_int_equal(step(s, SCHEDULER_TICK, 0, -1, 9).count, 0);
    struct scheduler_actions a = step(s, SCHEDULER_TICK, 0, -1, 11);
    expect(a, 0, SCHEDULER_LOSE_WORKER, 0, 0, 0);
    expect(a, 1, SCHEDULER_RETRY, -1, 0, 1);
    assert_int_equal(a.count, 2);
    a = step(s, SCHEDULER_TRIAL_FINISHED, 1, 1, 12);
    expect(a, 1, SCHEDULER_ASSIGN, 1, 0, 2);
    // The lost one was only slow: its result counts, and the other is called off.
    a = step(s, SCHEDULER_TRIAL_FINISHED, 0, 0, 13);
    expect(a, 0, SCHEDULER_ACCEPT, 0, 0, 2);
    expect(a, 1, SCHEDULER_STOP_WORKER, 1, 0, 0);
    expect(a, 2, SCHEDULER_FINISH, -1, -1, 0);
    assert_int_equal(step(s, SCHEDULER_TRIAL_FINISHED, 1, 0, 14).count, 0);
    scheduler_destroy(s);
}

static void test_lost_worker_takes_its_trial_back(void **state) {
    (void)state;
    scheduler *s = create(1, 3);
    add(s, 1, false, false);
    step(s, SCHEDULER_PLAN_COMPLETE, 0, -1, 0);
    step(s, SCHEDULER_WORKER_IDLE, 0, -1, 0);
    step(s, SCHEDULER_TICK, 0, -1, 11);
    assert_false(scheduler_worker_is_present(s, 0));
    assert_int_equal(step(s, SCHEDULER_WORKER_HEARD, 0, 0, 12).count, 0);
    assert_int_equal(scheduler_worker_trial(s, 0), 0);
    expect(step(s, SCHEDULER_TRIAL_FINISHED, 0, 0, 13), 0, SCHEDULER_ACCEPT, 0, 0, 1);
    scheduler_destroy(s);
}

static void test_stop(void **state) {
    (void)state;
    scheduler *s = create(3, 1);
    for (int i = 0; i < 5; i++)
        add(s, 5 - i, false, false);
    step(s, SCHEDULER_PLAN_COMPLETE, 0, -1, 0);
    step(s, SCHEDULER_WORKER_IDLE, 0, -1, 0);
    step(s, SCHEDULER_WORKER_IDLE, 1, -1, 0);
    struct scheduler_actions a = step(s, SCHEDULER_STOP, 0, -1, 1);
    expect(a, 0, SCHEDULER_STOP_WORKER, 0, 0, 0);
    expect(a, 1, SCHEDULER_STOP_WORKER, 1, 1, 0);
    assert_int_equal(a.count, 2);
    assert_int_equal(step(s, SCHEDULER_STOP, 0, -1, 1).count, 0);
    assert_int_equal(step(s, SCHEDULER_WORKER_IDLE, 2, -1, 1).count, 0); // nothing is handed out any more
    expect(step(s, SCHEDULER_TRIAL_FINISHED, 0, 0, 2), 0, SCHEDULER_ACCEPT, 0, 0, 1);
    a = step(s, SCHEDULER_TRIAL_LOST, 1, 1, 3); // no failure: it was called off
    assert_int_equal(a.at[a.count - 1].kind, SCHEDULER_FINISH);
    assert_int_equal(scheduler_ending(s), SCHEDULER_STOPPED);
    assert_int_equal(scheduler_finished_count(s), 1);
    scheduler_destroy(s);
}

static void test_no_workers(void **state) {
    (void)state;
    scheduler *s = create(2, 3);
    add(s, 1, false, false);
    step(s, SCHEDULER_TICK, 0, -1, 100);
    assert_int_equal(step(s, SCHEDULER_TICK, 0, -1, 119).count, 0);
    step(s, SCHEDULER_WORKER_IDLE, 0, -1, 119);
    step(s, SCHEDULER_WORKER_LEFT, 0, -1, 120);
    assert_int_equal(step(s, SCHEDULER_TICK, 0, -1, 139).count, 0);
    expect(step(s, SCHEDULER_TICK, 0, -1, 141), 0, SCHEDULER_FINISH, -1, -1, 0);
    assert_int_equal(scheduler_ending(s), SCHEDULER_NO_WORKERS);
    scheduler_destroy(s);
}

static void test_nonsense_is_ignored(void **state) {
    (void)state;
    scheduler *s = create(1, 3);
    add(s, 1, false, false);
    assert_int_equal(step(s, SCHEDULER_TRIAL_FINISHED, 7, 0, 0).count, 0);
    assert_int_equal(step(s, SCHEDULER_TRIAL_FINISHED, 0, -1, 0).count, 0);
    assert_int_equal(step(s, SCHEDULER_TRIAL_LOST, 0, 99, 0).count, 0);
    assert_int_equal(step(s, SCHEDULER_WORKER_HEARD, -1, 0, 0).count, 0);
    scheduler_destroy(s);
}

// ---- a simulated job ----

// Workers take random times, die (trainer or worker), fall silent and come back, join late. Trials are added while it
// runs. Every trial must get exactly one result, a given-up one only after max_attempts losses, and no two workers that
// are heard regularly the same trial.
struct sim_worker {
    bool dead, silent, joined, busy;
    int trial;
    double until, silent_until, beat;
};

struct sim {
    scheduler *s;
    struct rng rng;
    int workers, trials, max_attempts, later;
    struct sim_worker *w;
    int *results, *given_up, *losses;
    double now;
    bool finished;
    double trouble; // how often things go wrong
};

static void sim_event(struct sim *m, enum scheduler_event_kind kind, int worker, int trial);

static void sim_action(struct sim *m, const struct scheduler_action *a) {
    struct sim_worker *w = &m->w[a->worker >= 0 ? a->worker : 0]; // read by actions on a worker alone
    switch (a->kind) {
    case SCHEDULER_ASSIGN:
        assert_int_equal(m->results[a->trial], 0);
        assert_in_range(a->attempt, 1, m->max_attempts);
        if (w->dead || w->busy)
            return; // the message is lost, or refused
        w->busy = true;
        w->trial = a->trial;
        w->until = m->now + 0.1 + 20 * rng_uniform(&m->rng);
        break;
    case SCHEDULER_ACCEPT:
        m->results[a->trial]++;
        break;
    case SCHEDULER_RETRY:
        m->losses[a->trial]++;
        assert_true(a->attempt < m->max_attempts);
        break;
    case SCHEDULER_GIVE_UP:
        m->losses[a->trial]++;
        assert_int_equal(a->attempt, m->max_attempts);
        m->results[a->trial]++;
        m->given_up[a->trial]++;
        break;
    case SCHEDULER_STOP_WORKER:
        if (w->busy)
            w->until = m->now + rng_uniform(&m->rng);
        break;
    case SCHEDULER_LOSE_WORKER:
        assert_true(w->dead || w->silent);
        break;
    case SCHEDULER_FINISH:
        assert_false(m->finished);
        m->finished = true;
        break;
    }
}

static void sim_event(struct sim *m, enum scheduler_event_kind kind, int worker, int trial) {
    struct scheduler_actions a = step(m->s, kind, worker, trial, m->now);
    for (int i = 0; i < a.count; i++)
        sim_action(m, &a.at[i]);
}

static void sim_add(struct sim *m, int count) {
    for (int i = 0; i < count; i++)
        add(m->s, rng_uniform(&m->rng), false, false);
}

static void sim_end_trial(struct sim *m, int i) {
    struct sim_worker *w = &m->w[i];
    w->busy = false;
    bool lost = rng_uniform(&m->rng) < m->trouble;
    sim_event(m, lost ? SCHEDULER_TRIAL_LOST : SCHEDULER_TRIAL_FINISHED, i, w->trial);
}

static void sim_worker_step(struct sim *m, int i) {
    struct sim_worker *w = &m->w[i];
    if (w->dead)
        return;
    if (!w->joined) {
        w->joined = rng_uniform(&m->rng) < 0.3;
        if (w->joined)
            sim_event(m, SCHEDULER_WORKER_IDLE, i, -1);
        return;
    }
    if (w->silent && m->now < w->silent_until)
        return;
    w->silent = false;
    if (rng_uniform(&m->rng) < m->trouble * 0.02) {
        w->silent = true;
        w->silent_until = m->now + 30 * rng_uniform(&m->rng);
    } else if (i > 0 && rng_uniform(&m->rng) < m->trouble * 0.002) {
        w->dead = true; // worker 0 stays, so that there is always one
    } else if (w->busy && m->now >= w->until) {
        sim_end_trial(m, i);
    } else if (m->now - w->beat >= 1) {
        w->beat = m->now;
        sim_event(m, SCHEDULER_WORKER_HEARD, i, w->busy ? w->trial : -1);
    }
}

static void simulate(uint32_t seed, int workers, int trials, double trouble) {
    struct sim m = {.s = create_patient(workers, 3, 1000),
                    .rng = rng_stream(seed, 0, RNG_TEST, 0, 0),
                    .workers = workers,
                    .trials = trials,
                    .max_attempts = 3,
                    .later = trials / 3,
                    .trouble = trouble};
    m.w = calloc((size_t)workers, sizeof *m.w);
    m.results = calloc((size_t)trials + 1, sizeof(int));
    m.given_up = calloc((size_t)trials + 1, sizeof(int));
    m.losses = calloc((size_t)trials + 1, sizeof(int));
    sim_add(&m, trials - m.later);
    for (int round = 0; !m.finished && round < 1000000; round++) {
        m.now += 0.25;
        for (int i = 0; i < workers && !m.finished; i++)
            sim_worker_step(&m, i);
        if (m.later >= 0 && scheduler_finished_count(m.s) >= (trials - m.later) / 2) {
            sim_add(&m, m.later);
            m.later = -1;
            sim_event(&m, SCHEDULER_PLAN_COMPLETE, 0, -1);
        }
        if (!m.finished)
            sim_event(&m, SCHEDULER_TICK, 0, -1);
    }
    assert_true(m.finished);
    assert_int_equal(scheduler_ending(m.s), SCHEDULER_ALL_DONE);
    for (int t = 0; t < trials; t++) {
        assert_int_equal(m.results[t], 1);
        assert_true(scheduler_trial_is_finished(m.s, t));
        if (m.given_up[t])
            assert_int_equal(m.losses[t], 3);
    }
    free(m.w);
    free(m.results);
    free(m.given_up);
    free(m.losses);
    scheduler_destroy(m.s);
}

static void test_random_schedules(void **state) {
    (void)state;
    for (uint32_t seed = 0; seed < 300; seed++)
        simulate(seed, 1 + (int)(seed % 13), (int)(seed * 7 % 60), 0.05 * (double)(seed % 9));
}

static void test_a_thousand_ranks(void **state) {
    (void)state;
    simulate(7, 1000, 3000, 0.2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_lost_trial_is_retried_then_given_up),
        cmocka_unit_test(test_new_epochs_start_the_count_anew),
        cmocka_unit_test(test_silent_worker),
        cmocka_unit_test(test_lost_worker_takes_its_trial_back),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_no_workers),
        cmocka_unit_test(test_nonsense_is_ignored),
        cmocka_unit_test(test_random_schedules),
        cmocka_unit_test(test_a_thousand_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
