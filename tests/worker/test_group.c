// Trials that several processes train together: the same numbers as one alone to rounding, the same bits from run to
// run and over a resume. The other members are this program, started anew.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>
#include <sys/socket.h>
#include <unistd.h>

#include "model/backend.h"
#include "model/base/file.h"
#include "model/base/safetensors.h"
#include "tests/worker/same_file.h"
#include "tests/worker/small_group.h"
#include "worker/group.h"
#include "worker/trainer_process.h"

// The reference backend sums in double, so that the order shows in the last digit alone; elsewhere a pixel may come to
// lie on the other side of a ReLU or a maximum.
static double tolerance_of(double reference, double other) {
    return strcmp(small_group_backend(), "reference") == 0 ? reference : other;
}

static void assert_near(double a, double b, double tolerance) {
    if (!(fabs(a - b) <= tolerance * fmax(fabs(a), fabs(b))))
        fail_msg("%.17g and %.17g differ by %.2g, which is more than %.2g of them", a, b, fabs(a - b), tolerance);
}

static safetensors *open_last(const struct trial *trial) {
    char path[PATH_SIZE + 32];
    struct error err;
    safetensors *file;
    snprintf(path, sizeof path, "%s/last.safetensors", trial->folder);
    assert_int_equal(safetensors_open(path, &file, &err), STATUS_OK);
    return file;
}

// Relative L2 distance, at most `tolerance`, of every tensor of `a` that has the prefix from scale * its namesake in b,
// plus other * that in c (NULL: none).
static void assert_near_tensors(const struct trial *a, const struct trial *b, const struct trial *c, const char *prefix,
                                double scale, double tolerance) {
    safetensors *x = open_last(a), *y = open_last(b), *z = c ? open_last(c) : NULL;
    double worst = 0;
    int compared = 0;
    for (size_t i = 0; i < safetensors_count(x); i++) {
        const struct safetensors_tensor *t = safetensors_at(x, i);
        if (strncmp(t->name, prefix, strlen(prefix)) != 0 || t->dtype != DTYPE_F32)
            continue;
        const float *p = t->data, *q = safetensors_find(y, t->name)->data;
        const float *r = z ? safetensors_find(z, t->name)->data : NULL;
        double distance = 0, size = 0;
        for (size_t k = 0; k < t->count; k++) {
            double wanted = scale * ((double)q[k] + (r ? (double)r[k] : 0)), d = (double)p[k] - wanted;
            distance += d * d;
            size += wanted * wanted;
        }
        if (!(sqrt(distance) <= tolerance * sqrt(size) + 1e-9))
            fail_msg("%s: relative distance %.2g", t->name, sqrt(distance / size));
        worst = fmax(worst, size > 0 ? sqrt(distance / size) : 0);
        compared++;
    }
    print_message("worst relative distance of %d tensors: %.2g\n", compared, worst);
    assert_true(compared > 100);
    safetensors_close(x);
    safetensors_close(y);
    safetensors_close(z);
}

static void assert_near_epochs(const struct group_log *a, const struct group_log *b, double tolerance) {
    assert_int_equal(a->epochs, b->epochs);
    for (int i = 0; i < a->epochs; i++) {
        assert_near(a->at[i].train_loss, b->at[i].train_loss, tolerance);
        assert_near(a->at[i].val_loss, b->at[i].val_loss, tolerance);
        assert_near(a->at[i].grad_norm, b->at[i].grad_norm, tolerance);
        assert_near(a->at[i].train_iou, b->at[i].train_iou, 0.02); // a pixel may change sides
        assert_near(a->at[i].val_iou, b->at[i].val_iou, 0.02);
    }
}

static void shares_are_even_and_complete(void **state) {
    (void)state;
    for (int members = 1; members <= 16; members++)
        for (int count = 0; count < 40; count++) {
            assert_int_equal(collectives_first(count, 0, members), 0);
            assert_int_equal(collectives_first(count, members, members), count);
            int first = collectives_first(count, 1, members);
            for (int m = 0; m < members; m++) {
                int share = collectives_first(count, m + 1, members) - collectives_first(count, m, members);
                assert_true(share <= first && share >= count / members && share <= count / members + 1);
            }
        }
}

// Parameters, running statistics and SGD's velocity, which holds the gradient, clipped by the norm of all of it.
// Batches of three and of one, shuffled and augmented: shares are unequal, and with more than one member some have
// none.
static void steps_are_those_of_one(void **state) {
    (void)state;
    for (int steps = 1; steps <= 2; steps++)
        for (int members = 1; members <= 3; members++) {
            char name[32], one[32];
            snprintf(name, sizeof name, "step%d-%d", steps, members);
            snprintf(one, sizeof one, "step%d-1", steps);
            struct trial t = small_group_trial(name, members), alone = small_group_trial(one, 1);
            t.hp.optimizer = OPTIMIZER_SGD;
            assert_int_equal(small_group_run(t, &(struct group_log){.stop_after = steps}).status, TRIAL_INTERRUPTED);
            assert_near_tensors(&t, &alone, NULL, "", 1, tolerance_of(steps == 1 ? 5e-6 : 1e-4, 2e-3));
        }
}

// A trial whose rounding does not grow fast: no batch that batch norm makes two values of.
static struct trial calm_trial(const char *name, int members) {
    struct trial t = small_group_trial(name, members);
    t.hp.batch_size = 4;
    return t;
}

static void training_is_that_of_one(void **state) {
    (void)state;
    struct trial alone = calm_trial("calm1", 1), two = calm_trial("calm2", 2), three = calm_trial("calm3", 3);
    struct group_log logs[3] = {{0}, {0}, {0}};
    assert_int_equal(small_group_run(alone, &logs[0]).status, TRIAL_DONE);
    assert_int_equal(small_group_run(two, &logs[1]).status, TRIAL_DONE);
    assert_int_equal(small_group_run(three, &logs[2]).status, TRIAL_DONE);
    assert_int_equal(logs[0].epochs, 3);
    assert_near_epochs(&logs[1], &logs[0], tolerance_of(1e-6, 2e-3));
    assert_near_epochs(&logs[2], &logs[0], tolerance_of(1e-6, 2e-3));
}

// Stopped after every step; how often.
static int run_in_parts(struct trial t) {
    int rounds = 0;
    while (small_group_run(t, &(struct group_log){.stop_after = 1}).status == TRIAL_INTERRUPTED && rounds < 20)
        rounds++;
    return rounds;
}

static void the_same_bits_again_and_over_a_resume(void **state) {
    (void)state;
    struct trial two = small_group_trial("two", 2), again = small_group_trial("again", 2),
                 parts = small_group_trial("parts", 2);
    assert_int_equal(small_group_run(again, &(struct group_log){0}).status, TRIAL_DONE);
    assert_int_equal(small_group_run(two, &(struct group_log){0}).status, TRIAL_DONE);
    assert_int_equal(run_in_parts(parts), 6);
    assert_same_file(&two, &again, "best.safetensors");
    assert_same_file(&two, &again, "last.safetensors");
    assert_same_file(&two, &parts, "best.safetensors");
    assert_same_file(&two, &parts, "last.safetensors");
    // A checkpoint after every step: all members end a stretch of recorded steps there.
    struct trial often = small_group_trial("often", 2);
    often.checkpoint_seconds = 0;
    assert_int_equal(small_group_run(often, &(struct group_log){0}).status, TRIAL_DONE);
    assert_same_file(&two, &often, "last.safetensors");
    // A life that begins with the short batch: the next whole one takes more room on some members only.
    struct trial halves = small_group_trial("halves", 2);
    assert_int_equal(small_group_run(halves, &(struct group_log){.stop_after = 1}).status, TRIAL_INTERRUPTED);
    assert_int_equal(small_group_run(halves, &(struct group_log){0}).status, TRIAL_DONE);
    assert_same_file(&two, &halves, "last.safetensors");
}

// A checkpoint has the first member's statistics: the others validate with those, and not with their own.
static void the_same_bits_with_statistics_apart(void **state) {
    (void)state;
    struct trial apart = small_group_trial("apart", 2), parts = small_group_trial("apart-parts", 2);
    apart.sync_batchnorm = parts.sync_batchnorm = false;
    assert_int_equal(small_group_run(apart, &(struct group_log){0}).status, TRIAL_DONE);
    assert_int_equal(run_in_parts(parts), 6);
    assert_same_file(&apart, &parts, "best.safetensors");
    assert_same_file(&apart, &parts, "last.safetensors");
}

static void another_number_goes_on(void **state) {
    (void)state;
    struct trial t = calm_trial("changed", 2), alone = calm_trial("calm1", 1);
    struct group_log log = {0}, whole = {0};
    assert_int_equal(small_group_run(t, &(struct group_log){.stop_after = 1}).status, TRIAL_INTERRUPTED);
    t.members = 1;
    assert_int_equal(small_group_run(t, &(struct group_log){.stop_after = 1}).status, TRIAL_INTERRUPTED);
    t.members = 3;
    assert_int_equal(small_group_run(t, &log).status, TRIAL_DONE);
    assert_int_equal(small_group_run(alone, &whole).status, TRIAL_DONE); // replayed
    assert_near_epochs(&log, &whole, tolerance_of(1e-6, 2e-3));
}

// Each member's batch norms take its own samples: the gradient of four samples by two is the mean of two gradients of
// two.
static void statistics_of_each_share(void **state) {
    (void)state;
    struct trial first = small_group_trial("first", 1), second = small_group_trial("second", 1),
                 both = small_group_trial("both", 2), synced = small_group_trial("synced", 2);
    struct trial *all[] = {&first, &second, &both, &synced};
    for (int i = 0; i < 4; i++) {
        all[i]->hp.optimizer = OPTIMIZER_SGD;
        all[i]->hp.momentum = all[i]->hp.clip_norm = 0;
        all[i]->hp.weight_decay = 0;
        all[i]->hp.lr = 1e-12;
        all[i]->hp.shuffle = all[i]->hp.augment = 0;
        all[i]->hp.batch_size = i < 2 ? 2 : 4;
        all[i]->sync_batchnorm = i == 3;
        assert_int_equal(small_group_run(*all[i], &(struct group_log){.stop_after = i == 1 ? 2 : 1}).status,
                         TRIAL_INTERRUPTED);
    }
    assert_near_tensors(&both, &first, &second, "state/", 0.5, 5e-6);
    safetensors *x = open_last(&both), *y = open_last(&synced);
    const struct safetensors_tensor *a = safetensors_find(x, "encoder.bn1.running_mean");
    const struct safetensors_tensor *b = safetensors_find(y, "encoder.bn1.running_mean");
    assert_true(memcmp(a->data, b->data, a->bytes) != 0); // the first member's, and everyone's
    safetensors_close(x);
    safetensors_close(y);
}

static void failures_are_everyones(void **state) {
    (void)state;
    struct trial t = small_group_trial("few", 2);
    t.hp.batch_size = 1;
    struct trial_result result = small_group_run(t, &(struct group_log){0});
    assert_int_equal(result.status, TRIAL_FAILED);
    assert_string_equal(result.error, "batch-size = 1: too few samples to be shared out among gpus-per-trial = 2");
    t = small_group_trial("wild", 2); // every step makes the parameters a thousand times as large: under any compiler
    t.hp.lr = 1e3;
    t.hp.weight_decay = 1;
    t.hp.optimizer = OPTIMIZER_SGD;
    t.hp.clip_norm = 0;
    t.hp.epochs = 8;
    assert_int_equal(small_group_run(t, &(struct group_log){0}).status, TRIAL_DIVERGED);
}

// ---- a member that cannot read what member 0 can ----

enum { SLOW_SECONDS = 20 };

// The trainer of an agent, and member 0: what all have agreed on it is slow to tell.
static int be_slow(void) {
    static struct message order;
    struct inbox inbox = {0};
    struct trial_result result;
    struct error err;
    bool got = false;
    group *g;
    trainer *t;
    while (!got) {
        char bytes[4096];
        ssize_t n = recv(TRAINER_PROCESS_FD, bytes, sizeof bytes, 0);
        if (n <= 0 || inbox_add(&inbox, bytes, (size_t)n, &err) != STATUS_OK ||
            inbox_take(&inbox, &order, &got, &err) != STATUS_OK)
            return 2;
    }
    if (group_start(&order.assign, &g, &err) != STATUS_OK || group_assign(g, &order, &err) != STATUS_OK ||
        trainer_create(&t, &err) != STATUS_OK)
        return 2;
    order.assign.trial.together = group_collectives(g);
    struct trainer_hooks hooks = {.epoch = NULL};
    if (trainer_run(t, &order.assign.trial, &hooks, &result, &err) != STATUS_IO)
        return 2;
    sleep(SLOW_SECONDS); // the member's end ends it
    return 2;
}

static const char blind_variable[] = "TEST_MEMBER_FOLDER";

// The others look at the trial's folder, which has no absolute path, from another place.
static bool is_elsewhere(int argc, char **argv) {
    const char *place = getenv(blind_variable);
    return !place || argc < 3 || strcmp(argv[2], "member") != 0 || chdir(place) == 0;
}

// Of a trial with a relative path, when the other members look below `place`.
static struct message report_of_blind(struct trial t, const char *place, const char *const *arguments) {
    char log[PATH_SIZE];
    struct error err;
    agent *a;
    snprintf(log, sizeof log, "%.900s.%s.%d", small_group_log(), place, arguments != NULL);
    setenv(blind_variable, place, 1);
    assert_int_equal(agent_create(&(struct agent_config){.arguments = arguments}, &a, &err), STATUS_OK);
    struct message report = small_group_report(a, &t, log, false);
    agent_destroy(a);
    unsetenv(blind_variable);
    return report;
}

// The folder of all trials is where this process is until it comes back to `before`.
static void go_to_trials(char before[PATH_SIZE]) {
    struct trial t = small_group_trial("blind", 2);
    assert_non_null(getcwd(before, PATH_SIZE));
    *strrchr(t.folder, '/') = 0;
    assert_int_equal(chdir(t.folder), 0);
}

// Member 0 tells it; where that is slow, the member's end tells the same.
static void a_member_that_cannot_read_is_no_crash(void **state) {
    (void)state;
    static const char *const slow[] = {"slow", NULL}, *const *const arguments[] = {NULL, slow};
    static const struct {
        const char *place, *folder, *why;
    } views[] = {
        {"with-a-folder", "with-a-folder/blind/last.safetensors", "last.safetensors: not a regular file"},
        {"without", "without", "last.safetensors: No such file or directory"},
    };
    struct trial t = small_group_trial("blind", 2);
    struct error err;
    char before[PATH_SIZE];
    assert_int_equal(small_group_run(t, &(struct group_log){.stop_after = 1}).status, TRIAL_INTERRUPTED);
    go_to_trials(before);
    snprintf(t.folder, sizeof t.folder, "blind");
    for (int i = 0; i < 4; i++) {
        assert_int_equal(file_make_directories(views[i / 2].folder, &err), STATUS_OK);
        struct message report = report_of_blind(t, views[i / 2].place, arguments[i % 2]);
        const char *who = i % 2 == 0 ? "member 1 of 2: cannot open blind/" : "one of its group cannot read or write";
        if (report.kind != MESSAGE_LOST || report.cause != LOSS_WRITE || !strstr(report.reason, who) ||
            !strstr(report.reason, views[i / 2].why))
            fail_msg("kind %d, cause \"%s\", %s", (int)report.kind, loss_cause_name(report.cause), report.reason);
    }
    assert_int_equal(chdir(before), 0);
}

// Weights that one member does not find fail the trial, and leave nobody waiting.
static void a_member_without_the_first_weights(void **state) {
    (void)state;
    struct trial t = small_group_trial("weights", 2);
    struct error err;
    char before[PATH_SIZE];
    assert_int_equal(small_group_run(t, &(struct group_log){0}).status, TRIAL_DONE);
    go_to_trials(before);
    assert_int_equal(file_make_directories("without", &err), STATUS_OK);
    snprintf(t.folder, sizeof t.folder, "from-weights");
    snprintf(t.hp.init_checkpoint, sizeof t.hp.init_checkpoint, "weights/best.safetensors");
    trial_id(&t.hp, t.folds, t.fold, t.seed, t.id);
    struct message report = report_of_blind(t, "without", NULL);
    if (report.kind != MESSAGE_RESULT || report.result.status != TRIAL_FAILED ||
        !strstr(report.result.error, "member 1 of 2: cannot open weights/best.safetensors"))
        fail_msg("kind %d, %s%s", (int)report.kind, report.reason, report.result.error);
    assert_int_equal(chdir(before), 0);
}

int main(int argc, char **argv) {
    int code = 2;
    if (argc == 2 && strcmp(argv[1], "slow") == 0)
        return be_slow();
    if (!is_elsewhere(argc, argv) || small_group_answers(argc, argv, &code))
        return code;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_are_even_and_complete),
        cmocka_unit_test(steps_are_those_of_one),
        cmocka_unit_test(training_is_that_of_one),
        cmocka_unit_test(the_same_bits_again_and_over_a_resume),
        cmocka_unit_test(the_same_bits_with_statistics_apart),
        cmocka_unit_test(another_number_goes_on),
        cmocka_unit_test(statistics_of_each_share),
        cmocka_unit_test(failures_are_everyones),
        cmocka_unit_test(a_member_that_cannot_read_is_no_crash),
        cmocka_unit_test(a_member_without_the_first_weights),
    };
    return cmocka_run_group_tests(tests, small_group_set_up, small_group_tear_down);
}
