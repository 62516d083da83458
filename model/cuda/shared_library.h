// A library that is loaded when it is first needed, by a name or from a file that the user names. Internal to
// model/cuda.
#ifndef GRIDFOLD_MODEL_CUDA_SHARED_LIBRARY_H
#define GRIDFOLD_MODEL_CUDA_SHARED_LIBRARY_H

#include "model/base/status.h"

struct shared_library {
    const char *name;     // "cuDNN"
    const char *file;     // for the loader to find
    const char *variable; // of the environment, with another file's name
    const char *remedy;   // "install cuDNN 9, or name ..."
    const char *wanted;   // "version 9.8 or later"
    void *handle;
};

// STATUS_UNSUPPORTED with the loader's words and the remedy.
NODISCARD enum status shared_library_open(struct shared_library *l, struct error *err);
void shared_library_close(struct shared_library *l);

// *function = the function of that name. STATUS_UNSUPPORTED names it, the file and what is wanted.
NODISCARD enum status shared_library_find(const struct shared_library *l, const char *name, void *function,
                                          struct error *err);
// For a library that is there but too old: "cuDNN: FILE is of version 9.1.0; version 9.8 or later is needed".
enum status shared_library_too_old(const struct shared_library *l, const int version[3], struct error *err);

#endif
