// A stand-in for NCCL: the part of its API that gridfold uses, between processes of one host, for machines without a
// GPU. Names, signatures and meaning are NCCL's. Built as a library of its own, which gridfold loads as it would
// NCCL's.
//
// Members meet in a file that they map; what is added is added in the order of the members. Whatever NCCL would answer
// with a hang or with wrong numbers ends the process with a line on stderr instead: members that call different
// collectives, other sizes, types or roots, or none, or replay graphs that were not captured together; buffers that are
// not device memory, or that overlap without being in place; the legacy stream; another device than the communicator's.
//
// Environment: STANDIN_NCCL_VERSION (a code to claim, or D:CODE, on device D alone), STANDIN_NCCL_SECONDS (how long a
// member waits for the others, 60). Of member M's Nth collective, counted from 1, as M:N: STANDIN_NCCL_FAILURE (it
// fails asynchronously on every member: nothing that comes after it on a stream is ever done), STANDIN_NCCL_DEATH
// (member M is killed there), STANDIN_NCCL_HANG (it is never done, and the communicator says that it is in progress),
// STANDIN_NCCL_GARBLE (it leaves zeros). STANDIN_NCCL_REFUSE: D:FUNCTION:N, the Nth call of that function by the
// process on device D does nothing and answers ncclInternalError.
#ifndef GRIDFOLD_TESTS_CUDA_STANDIN_NCCL_H
#define GRIDFOLD_TESTS_CUDA_STANDIN_NCCL_H

#include "cuda_runtime_api.h"

#ifdef __cplusplus
extern "C" {
#endif

#define NCCL_UNIQUE_ID_BYTES 128
typedef struct {
    char internal[NCCL_UNIQUE_ID_BYTES];
} ncclUniqueId;

typedef struct ncclComm *ncclComm_t;

typedef enum {
    ncclSuccess = 0,
    ncclUnhandledCudaError = 1,
    ncclSystemError = 2,
    ncclInternalError = 3,
    ncclInvalidArgument = 4,
    ncclInvalidUsage = 5,
    ncclRemoteError = 6,
    ncclInProgress = 7
} ncclResult_t;
typedef enum { ncclSum = 0 } ncclRedOp_t;
typedef enum { ncclUint8 = 1, ncclFloat32 = 7 } ncclDataType_t;

ncclResult_t ncclGetVersion(int *version);
const char *ncclGetErrorString(ncclResult_t result);
const char *ncclGetLastError(ncclComm_t comm);
ncclResult_t ncclGetUniqueId(ncclUniqueId *id);
ncclResult_t ncclCommInitRank(ncclComm_t *comm, int members, ncclUniqueId id, int member);
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *state);
ncclResult_t ncclAllGather(const void *from, void *to, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream);
ncclResult_t ncclAllReduce(const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t operation,
                           ncclComm_t comm, cudaStream_t stream);
ncclResult_t ncclBroadcast(const void *from, void *to, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
