// The group's functions on the device (model/collectives.h), each by itself: between two processes what they leave, and
// what they leave alone; in a group of one that they say so when NCCL refuses; that a group goes when its trial is one
// of one alone.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "model/base/bf16.h"
#include "model/cuda/backend_parts.h"
#include "tests/cuda/processes.h"

enum { MEMBERS = 2, FLOATS = 1000, BYTES = 13, PATIENCE = 10 }; // seconds, for the other one

// ---- two members, by a socket ----

struct line {
    int member, fd;
};

static bool say(const struct line *l, const void *bytes, size_t count) {
    return send(l->fd, bytes, count, MSG_NOSIGNAL) == (ssize_t)count;
}

static bool hear(const struct line *l, void *bytes, size_t count) {
    return recv(l->fd, bytes, count, MSG_WAITALL) == (ssize_t)count;
}

static enum status gather(void *context, const void *mine, size_t bytes, void *all, struct error *err) {
    const struct line *l = context;
    char *to = all;
    memcpy(to + (size_t)l->member * bytes, mine, bytes);
    bool done = say(l, mine, bytes) && hear(l, to + (size_t)(1 - l->member) * bytes, bytes);
    return done ? STATUS_OK : error_set(err, STATUS_LOST, "the other one has gone");
}

static enum status broadcast(void *context, void *bytes, size_t count, struct error *err) {
    const struct line *l = context;
    bool done = l->member == 0 ? say(l, bytes, count) : hear(l, bytes, count);
    return done ? STATUS_OK : error_set(err, STATUS_LOST, "the other one has gone");
}

static void succeed(enum status status, const struct error *err) {
    require(status == STATUS_OK, err->message);
}

// The stand-in's device memory is the host's.
static float *numbers(backend *b, int member) {
    struct error err;
    void *memory;
    succeed(b->ops->alloc(b, (FLOATS + 1) * sizeof(float), &memory, &err), &err);
    succeed(backend_finish(b, &err), &err);
    float *x = memory;
    for (int i = 0; i <= FLOATS; i++)
        x[i] = (float)(member == 0 ? i : 3 * i + 1);
    return x;
}

static void expect_sums(backend *b, const float *x, int member, const char *what) {
    struct error err;
    succeed(backend_finish(b, &err), &err);
    for (int i = 0; i < FLOATS; i++)
        require(x[i] == (float)(4 * i + 1), what);
    require(x[FLOATS] == (float)(member == 0 ? FLOATS : 3 * FLOATS + 1), "a sum has gone too far");
}

static void sums(backend *b, const struct collectives *c, int member) {
    struct error err;
    float *x = numbers(b, member);
    succeed(c->sum(c->context, FLOATS, x, &err), &err);
    expect_sums(b, x, member, "a sum");
    b->ops->release(b, x);
    x = numbers(b, member);
    succeed(c->sum_begin(c->context, FLOATS - FLOATS / 3, x + FLOATS / 3, &err), &err);
    succeed(c->sum_begin(c->context, FLOATS / 3, x, &err), &err);
    succeed(c->sum_end(c->context, &err), &err);
    expect_sums(b, x, member, "sums in two pieces");
    b->ops->release(b, x);
}

// Those that convolutions have written in bf16 are added as floats, once.
static void gradients(backend *b, const struct collectives *c, int member) {
    for (int pieces = 0; pieces < 2; pieces++) {
        struct error err;
        float *x;
        succeed(backend_alloc_params(b, PARAMS_GRADIENTS, FLOATS, &x, &err), &err);
        succeed(backend_finish(b, &err), &err);
        uint16_t *bf16 = cuda_params_bf16(cuda_backend_of(b), x);
        for (int i = 0; i < FLOATS; i++)
            bf16[i] = bf16_from_float((float)((member + 1) * (i % 100)));
        cuda_gradient_written(cuda_backend_of(b), x, FLOATS);
        succeed(pieces ? c->sum_begin(c->context, FLOATS, x, &err) : c->sum(c->context, FLOATS, x, &err), &err);
        if (pieces)
            succeed(c->sum_end(c->context, &err), &err);
        (void)b->ops->sum_squares(b, FLOATS, x);
        succeed(backend_finish(b, &err), &err);
        for (int i = 0; i < FLOATS; i++)
            require(x[i] == (float)(3 * (i % 100)), pieces ? "a gradient in pieces" : "a gradient");
        b->ops->release(b, x);
    }
}

// An odd number of bytes, and what lies behind them.
static void bytes(backend *b, const struct collectives *c, int member) {
    struct error err;
    void *memory;
    succeed(b->ops->alloc(b, MEMBERS * BYTES + 1, &memory, &err), &err);
    succeed(backend_finish(b, &err), &err);
    char *all = memory, *mine = all + member * BYTES;
    for (int i = 0; i < BYTES; i++)
        mine[i] = (char)(20 * member + i);
    all[MEMBERS * BYTES] = 99;
    succeed(c->gather(c->context, mine, BYTES, all, &err), &err);
    succeed(backend_finish(b, &err), &err);
    for (int m = 0; m < MEMBERS; m++)
        for (int i = 0; i < BYTES; i++)
            require(all[m * BYTES + i] == 20 * m + i, "what was gathered");
    require(all[MEMBERS * BYTES] == 99, "gathering has gone too far");
    memset(all, member == 0 ? 1 : 2, MEMBERS * BYTES);
    succeed(c->broadcast(c->context, all, BYTES, &err), &err);
    succeed(backend_finish(b, &err), &err);
    for (int i = 0; i < MEMBERS * BYTES; i++)
        require(all[i] == (i < BYTES || member == 0 ? 1 : 2), "what was broadcast");
    b->ops->release(b, all);
}

// Joins twice: a second communicator is refused. With the oldest NCCL that will do.
static void be_member(int member, void *context) {
    const int *fds = context;
    struct line line = {member, fds[member]};
    const struct collectives host = {
        .member = member, .members = MEMBERS, .context = &line, .gather = gather, .broadcast = broadcast};
    const struct backend_config config = {.threads = 1, .device = member, .precision = PRECISION_BF16};
    const struct collectives *c;
    struct error err;
    backend *b;
    const struct timeval patience = {PATIENCE, 0};
    require(setsockopt(line.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0, "a limit to waiting");
    setenv("STANDIN_NCCL_REFUSE", "0:ncclGetUniqueId:2", 1);
    setenv("STANDIN_NCCL_VERSION", "21400", 1);
    succeed(backend_create("cuda", &config, &b, &err), &err);
    for (int trial = 0; trial < 2; trial++) {
        succeed(b->ops->join(b, &host, &c, &err), &err);
        require(c->member == member && c->members == MEMBERS, "who is who");
        sums(b, c, member);
        gradients(b, c, member);
        bytes(b, c, member);
    }
}

static void two_members_get_the_same(void **state) {
    (void)state;
    int fds[MEMBERS], status[MEMBERS];
    char words[4096];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    run_processes(MEMBERS, be_member, fds, status, words, sizeof words);
    if (status[0] != 0 || status[1] != 0)
        fail_msg("%d, %d: %s", status[0], status[1], words);
}

// ---- a group of one ----

static enum status copy(void *context, const void *mine, size_t count, void *all, struct error *err) {
    (void)context, (void)err;
    memcpy(all, mine, count);
    return STATUS_OK;
}

static enum status keep(void *context, void *mine, size_t count, struct error *err) {
    (void)context, (void)mine, (void)count, (void)err;
    return STATUS_OK;
}

static const struct collectives one = {.members = 1, .gather = copy, .broadcast = keep};

static backend *open_backend(void) {
    struct error err;
    backend *b;
    succeed(backend_create("cuda", &(struct backend_config){.threads = 1}, &b, &err), &err);
    return b;
}

static void be_refused(int member, void *context) {
    (void)member, (void)context;
    const struct collectives *c;
    struct error err;
    backend *b = open_backend();
    succeed(b->ops->join(b, &one, &c, &err), &err);
    float *x = numbers(b, 0);
    setenv("STANDIN_NCCL_REFUSE", "0:ncclAllReduce:1", 1);
    require(c->sum(c->context, FLOATS, x, &err) == STATUS_INTERNAL, "a sum that was refused");
    require(strstr(err.message, "NCCL: all-reduce: internal error") != NULL, err.message);
    setenv("STANDIN_NCCL_REFUSE", "0:ncclAllReduce:2", 1);
    require(c->sum_begin(c->context, FLOATS, x, &err) == STATUS_INTERNAL, "a piece that was refused");
    setenv("STANDIN_NCCL_REFUSE", "0:ncclAllGather:2", 1); // the first was trying the group out
    require(c->gather(c->context, x, BYTES, x, &err) == STATUS_INTERNAL, "gathering that was refused");
    setenv("STANDIN_NCCL_REFUSE", "0:ncclBroadcast:1", 1);
    require(c->broadcast(c->context, x, BYTES, &err) == STATUS_INTERNAL, "a broadcast that was refused");
}

// A trial of one alone looks at no communicator of the last group, whose members have gone.
static void be_alone(int member, void *context) {
    (void)member, (void)context;
    const struct collectives *c;
    struct error err;
    backend *b = open_backend();
    succeed(b->ops->join(b, &one, &c, &err), &err);
    require(c != NULL && cuda_backend_of(b)->group != NULL, "a group of one");
    succeed(b->ops->join(b, NULL, &c, &err), &err);
    require(c == NULL && cuda_backend_of(b)->group == NULL, "no group");
    backend_destroy(b);
}

static void expect_right(void (*body)(int member, void *context)) {
    int status;
    char words[4096];
    run_processes(1, body, NULL, &status, words, sizeof words);
    if (status != 0)
        fail_msg("%d: %s", status, words);
}

static void what_nccl_refuses_is_told(void **state) {
    (void)state;
    expect_right(be_refused);
}

static void alone_there_is_no_group(void **state) {
    (void)state;
    expect_right(be_alone);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(two_members_get_the_same),
                                       cmocka_unit_test(what_nccl_refuses_is_told),
                                       cmocka_unit_test(alone_there_is_no_group)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
