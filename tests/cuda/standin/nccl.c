// The stand-in for NCCL. See include/nccl.h.
#include <nccl.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "standin.h"

enum { MEMBERS = 16, CHUNK = 1 << 16, VERSION = 22809 };

enum kind { ALL_GATHER, ALL_REDUCE, BROADCAST };
static const char *const kind_names[] = {"ncclAllGather", "ncclAllReduce", "ncclBroadcast"};

// What has to be the same on all members.
struct call {
    int kind, type, root;
    uint64_t number, count;
    uint64_t captured; // as which call of a capture; 0: not captured
};

struct meeting { // in the file
    pthread_mutex_t lock;
    pthread_cond_t moved;
    uint64_t at[MEMBERS]; // how many meetings each has come to
    int device[MEMBERS];
    struct call call[MEMBERS];
    bool failed; // asynchronously
    char data[MEMBERS][CHUNK];
};

struct ncclComm {
    struct meeting *shared;
    int member, members, device;
    uint64_t meetings, calls, captured;
    bool hangs;
    struct ncclComm *next;
};

static char last_error[256];

static ncclResult_t refuse(ncclResult_t code, const char *why) {
    snprintf(last_error, sizeof last_error, "%s", why);
    return code;
}

__attribute__((format(printf, 1, 2), noreturn)) static void trap(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "stand-in for NCCL: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    abort();
}

static long setting(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value && *value ? strtol(value, NULL, 10) : otherwise;
}

static int device_in_use(void) {
    int device = -1;
    return cudaGetDevice(&device) == cudaSuccess ? device : -1;
}

// Whether this is the call that is to fail. `*calls`: of that function so far.
static bool is_refused(const char *function, long *calls) {
    const char *told = getenv("STANDIN_NCCL_REFUSE");
    int device = -1;
    long nth = 0;
    char name[64];
    return ++*calls && told && sscanf(told, "%d:%63[^:]:%ld", &device, name, &nth) == 3 && nth == *calls &&
           strcmp(name, function) == 0 && device == device_in_use();
}

// At the beginning of a function.
#define REFUSE_IF_TOLD()                                                                                               \
    do {                                                                                                               \
        static long calls;                                                                                             \
        if (is_refused(__func__, &calls))                                                                              \
            return refuse(ncclInternalError, "told to refuse");                                                        \
    } while (0)

// ---- meeting ----

static int missing(const struct ncclComm *c) { // the first member that has not come; members: all have
    int m = 0;
    while (m < c->members && c->shared->at[m] >= c->meetings)
        m++;
    return m;
}

// True when all members have come here as often as this one; false when the communicator has failed.
static bool meet(struct ncclComm *c, const char *what) {
    struct meeting *s = c->shared;
    struct timespec until;
    long seconds = setting("STANDIN_NCCL_SECONDS", 60);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    pthread_mutex_lock(&s->lock);
    s->at[c->member] = ++c->meetings;
    pthread_cond_broadcast(&s->moved);
    int absent, waited = 0;
    while ((absent = missing(c)) < c->members && !s->failed && waited != ETIMEDOUT)
        waited = pthread_cond_timedwait(&s->moved, &s->lock, &until);
    bool failed = s->failed;
    pthread_mutex_unlock(&s->lock);
    if (absent < c->members && !failed)
        trap("%s of member %d: member %d of %d has not come in %ld s", what, c->member, absent, c->members, seconds);
    return !failed;
}

static void fail(struct ncclComm *c) {
    pthread_mutex_lock(&c->shared->lock);
    c->shared->failed = true;
    pthread_cond_broadcast(&c->shared->moved);
    pthread_mutex_unlock(&c->shared->lock);
}

static bool has_failed(struct ncclComm *c) {
    pthread_mutex_lock(&c->shared->lock);
    bool failed = c->shared->failed;
    pthread_mutex_unlock(&c->shared->lock);
    return failed;
}

static struct meeting *map(int file) {
    void *memory = mmap(NULL, sizeof(struct meeting), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return memory == MAP_FAILED ? NULL : memory;
}

static void make_shared(struct meeting *s) {
    pthread_mutexattr_t lock;
    pthread_condattr_t moved;
    pthread_mutexattr_init(&lock);
    pthread_mutexattr_setpshared(&lock, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&s->lock, &lock);
    pthread_condattr_init(&moved);
    pthread_condattr_setpshared(&moved, PTHREAD_PROCESS_SHARED);
    pthread_cond_init(&s->moved, &moved);
}

// ---- a collective, when its turn has come on the stream ----

struct work {
    struct ncclComm *c;
    struct call call;
    const char *from;
    char *to;
};

static void compare_calls(const struct ncclComm *c, const struct call *mine) {
    for (int m = 0; m < c->members; m++) {
        const struct call *other = &c->shared->call[m];
        if (other->number != mine->number || other->kind != mine->kind || other->type != mine->type ||
            other->root != mine->root || other->count != mine->count || other->captured != mine->captured)
            trap("member %d calls %s number %llu of %llu (type %d, root %d), member %d %s number %llu of %llu "
                 "(type %d, root %d), captured as %llu and %llu",
                 c->member, kind_names[mine->kind], (unsigned long long)mine->number, (unsigned long long)mine->count,
                 mine->type, mine->root, m, kind_names[other->kind], (unsigned long long)other->number,
                 (unsigned long long)other->count, other->type, other->root, (unsigned long long)mine->captured,
                 (unsigned long long)other->captured);
    }
}

static void add_members(const struct meeting *s, int members, size_t bytes, char *to) {
    for (size_t i = 0; i < bytes / sizeof(float); i++) {
        float sum, x;
        memcpy(&sum, s->data[0] + i * sizeof sum, sizeof sum);
        for (int m = 1; m < members; m++) {
            memcpy(&x, s->data[m] + i * sizeof x, sizeof x);
            sum += x;
        }
        memcpy(to + i * sizeof sum, &sum, sizeof sum);
    }
}

static void take(const struct work *w, size_t at, size_t bytes, size_t all) {
    const struct meeting *s = w->c->shared;
    if (w->call.kind == ALL_REDUCE)
        add_members(s, w->c->members, bytes, w->to + at);
    else if (w->call.kind == BROADCAST)
        memcpy(w->to + at, s->data[w->call.root], bytes);
    for (int m = 0; w->call.kind == ALL_GATHER && m < w->c->members; m++)
        memcpy(w->to + (size_t)m * all + at, s->data[m], bytes);
}

// Whether the variable says "M:N" of this member's Nth collective.
static bool is_told(const char *variable, const struct ncclComm *c) {
    const char *value = getenv(variable), *colon = value ? strchr(value, ':') : NULL;
    return colon && strtol(value, NULL, 10) == c->member && strtoull(colon + 1, NULL, 10) == c->calls;
}

static void run(const void *context) {
    struct work w;
    memcpy(&w, context, sizeof w);
    struct ncclComm *c = w.c;
    const char *name = kind_names[w.call.kind];
    size_t all = w.call.count * (w.call.type == ncclFloat32 ? sizeof(float) : 1);
    w.call.number = ++c->calls; // as it is done: a graph does it again and again
    if (is_told("STANDIN_NCCL_FAILURE", c))
        fail(c);
    if (is_told("STANDIN_NCCL_DEATH", c))
        raise(SIGKILL);
    if (is_told("STANDIN_NCCL_HANG", c)) {
        c->hangs = true;
        standin_hang();
        return;
    }
    c->shared->call[c->member] = w.call;
    bool met = meet(c, name);
    if (met)
        compare_calls(c, &w.call);
    for (size_t at = 0; met && at < all; at += CHUNK) {
        size_t bytes = all - at < CHUNK ? all - at : CHUNK;
        memcpy(c->shared->data[c->member], w.from + at, bytes);
        met = meet(c, name);
        if (met)
            take(&w, at, bytes, all);
        met = met && meet(c, name);
    }
    if (met && is_told("STANDIN_NCCL_GARBLE", c))
        memset(w.to, 0, all * (size_t)(w.call.kind == ALL_GATHER ? c->members : 1));
    if (!met)
        standin_hang();
}

static void check(const struct work *w, size_t from_bytes, size_t to_bytes, cudaStream_t stream) {
    const char *name = kind_names[w->call.kind];
    if (!w->c)
        trap("%s without a communicator", name);
    if (!stream)
        trap("%s on the legacy stream", name);
    if (w->call.count == 0)
        trap("%s of nothing", name);
    if (!standin_on_device(w->from, from_bytes) || !standin_on_device(w->to, to_bytes))
        trap("%s: %zu bytes from, or %zu bytes to, what is no device memory", name, from_bytes, to_bytes);
    const char *in_place = w->call.kind == ALL_GATHER ? w->to + (size_t)w->c->member * from_bytes : w->to;
    if (w->from != in_place && w->from < w->to + to_bytes && w->to < w->from + from_bytes)
        trap("%s: buffers overlap and are not in place", name);
    if (device_in_use() != w->c->device)
        trap("%s on device %d with a communicator of device %d", name, device_in_use(), w->c->device);
}

static ncclResult_t enqueue(struct work w, size_t from_bytes, size_t to_bytes, cudaStream_t stream) {
    check(&w, from_bytes, to_bytes, stream);
    if (standin_is_captured(stream))
        w.call.captured = ++w.c->captured;
    if (has_failed(w.c))
        return refuse(ncclRemoteError, "a collective after an asynchronous error");
    return standin_enqueue_serial(w.c, stream, run, &w, sizeof w) == cudaSuccess
               ? ncclSuccess
               : refuse(ncclUnhandledCudaError, "the stream takes no work");
}

ncclResult_t ncclAllGather(const void *from, void *to, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
    REFUSE_IF_TOLD();
    if (type != ncclUint8)
        trap("ncclAllGather of type %d", (int)type);
    struct work w = {comm, {ALL_GATHER, (int)type, 0, 0, count, 0}, from, to};
    return enqueue(w, count, comm ? count * (size_t)comm->members : 0, stream);
}

ncclResult_t ncclAllReduce(const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t operation,
                           ncclComm_t comm, cudaStream_t stream) {
    REFUSE_IF_TOLD();
    if (type != ncclFloat32 || operation != ncclSum)
        trap("ncclAllReduce of type %d by operation %d", (int)type, (int)operation);
    struct work w = {comm, {ALL_REDUCE, (int)type, 0, 0, count, 0}, from, to};
    return enqueue(w, count * sizeof(float), count * sizeof(float), stream);
}

ncclResult_t ncclBroadcast(const void *from, void *to, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream) {
    REFUSE_IF_TOLD();
    if (type != ncclUint8 || root < 0 || (comm && root >= comm->members))
        trap("ncclBroadcast of type %d from root %d", (int)type, root);
    struct work w = {comm, {BROADCAST, (int)type, root, 0, count, 0}, from, to};
    return enqueue(w, count, count, stream);
}

// ---- life ----

ncclResult_t ncclGetVersion(int *version) {
    REFUSE_IF_TOLD();
    const char *told = getenv("STANDIN_NCCL_VERSION"), *colon = told ? strchr(told, ':') : NULL;
    *version = VERSION;
    if (told && (!colon || strtol(told, NULL, 10) == device_in_use()))
        *version = (int)strtol(colon ? colon + 1 : told, NULL, 10);
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result) {
    static const char *const texts[] = {"no error",
                                        "unhandled cuda error (run with NCCL_DEBUG=INFO for details)",
                                        "unhandled system error (run with NCCL_DEBUG=INFO for details)",
                                        "internal error - please report this issue to the NCCL developers",
                                        "invalid argument (run with NCCL_DEBUG=WARN for details)",
                                        "invalid usage (run with NCCL_DEBUG=WARN for details)",
                                        "remote process exited or there was a network error",
                                        "NCCL operation in progress"};
    return (size_t)result < sizeof texts / sizeof *texts ? texts[result] : "unknown result code";
}

const char *ncclGetLastError(ncclComm_t comm) {
    (void)comm;
    return last_error;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
    REFUSE_IF_TOLD();
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "/tmp/gridfold-nccl-XXXXXX");
    int file = mkstemp(id->internal);
    if (file < 0 || ftruncate(file, sizeof(struct meeting)) != 0)
        return refuse(ncclSystemError, "no file to meet in");
    struct meeting *s = map(file);
    if (!s)
        return refuse(ncclSystemError, "no file to meet in");
    make_shared(s);
    munmap(s, sizeof *s);
    return ncclSuccess;
}

static ncclResult_t check_devices(const struct ncclComm *c) {
    for (int a = 0; a < c->members; a++)
        for (int b = 0; b < a; b++)
            if (c->shared->device[a] == c->shared->device[b])
                return refuse(ncclInvalidUsage, "Duplicate GPU detected");
    return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int members, ncclUniqueId id, int member) {
    REFUSE_IF_TOLD();
    int file = open(id.internal, O_RDWR | O_CLOEXEC);
    if (members < 1 || members > MEMBERS || member < 0 || member >= members || file < 0)
        return refuse(ncclInvalidArgument, "no such group, or no such member of it");
    struct ncclComm *c = calloc(1, sizeof *c);
    struct meeting *s = map(file);
    if (!c || !s)
        trap("out of memory");
    *c = (struct ncclComm){.shared = s, .member = member, .members = members};
    c->device = device_in_use();
    s->device[member] = c->device;
    (void)meet(c, "ncclCommInitRank");
    if (member == 0)
        unlink(id.internal);
    static struct ncclComm *all; // they are never taken down
    c->next = all;
    *comm = all = c;
    return check_devices(c);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *state) {
    REFUSE_IF_TOLD();
    if (!comm)
        trap("ncclCommGetAsyncError without a communicator");
    *state = comm->hangs ? ncclInProgress : ncclSuccess;
    if (has_failed(comm))
        *state = refuse(ncclRemoteError, "told to fail");
    return ncclSuccess;
}
