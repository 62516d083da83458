// Trials on several GPUs over the stand-in for NCCL: what is said when something is missing or fails, that an epoch
// neither allocates nor waits, and that the stand-in does catch what it says it catches. The numbers: test_cuda_group.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/cuda/nccl_library.h"
#include "tests/cuda/processes.h"
#include "tests/cuda/standin/standin.h"
#include "tests/worker/same_file.h"
#include "tests/worker/small_group.h"
#include "worker/trainer_process.h"

static char library[4096]; // the stand-in's file

static int set_up(void **state) {
    snprintf(library, sizeof library, "%s", getenv("GRIDFOLD_NCCL"));
    return small_group_set_up(state);
}

static int tear_down_setting(void **state) {
    static const char *const told[] = {"NCCL_VERSION", "NCCL_FAILURE", "NCCL_DEATH",   "NCCL_SECONDS", "NCCL_HANG",
                                       "NCCL_GARBLE",  "NCCL_REFUSE",  "CUDNN_REFUSE", "MEMORY",       "UNCAPTURABLE"};
    char name[64];
    (void)state;
    setenv("GRIDFOLD_NCCL", library, 1);
    setenv("STANDIN_DEVICES", "3", 1);
    for (size_t i = 0; i < sizeof told / sizeof *told; i++) {
        snprintf(name, sizeof name, "STANDIN_%s", told[i]);
        unsetenv(name);
    }
    return 0;
}

// ---- before the first step ----

static void assert_fails(const char *name, const char *why) {
    struct group_log log = {0};
    struct trial_result result = small_group_run(small_group_trial(name, 2), &log);
    assert_int_equal(result.status, TRIAL_FAILED);
    assert_int_equal(log.steps, 0);
    if (!strstr(result.error, why))
        fail_msg("\"%s\" does not say \"%s\"", result.error, why);
}

// First of all tests, for a process loads the library once. Sums inside an NVSwitch are off unless the user wants them.
static void without_nccl(void **state) {
    (void)state;
    setenv("NCCL_NVLS_ENABLE", "1", 1);
    setenv("GRIDFOLD_NCCL", "/nowhere/libnccl.so.2", 1);
    assert_fails("missing", "NCCL: /nowhere/libnccl.so.2: cannot open shared object file: No such file or directory; "
                            "install NCCL 2, or name its libnccl.so.2 in GRIDFOLD_NCCL");
    assert_string_equal(getenv("NCCL_NVLS_ENABLE"), "1");
    unsetenv("NCCL_NVLS_ENABLE");
    setenv("GRIDFOLD_NCCL", "libm.so.6", 1);
    assert_fails("another", "NCCL: libm.so.6 has no ncclGetVersion; version 2.14 or later is needed");
    setenv("GRIDFOLD_NCCL", library, 1);
    assert_string_equal(getenv("NCCL_NVLS_ENABLE"), "0");
    setenv("STANDIN_NCCL_VERSION", "21304", 1);
    assert_fails("old", " is of version 2.13.4; version 2.14 or later is needed");
}

// What one member alone lacks is everyone's row: nobody waits for it.
static void a_member_that_cannot_take_part(void **state) {
    (void)state;
    setenv("STANDIN_NCCL_VERSION", "1:21304", 1);
    assert_fails("old member", "member 1 of 2: NCCL: ");
    unsetenv("STANDIN_NCCL_VERSION");
    setenv("STANDIN_CUDNN_REFUSE", "1", 1);
    assert_fails("refused", "member 1 of 2: encoder.conv1 (conv2d): convolution of x ");
}

static void with_too_few_devices(void **state) {
    (void)state;
    setenv("STANDIN_DEVICES", "1", 1);
    assert_fails("few", "member 1 of 2: backend cuda: there is no device 1; this machine has 1, from 0");
}

// ---- in training ----

static struct standin_counts after[8];

static void note_counts(int epoch) {
    after[epoch] = standin_counts_now();
}

// From the second epoch on: a graph for each step and each batch of validation; the host waits once for an epoch's
// steps, and once for its validation.
static void an_epoch_neither_allocates_nor_waits(void **state) {
    (void)state;
    struct group_log log = {.after_epoch = note_counts};
    struct trial trial = small_group_trial("counted", 2);
    trial.hp.epochs = 5;
    assert_int_equal(small_group_run(trial, &log).status, TRIAL_DONE);
    assert_true(after[0].side > 2 * 4);       // two steps were recorded, each with its gradient in several pieces
    for (int epoch = 3; epoch < 5; epoch++) { // the best epoch's copy is made by then
        const struct standin_counts *a = &after[epoch - 1], *b = &after[epoch];
        assert_int_equal(b->launches - a->launches, 0);
        assert_int_equal(b->allocations - a->allocations, 0);
        assert_int_equal(b->waits - a->waits, 2);
        assert_true(b->graph_launches - a->graph_launches >= 3);
    }
}

static void read_log(char *words, size_t size) { // the other members' words, behind what stands there
    size_t said = strlen(words);
    FILE *log = fopen(small_group_log(), "r");
    assert_non_null(log);
    said += fread(words + said, 1, size - 1 - said, log);
    words[said] = 0;
    fclose(log);
}

// Where one member's libraries do what cannot be recorded, no member replays: the same bytes, step by step.
static void a_member_that_cannot_record(void **state) {
    (void)state;
    struct trial recorded = small_group_trial("recorded", 2), run = small_group_trial("run", 2);
    assert_int_equal(small_group_run(recorded, &(struct group_log){0}).status, TRIAL_DONE);
    remove(small_group_log());
    setenv("STANDIN_UNCAPTURABLE", "1", 1);
    struct group_log log = {.after_epoch = note_counts};
    assert_int_equal(small_group_run(run, &log).status, TRIAL_DONE);
    assert_int_equal(after[log.epochs - 1].graph_launches, after[0].graph_launches);
    assert_true(after[log.epochs - 1].launches > after[0].launches);
    assert_int_equal(after[log.epochs - 1].captures, after[1].captures); // nor does any try again
    assert_same_file(&recorded, &run, "last.safetensors");
    assert_same_file(&recorded, &run, "best.safetensors");
    char words[4096] = "";
    read_log(words, sizeof words);
    if (!strstr(words, "cannot be recorded and replayed"))
        fail_msg("member 1 says: %s", words);
}

// ---- in a process of its own ----

static void train_alone(int member, void *name) {
    (void)member;
    struct trial_result result;
    struct error err = {0};
    if (small_group_try(small_group_trial(name, 2), &(struct group_log){0}, &result, &err) != STATUS_OK)
        require(false, err.message);
}

// Member 0 can, and says why it does not.
static void who_could_record_says_why_not(void **state) {
    (void)state;
    int status;
    char words[4096];
    setenv("STANDIN_UNCAPTURABLE", "1", 1);
    run_processes(1, train_alone, "told", &status, words, sizeof words);
    assert_int_equal(status, 0);
    char *said = strstr(words, "which is slower: another member of the group cannot record it");
    if (!said || strstr(said + 1, "which is slower")) // once
        fail_msg("member 0 says: %s", words);
}

// Member 1 dies in the middle of a collective, when member 0 waits for it there.
static void a_dead_member_ends_the_group(void **state) {
    (void)state;
    int status;
    char words[4096];
    setenv("STANDIN_NCCL_DEATH", "1:300", 1);
    run_processes(1, train_alone, "death", &status, words, sizeof words);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == TRAINER_EXIT_MEMBER_KILLED);
    assert_non_null(strstr(words, "trainer: member 1 of 2 was ended by signal 9"));
}

// Whoever sees it first ends: member 0 with the message, or by the end of member 1, whose message is in the log.
static void an_asynchronous_failure_ends_the_group(void **state) {
    (void)state;
    static const char *const failures[] = {"1:300", "0:1"}; // in a step, and trying the group out
    for (size_t i = 0; i < sizeof failures / sizeof *failures; i++) {
        int status;
        char words[4096];
        remove(small_group_log());
        setenv("STANDIN_NCCL_FAILURE", failures[i], 1);
        run_processes(1, train_alone, "death", &status, words, sizeof words);
        read_log(words, sizeof words);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
        if (!strstr(words, "remote process exited or there was a network error"))
            fail_msg("%s: %s", failures[i], words);
    }
    unsetenv("STANDIN_NCCL_FAILURE"); // and the next group does it
    assert_int_equal(small_group_run(small_group_trial("broken", 2), &(struct group_log){0}).status, TRIAL_DONE);
}

// ---- seen by the agent ----

// Of a trial of two members, under a setting of the stand-in's that begins with the member's number.
static void assert_lost(const char *variable, const char *value, const char *why) {
    struct trial trial = small_group_trial(value, 2);
    char log[PATH_SIZE];
    struct error err;
    agent *a;
    snprintf(log, sizeof log, "%.900s.%s", small_group_log(), value);
    setenv(variable, value, 1);
    assert_int_equal(agent_create(&(struct agent_config){0}, &a, &err), STATUS_OK);
    struct message report = small_group_report(a, &trial, log, false);
    agent_destroy(a);
    unsetenv(variable);
    if (report.kind != MESSAGE_LOST || report.cause != LOSS_CRASH || !strstr(report.reason, why) ||
        (value[0] == '1' && !strstr(report.reason, "member 1")))
        fail_msg("%s=%s: kind %d, cause \"%s\", %s", variable, value, (int)report.kind, loss_cause_name(report.cause),
                 report.reason);
}

// Whichever call of NCCL's fails, of whichever member, the trial is lost in its words, though others may wait for that
// member in their own call.
static void all_calls_are_checked(void **state) {
    (void)state;
    static const struct {
        const char *call, *words;
    } calls[] = {
        {"0:ncclGetVersion:1", "NCCL: asking for its version: internal error"},
        {"1:ncclGetVersion:1", "member 1 of 2: NCCL: asking for its version: internal error"},
        {"0:ncclGetUniqueId:1", "NCCL: a unique id: internal error"},
        {"0:ncclCommInitRank:1", "NCCL: joining: internal error"},
        {"1:ncclCommInitRank:1", "NCCL: joining: internal error"},
        {"0:ncclAllGather:1", "NCCL: all-gather: internal error"}, // trying the group out
        {"1:ncclAllGather:1", "NCCL: all-gather: internal error"},
        {"0:ncclAllGather:2", "NCCL: all-gather: internal error"},
        {"1:ncclAllGather:7", "NCCL: all-gather: internal error"},
        {"0:ncclAllReduce:1", "NCCL: all-reduce: internal error"},
        {"1:ncclAllReduce:2", "NCCL: all-reduce: internal error"},
        {"0:ncclBroadcast:1", "NCCL: broadcast: internal error"},
        {"1:ncclBroadcast:1", "NCCL: broadcast: internal error"},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        assert_lost("STANDIN_NCCL_REFUSE", calls[i].call, calls[i].words);
    // To be in progress is no failure; that the communicator cannot be asked is one.
    setenv("STANDIN_NCCL_HANG", "1:1", 1);
    assert_lost("STANDIN_NCCL_REFUSE", "1:ncclCommGetAsyncError:3", "NCCL: trying the group out: internal error");
}

static void a_group_with_wrong_numbers_is_not_used(void **state) {
    (void)state;
    assert_lost("STANDIN_NCCL_GARBLE", "1:1", "NCCL: member 1 of 2 says 0 where it should give its number");
}

// The last report of a trial of two members, of which the second has a device with so much memory.
static struct message report_of(size_t bytes, bool log) {
    char memory[32], log_file[PATH_SIZE] = "";
    struct error err;
    agent *a;
    snprintf(memory, sizeof memory, "1:%zu", bytes);
    setenv("STANDIN_MEMORY", memory, 1);
    struct trial trial = small_group_trial(memory, 2);
    trial.hp.epochs = 1;
    if (log)
        snprintf(log_file, sizeof log_file, "%s.%zu", small_group_log(), bytes);
    assert_int_equal(agent_create(&(struct agent_config){0}, &a, &err), STATUS_OK);
    struct message report = small_group_report(a, &trial, log_file, false);
    agent_destroy(a);
    return report;
}

// Wherever it runs out: when the trial is prepared, which the members agree on, or later, when the first one waits for
// it in a collective. Without a log nobody can read it from the member's last words.
static void a_member_without_memory_is_no_crash(void **state) {
    (void)state;
    int agreed = 0, alone = 0;
    bool log = false;
    for (size_t bytes = 1 << 18;; bytes += bytes / 3, log = !log) {
        struct message report = report_of(bytes, log);
        if (report.kind == MESSAGE_RESULT && report.result.status == TRIAL_DONE)
            break;
        if (report.kind != MESSAGE_LOST || report.cause != LOSS_MEMORY || !strstr(report.reason, "out of memory") ||
            (log && !strstr(report.reason, "member 1")))
            fail_msg("%zu bytes: kind %d, cause \"%s\", %s", bytes, (int)report.kind, loss_cause_name(report.cause),
                     report.reason);
        if (strncmp(report.reason, "member 1 of 2: ", strlen("member 1 of 2: ")) == 0)
            agreed++;
        else
            alone++;
    }
    print_message("%d times when preparing, %d times later\n", agreed, alone);
    assert_true(agreed >= 2 && alone >= 2);
}

// ---- the stand-in's traps ----

struct pair { // of members, each in its process
    ncclUniqueId id;
    const char *mistake;
    const struct nccl_library *nccl;
};

static bool is(const char *mistake, const char *name) {
    return strcmp(mistake, name) == 0;
}

// All-reduces of 16 floats, all but for one thing right.
static void make_mistake(int member, const char *mistake, const struct nccl_library *n, ncclComm_t comm,
                         cudaStream_t stream, char *memory) {
    float host[16] = {0};
    bool first = member == 0;
    const char *from = is(mistake, "host") ? (const char *)host : memory;
    if (is(mistake, "device"))
        require(cudaSetDevice(2) == cudaSuccess, "choosing the device");
    if (is(mistake, "gather"))
        n->ncclAllGather(memory + 64 * member, memory, first ? 64 : 32, ncclUint8, comm, stream);
    else if (is(mistake, "root"))
        n->ncclBroadcast(memory, memory, 64, ncclUint8, member, comm, stream);
    else if (is(mistake, "kind") && !first)
        n->ncclBroadcast(memory, memory, 64, ncclUint8, 0, comm, stream);
    else if (first || !is(mistake, "alone"))
        n->ncclAllReduce(from, is(mistake, "overlap") ? memory + 4 : memory, is(mistake, "nothing") ? 0 : 16,
                         ncclFloat32, ncclSum, comm, is(mistake, "stream") ? NULL : stream);
}

static void be_member(int member, void *context) {
    struct pair *p = context;
    ncclComm_t comm;
    cudaStream_t stream;
    void *memory;
    int device = is(p->mistake, "same device") ? 0 : member;
    require(cudaSetDevice(device) == cudaSuccess, "choosing the device");
    require(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess, "a stream");
    require(cudaMalloc(&memory, 1024) == cudaSuccess, "memory");
    ncclResult_t joined = p->nccl->ncclCommInitRank(&comm, 2, p->id, member);
    if (joined == ncclInvalidUsage)
        fprintf(stderr, "%s\n", p->nccl->ncclGetLastError(NULL));
    require(joined == ncclSuccess, "joining");
    make_mistake(member, p->mistake, p->nccl, comm, stream, memory);
    require(cudaStreamSynchronize(stream) == cudaSuccess, "waiting");
}

static void mistakes_are_caught(void **state) {
    (void)state;
    static const struct {
        const char *mistake, *words;
    } mistakes[] = {
        {"gather", "ncclAllGather number 1 of 64"},
        {"kind", "ncclBroadcast number 1 of 64"},
        {"root", "(type 1, root 1)"},
        {"alone", "ncclAllReduce of member 0: member 1 of 2 has not come in 1 s"},
        {"host", "what is no device memory"},
        {"overlap", "buffers overlap and are not in place"},
        {"stream", "ncclAllReduce on the legacy stream"},
        {"nothing", "ncclAllReduce of nothing"},
        {"device", "on device 2 with a communicator of device"},
        {"same device", "Duplicate GPU detected"},
    };
    struct pair p;
    struct error err;
    char words[4096];
    int status[2];
    setenv("STANDIN_NCCL_SECONDS", "1", 1);
    assert_int_equal(nccl_library_load(&p.nccl, &err), STATUS_OK);
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        p.mistake = mistakes[i].mistake;
        assert_int_equal(p.nccl->ncclGetUniqueId(&p.id), ncclSuccess);
        run_processes(2, be_member, &p, status, words, sizeof words);
        assert_true(status[0] != 0 || status[1] != 0);
        if (!strstr(words, mistakes[i].words))
            fail_msg("%s: %s", mistakes[i].mistake, words);
    }
    p.mistake = "none";
    assert_int_equal(p.nccl->ncclGetUniqueId(&p.id), ncclSuccess);
    run_processes(2, be_member, &p, status, words, sizeof words);
    assert_true(status[0] == 0 && status[1] == 0);
}

int main(int argc, char **argv) {
    int code;
    if (small_group_answers(argc, argv, &code))
        return code;
#define NCCL_TEST(name) cmocka_unit_test_teardown(name, tear_down_setting)
    const struct CMUnitTest tests[] = {
        NCCL_TEST(without_nccl),
        NCCL_TEST(a_member_that_cannot_take_part),
        NCCL_TEST(with_too_few_devices),
        NCCL_TEST(a_member_that_cannot_record),
        NCCL_TEST(who_could_record_says_why_not),
        NCCL_TEST(an_epoch_neither_allocates_nor_waits),
        NCCL_TEST(a_dead_member_ends_the_group),
        NCCL_TEST(an_asynchronous_failure_ends_the_group),
        NCCL_TEST(all_calls_are_checked),
        NCCL_TEST(a_group_with_wrong_numbers_is_not_used),
        NCCL_TEST(a_member_without_memory_is_no_crash),
        NCCL_TEST(mistakes_are_caught),
    };
    return cmocka_run_group_tests(tests, set_up, small_group_tear_down);
}
