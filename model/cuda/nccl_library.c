#include "model/cuda/nccl_library.h"

#include <stdbool.h>
#include <stdlib.h>

#include "model/cuda/shared_library.h"

enum { OLDEST_VERSION = 21400 };

static enum status find_all(const struct shared_library *file, struct nccl_library *library, struct error *err) {
    int version = 0;
#define X(name) TRY(shared_library_find(file, #name, &library->name, err));
    NCCL_FUNCTIONS(X)
#undef X
    ncclResult_t code = library->ncclGetVersion(&version);
    if (code != ncclSuccess)
        return error_set(err, STATUS_INTERNAL, "NCCL: asking for its version: %s", library->ncclGetErrorString(code));
    if (version < OLDEST_VERSION)
        return shared_library_too_old(file, (int[3]){version / 10000, version / 100 % 100, version % 100}, err);
    return STATUS_OK;
}

enum status nccl_library_load(const struct nccl_library **library, struct error *err) {
    static struct nccl_library loaded;
    static bool done;
    struct shared_library file = {.name = "NCCL",
                                  .file = "libnccl.so.2",
                                  .variable = "GRIDFOLD_NCCL",
                                  .remedy = "install NCCL 2, or name its libnccl.so.2 in GRIDFOLD_NCCL",
                                  .wanted = "version 2.14 or later"};
    *library = &loaded;
    if (done)
        return STATUS_OK;
    // Sums inside an NVSwitch are not the same from call to call. The user's own word has precedence.
    setenv("NCCL_NVLS_ENABLE", "0", 0);
    TRY(shared_library_open(&file, err));
    enum status status = find_all(&file, &loaded, err);
    done = status == STATUS_OK;
    if (!done)
        shared_library_close(&file);
    return status;
}
