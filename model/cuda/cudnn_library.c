#include "model/cuda/cudnn_library.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#ifndef CUDNN_LIBRARY_FILE
#define CUDNN_LIBRARY_FILE "libcudnn_graph.so.9"
#endif

enum { OLDEST_VERSION = 90800 };

static enum status find(void *handle, const char *file, const char *name, void *function, struct error *err) {
    void *found = dlsym(handle, name);
    if (!found)
        return error_set(err, STATUS_UNSUPPORTED, "cuDNN: %s has no %s; version 9.8 or later is needed", file, name);
    memcpy(function, &found, sizeof found); // C has no cast from object to function
    return STATUS_OK;
}

static enum status find_all(void *handle, const char *file, struct cudnn_library *library, struct error *err) {
#define X(name) TRY(find(handle, file, #name, &library->name, err));
    CUDNN_FUNCTIONS(X)
#undef X
    size_t version = library->cudnnGetVersion();
    if (version < OLDEST_VERSION)
        return error_set(err, STATUS_UNSUPPORTED, "cuDNN: %s is of version %zu.%zu.%zu; 9.8 or later is needed", file,
                         version / 10000, version / 100 % 100, version % 100);
    return STATUS_OK;
}

enum status cudnn_library_load(const struct cudnn_library **library, struct error *err) {
    static struct cudnn_library loaded;
    static bool done;
    *library = &loaded;
    if (done)
        return STATUS_OK;
    const char *file = getenv("GRIDFOLD_CUDNN");
    if (!file || !*file)
        file = CUDNN_LIBRARY_FILE;
    void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    if (!handle)
        return error_set(err, STATUS_UNSUPPORTED,
                         "cuDNN: %s; install cuDNN 9, or name its libcudnn_graph.so.9 in GRIDFOLD_CUDNN", dlerror());
    enum status status = find_all(handle, file, &loaded, err);
    done = status == STATUS_OK;
    if (!done)
        dlclose(handle);
    return status;
}
