// The agent against a trainer process that behaves badly. The test program is its own trainer: `test_agent trainer`.
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_trainer.h"
#include "worker/agent.h"
#include "worker/agent_spawn.h"
#include "worker/station.h"
#include "worker/trainer_process.h"

struct fixture {
    char folder[64];
    agent *agent;
    struct message order, report;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void set_order(struct fixture *f, const char *id, int epochs) {
    struct trial *t = &f->order.assign.trial;
    memset(&f->order, 0, sizeof f->order);
    f->order.kind = MESSAGE_ASSIGN;
    f->order.attempt = 1;
    snprintf(f->order.trial, sizeof f->order.trial, "%s", id);
    *t = (struct trial){.hp = hyperparameters_default(), .folds = 5, .fold = 2, .seed = 42, .threads = 1};
    snprintf(t->id, sizeof t->id, "%s", id);
    t->hp.epochs = epochs;
    snprintf(t->folder, sizeof t->folder, "%s/%s", f->folder, id);
    snprintf(f->order.assign.log, sizeof f->order.assign.log, "%s/log", f->folder);
}

static struct fixture *start(const struct agent_config *config) {
    struct fixture *f = calloc(1, sizeof *f);
    struct error err;
    assert_non_null(f);
    unsetenv("FAKE_TRAINER");
    setenv("FAKE_STEP_MS", "1", 1);
    setenv("OMPI_COMM_WORLD_RANK", "3", 1); // must not reach the trainer, which checks
    snprintf(f->folder, sizeof f->folder, "/tmp/gridfold-agent-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    assert_int_equal(agent_create(config, &f->agent, &err), STATUS_OK);
    set_order(f, "00000000000000aa", 4);
    return f;
}

static void finish(struct fixture *f) {
    agent_destroy(f->agent);
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", f->folder);
    assert_int_equal(system(command), 0);
    free(f);
}

static void assign(struct fixture *f) {
    struct error err;
    assert_int_equal(agent_assign(f->agent, &f->order, &err), STATUS_OK);
}

// The next report, within ten seconds.
static const struct message *next(struct fixture *f) {
    for (double end = now() + 10; now() < end; usleep(500))
        if (agent_poll(f->agent, &f->report))
            return &f->report;
    fail_msg("no report");
    return NULL;
}

static void expect_trial(struct fixture *f, int replayed) {
    const struct trial *t = &f->order.assign.trial;
    for (int e = 0; e < t->hp.epochs; e++) {
        const struct message *m = next(f);
        struct epoch_metrics want = fake_metrics(t, e);
        assert_int_equal(m->kind, MESSAGE_EPOCH);
        assert_string_equal(m->trial, t->id);
        assert_int_equal(m->epoch.metrics.epoch, e);
        assert_true(m->epoch.metrics.val_iou == want.val_iou && m->epoch.metrics.grad_norm == want.grad_norm);
        assert_int_equal(m->epoch.replayed, e < replayed);
    }
    const struct message *m = next(f);
    assert_int_equal(m->kind, MESSAGE_RESULT);
    assert_int_equal(m->result.status, TRIAL_DONE);
    assert_string_equal(agent_trial(f->agent), "");
}

static void test_trials_share_a_trainer(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){0});
    assign(f);
    long pid = agent_pid(f->agent);
    assert_true(pid > 0);
    expect_trial(f, 0);
    set_order(f, "00000000000000bb", 3);
    assign(f);
    expect_trial(f, 0);
    assert_int_equal(agent_pid(f->agent), pid);
    struct error err;
    set_order(f, "00000000000000cc", 3);
    assign(f);
    assert_int_equal(agent_assign(f->agent, &f->order, &err), STATUS_INVALID);
    expect_trial(f, 0);
    finish(f);
}

static void test_fault_is_reported_and_the_trial_goes_on(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){0});
    setenv("FAKE_TRAINER", "segv-once", 1);
    assign(f);
    assert_int_equal(next(f)->kind, MESSAGE_EPOCH);
    assert_int_equal(next(f)->kind, MESSAGE_EPOCH);
    const struct message *m = next(f);
    assert_int_equal(m->kind, MESSAGE_LOST);
    assert_string_equal(m->trial, "00000000000000aa");
    assert_int_equal(m->cause, LOSS_CRASH);
    assert_non_null(strstr(m->reason, "signal 11"));
    assert_non_null(strstr(m->reason, "an odd step | about to fault"));
    f->order.attempt = 2;
    assign(f);
    expect_trial(f, 2);
    finish(f);
}

static void expect_giving_up(struct fixture *f) {
    next(f);
    next(f);
    const struct message *m = next(f);
    assert_int_equal(m->kind, MESSAGE_LOST);
    assert_non_null(strstr(m->reason, "exit code 3: giving up"));
}

static void test_exit_code(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){0});
    setenv("FAKE_TRAINER", "exit3", 1);
    assign(f);
    expect_giving_up(f);
    finish(f);
}

// The linker puts this in front of the agent's calls: an agent that gets no processor for a while.
static bool delayed;

// NOLINTBEGIN(bugprone-reserved-identifier): the linker's names
off_t __real_spawn_log_size(const char *log);
off_t __wrap_spawn_log_size(const char *log);
off_t __wrap_spawn_log_size(const char *log) {
    if (delayed)
        nanosleep(&(struct timespec){0, 500000000}, NULL);
    return __real_spawn_log_size(log);
}
// NOLINTEND(bugprone-reserved-identifier)

static void test_last_words_of_a_trainer_that_is_faster_than_the_agent(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){0});
    setenv("FAKE_TRAINER", "exit3", 1);
    delayed = true;
    assign(f);
    delayed = false;
    expect_giving_up(f);
    finish(f);
}

static void test_no_result_could_be_established(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){0});
    setenv("FAKE_TRAINER", "error-once", 1);
    assign(f);
    for (int e = 0; e < 4; e++)
        next(f);
    const struct message *m = next(f);
    assert_int_equal(m->kind, MESSAGE_LOST);
    assert_int_equal(m->cause, LOSS_WRITE);
    assert_string_equal(m->reason, "cannot write the checkpoint");
    assign(f); // at once: a fresh trainer must take it
    expect_trial(f, 4);
    finish(f);
}

// The trainer's own word, and a library's.
static void test_memory_is_told_apart(void **state) {
    (void)state;
    static const char *const how[] = {"memory-once", "alloc-once"};
    for (int i = 0; i < 2; i++) {
        struct fixture *f = start(&(struct agent_config){0});
        setenv("FAKE_TRAINER", how[i], 1);
        assign(f);
        const struct message *m = next(f);
        while (m->kind == MESSAGE_EPOCH)
            m = next(f);
        assert_int_equal(m->kind, MESSAGE_LOST);
        assert_int_equal(m->cause, LOSS_MEMORY);
        assert_non_null(strcasestr(m->reason, "out of memory"));
        finish(f);
    }
}

static void test_babble_is_a_loss(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){0});
    setenv("FAKE_TRAINER", "babble-once", 1);
    assign(f);
    const struct message *m = next(f);
    while (m->kind == MESSAGE_EPOCH)
        m = next(f);
    assert_int_equal(m->kind, MESSAGE_LOST);
    assert_int_equal(m->cause, LOSS_PROTOCOL);
    assign(f);
    expect_trial(f, 2);
    finish(f);
}

// A program that runs but is no trainer.
static void test_trainer_that_never_speaks(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){.program = "/bin/false"});
    assign(f);
    const struct message *m = next(f);
    assert_int_equal(m->kind, MESSAGE_LOST);
    assert_int_equal(m->cause, LOSS_START);
    assert_non_null(strstr(m->reason, "exit code 1"));
    finish(f);
}

static void test_hang_is_killed(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){.hang_seconds = 0.3});
    setenv("FAKE_TRAINER", "hang", 1);
    assign(f);
    next(f);
    next(f);
    const struct message *m = next(f);
    assert_int_equal(m->kind, MESSAGE_LOST);
    assert_int_equal(m->cause, LOSS_HANG);
    assert_non_null(strstr(m->reason, "silent for 0 s in epoch 2 after step "));
    finish(f);
}

// Stopped by a signal, by the limit that its assignment gives: found, and ended though it cannot run.
static void test_stopped_trainer_is_killed(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){0});
    f->order.assign.hang_seconds = 0.3;
    f->order.assign.trial.hp.epochs = 1000;
    setenv("FAKE_STEP_MS", "10", 1);
    assign(f);
    next(f);
    pid_t pid = (pid_t)agent_pid(f->agent);
    kill(pid, SIGSTOP);
    const struct message *m = next(f);
    while (m->kind == MESSAGE_EPOCH)
        m = next(f);
    assert_int_equal(m->kind, MESSAGE_LOST);
    assert_int_equal(m->cause, LOSS_HANG);
    assert_int_equal(kill(pid, 0), -1);
    finish(f);
}

static void test_stop_keeps_what_was_trained(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){0});
    setenv("FAKE_STEP_MS", "30", 1);
    set_order(f, "00000000000000aa", 1000);
    assign(f);
    next(f);
    agent_stop(f->agent);
    const struct message *m = next(f);
    int epochs = 1;
    for (; m->kind == MESSAGE_EPOCH; epochs++)
        m = next(f);
    assert_int_equal(m->kind, MESSAGE_RESULT);
    assert_int_equal(m->result.status, TRIAL_INTERRUPTED);
    assert_int_equal(m->result.epochs_run, epochs);
    assert_true(epochs < 10);
    set_order(f, "00000000000000aa", epochs + 1);
    setenv("FAKE_STEP_MS", "0", 1);
    assign(f);
    expect_trial(f, epochs);
    finish(f);
}

static void test_stop_of_a_deaf_trainer(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){.stop_seconds = 0.1, .kill_seconds = 0.1});
    setenv("FAKE_TRAINER", "hang", 1);
    assign(f);
    next(f);
    next(f);
    usleep(50000);
    double began = now();
    agent_stop(f->agent);
    const struct message *m = next(f);
    assert_int_equal(m->kind, MESSAGE_STOPPED);
    assert_non_null(strstr(m->reason, "signal 9"));
    assert_true(now() - began > 0.15);
    finish(f);
}

static void test_trainer_that_cannot_be_started(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){.program = "/nowhere/gridfold"});
    assign(f);
    const struct message *m = next(f);
    assert_int_equal(m->kind, MESSAGE_LOST);
    assert_int_equal(m->cause, LOSS_START);
    assert_non_null(strstr(m->reason, "/nowhere/gridfold"));
    finish(f);
}

// Killed from outside while idle: nobody's trial is lost, and the next one gets a new trainer.
static void test_death_between_trials(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){0});
    assign(f);
    expect_trial(f, 0);
    long pid = agent_pid(f->agent);
    kill((pid_t)pid, SIGKILL);
    usleep(50000);
    assert_false(agent_poll(f->agent, &f->report));
    set_order(f, "00000000000000bb", 2);
    assign(f);
    assert_true(agent_pid(f->agent) != pid);
    expect_trial(f, 0);
    finish(f);
}

// A rank that dies takes its trainer with it.
static void test_trainer_dies_with_its_parent(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){0});
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    setenv("FAKE_TRAINER", "hang", 1);
    pid_t rank = fork();
    if (rank == 0) {
        struct error err;
        if (agent_assign(f->agent, &f->order, &err) != STATUS_OK)
            _exit(1);
        while (!agent_poll(f->agent, &f->report))
            usleep(1000);
        long pid = agent_pid(f->agent);
        _exit(write(pipe_fds[1], &pid, sizeof pid) != sizeof pid);
    }
    long pid = 0;
    assert_int_equal(read(pipe_fds[0], &pid, sizeof pid), sizeof pid);
    assert_int_equal(waitpid(rank, NULL, 0), rank);
    double end = now() + 5;
    char path[64], text[256];
    bool gone = false;
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    while (!gone && now() < end) { // gone, or a zombie that no init reaps
        FILE *s = fopen(path, "re");
        gone = !s || !fgets(text, sizeof text, s) || strstr(text, ") Z ") != NULL;
        if (s)
            fclose(s);
        usleep(1000);
    }
    assert_true(gone);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    finish(f);
}

static const struct message *next_of(station *s, struct message *m, enum message_kind kind) {
    for (double end = now() + 10; now() < end; usleep(500))
        if (station_next(s, m) && m->kind == kind)
            return m;
    fail_msg("no %s", message_kind_name(kind));
    return NULL;
}

// An assignment that crosses another's word of being lost: the running trial makes way for it, and a stop reaches both.
static void test_station_makes_way(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){0});
    station *s;
    struct error err;
    assert_int_equal(station_create(&(struct station_config){.heartbeat_seconds = 0.01}, &s, &err), STATUS_OK);
    setenv("FAKE_STEP_MS", "50", 1);
    set_order(f, "00000000000000aa", 1000);
    station_deliver(s, &f->order);
    assert_string_equal(next_of(s, &f->report, MESSAGE_EPOCH)->trial, "00000000000000aa");
    set_order(f, "00000000000000bb", 1000);
    station_deliver(s, &f->order);
    assert_string_equal(next_of(s, &f->report, MESSAGE_RESULT)->trial, "00000000000000aa");
    assert_int_equal(f->report.result.status, TRIAL_INTERRUPTED);
    assert_string_equal(next_of(s, &f->report, MESSAGE_EPOCH)->trial, "00000000000000bb");
    set_order(f, "00000000000000cc", 1000);
    station_deliver(s, &f->order);
    station_deliver(s, &(struct message){.kind = MESSAGE_STOP});
    assert_string_equal(next_of(s, &f->report, MESSAGE_RESULT)->trial, "00000000000000bb");
    assert_string_equal(next_of(s, &f->report, MESSAGE_STOPPED)->trial, "00000000000000cc");
    assert_string_equal(next_of(s, &f->report, MESSAGE_HEARTBEAT)->trial, "");
    station_destroy(s);
    finish(f);
}

// What a trainer keeps for its next trial goes when that is wanted, and never a trial with it.
static void test_idle_trainer_is_released(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){0});
    agent_release(f->agent); // there is none
    assign(f);
    long pid = agent_pid(f->agent);
    agent_release(f->agent); // it is busy
    assert_int_equal(agent_pid(f->agent), pid);
    expect_trial(f, 0);
    assert_int_equal(agent_pid(f->agent), pid);
    agent_release(f->agent);
    assert_int_equal(agent_pid(f->agent), 0);
    assert_true(kill((pid_t)pid, 0) != 0);
    set_order(f, "00000000000000bb", 3);
    assign(f);
    expect_trial(f, 0);
    finish(f);
}

// Which GPUs it sees is settled when a trainer starts.
static void test_other_gpus_are_another_trainer(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){0});
    setenv("FAKE_DEVICES", f->folder, 1);
    setenv("CUDA_VISIBLE_DEVICES", "0,1", 1);
    snprintf(f->order.assign.gpus, sizeof f->order.assign.gpus, "1");
    assign(f);
    long pid = agent_pid(f->agent);
    expect_trial(f, 0);
    set_order(f, "00000000000000bb", 3);
    snprintf(f->order.assign.gpus, sizeof f->order.assign.gpus, "0");
    assign(f);
    assert_int_not_equal(agent_pid(f->agent), pid);
    expect_trial(f, 0);
    char path[96];
    for (int gpu = 0; gpu < 2; gpu++) {
        snprintf(path, sizeof path, "%s/gpu-%d", f->folder, gpu);
        assert_int_equal(access(path, F_OK), 0);
    }
    unsetenv("CUDA_VISIBLE_DEVICES");
    unsetenv("FAKE_DEVICES");
    finish(f);
}

static void test_station(void **state) {
    (void)state;
    struct fixture *f = start(&(struct agent_config){0});
    station *s;
    struct error err;
    assert_int_equal(station_create(&(struct station_config){.heartbeat_seconds = 0.01}, &s, &err), STATUS_OK);
    assert_true(station_next(s, &f->report));
    assert_int_equal(f->report.kind, MESSAGE_HELLO);
    assert_true(f->report.hello.cores >= 1);
    assert_true(f->report.hello.host[0] && f->report.hello.cpus[0] && f->report.hello.device[0]);
    assert_string_equal(next_of(s, &f->report, MESSAGE_HEARTBEAT)->trial, "");
    setenv("FAKE_STEP_MS", "100", 1);
    set_order(f, "00000000000000aa", 1000);
    station_deliver(s, &f->order);
    assert_string_equal(next_of(s, &f->report, MESSAGE_HEARTBEAT)->trial, "00000000000000aa");
    station_leave(s);
    assert_int_equal(next_of(s, &f->report, MESSAGE_RESULT)->result.status, TRIAL_INTERRUPTED);
    next_of(s, &f->report, MESSAGE_BYE);
    assert_true(station_is_gone(s));
    assert_false(station_is_dismissed(s));
    station_deliver(s, &(struct message){.kind = MESSAGE_BYE, .code = 75});
    assert_true(station_is_dismissed(s));
    assert_int_equal(station_exit_code(s), 75);
    station_destroy(s);
    finish(f);
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "trainer") == 0)
        return trainer_process_run(TRAINER_PROCESS_FD);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trials_share_a_trainer),
        cmocka_unit_test(test_fault_is_reported_and_the_trial_goes_on),
        cmocka_unit_test(test_exit_code),
        cmocka_unit_test(test_last_words_of_a_trainer_that_is_faster_than_the_agent),
        cmocka_unit_test(test_no_result_could_be_established),
        cmocka_unit_test(test_memory_is_told_apart),
        cmocka_unit_test(test_babble_is_a_loss),
        cmocka_unit_test(test_trainer_that_never_speaks),
        cmocka_unit_test(test_hang_is_killed),
        cmocka_unit_test(test_stopped_trainer_is_killed),
        cmocka_unit_test(test_stop_keeps_what_was_trained),
        cmocka_unit_test(test_stop_of_a_deaf_trainer),
        cmocka_unit_test(test_trainer_that_cannot_be_started),
        cmocka_unit_test(test_death_between_trials),
        cmocka_unit_test(test_trainer_dies_with_its_parent),
        cmocka_unit_test(test_idle_trainer_is_released),
        cmocka_unit_test(test_other_gpus_are_another_trainer),
        cmocka_unit_test(test_station),
        cmocka_unit_test(test_station_makes_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
