#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "orchestrator/run_folder.h"
#include "small_dataset.h"

static char root[64];

struct fixture {
    struct sweep *sweep;
    dataset *ds;
    struct plan *plan;
    run_folder *folder;
};

static struct sweep *parse(const char *output, const char *setting) {
    static const char head[] =
        "[sweep]\ndataset = %s/small.safetensors\noutput = %s/%s\n%s\n[folds]\ncount = 2\nrun = all\n"
        "[base]\nepochs = 3\nimage-size = 32\ntemporal-sampling = all\nlstm-hidden-dim = 4\nlstm-layers = 1\n"
        "encoder-width = 4\ndecoder-channels = 4,4,4,4,4\n[grid rate]\nlr = 0.001, 0.01\n"
        "[grid optimizer]\noptimizer = sgd, adamw\n";
    char text[2048];
    struct sweep *sweep;
    struct error err;
    snprintf(text, sizeof text, head, root, root, output, setting);
    if (sweep_parse_text(text, "test.ini", NULL, 0, &sweep, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return sweep;
}

static enum status try_open(struct fixture *f, const char *output, const char *setting, struct error *err) {
    char path[128];
    *f = (struct fixture){.sweep = parse(output, setting)};
    snprintf(path, sizeof path, "%s/small.safetensors", root);
    assert_int_equal(dataset_open(path, &f->ds, err), STATUS_OK);
    assert_int_equal(plan_create(f->sweep, f->ds, &f->plan, err), STATUS_OK);
    return run_folder_open(f->sweep, f->ds, &f->folder, err);
}

static void close_fixture(struct fixture *f) {
    run_folder_close(f->folder);
    plan_destroy(f->plan);
    dataset_close(f->ds);
    sweep_destroy(f->sweep);
}

static struct fixture open_and_load(const char *output) {
    struct fixture f;
    struct error err;
    if (try_open(&f, output, "threads = 1", &err) != STATUS_OK || run_folder_load(f.folder, f.plan, &err) != STATUS_OK)
        fail_msg("%s", err.message);
    return f;
}

static bool add_epoch(struct fixture *f, int trial, int epoch) {
    struct epoch_metrics m = {.epoch = epoch, .lr = 0.1, .val_iou = trial + epoch / 3.0, .train_loss = NAN};
    struct error err;
    bool fresh;
    assert_int_equal(run_folder_add_epoch(f->folder, f->plan, trial, &m, &fresh, &err), STATUS_OK);
    return fresh;
}

static void add_result(struct fixture *f, int trial) {
    struct trial_result r = {.status = TRIAL_DONE,
                             .best_iou = trial + 2 / 3.0,
                             .best_epoch = 2,
                             .epochs_run = 3,
                             .final_iou = NAN,
                             .parameters = 9};
    struct error err;
    assert_int_equal(run_folder_add_result(f->folder, f->plan, trial, &r, &err), STATUS_OK);
}

// Not inlined: GCC 12 then takes what points into the text for a pointer to the variable that held it.
__attribute__((noinline)) static char *read_file(const char *output, const char *name) {
    char path[256], *text;
    struct error err;
    snprintf(path, sizeof path, "%s/%s/%s", root, output, name);
    assert_int_equal(file_read(path, &text, NULL, &err), STATUS_OK);
    return text;
}

static void append(const char *output, const char *name, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s/%s", root, output, name);
    FILE *f = fopen(path, "ae");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static int count_lines(const char *text) {
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

static void finalize(struct fixture *f) {
    struct error err;
    assert_int_equal(run_folder_finalize(f->folder, f->plan, &err), STATUS_OK);
}

// All trials in order, without interruption.
static void run_straight(const char *output) {
    struct fixture f = open_and_load(output);
    for (int t = 0; t < f.plan->trial_count; t++) {
        for (int e = 0; e < 3; e++)
            assert_true(add_epoch(&f, t, e));
        add_result(&f, t);
    }
    finalize(&f);
    close_fixture(&f);
}

static void test_interruptions_leave_no_trace(void **state) {
    (void)state;
    run_straight("straight");
    struct fixture f = open_and_load("bent");
    assert_false(run_folder_is_resumed(f.folder));
    int last = f.plan->trial_count - 1;
    add_epoch(&f, last, 0);
    add_epoch(&f, 0, 0);
    add_epoch(&f, last, 1);
    add_epoch(&f, last, 2);
    add_result(&f, last);
    add_epoch(&f, 0, 1);
    close_fixture(&f);
    append("bent", "epochs.csv", "0123,lr=0."); // the writer died in this line
    append("bent", "trials.csv", "01");
    f = open_and_load("bent");
    assert_true(run_folder_is_resumed(f.folder));
    assert_non_null(run_folder_result(f.folder, f.plan, last));
    assert_null(run_folder_result(f.folder, f.plan, 0));
    assert_int_equal(run_folder_epochs(f.folder, f.plan, 0), 2);
    for (int t = last - 1; t >= 0; t--) {
        for (int e = 0; e < 3; e++)
            assert_true(add_epoch(&f, t, e) == (t != 0 || e == 2));
        add_result(&f, t);
    }
    finalize(&f);
    close_fixture(&f);
    static const char *const files[] = {"epochs.csv", "trials.csv", "folds.csv"};
    for (int i = 0; i < 3; i++) {
        char *a = read_file("straight", files[i]), *b = read_file("bent", files[i]);
        assert_string_equal(a, b);
        assert_true(strlen(a) > 100);
        free(a);
        free(b);
    }
}

// lr = 0.001 and sgd are the defaults: the first trial stands in both grids. The writer died between its two rows.
static void test_missing_row_of_a_shared_trial(void **state) {
    (void)state;
    struct fixture f = open_and_load("shared");
    assert_int_equal(f.plan->row_count, 8);
    assert_int_equal(f.plan->trial_count, 6);
    add_result(&f, 0);
    close_fixture(&f);
    char *text = read_file("shared", "trials.csv"), path[256];
    assert_int_equal(count_lines(text), 3);
    char *header_end = strchr(text, '\n'), *row_end = strchr(header_end + 1, '\n');
    row_end[1] = 0;
    struct error err;
    snprintf(path, sizeof path, "%s/shared/trials.csv", root);
    assert_int_equal(file_write(path, text, strlen(text), &err), STATUS_OK);
    free(text);
    for (int i = 0; i < 2; i++) { // and once only
        f = open_and_load("shared");
        close_fixture(&f);
        text = read_file("shared", "trials.csv");
        assert_int_equal(count_lines(text), 3);
        assert_non_null(strstr(text, ",rate,"));
        assert_non_null(strstr(text, ",optimizer,"));
        free(text);
    }
}

static void expect_refusal(const char *output, const char *setting, enum status status, const char *words) {
    struct fixture f;
    struct error err;
    assert_int_equal(try_open(&f, output, setting, &err), status);
    if (status != STATUS_OK && !strstr(err.message, words))
        fail_msg("%s", err.message);
    close_fixture(&f);
}

static void test_what_may_differ(void **state) {
    (void)state;
    expect_refusal("differ", "threads = auto", STATUS_OK, "");
    expect_refusal("differ", "checkpoint-seconds = 1\nmax-attempts = 7\nhang-seconds = 9\nname = other", STATUS_OK, "");
    expect_refusal("differ", "seed = 7", STATUS_MISMATCH, "'seed = 42' where this one has 'seed = 7'");
    expect_refusal("differ", "threads = 3", STATUS_MISMATCH, "'threads = 3'");
    expect_refusal("differ", "backend = reference", STATUS_MISMATCH, "backend");
    expect_refusal("differ", "threads = auto", STATUS_OK, "");
}

static void test_lock(void **state) {
    (void)state;
    struct fixture f = open_and_load("lock");
    char words[64];
    snprintf(words, sizeof words, "in use by another gridfold run (process %ld on ", (long)getpid());
    expect_refusal("lock", "threads = 1", STATUS_LOST, words);
    close_fixture(&f);
    expect_refusal("lock", "threads = 1", STATUS_OK, "");
}

static void write_lock(const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/taken/lock", root);
    int fd = open(path, O_WRONLY); // in place, as a holder does
    assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

// Where flock does not reach, the beat tells: who loses the folder stops, who comes upon a living beat goes away.
static void test_lock_without_flock(void **state) {
    (void)state;
    struct fixture f = open_and_load("taken");
    struct error err;
    assert_int_equal(run_folder_check(f.folder, 10, &err), STATUS_OK);
    write_lock("process 7 on elsewhere, beat 10\n");
    assert_int_equal(run_folder_check(f.folder, 11, &err), STATUS_OK); // too soon to look again
    assert_int_equal(run_folder_check(f.folder, 20, &err), STATUS_LOST);
    assert_non_null(strstr(err.message, "has been taken by another gridfold run (process 7 on elsewhere)"));
    struct event_row event = {.epoch = -1, .worker = -1};
    assert_int_equal(run_folder_add_event(f.folder, &event, &err), STATUS_LOST);
    close_fixture(&f);
    pid_t holder = fork();
    if (holder == 0) {
        char text[64];
        for (int beat = 11; beat < 60; beat++) {
            snprintf(text, sizeof text, "process 7 on elsewhere, beat %d\n", beat);
            write_lock(text);
            usleep(200000);
        }
        _exit(0);
    }
    expect_refusal("taken", "threads = 1", STATUS_LOST, "in use by another gridfold run (process 7 on elsewhere)");
    kill(holder, SIGKILL);
    waitpid(holder, NULL, 0);
}

static void test_folder_that_vanished(void **state) {
    (void)state;
    struct fixture f = open_and_load("vanished");
    struct error err;
    char path[128], moved[128];
    snprintf(path, sizeof path, "%s/vanished", root);
    snprintf(moved, sizeof moved, "%s/moved", root);
    assert_int_equal(rename(path, moved), 0);
    assert_int_equal(run_folder_check(f.folder, 10, &err), STATUS_IO);
    assert_non_null(strstr(err.message, "the lock cannot be read any more"));
    assert_int_equal(rename(moved, path), 0);
    close_fixture(&f);
}

static void test_dataset_that_changed(void **state) {
    (void)state;
    struct fixture f = open_and_load("changed");
    close_fixture(&f);
    append("changed", "folds.csv", "s9,low,0.1,1\n");
    expect_refusal("changed", "threads = 1", STATUS_MISMATCH, "has changed");
}

static void test_manifest(void **state) {
    (void)state;
    static const char *const hosts[] = {"rank 0, here"};
    struct run_folder_start start = {.ranks = 1, .threads = 5, .mpi = "none", .hosts = hosts, .host_count = 1};
    struct error err;
    for (int i = 0; i < 3; i++) {
        struct fixture f = open_and_load("manifest");
        assert_int_equal(run_folder_threads(f.folder), i > 0 ? 5 : 0);
        assert_int_equal(run_folder_add_start(f.folder, &start, &err), STATUS_OK);
        start.threads = 6; // later starts do not change what the sweep was started with
        close_fixture(&f);
    }
    char *text = read_file("manifest", "manifest.ini");
    assert_non_null(strstr(text, "[start 3]"));
    assert_null(strstr(text, "[start 4]"));
    assert_non_null(strstr(text, "worker-0 = rank 0, here"));
    free(text);
}

static int set_up(void **state) {
    (void)state;
    char path[128];
    strcpy(root, "/tmp/gridfold-folder-XXXXXX");
    if (!mkdtemp(root))
        return -1;
    snprintf(path, sizeof path, "%s/small.safetensors", root);
    small_dataset_write(path);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", root);
    return system(command);
}

// A full disk, played by a limit on the size of files: a result whose epochs did not get there must not either.
static void test_full_disk_keeps_results_behind_epochs(void **state) {
    (void)state;
    struct fixture f = open_and_load("full");
    struct rlimit before, small;
    struct error err;
    add_epoch(&f, 0, 0);
    assert_int_equal(run_folder_commit(f.folder, &err), STATUS_OK);
    char *epochs = read_file("full", "epochs.csv");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = strlen(epochs) + 10;
    for (int e = 1; e < 3; e++)
        add_epoch(&f, 0, e);
    add_result(&f, 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum status status = run_folder_commit(f.folder, &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, STATUS_IO);
    // There is room again, but the sweep is being stopped.
    assert_int_equal(run_folder_commit(f.folder, &err), STATUS_IO);
    close_fixture(&f);
    char *after = read_file("full", "epochs.csv"), *trials = read_file("full", "trials.csv");
    assert_string_equal(after, epochs);
    assert_int_equal(count_lines(trials), 1);
    // Gone on with, it is all there.
    f = open_and_load("full");
    assert_null(run_folder_result(f.folder, f.plan, 0));
    assert_int_equal(run_folder_epochs(f.folder, f.plan, 0), 1);
    close_fixture(&f);
    free(epochs);
    free(after);
    free(trials);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_disk_keeps_results_behind_epochs),
        cmocka_unit_test(test_interruptions_leave_no_trace),
        cmocka_unit_test(test_missing_row_of_a_shared_trial),
        cmocka_unit_test(test_what_may_differ),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_lock_without_flock),
        cmocka_unit_test(test_folder_that_vanished),
        cmocka_unit_test(test_dataset_that_changed),
        cmocka_unit_test(test_manifest),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
