// Sweeps from end to end with a trainer that trains nothing: in one process and under mpirun, killed, stopped, crashed
// and resumed. Whatever happens on the way, the result files must be the same bytes.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/base/file.h"
#include "results/run_files.h"
#include "small_dataset.h"

static char root[PATH_SIZE], program[PATH_SIZE];

static const char sweep_head[] = "[sweep]\nname = t\ndataset = %s/small.safetensors\noutput = %s/runs\nthreads = 1\n"
                                 "backend = reference\n[folds]\ncount = 2\nrun = all\n"
                                 "[base]\nepochs = 6\nimage-size = 32\ntemporal-sampling = all\nlstm-hidden-dim = 4\n"
                                 "lstm-layers = 1\nencoder-width = 4\ndecoder-channels = 4,4,4,4,4\nbatch-size = 2\n";
// The second grid shares a trial with the first; the third is known only when the first is complete; of the fourth one
// cannot run.
static const char sweep_grids[] =
    "[grid rate]\nlr = 0.001, 0.01, 0.1\n[grid optimizer]\noptimizer = sgd, adamw\n"
    "[grid momentum]\nlr = @rate\nmomentum = 0.5, 0.7\n[grid size]\nimage-size = 32, 64\n";

static void write_text(const char *name, const char *text) {
    char path[PATH_SIZE];
    struct error err;
    assert_int_equal(path_join(path, root, name, &err), STATUS_OK);
    assert_int_equal(file_write(path, text, strlen(text), &err), STATUS_OK);
}

// The slow unwinder: only it gets through plugins that Open MPI has unloaded when leaks are looked for.
#define LEAKS_OF_MPI                                                                                                   \
    "ASAN_OPTIONS=fast_unwind_on_malloc=0 LSAN_OPTIONS=print_suppressions=0:suppressions=" TEST_SOURCE_DIR             \
    "/open_mpi.supp"

static int shell(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *format, ...) {
    char command[4 * PATH_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Runs a sweep into runs/NAME with `ranks` (0: without mpirun); stdout and stderr go to NAME.log. `environment`: "A=b
// C=d". `words`: of the command line.
static int run_words(const char *name, int ranks, const char *environment, const char *words) {
    char launcher[2 * PATH_SIZE] = "";
    if (ranks > 0) // by slot: Open MPI 5 else gives more than two ranks their local numbers in another order
        snprintf(launcher, sizeof launcher, "%s mpirun --oversubscribe --map-by slot -np %d", LEAKS_OF_MPI, ranks);
    return shell("cd %s && env %s %s timeout 60 %s run %s sweep.output=%s/runs/%s >>%s.log 2>&1 </dev/null", root,
                 environment, launcher, program, words, root, name, name);
}

static int run(const char *name, int ranks, const char *environment) {
    return run_words(name, ranks, environment, "sweep.ini");
}

static char *read_log(const char *name) {
    char path[PATH_SIZE], *text;
    struct error err;
    snprintf(path, sizeof path, "%.900s/%.100s.log", root, name);
    assert_int_equal(file_read(path, &text, NULL, &err), STATUS_OK);
    return text;
}

static void expect_in_log(const char *name, const char *words) {
    char *text = read_log(name);
    if (!strstr(text, words))
        fail_msg("'%s' is not in the output:\n%s", words, text);
    free(text);
}

static void expect_exit(const char *name, int code, int wanted) {
    if (code == wanted)
        return;
    char *text = read_log(name);
    fail_msg("%s: exit code %d, not %d:\n%s", name, code, wanted, text);
}

static void expect_same(const char *plain, const char *name) {
    static const char *const files[] = {"epochs.csv", "trials.csv", "folds.csv"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (shell("diff %s/runs/%s/%s %s/runs/%s/%s", root, plain, files[i], root, name, files[i]) != 0)
            fail_msg("%s: %s differs", name, files[i]);
}

static void expect_same_results(const char *name) {
    expect_same("plain", name);
}

static size_t count_events(const char *name, const char *event) {
    char path[PATH_SIZE];
    struct event_row *rows;
    size_t count, found = 0;
    struct error err;
    snprintf(path, sizeof path, "%.900s/runs/%.80s/events.csv", root, name);
    assert_int_equal(events_read(path, &rows, &count, &err), STATUS_OK);
    for (size_t i = 0; i < count; i++)
        found += strcmp(rows[i].event, event) == 0;
    free(rows);
    return found;
}

static void read_trials(const char *name, struct trial_row **rows, size_t *count) {
    char path[PATH_SIZE];
    struct swept_columns swept;
    struct error err;
    snprintf(path, sizeof path, "%.900s/runs/%.80s/trials.csv", root, name);
    assert_int_equal(trials_read(path, &swept, rows, count, &err), STATUS_OK);
}

// ---- one process ----

static void test_plain(void **state) {
    (void)state;
    expect_exit("plain", run("plain", 0, "A=b"), 0);
    struct trial_row *rows;
    size_t count;
    read_trials("plain", &rows, &count);
    assert_int_equal(count, 2 * (3 + 2 + 2 + 2));
    for (size_t i = 0; i < count; i++) {
        bool refused = strcmp(rows[i].grid, "size") == 0 && strstr(rows[i].config, "64");
        assert_string_equal(rows[i].status, refused ? "failed" : "done");
        assert_true(refused == (rows[i].error[0] != 0));
        assert_int_equal(rows[i].epochs_run, refused ? 0 : 6);
    }
    assert_string_equal(rows[0].grid, "rate");
    assert_string_equal(rows[0].trial, rows[6].trial); // lr = 0.001 is the default, and so is sgd
    free(rows);
    assert_int_equal(count_events("plain", "assigned"), 12);
    assert_int_equal(count_events("plain", "epoch"), 12 * 6);
    expect_in_log("plain", "results in");
    // A complete sweep is left as it is.
    expect_exit("plain", shell("cp -r %s/runs/plain %s/runs/again", root, root), 0);
    expect_exit("again", run("again", 0, "A=b"), 0);
    expect_same_results("again");
    assert_int_equal(count_events("again", "assigned"), 12);
}

static void test_crashes_do_not_show(void **state) {
    (void)state;
    expect_exit("segv", run("segv", 0, "FAKE_TRAINER=segv-once"), 0);
    expect_same_results("segv");
    assert_int_equal(count_events("segv", "lost"), 12);
    assert_int_equal(count_events("segv", "retried"), 12);
    assert_int_equal(count_events("segv", "resumed"), 12);
}

static void test_hopeless_trial_is_a_row(void **state) {
    (void)state;
    expect_exit("hopeless", run("hopeless", 0, "FAKE_TRAINER=exit3 FAKE_TRAINER_TRIAL=0.01"), 0);
    struct trial_row *rows;
    size_t count, failed = 0;
    read_trials("hopeless", &rows, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(rows[i].config, "lr=0.01") == 0) {
            assert_string_equal(rows[i].status, "failed");
            assert_non_null(strstr(rows[i].error, "lost 3 times without a new epoch"));
            assert_non_null(strstr(rows[i].error, "exit code 3: giving up"));
            failed++;
        }
    free(rows);
    assert_int_equal(failed, 2);
    assert_int_equal(count_events("hopeless", "lost"), 6);
    // A rerun leaves it at that, unless it is to try again.
    expect_exit("hopeless", run("hopeless", 0, "A=b"), 0);
    assert_int_equal(count_events("hopeless", "done"), 10);
    expect_exit("hopeless", run_words("hopeless", 2, "A=b", "sweep.ini retry-failed=yes"), 0);
    expect_same_results("hopeless");
    assert_int_equal(count_events("hopeless", "done"), 12);
}

// ---- successive halving ----

static size_t count_stopped(const char *name) {
    struct trial_row *rows;
    size_t count, stopped = 0;
    read_trials(name, &rows, &count);
    for (size_t i = 0; i < count; i++) {
        bool is = strcmp(rows[i].status, "stopped") == 0;
        assert_true(is || rows[i].epochs_run == 6 || strcmp(rows[i].status, "done") != 0);
        stopped += is;
    }
    free(rows);
    return stopped;
}

// Eight configurations on two folds: four, two and one go on, after 1, 2 and 4 epochs of 6.
static void test_rungs_under_faults(void **state) {
    (void)state;
    expect_exit("asha", run_words("asha", 0, "A=b", "asha.ini"), 0);
    assert_int_equal(count_stopped("asha"), 14);
    assert_int_equal(count_events("asha", "pruned"), 14);
    assert_int_equal(count_events("asha", "epoch"), 2 * (8 * 1 + 4 * 1 + 2 * 2 + 1 * 2));
    expect_in_log("asha", "2 of 16 trials done, 14 stopped early");
    expect_exit("asha-segv", run_words("asha-segv", 3, "FAKE_TRAINER=segv-once", "asha.ini"), 0);
    expect_same("asha", "asha-segv");
    assert_true(count_events("asha-segv", "retried") >= 4);
    // What fails is worse than all others, and what takes its place does not depend on when it failed.
    expect_exit("asha-fail", run_words("asha-fail", 0, "FAKE_TRAINER=exit3 FAKE_TRAINER_TRIAL=0.007", "asha.ini"), 0);
    expect_exit("asha-fail3", run_words("asha-fail3", 3, "FAKE_TRAINER=exit3 FAKE_TRAINER_TRIAL=0.007", "asha.ini"), 0);
    expect_same("asha-fail", "asha-fail3");
    // Killed again and again: what is on record decides.
    for (int i = 0; i < 6; i++)
        (void)shell("cd %s && FAKE_STEP_MS=10 timeout -s KILL 0.%d %s run asha.ini sweep.output=%s/runs/asha-kill "
                    ">/dev/null 2>&1",
                    root, 2 + i, program, root);
    expect_exit("asha-kill", run_words("asha-kill", 2, "A=b", "asha.ini"), 0);
    expect_same("asha", "asha-kill");
}

// A setup that is broken fails no trials: the sweep ends, and goes on when it is mended.
static void test_broken_setup_ends_the_sweep(void **state) {
    (void)state;
    expect_exit("broken", run("broken", 0, "FAKE_TRAINER=broken"), 75);
    expect_in_log("broken", "quarantined worker 0 on ");
    expect_in_log("broken", "the last: crash: trainer ended with exit code 4: no such device");
    expect_in_log("broken", "no workers are left: the trainers of all keep failing");
    assert_int_equal(count_events("broken", "quarantined"), 1);
    assert_int_equal(count_events("broken", "failed"), 2); // lost three times each, before
}

// No trial is blamed for a full disk: the sweep stops, and goes on when there is room.
static void test_full_disk_stops_the_sweep(void **state) {
    (void)state;
    expect_exit("full", run("full", 0, "FAKE_TRAINER=full"), 1);
    expect_in_log("full", "No space left on device; make room, then the same command goes on");
    assert_int_equal(count_events("full", "lost"), 1);
    assert_int_equal(count_events("full", "failed"), 0);
    expect_exit("full", run("full", 0, "A=b"), 0);
    expect_same_results("full");
}

static void test_results_that_are_failures(void **state) {
    (void)state;
    expect_exit("diverged", run("diverged", 0, "FAKE_TRAINER=diverge FAKE_TRAINER_TRIAL=0.1"), 0);
    expect_exit("diverged2", run("diverged2", 2, "FAKE_TRAINER=diverge FAKE_TRAINER_TRIAL=0.1"), 0);
    expect_exit("d", shell("cmp %s/runs/diverged/trials.csv %s/runs/diverged2/trials.csv", root, root), 0);
    assert_int_equal(count_events("diverged", "diverged"), 2);
    assert_int_equal(count_events("diverged", "lost"), 0); // not tried again
}

// Starts a run in the background, sends it a signal `seconds` after its first trial has begun, and gives its exit code.
// An earlier run's log would say that it has begun already.
static int run_and_signal(const char *name, int ranks, const char *signal, const char *seconds) {
    char launcher[2 * PATH_SIZE] = "";
    if (ranks > 0)
        snprintf(launcher, sizeof launcher, "mpirun --oversubscribe -np %d", ranks);
    return shell("cd %s && rm -f %s.log && export FAKE_STEP_MS=%d " LEAKS_OF_MPI "; %s %s run sweep.ini "
                 "sweep.output=%s/runs/%s >%s.log 2>&1 </dev/null & p=$!; "
                 "i=0; until grep -qs '^start  ' %s/%s.log || [ $i = 200 ]; do sleep 0.05; i=$((i + 1)); done; "
                 "sleep %s; kill -%s $p; wait $p",
                 root, name, ranks > 0 ? 100 : 20, launcher, program, root, name, name, root, name, seconds, signal);
}

static void test_stop_and_resume(void **state) {
    (void)state;
    expect_exit("stopped", run_and_signal("stopped", 0, "TERM", "0.2"), 75);
    expect_in_log("stopped", "trials done; the same command goes on");
    expect_exit("stopped", run_and_signal("stopped", 0, "USR1", "0.2"), 75);
    expect_exit("stopped", run("stopped", 0, "A=b"), 0);
    expect_same_results("stopped");
    assert_true(count_events("stopped", "stopped") >= 1);
    assert_true(count_events("stopped", "resumed") >= 1);
    assert_int_equal(count_events("stopped", "retried"), 0);
}

// A run that must have ended by a given time stops before it, and goes on in the next one.
static void test_time_limit(void **state) {
    (void)state;
    // No trial of the first run can end before its time is up.
    expect_exit("limit", run("limit", 0, "FAKE_STEP_MS=1000 GRIDFOLD_END_TIME=$(($(date +%s) + 4))"), 75);
    int runs = 1, code = 75;
    for (; code == 75 && runs < 20; runs++)
        code = run("limit", 0, "FAKE_STEP_MS=50 GRIDFOLD_END_TIME=$(($(date +%s) + 4))");
    expect_exit("limit", code, 0);
    expect_in_log("limit", "stopping, time is up");
    expect_same_results("limit");
    assert_int_equal(count_events("limit", "retried"), 0);
    assert_int_equal(run("late", 0, "GRIDFOLD_END_TIME=$(($(date +%s) + 1))"), 75); // too late for anything
    assert_int_equal(count_events("late", "assigned"), 0);
}

static void test_killed_again_and_again(void **state) {
    (void)state;
    for (int i = 0; i < 4; i++)
        expect_exit("killed", run_and_signal("killed", 0, "KILL", "0.2"), 137);
    expect_exit("killed", run("killed", 0, "A=b"), 0);
    expect_same_results("killed");
}

static void test_folder_is_locked(void **state) {
    (void)state;
    int code =
        shell("cd %s && export FAKE_STEP_MS=50; %s run sweep.ini sweep.output=%s/runs/locked >holder.log 2>&1 & "
              "cd %s; i=0; until grep -qs '^start  ' holder.log || [ $i = 200 ]; do sleep 0.05; i=$((i + 1)); done; "
              "%s run sweep.ini sweep.output=%s/runs/locked >locked.log 2>&1; c=$?; "
              "kill $!; wait $!; exit $c",
              root, program, root, root, program, root);
    expect_exit("locked", code, 1);
    expect_in_log("locked", "is in use by another gridfold run (process ");
}

static void test_folder_holds_another_sweep(void **state) {
    (void)state;
    int code =
        shell("cd %s && %s run sweep.ini sweep.output=%s/runs/plain epochs=7 >other.log 2>&1", root, program, root);
    expect_exit("other", code, 1);
    expect_in_log("other", "output folder holds another sweep");
    expect_in_log("other", "'epochs = 6' where this one has 'epochs = 7'");
}

// ---- under mpirun ----

static void test_ranks(void **state) {
    (void)state;
    static const int ranks[] = {1, 2, 4};
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        char name[16];
        snprintf(name, sizeof name, "ranks%d", ranks[i]);
        expect_exit(name, run(name, ranks[i], "A=b"), 0);
        expect_same_results(name);
    }
    expect_exit("ranks3", run("ranks3", 3, "FAKE_TRAINER=segv-once"), 0);
    expect_same_results("ranks3");
}

// What one rank cannot train the others do.
static void test_bad_rank_is_quarantined(void **state) {
    (void)state;
    int code =
        shell("cd %s && export FAKE_STEP_MS=100 " LEAKS_OF_MPI "; timeout 100 mpirun --oversubscribe -np 4 sh -c "
              "'if [ $OMPI_COMM_WORLD_RANK = 3 ]; then export FAKE_TRAINER=broken; fi; exec %s run sweep.ini "
              "sweep.output=%s/runs/badrank' >badrank.log 2>&1 </dev/null",
              root, program, root);
    expect_exit("badrank", code, 0);
    expect_same_results("badrank");
    expect_in_log("badrank", "quarantined worker 3 on ");
    assert_int_equal(count_events("badrank", "quarantined"), 1);
    assert_int_equal(count_events("badrank", "lost"), 3);
    assert_int_equal(count_events("badrank", "failed"), 0);
}

static void test_error_under_mpirun_is_one_line(void **state) {
    (void)state;
    int code =
        shell("cd %s && timeout 60 mpirun --oversubscribe -np 3 %s run sweep.ini lrr=1 >bad.log 2>&1", root, program);
    expect_exit("bad", code, 1);
    char *text = read_log("bad"), *first = strstr(text, "gridfold: error:");
    assert_non_null(first);
    assert_null(strstr(first + 1, "gridfold: error:"));
    assert_null(strstr(text, "MPI_ABORT"));
    free(text);
}

static void test_mpirun_is_stopped_or_killed(void **state) {
    (void)state;
    static const struct {
        const char *signal;
        int ranks;
    } cases[] = {{"USR1", 3}, {"TERM", 2}, {"KILL", 3}, {"INT", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int code = run_and_signal("mpistop", cases[i].ranks, cases[i].signal, "0.4");
        if (i == 0)
            expect_exit("mpistop", code, 75);
        usleep(500000); // ranks of a killed mpirun go when they notice
    }
    expect_exit("mpistop", run("mpistop", 2, "A=b"), 0);
    expect_same_results("mpistop");
}

static void test_rank_is_killed(void **state) {
    (void)state;
    int code = shell("cd %s && export FAKE_STEP_MS=100 " LEAKS_OF_MPI "; mpirun --oversubscribe -np 3 sh -c "
                     "'if [ $OMPI_COMM_WORLD_RANK = 2 ]; then (sleep 1; kill -9 $$) & fi; exec %s run sweep.ini "
                     "sweep.output=%s/runs/rank' >>rank.log 2>&1 </dev/null",
                     root, program, root);
    assert_int_not_equal(code, 0);
    expect_exit("rank", run("rank", 3, "A=b"), 0);
    expect_same_results("rank");
}

// Devices that trials were assigned to, each as often as a worker had it: "W:DEVICE" in the order of the workers.
static void list_devices(const char *name, int workers, char *out, size_t size) {
    char path[PATH_SIZE];
    struct event_row *rows;
    size_t count;
    struct error err;
    snprintf(path, sizeof path, "%.900s/runs/%.80s/events.csv", root, name);
    assert_int_equal(events_read(path, &rows, &count, &err), STATUS_OK);
    *out = '\0';
    for (int w = 1; w <= workers; w++)
        for (size_t i = 0; i < count; i++)
            if (rows[i].worker == w && strcmp(rows[i].event, "assigned") == 0) {
                snprintf(out + strlen(out), size - strlen(out), "%d:%s ", w, rows[i].device);
                break;
            }
    free(rows);
}

#define TWO_GPUS "CUDA_VISIBLE_DEVICES=4,6 FAKE_GPUS=GPU-a,GPU-b FAKE_DEVICES=$PWD "

// Two trainers on each of two GPUs; a rank too many stays idle. A trial that runs out of memory beside another gets the
// GPU alone, also of what idle trainers keep there.
static void test_trainers_share_gpus(void **state) {
    (void)state;
    char devices[512];
    const char *words = "sweep.ini backend=auto trainers-per-gpu=2";
    expect_exit("packed", run_words("packed", 5, TWO_GPUS "FAKE_STEP_MS=50", words), 0);
    expect_same_results("packed");
    list_devices("packed", 4, devices, sizeof devices);
    assert_string_equal(devices, "1:a fake (GPU-a) 2:a fake (GPU-a) 3:a fake (GPU-b) 4:a fake (GPU-b) ");
    // Of too many, those that come last stay idle.
    expect_exit("idle", run_words("idle", 6, TWO_GPUS "FAKE_STEP_MS=50", words), 0);
    expect_same_results("idle");
    expect_in_log("idle", ": 1 of 5 workers stay idle: with trainers-per-gpu = 2 its 2 GPUs take 4; start so many "
                          "there, or raise trainers-per-gpu");
    assert_int_equal(shell("cd %s && ls gpu-4 gpu-6 >/dev/null", root), 0);
    assert_int_equal(count_events("packed", "lost"), 0);

    expect_exit("hungry",
                run_words("hungry", 5, TWO_GPUS "FAKE_STEP_MS=50 FAKE_TRAINER=hungry FAKE_TRAINER_TRIAL=0.01", words),
                0);
    expect_same_results("hungry");
    assert_true(count_events("hungry", "alone") >= 1);
    assert_int_equal(count_events("hungry", "failed"), 0);

    // One that never fits is a row on both folds; the others have theirs.
    expect_exit("starved",
                run_words("starved", 5, TWO_GPUS "FAKE_STEP_MS=20 FAKE_TRAINER=memory FAKE_TRAINER_TRIAL=0.01", words),
                0);
    assert_true(count_events("starved", "alone") >= 1);
    assert_int_equal(count_events("starved", "failed"), 2);
    assert_int_equal(count_events("starved", "done"), 10);
    expect_exit("starved",
                shell("grep -q 'failed.*lost 3 times without a new epoch; the last: out of memory: ' "
                      "%s/runs/starved/trials.csv",
                      root),
                0);
}

static int set_up(void **state) {
    (void)state;
    char sweep[4096], text[8192], dataset[PATH_SIZE];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 32);
    if (n <= 0)
        return -1;
    program[n] = 0;
    strcpy(strrchr(program, '/'), "/fake_gridfold");
    strcpy(root, "/tmp/gridfold-run-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    snprintf(dataset, sizeof dataset, "%.900s/small.safetensors", root);
    small_dataset_write(dataset);
    snprintf(sweep, sizeof sweep, sweep_head, root, root);
    snprintf(text, sizeof text, "%s%s", sweep, sweep_grids);
    write_text("sweep.ini", text);
    snprintf(text, sizeof text, "%s[grid rate]\nlr = 0.001, 0.002, 0.003, 0.004, 0.005, 0.006, 0.007, 0.008\n", sweep);
    write_text("asha.ini", text);
    if (shell("sed -i '2i method = asha\\nfirst-rung = 1\\nreduction-factor = 2' %s/asha.ini", root) != 0)
        return -1;
    setenv("OMPI_ALLOW_RUN_AS_ROOT", "1", 1);
    setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1", 1);
    setenv("HOME", root, 0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    return getenv("KEEP") ? 0 : shell("rm -rf %s", root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_crashes_do_not_show),
        cmocka_unit_test(test_hopeless_trial_is_a_row),
        cmocka_unit_test(test_rungs_under_faults),
        cmocka_unit_test(test_broken_setup_ends_the_sweep),
        cmocka_unit_test(test_full_disk_stops_the_sweep),
        cmocka_unit_test(test_stop_and_resume),
        cmocka_unit_test(test_time_limit),
        cmocka_unit_test(test_killed_again_and_again),
        cmocka_unit_test(test_folder_is_locked),
        cmocka_unit_test(test_folder_holds_another_sweep),
        cmocka_unit_test(test_results_that_are_failures),
        cmocka_unit_test(test_ranks),
        cmocka_unit_test(test_trainers_share_gpus),
        cmocka_unit_test(test_bad_rank_is_quarantined),
        cmocka_unit_test(test_error_under_mpirun_is_one_line),
        cmocka_unit_test(test_mpirun_is_stopped_or_killed),
        cmocka_unit_test(test_rank_is_killed),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
