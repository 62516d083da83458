#include "model/cuda/cudnn_library.h"

#include <stdbool.h>

#include "model/cuda/shared_library.h"

#ifndef CUDNN_LIBRARY_FILE
#define CUDNN_LIBRARY_FILE "libcudnn_graph.so.9"
#endif

enum { OLDEST_VERSION = 90800 };

static enum status find_all(const struct shared_library *file, struct cudnn_library *library, struct error *err) {
#define X(name) TRY(shared_library_find(file, #name, &library->name, err));
    CUDNN_FUNCTIONS(X)
#undef X
    int version = (int)library->cudnnGetVersion();
    if (version < OLDEST_VERSION)
        return shared_library_too_old(file, (int[3]){version / 10000, version / 100 % 100, version % 100}, err);
    return STATUS_OK;
}

enum status cudnn_library_load(const struct cudnn_library **library, struct error *err) {
    static struct cudnn_library loaded;
    static bool done;
    struct shared_library file = {.name = "cuDNN",
                                  .file = CUDNN_LIBRARY_FILE,
                                  .variable = "GRIDFOLD_CUDNN",
                                  .remedy = "install cuDNN 9, or name its libcudnn_graph.so.9 in GRIDFOLD_CUDNN",
                                  .wanted = "version 9.8 or later"};
    *library = &loaded;
    if (done)
        return STATUS_OK;
    TRY(shared_library_open(&file, err));
    enum status status = find_all(&file, &loaded, err);
    done = status == STATUS_OK;
    if (!done)
        shared_library_close(&file);
    return status;
}
