#include "model/cuda/shared_library.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static const char *file_of(const struct shared_library *l) {
    const char *file = getenv(l->variable);
    return file && *file ? file : l->file;
}

enum status shared_library_open(struct shared_library *l, struct error *err) {
    l->handle = dlopen(file_of(l), RTLD_NOW | RTLD_LOCAL);
    return l->handle ? STATUS_OK : error_set(err, STATUS_UNSUPPORTED, "%s: %s; %s", l->name, dlerror(), l->remedy);
}

void shared_library_close(struct shared_library *l) {
    if (l->handle)
        dlclose(l->handle);
    l->handle = NULL;
}

enum status shared_library_find(const struct shared_library *l, const char *name, void *function, struct error *err) {
    void *found = dlsym(l->handle, name);
    if (!found)
        return error_set(err, STATUS_UNSUPPORTED, "%s: %s has no %s; %s is needed", l->name, file_of(l), name,
                         l->wanted);
    memcpy(function, &found, sizeof found); // C has no cast from object to function
    return STATUS_OK;
}

enum status shared_library_too_old(const struct shared_library *l, const int version[3], struct error *err) {
    return error_set(err, STATUS_UNSUPPORTED, "%s: %s is of version %d.%d.%d; %s is needed", l->name, file_of(l),
                     version[0], version[1], version[2], l->wanted);
}
