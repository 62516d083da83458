#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "orchestrator/scheduler.h"

static scheduler *create_quarantining(int workers, int max_attempts, double empty_timeout, int quarantine_after) {
    scheduler *s;
    struct error err;
    struct scheduler_config config = {.workers = workers,
                                      .max_attempts = max_attempts,
                                      .quarantine_after = quarantine_after,
                                      .worker_timeout = 10,
                                      .empty_timeout = empty_timeout};
    assert_int_equal(scheduler_create(&config, &s, &err), STATUS_OK);
    return s;
}

static scheduler *create(int workers, int max_attempts) {
    return create_quarantining(workers, max_attempts, 20, 0);
}

static void add(scheduler *s, double work, bool started, bool finished) {
    struct error err;
    struct scheduler_trial t = {work, started, finished, false};
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
    const struct scheduler_trial trials[] = {{.work = 1},
                                             {.work = 5},
                                             {.work = 2, .started = true},
                                             {.work = 5},
                                             {.work = 9, .finished = true},
                                             {.work = 3, .started = true}};
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

static void test_hold(void **state) {
    (void)state;
    scheduler *s = create(2, 3);
    for (int i = 0; i < 3; i++)
        add(s, 5 - i, false, false);
    step(s, SCHEDULER_PLAN_COMPLETE, 0, -1, 0);
    step(s, SCHEDULER_WORKER_IDLE, 0, -1, 0);
    assert_int_equal(step(s, SCHEDULER_HOLD, 0, -1, 1).count, 0); // what runs goes on
    assert_int_equal(step(s, SCHEDULER_WORKER_IDLE, 1, -1, 1).count, 0);
    assert_int_equal(scheduler_ending(s), SCHEDULER_RUNNING);
    struct scheduler_actions a = step(s, SCHEDULER_TRIAL_FINISHED, 0, 0, 2);
    expect(a, 0, SCHEDULER_ACCEPT, 0, 0, 1);
    expect(a, 1, SCHEDULER_FINISH, -1, -1, 0);
    assert_int_equal(scheduler_ending(s), SCHEDULER_STOPPED);
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

// What the transport knows of is not waited for; one that is not there cannot be lost again.
static void test_dead_worker(void **state) {
    (void)state;
    scheduler *s = create(2, 3);
    add(s, 1, false, false);
    step(s, SCHEDULER_PLAN_COMPLETE, -1, -1, 0);
    expect(step(s, SCHEDULER_WORKER_IDLE, 0, -1, 1), 0, SCHEDULER_ASSIGN, 0, 0, 1);
    step(s, SCHEDULER_WORKER_IDLE, 1, -1, 1);
    struct scheduler_actions a = step(s, SCHEDULER_WORKER_DEAD, 0, -1, 2);
    expect(a, 0, SCHEDULER_LOSE_WORKER, 0, 0, 0);
    expect(a, 2, SCHEDULER_ASSIGN, 1, 0, 2);
    assert_int_equal(step(s, SCHEDULER_WORKER_DEAD, 0, -1, 3).count, 0);
    assert_false(scheduler_worker_is_present(s, 0));
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

// ---- places ----

static struct scheduler_actions lose(scheduler *s, int worker, int trial, enum scheduler_loss loss, double now) {
    return scheduler_step(
        s, &(struct scheduler_event){
               .kind = SCHEDULER_TRIAL_LOST, .worker = worker, .trial = trial, .loss = loss, .now = now});
}

static struct scheduler_actions fresh_epoch(scheduler *s, int worker, int trial, double now) {
    return scheduler_step(
        s, &(struct scheduler_event){
               .kind = SCHEDULER_TRIAL_EPOCH, .worker = worker, .trial = trial, .fresh = true, .now = now});
}

// Workers 0 .. 2 * hosts - 1, two a host, each with a device of its own or one that the two share; all idle.
static scheduler *create_hosts(int hosts, bool shared_devices, int trials) {
    scheduler *s = create_quarantining(2 * hosts, 3, 20, 3);
    for (int i = 0; i < trials; i++)
        add(s, trials - i, false, false);
    step(s, SCHEDULER_PLAN_COMPLETE, 0, -1, 0);
    for (int w = 0; w < 2 * hosts; w++)
        scheduler_place(s, w, w / 2, shared_devices ? w / 2 : w);
    return s;
}

static void test_a_lost_trial_goes_to_another_host(void **state) {
    (void)state;
    scheduler *s = create_hosts(2, false, 4);
    for (int w = 0; w < 3; w++)
        expect(step(s, SCHEDULER_WORKER_IDLE, w, -1, 0), 0, SCHEDULER_ASSIGN, w, w, 1);
    struct scheduler_actions a = lose(s, 0, 0, SCHEDULER_LOSS_TRAINER, 1);
    expect(a, 0, SCHEDULER_RETRY, -1, 0, 1);
    expect(a, 1, SCHEDULER_ASSIGN, 0, 3, 1); // trial 0 waits for worker 2, which is busy
    assert_int_equal(step(s, SCHEDULER_TRIAL_FINISHED, 1, 1, 2).count, 1);
    a = step(s, SCHEDULER_TRIAL_FINISHED, 2, 2, 3);
    expect(a, 1, SCHEDULER_ASSIGN, 2, 0, 2);
    a = lose(s, 2, 0, SCHEDULER_LOSS_TRAINER, 4); // both hosts have lost it: now any worker that has not
    expect(a, 1, SCHEDULER_ASSIGN, 1, 0, 3);
    a = lose(s, 1, 0, SCHEDULER_LOSS_TRAINER, 5);
    expect(a, 0, SCHEDULER_GIVE_UP, -1, 0, 3);
    scheduler_destroy(s);
}

static void test_an_epoch_forgets_where_it_was_lost(void **state) {
    (void)state;
    scheduler *s = create_hosts(2, false, 1);
    expect(step(s, SCHEDULER_WORKER_IDLE, 2, -1, 0), 0, SCHEDULER_ASSIGN, 2, 0, 1);
    step(s, SCHEDULER_WORKER_IDLE, 0, -1, 0);
    expect(lose(s, 2, 0, SCHEDULER_LOSS_TRAINER, 1), 1, SCHEDULER_ASSIGN, 0, 0, 2);
    fresh_epoch(s, 0, 0, 2);
    step(s, SCHEDULER_WORKER_LEFT, 0, -1, 3);
    assert_int_equal(scheduler_worker_trial(s, 2), 0); // no host is shunned any more
    scheduler_destroy(s);
}

// ---- quarantine ----

static void test_bad_worker_is_quarantined(void **state) {
    (void)state;
    scheduler *s = create_hosts(2, false, 9);
    for (int w = 0; w < 4; w++)
        step(s, SCHEDULER_WORKER_IDLE, w, -1, 0); // trials 0 .. 3
    lose(s, 0, 0, SCHEDULER_LOSS_TRAINER, 1);     // then trial 4
    struct scheduler_actions a = lose(s, 0, 4, SCHEDULER_LOSS_TRAINER, 2);
    expect(a, 1, SCHEDULER_ASSIGN, 0, 5, 1);
    a = lose(s, 0, 5, SCHEDULER_LOSS_TRAINER, 3);
    expect(a, 0, SCHEDULER_QUARANTINE, 0, -1, 0);
    expect(a, 1, SCHEDULER_RETRY, -1, 5, 1);
    assert_int_equal(a.count, 2);
    assert_true(scheduler_worker_is_quarantined(s, 0));
    // The other worker of its host has lost nothing, and works on; lost trials go to the other host.
    expect(step(s, SCHEDULER_TRIAL_FINISHED, 1, 1, 4), 1, SCHEDULER_ASSIGN, 1, 6, 1);
    fresh_epoch(s, 2, 2, 5); // worker 2 gets on: what is lost there has itself to blame
    expect(step(s, SCHEDULER_TRIAL_FINISHED, 2, 2, 5), 1, SCHEDULER_ASSIGN, 2, 0, 2);
    assert_int_equal(step(s, SCHEDULER_WORKER_HEARD, 0, -1, 6).count, 0);
    struct scheduler_actions b = lose(s, 2, 0, SCHEDULER_LOSS_TRAINER, 7);
    expect(b, 0, SCHEDULER_READMIT, 0, -1, 0);
    expect(b, 1, SCHEDULER_RETRY, -1, 0, 2);
    expect(b, 2, SCHEDULER_ASSIGN, 0, 7, 1);
    scheduler_destroy(s);
}

static void test_getting_on_ends_a_quarantine_count(void **state) {
    (void)state;
    scheduler *s = create_hosts(2, false, 20);
    step(s, SCHEDULER_WORKER_IDLE, 3, -1, 0); // takes trial 0 for good
    step(s, SCHEDULER_WORKER_IDLE, 0, -1, 0);
    for (int trial = 1; trial < 15; trial++) {
        assert_int_equal(scheduler_worker_trial(s, 0), trial);
        if (trial % 2 == 0)
            fresh_epoch(s, 0, trial, trial);
        step(s, SCHEDULER_WORKER_HEARD, 3, 0, trial);
        lose(s, 0, trial, SCHEDULER_LOSS_TRAINER, trial);
        assert_false(scheduler_worker_is_quarantined(s, 0));
    }
    scheduler_destroy(s);
}

static void test_bad_host_is_quarantined(void **state) {
    (void)state;
    scheduler *s = create_hosts(2, false, 9);
    for (int w = 0; w < 4; w++)
        step(s, SCHEDULER_WORKER_IDLE, w, -1, 0);
    lose(s, 0, 0, SCHEDULER_LOSS_TRAINER, 1); // then trial 4
    lose(s, 1, 1, SCHEDULER_LOSS_TRAINER, 1); // then trial 5
    struct scheduler_actions a = lose(s, 0, 4, SCHEDULER_LOSS_TRAINER, 2);
    expect(a, 0, SCHEDULER_QUARANTINE, 0, -1, 0);
    expect(a, 1, SCHEDULER_QUARANTINE, 1, -1, 0);
    expect(a, 2, SCHEDULER_RETRY, -1, 4, 1);
    assert_int_equal(a.count, 3);
    assert_int_equal(scheduler_worker_trial(s, 1), 5); // runs on: an epoch of it is what lifts the quarantine
    a = fresh_epoch(s, 1, 5, 3);
    expect(a, 0, SCHEDULER_READMIT, 0, -1, 0);
    expect(a, 1, SCHEDULER_READMIT, 1, -1, 0);
    expect(a, 2, SCHEDULER_ASSIGN, 0, 6, 1);
    scheduler_destroy(s);
}

// Nothing is failed for a setup that is broken everywhere: the sweep ends, to be gone on with.
static void test_all_in_quarantine(void **state) {
    (void)state;
    scheduler *s = create_quarantining(1, 3, 20, 3);
    for (int i = 0; i < 5; i++)
        add(s, 5 - i, false, false);
    step(s, SCHEDULER_PLAN_COMPLETE, 0, -1, 0);
    step(s, SCHEDULER_WORKER_IDLE, 0, -1, 0);
    for (int i = 0; i < 6; i++) // two trials fail by themselves
        lose(s, 0, i / 3, SCHEDULER_LOSS_TRAINER, i);
    struct scheduler_actions a = lose(s, 0, 2, SCHEDULER_LOSS_TRAINER, 6);
    expect(a, 0, SCHEDULER_QUARANTINE, 0, -1, 0);
    expect(a, 1, SCHEDULER_RETRY, -1, 2, 1);
    expect(a, 2, SCHEDULER_FINISH, -1, -1, 0);
    assert_int_equal(scheduler_ending(s), SCHEDULER_QUARANTINED);
    assert_int_equal(scheduler_finished_count(s), 2);
    scheduler_destroy(s);
}

// While a worker is missing, it may be the one that can be used.
static void test_quarantine_waits_for_the_missing(void **state) {
    (void)state;
    scheduler *s = create_quarantining(2, 1, 20, 3);
    for (int i = 0; i < 5; i++)
        add(s, 5 - i, false, false);
    step(s, SCHEDULER_PLAN_COMPLETE, 0, -1, 0);
    step(s, SCHEDULER_WORKER_IDLE, 0, -1, 0);
    for (int i = 0; i < 3; i++)
        lose(s, 0, i, SCHEDULER_LOSS_TRAINER, i);
    assert_true(scheduler_worker_is_quarantined(s, 0));
    for (int t = 4; t < 22; t += 2)
        assert_int_equal(step(s, SCHEDULER_WORKER_HEARD, 0, -1, t).count, 0);
    expect(step(s, SCHEDULER_TICK, 0, -1, 23), 0, SCHEDULER_FINISH, -1, -1, 0);
    assert_int_equal(scheduler_ending(s), SCHEDULER_QUARANTINED);
    scheduler_destroy(s);
}

// ---- device memory ----

static void test_out_of_memory_is_retried_alone(void **state) {
    (void)state;
    scheduler *s = create_hosts(1, true, 4);
    step(s, SCHEDULER_WORKER_IDLE, 0, -1, 0);
    step(s, SCHEDULER_WORKER_IDLE, 1, -1, 0);
    struct scheduler_actions a = lose(s, 0, 0, SCHEDULER_LOSS_MEMORY, 1);
    expect(a, 0, SCHEDULER_RETRY_ALONE, -1, 0, 1);
    assert_int_equal(a.count, 1); // the device is being vacated: nothing new for worker 0
    a = step(s, SCHEDULER_TRIAL_FINISHED, 1, 1, 2);
    expect(a, 1, SCHEDULER_ASSIGN, 0, 0, 2);
    assert_true(a.at[1].alone);
    assert_int_equal(a.count, 2);
    assert_int_equal(step(s, SCHEDULER_WORKER_HEARD, 1, -1, 3).count, 0);
    a = step(s, SCHEDULER_TRIAL_FINISHED, 0, 0, 4);
    expect(a, 1, SCHEDULER_ASSIGN, 0, 2, 1);
    assert_false(a.at[1].alone);
    expect(a, 2, SCHEDULER_ASSIGN, 1, 3, 1);
    scheduler_destroy(s);
}

static void test_out_of_memory_alone_counts(void **state) {
    (void)state;
    scheduler *s = create_hosts(1, true, 1);
    step(s, SCHEDULER_WORKER_IDLE, 0, -1, 0); // alone from the start
    for (int attempt = 1; attempt <= 2; attempt++)
        expect(lose(s, 0, 0, SCHEDULER_LOSS_MEMORY, attempt), 0, SCHEDULER_RETRY, -1, 0, attempt);
    expect(lose(s, 0, 0, SCHEDULER_LOSS_MEMORY, 3), 0, SCHEDULER_GIVE_UP, -1, 0, 3);
    scheduler_destroy(s);
}

static void test_vacated_device_is_left(void **state) {
    (void)state;
    scheduler *s = create_hosts(2, true, 6);
    for (int w = 0; w < 4; w++)
        step(s, SCHEDULER_WORKER_IDLE, w, -1, 0);
    struct scheduler_actions a = lose(s, 3, 3, SCHEDULER_LOSS_MEMORY, 1); // waits for worker 2 to be done
    expect(a, 0, SCHEDULER_RETRY_ALONE, -1, 3, 1);
    assert_int_equal(a.count, 1);
    step(s, SCHEDULER_WORKER_LEFT, 3, -1, 2);
    a = step(s, SCHEDULER_WORKER_LEFT, 2, -1, 2); // the host is gone: the other one is vacated instead
    assert_int_equal(a.count, 0);
    assert_int_equal(step(s, SCHEDULER_TRIAL_FINISHED, 0, 0, 3).count, 1);
    a = step(s, SCHEDULER_TRIAL_FINISHED, 1, 1, 4);
    expect(a, 1, SCHEDULER_ASSIGN, 0, 3, 2);
    assert_int_equal(a.count, 2);
    scheduler_destroy(s);
}

// ---- pauses ----

static void test_paused_trials(void **state) {
    (void)state;
    scheduler *s = create(2, 3);
    struct error err;
    const struct scheduler_trial trials[] = {{.work = 3}, {.work = 2}, {.work = 9, .paused = true, .started = true}};
    assert_int_equal(scheduler_add(s, trials, 3, &err), STATUS_OK);
    step(s, SCHEDULER_PLAN_COMPLETE, 0, -1, 0);
    expect(step(s, SCHEDULER_WORKER_IDLE, 0, -1, 0), 0, SCHEDULER_ASSIGN, 0, 0, 1);
    struct scheduler_actions a = step(s, SCHEDULER_TRIAL_PAUSED, 0, 0, 1);
    expect(a, 0, SCHEDULER_ACCEPT, 0, 0, 1);
    expect(a, 1, SCHEDULER_ASSIGN, 0, 1, 1);
    assert_int_equal(step(s, SCHEDULER_TRIAL_PAUSED, 1, 0, 1).count, 0); // told twice
    expect(step(s, SCHEDULER_TRIAL_PAUSED, 0, 1, 2), 0, SCHEDULER_ACCEPT, 0, 1, 1);
    assert_int_equal(step(s, SCHEDULER_TICK, 0, -1, 3).count, 0); // a paused trial has no result
    expect(step(s, SCHEDULER_TRIAL_PROMOTED, 0, 2, 3), 0, SCHEDULER_ASSIGN, 0, 2, 1);
    assert_int_equal(step(s, SCHEDULER_TRIAL_CLOSED, 0, 0, 3).count, 0);
    assert_true(scheduler_trial_is_finished(s, 0));
    step(s, SCHEDULER_TRIAL_CLOSED, 0, 1, 3);
    assert_int_equal(step(s, SCHEDULER_TRIAL_CLOSED, 0, 2, 3).count, 0); // runs
    a = step(s, SCHEDULER_TRIAL_FINISHED, 0, 2, 4);
    expect(a, 1, SCHEDULER_FINISH, -1, -1, 0);
    assert_int_equal(scheduler_ending(s), SCHEDULER_ALL_DONE);
    scheduler_destroy(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_lost_trial_is_retried_then_given_up),
        cmocka_unit_test(test_new_epochs_start_the_count_anew),
        cmocka_unit_test(test_silent_worker),
        cmocka_unit_test(test_lost_worker_takes_its_trial_back),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_hold),
        cmocka_unit_test(test_no_workers),
        cmocka_unit_test(test_dead_worker),
        cmocka_unit_test(test_nonsense_is_ignored),
        cmocka_unit_test(test_a_lost_trial_goes_to_another_host),
        cmocka_unit_test(test_an_epoch_forgets_where_it_was_lost),
        cmocka_unit_test(test_bad_worker_is_quarantined),
        cmocka_unit_test(test_getting_on_ends_a_quarantine_count),
        cmocka_unit_test(test_bad_host_is_quarantined),
        cmocka_unit_test(test_all_in_quarantine),
        cmocka_unit_test(test_quarantine_waits_for_the_missing),
        cmocka_unit_test(test_out_of_memory_is_retried_alone),
        cmocka_unit_test(test_out_of_memory_alone_counts),
        cmocka_unit_test(test_vacated_device_is_left),
        cmocka_unit_test(test_paused_trials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
