#include "model/cuda/group.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/cuda/backend_parts.h"
#include "model/cuda/nccl_library.h"
#include "model/cuda/workspace.h"

enum { LOOK_NANOSECONDS = 50000 }; // between two looks at a stream that is waited for

// Of the gradient, in one all-reduce: 25 MiB, as PyTorch's DistributedDataParallel takes them.
#ifndef CUDA_PIECE_FLOATS
#define CUDA_PIECE_FLOATS (25 << 18)
#endif

struct cuda_group {
    struct collectives collectives;
    const struct nccl_library *nccl;
    ncclComm_t communicator; // NULL: none
    ncclUniqueId id;
    bool given_up;
    cudaStream_t side;         // where sums go beside the backend's stream
    cudaEvent_t ready, summed; // from the one to the other, and back
};

static enum status nccl_status(const struct cuda_group *g, ncclResult_t code, const char *what, struct error *err) {
    if (code == ncclSuccess)
        return STATUS_OK;
    const char *more = g->nccl->ncclGetLastError(g->communicator);
    return error_set(err, code == ncclRemoteError ? STATUS_LOST : STATUS_INTERNAL, "NCCL: %s: %s%s%s", what,
                     g->nccl->ncclGetErrorString(code), more && *more ? ": " : "", more ? more : "");
}

void cuda_group_destroy(struct cuda_backend *b) {
    struct cuda_group *g = b->group;
    if (!g)
        return;
    // Nothing can be done about a failure here; the process's next call would report it.
    if (g->summed)
        (void)cudaEventDestroy(g->summed);
    if (g->ready)
        (void)cudaEventDestroy(g->ready);
    if (g->side)
        (void)cudaStreamDestroy(g->side);
    free(g);
    b->group = NULL;
}

// ---- collectives on the backend's stream ----

static enum status usable(const struct cuda_backend *b, struct error *err) {
    TRY(cuda_failed_before(b, err));
    return b->group->given_up ? error_set(err, STATUS_LOST, "NCCL: the group has failed before") : STATUS_OK;
}

static enum status gather(void *context, const void *mine, size_t bytes, void *all, struct error *err) {
    struct cuda_backend *b = context;
    struct cuda_group *g = b->group;
    TRY(usable(b, err));
    return nccl_status(g, g->nccl->ncclAllGather(mine, all, bytes, ncclUint8, g->communicator, b->stream), "all-gather",
                       err);
}

static enum status sum(void *context, size_t n, float *x, struct error *err) {
    struct cuda_backend *b = context;
    struct cuda_group *g = b->group;
    cuda_gradients_settle(b);
    TRY(usable(b, err));
    return nccl_status(g, g->nccl->ncclAllReduce(x, x, n, ncclFloat32, ncclSum, g->communicator, b->stream),
                       "all-reduce", err);
}

// The event may be recorded anew at once: who waits for it waits for what it stood for then.
static enum status follow(cudaEvent_t event, cudaStream_t before, cudaStream_t after, struct error *err) {
    TRY(cuda_status(cudaEventRecord(event, before), "a sum's place among the streams", err));
    return cuda_status(cudaStreamWaitEvent(after, event, 0), "a sum's place among the streams", err);
}

static enum status sum_begin(void *context, size_t n, float *x, struct error *err) {
    struct cuda_backend *b = context;
    struct cuda_group *g = b->group;
    cuda_gradients_settle(b);
    TRY(usable(b, err));
    TRY(follow(g->ready, b->stream, g->side, err));
    return nccl_status(g, g->nccl->ncclAllReduce(x, x, n, ncclFloat32, ncclSum, g->communicator, g->side), "all-reduce",
                       err);
}

static enum status sum_end(void *context, struct error *err) {
    struct cuda_backend *b = context;
    return follow(b->group->summed, b->group->side, b->stream, err);
}

static enum status broadcast(void *context, void *bytes, size_t count, struct error *err) {
    struct cuda_backend *b = context;
    struct cuda_group *g = b->group;
    TRY(usable(b, err));
    return nccl_status(g, g->nccl->ncclBroadcast(bytes, bytes, count, ncclUint8, 0, g->communicator, b->stream),
                       "broadcast", err);
}

// ---- waiting ----

static enum status look_for_failure(struct cuda_group *g, const char *what, struct error *err) {
    ncclResult_t state = ncclSuccess, asked = g->nccl->ncclCommGetAsyncError(g->communicator, &state);
    enum status status = nccl_status(g, asked, what, err);
    if (status == STATUS_OK && state != ncclInProgress)
        status = nccl_status(g, state, what, err);
    g->given_up = status != STATUS_OK;
    return status;
}

enum status cuda_wait(struct cuda_backend *b, const char *what, struct error *err) {
    const struct timespec pause = {0, LOOK_NANOSECONDS};
    if (!b->group || !b->group->communicator)
        return cuda_status(cudaStreamSynchronize(b->stream), what, err);
    for (;;) {
        cudaError_t code = cudaStreamQuery(b->stream);
        if (code != cudaErrorNotReady)
            return cuda_status(code, what, err);
        (void)cudaGetLastError(); // that it is not ready is no error of a call to come
        TRY(usable(b, err));
        TRY(look_for_failure(b->group, what, err));
        nanosleep(&pause, NULL);
    }
}

enum status cuda_read(struct cuda_backend *b, const void *device, void *host, size_t bytes, const char *what,
                      struct error *err) {
    TRY(cuda_status(cudaMemcpyAsync(b->staging, device, bytes, cudaMemcpyDeviceToHost, b->stream), what, err));
    TRY(cuda_wait(b, what, err));
    memcpy(host, b->staging, bytes);
    return STATUS_OK;
}

// ---- coming together ----

static enum status open_group(struct cuda_backend *b, struct error *err) {
    if (!b->group)
        b->group = calloc(1, sizeof *b->group);
    struct cuda_group *g = b->group;
    if (!g)
        return error_memory(err, "the group");
    TRY(nccl_library_load(&g->nccl, err));
    if (!g->side)
        TRY(cuda_status(cudaStreamCreateWithFlags(&g->side, cudaStreamNonBlocking), "a stream", err));
    if (!g->ready)
        TRY(cuda_status(cudaEventCreateWithFlags(&g->ready, cudaEventDisableTiming), "an event", err));
    if (!g->summed)
        TRY(cuda_status(cudaEventCreateWithFlags(&g->summed, cudaEventDisableTiming), "an event", err));
    return STATUS_OK;
}

// Whether all members have the same communicator already: that of their last trial.
static enum status are_together(const struct cuda_group *g, const struct collectives *host, bool *together,
                                struct error *err) {
    static ncclUniqueId ids[COLLECTIVES_MAX_MEMBERS];
    TRY(host->gather(host->context, &g->id, sizeof g->id, ids, err));
    *together = g->communicator != NULL;
    for (int m = 0; m < host->members; m++)
        *together = *together && memcmp(&ids[m], &g->id, sizeof g->id) == 0;
    return STATUS_OK;
}

// A member that does not come in has nothing to agree on with those that may wait for it inside NCCL: its process ends,
// and the group with it.
static enum status connect_members(struct cuda_group *g, const struct collectives *host, struct error *err) {
    enum status status = STATUS_OK;
    g->communicator = NULL;
    memset(&g->id, 0, sizeof g->id);
    if (host->member == 0)
        status = nccl_status(g, g->nccl->ncclGetUniqueId(&g->id), "a unique id", err);
    TRY(collectives_agree(host, status, err));
    TRY(host->broadcast(host->context, &g->id, sizeof g->id, err));
    status =
        nccl_status(g, g->nccl->ncclCommInitRank(&g->communicator, host->members, g->id, host->member), "joining", err);
    if (status != STATUS_OK)
        g->communicator = NULL;
    return status;
}

// Everyone's number, gathered on the device, as everyone reads it. Without an agreement afterwards, for the same
// reason.
static enum status try_out(struct cuda_backend *b, struct error *err) {
    const struct collectives *c = &b->group->collectives;
    double *all = &b->workspace->loss_parts[0][0], numbers[COLLECTIVES_MAX_MEMBERS] = {0}, mine = c->member;
    TRY(cuda_status(cudaMemcpyAsync(all + c->member, &mine, sizeof mine, cudaMemcpyHostToDevice, b->stream),
                    "trying the group out", err));
    TRY(c->gather(c->context, all + c->member, sizeof mine, all, err));
    TRY(cuda_read(b, all, numbers, sizeof mine * (size_t)c->members, "trying the group out", err));
    for (int m = 0; m < c->members; m++)
        if (numbers[m] != m)
            return error_set(err, STATUS_INTERNAL, "NCCL: member %d of %d says %g where it should give its number", m,
                             c->members, numbers[m]);
    return STATUS_OK;
}

enum status cuda_join(backend *base, const struct collectives *host, const struct collectives **device,
                      struct error *err) {
    struct cuda_backend *b = cuda_backend_of(base);
    bool together = false;
    *device = NULL;
    if (!host) {
        cuda_group_destroy(b);
        return STATUS_OK;
    }
    TRY(collectives_agree(host, open_group(b, err), err));
    TRY(are_together(b->group, host, &together, err));
    b->group->collectives = (struct collectives){.member = host->member,
                                                 .members = host->members,
                                                 .context = b,
                                                 .gather = gather,
                                                 .sum = sum,
                                                 .broadcast = broadcast,
                                                 .piece = CUDA_PIECE_FLOATS,
                                                 .sum_begin = sum_begin,
                                                 .sum_end = sum_end};
    if (!together) {
        TRY(connect_members(b->group, host, err));
        TRY(try_out(b, err));
    }
    *device = &b->group->collectives;
    return STATUS_OK;
}
