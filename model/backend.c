#include "model/backend.h"

#include <string.h>

// Fastest first: "auto" takes the first.
static const struct {
    const char *name;
    enum status (*create)(const struct backend_config *config, backend **b, struct error *err);
} built[] = {
#ifdef GRIDFOLD_ONEDNN
    {"onednn", backend_onednn_create},
#endif
    {"reference", backend_reference_create},
};

const char *backend_list(void) {
#ifdef GRIDFOLD_ONEDNN
    return "reference, onednn";
#else
    return "reference";
#endif
}

enum status backend_create(const char *name, const struct backend_config *config, backend **b, struct error *err) {
    if (config->threads < 1)
        return error_set(err, STATUS_INVALID, "backend %s: threads must be at least 1, not %d", name, config->threads);
    for (size_t i = 0; i < sizeof built / sizeof *built; i++)
        if (strcmp(name, "auto") == 0 || strcmp(name, built[i].name) == 0)
            return built[i].create(config, b, err);
    return error_set(err, STATUS_UNSUPPORTED, "no backend \"%s\" in this build; it has: auto, %s", name,
                     backend_list());
}

void backend_destroy(backend *b) {
    if (b)
        b->ops->destroy(b);
}
