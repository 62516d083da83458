// Takes the place of model/cuda/cudnn_library.c: the stand-in is linked in, not loaded.
#include "model/cuda/cudnn_library.h"

enum status cudnn_library_load(const struct cudnn_library **library, struct error *err) {
    static const struct cudnn_library linked = {
#define X(name) .name = name,
        CUDNN_FUNCTIONS(X)
#undef X
    };
    (void)err;
    *library = &linked;
    return STATUS_OK;
}
