// One trial on several GPUs: what its members do together (model/collectives.h) in device memory, over NCCL. Every call
// goes to a stream and waits for nothing, so that a step with them can be captured into a graph. Internal to
// model/cuda.
//
// NCCL's unique id travels over the members' own sockets. Member m uses device m of those that its process sees
// (backend_config.device). A communicator stays as long as its members do, and is never taken down but by the process's
// end: to destroy or to abort it can wait for members that have gone, and for graphs that use it. After a failure the
// process has to make way for a fresh one.
#ifndef GRIDFOLD_MODEL_CUDA_GROUP_H
#define GRIDFOLD_MODEL_CUDA_GROUP_H

#include "model/cuda/cuda_backend.h"

// backend_ops.join. All members call it at once. Tries the new communicator out. STATUS_UNSUPPORTED, for all: no NCCL,
// or one that is too old, on any of them. STATUS_INTERNAL and STATUS_LOST may be this member's alone, while others wait
// for it on their devices: its process has to end.
NODISCARD enum status cuda_join(backend *b, const struct collectives *host, const struct collectives **device,
                                struct error *err);
void cuda_group_destroy(struct cuda_backend *b); // nothing without a group

// Waits for the backend's stream; in a group also looks whether its communicator has failed, which would make the wait
// endless: STATUS_LOST or STATUS_INTERNAL, and the communicator is given up.
NODISCARD enum status cuda_wait(struct cuda_backend *b, const char *what, struct error *err);

// Reads device memory, of at most b->staging_bytes, and waits for it by cuda_wait. Through page-locked memory: a copy
// to any other waits by itself, and would wait for ever where a communicator has failed.
NODISCARD enum status cuda_read(struct cuda_backend *b, const void *device, void *host, size_t bytes, const char *what,
                                struct error *err);

#endif
