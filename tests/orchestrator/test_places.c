// Which workers get trials when several ranks of a host make one place.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "orchestrator/master_workers.h"

enum { WORKERS = 9 };

static struct workers *hosts(const char *letters) { // one letter a worker: its host
    static const struct gpu_rules none = {.use = GPU_USE_NONE, .master_host = ""};
    struct workers *w;
    struct error err;
    assert_int_equal(workers_create((int)strlen(letters), &none, &w, &err), STATUS_OK);
    for (int i = 0; letters[i]; i++) {
        struct message_hello hello = {.cpus = "0-7", .cores = 8, .local_rank = -1};
        hello.host[0] = letters[i];
        workers_join(w, i, &hello);
    }
    return w;
}

// '1' for each worker with a place, when all have come in the order of their numbers.
static void expect(const char *letters, int members, const char *places) {
    struct workers *w = hosts(letters);
    char got[WORKERS + 1] = "";
    int taken = 0, wanted = 0;
    for (int i = 0; letters[i]; i++)
        taken += workers_take_place(w, i, members) >= 0;
    for (int i = 0; letters[i]; i++) {
        got[i] = workers_has_place(w, i) ? '1' : '0';
        wanted += places[i] == '1';
    }
    assert_string_equal(got, places);
    assert_int_equal(taken, wanted);
    workers_destroy(w);
}

static void ranks_of_a_host_make_places(void **state) {
    (void)state;
    expect("aaaa", 1, "1111");
    expect("aaaa", 2, "1010");
    expect("aaaaa", 2, "10100");       // a rest
    expect("a", 4, "1");               // all that there is
    expect("aab", 2, "101");           // on each host
    expect("abababab", 2, "11001100"); // mapped by node
    expect("aaaabbbb", 4, "10001000");
}

static void late_ranks_complete_places(void **state) {
    (void)state;
    struct workers *w = hosts("aaaa");
    assert_int_equal(workers_take_place(w, 3, 2), 3); // the first to come
    assert_int_equal(workers_take_place(w, 0, 2), -1);
    assert_int_equal(workers_take_place(w, 1, 2), -1);
    assert_int_equal(workers_take_place(w, 2, 2), 1);
    assert_int_equal(workers_take_place(w, 1, 2), 1); // it has said hello again
    assert_int_equal(workers_take_place(w, 2, 2), -1);
    workers_destroy(w);
}

static void threads_are_shared_among_trainers(void **state) {
    (void)state;
    struct workers *w = hosts("aaaa");
    assert_int_equal(workers_fair_threads(w, 1), 2);
    assert_int_equal(workers_fair_threads(w, 2), 2);
    assert_int_equal(workers_fair_threads(w, 8), 1); // one rank starts them all
    assert_false(workers_are_crowded(w, 0, 2, 2));
    assert_true(workers_are_crowded(w, 0, 8, 2));
    workers_destroy(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_of_a_host_make_places),
        cmocka_unit_test(late_ranks_complete_places),
        cmocka_unit_test(threads_are_shared_among_trainers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
