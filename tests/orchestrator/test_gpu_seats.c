// Which GPU each worker gets, what its trainers see of them, and who stays idle.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "orchestrator/master_workers.h"

struct job {
    struct workers *w;
    int count, members;
};

// Workers are ranks 1 .. count; the master is on host 'a'. One letter a worker: its host.
static struct job start(const char *letters, const char *gpus, enum gpu_use use, int per_gpu, int members) {
    const struct gpu_rules rules = {.use = use, .per_gpu = per_gpu, .master_host = "a"};
    struct job j = {.count = (int)strlen(letters), .members = members};
    struct error err;
    int ranks[256] = {['a'] = 1};
    assert_int_equal(workers_create(j.count, &rules, &j.w, &err), STATUS_OK);
    for (int i = 0; i < j.count; i++) {
        struct message_hello hello = {.device = "a CPU", .cpus = "0-7", .cores = 8, .gpus_usable = true};
        hello.host[0] = letters[i];
        hello.local_rank = ranks[(unsigned char)letters[i]]++;
        snprintf(hello.gpus, sizeof hello.gpus, "%s", gpus);
        for (const char *at = gpus; *at; at++) // "0,1" are GPU-0 and GPU-1
            snprintf(hello.gpu_ids + strlen(hello.gpu_ids), 64, *at == ',' ? "," : "GPU-%c", *at);
        workers_join(j.w, i, &hello);
    }
    for (int i = 0; i < j.count; i++)
        (void)workers_take_place(j.w, i, members);
    return j;
}

// What each worker's trainers see, with blanks between: '-' for a worker that gets no trials, "*" for all.
static void expect(struct job j, const char *wanted) {
    char got[512] = "", gpus[PROTOCOL_GPUS_SIZE];
    for (int i = 0; i < j.count; i++) {
        workers_visible_gpus(j.w, i, j.members, gpus);
        const char *text = !workers_has_place(j.w, i) ? "-" : *gpus ? gpus : "*";
        snprintf(got + strlen(got), sizeof got - strlen(got), "%s%.32s", i > 0 ? " " : "", text);
    }
    assert_string_equal(got, wanted);
    workers_destroy(j.w);
}

static void ranks_take_gpus_in_turn(void **state) {
    (void)state;
    expect(start("aaaa", "0,1,2,3", GPU_USE_USABLE, 1, 1), "0 1 2 3");
    expect(start("bbbb", "0,1,2,3", GPU_USE_USABLE, 1, 1), "0 1 2 3");
    expect(start("aabb", "4,6", GPU_USE_USABLE, 1, 1), "4 6 4 6");
    expect(start("aaaa", "0,1", GPU_USE_USABLE, 2, 1), "0 0 1 1"); // consecutive ones share
    expect(start("abababab", "0,1", GPU_USE_USABLE, 2, 1), "0 0 0 0 1 1 1 1");
    expect(start("aaa", "0,1", GPU_USE_USABLE, 2, 1), "0 0 1");
    expect(start("a", "0,1,2,3", GPU_USE_USABLE, 4, 1), "0");
    expect(start("aa", "", GPU_USE_USABLE, 1, 1), "* *");          // no GPUs: CPUs
    expect(start("aa", "0,1", GPU_USE_NONE, 1, 1), "* *");         // CPUs are asked for
    expect(start("aaaaa", "0,1", GPU_USE_ANY, 0, 1), "0 1 0 1 0"); // another program's, without a limit
    expect(start("aaa", "7", GPU_USE_ANY, 0, 1), "7 7 7");
}

static void groups_see_their_gpus(void **state) {
    (void)state;
    expect(start("aaaa", "0,1,2,3", GPU_USE_USABLE, 1, 2), "0,1 - 2,3 -");
    expect(start("aaaaaaaa", "0,1,2,3,4,5,6,7", GPU_USE_USABLE, 1, 4), "0,1,2,3 - - - 4,5,6,7 - - -");
    expect(start("a", "0,1,2,3", GPU_USE_USABLE, 1, 2), "0,1"); // one rank starts both
    expect(start("a", "5", GPU_USE_USABLE, 1, 2), "5");         // too few: the second trainer will say so
}

static void too_many_ranks_stay_idle(void **state) {
    (void)state;
    char why[512];
    struct job j = start("aaaaabbb", "0,1", GPU_USE_USABLE, 2, 1);
    assert_false(workers_complaint(j.w, 0, why, sizeof why));
    assert_true(workers_complaint(j.w, 4, why, sizeof why));
    assert_string_equal(why, "a: 1 of 5 workers stay idle: with trainers-per-gpu = 2 its 2 GPUs take 4; start so many "
                             "there, or raise trainers-per-gpu");
    assert_false(workers_complaint(j.w, 7, why, sizeof why));
    assert_int_equal(workers_fair_threads(j.w, 1), 2); // four trainers on eight cores
    expect(j, "0 0 1 1 - 0 0 1");
    j = start("aaaa", "3", GPU_USE_USABLE, 1, 1);
    assert_true(workers_complaint(j.w, 1, why, sizeof why));
    assert_string_equal(why, "a: 3 of 4 workers stay idle: with trainers-per-gpu = 1 its 1 GPU takes 1; start so many "
                             "there, or raise trainers-per-gpu");
    assert_false(workers_complaint(j.w, 2, why, sizeof why)); // said once
    expect(j, "3 - - -");
}

static void join(struct workers *w, int worker, int local_rank, const char *gpus, const char *ids) {
    struct message_hello hello = {.host = "b", .local_rank = local_rank, .gpus_usable = true};
    snprintf(hello.gpus, sizeof hello.gpus, "%s", gpus);
    snprintf(hello.gpu_ids, sizeof hello.gpu_ids, "%s", ids);
    snprintf(hello.gpu, sizeof hello.gpu, "a GPU");
    snprintf(hello.device, sizeof hello.device, "a CPU");
    workers_join(w, worker, &hello);
}

// Slurm's tasks may each see one GPU, all called "0"; and one GPU may have several names.
static void gpus_are_what_they_are(void **state) {
    (void)state;
    const struct gpu_rules rules = {.use = GPU_USE_USABLE, .per_gpu = 2, .master_host = "a"};
    struct workers *w;
    struct error err;
    char text[PROTOCOL_GPUS_SIZE];
    assert_int_equal(workers_create(5, &rules, &w, &err), STATUS_OK);
    join(w, 0, 0, "0", "GPU-x");
    join(w, 1, 1, "0", "GPU-y");
    join(w, 2, 2, "GPU-y", "GPU-y");
    join(w, 3, 3, "0", "GPU-x");
    join(w, 4, 0, "1,0", "GPU-y,GPU-z"); // its first has no room
    static const int device[] = {0, 1, 1, 0, 4};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(workers_device(w, i), device[i]);
        assert_int_equal(workers_host(w, i), 0);
    }
    workers_device_name(w, 4, text, sizeof text);
    assert_string_equal(text, "a GPU (GPU-z)");
    join(w, 4, 0, "1,0", "GPU-y,GPU-z"); // said again: nothing changes
    assert_int_equal(workers_device(w, 4), 4);
    join(w, 4, 0, "", ""); // it has fallen off the bus
    workers_device_name(w, 4, text, sizeof text);
    assert_string_equal(text, "a CPU");
    workers_destroy(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_take_gpus_in_turn),
        cmocka_unit_test(groups_see_their_gpus),
        cmocka_unit_test(too_many_ranks_stay_idle),
        cmocka_unit_test(gpus_are_what_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
