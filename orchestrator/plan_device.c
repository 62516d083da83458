#include "orchestrator/plan_device.h"

#include <string.h>

#include "model/backend.h"

// Where a GPU may compute, ranks on other machines know what they have; a CPU is taken to be like this one.
static bool is_cpu(const char *name) {
    return strcmp(name, "cuda") != 0 && !(strcmp(name, "auto") == 0 && strstr(backend_list(), "cuda"));
}

static enum status check_precision(const struct plan_trial *t, const char *name, struct error *err) {
    backend *b = NULL;
    struct backend_config config = {.threads = 1, .precision = (enum precision)t->hp.precision};
    enum status status = backend_create(name, &config, &b, err);
    backend_destroy(b);
    return status == STATUS_OK ? STATUS_OK : error_prefix(err, "%s", t->config);
}

enum status plan_check_device(const struct plan *plan, struct error *err) {
    bool checked[PRECISION_BF16 + 1] = {[PRECISION_FP32] = true};
    const struct sweep *s = plan->sweep;
    if (s->program.kind != TRAINER_EMBEDDED || !is_cpu(s->backend))
        return STATUS_OK;
    for (int i = 0; i < plan->trial_count; i++) {
        const struct plan_trial *t = &plan->trials[i];
        if (*t->refused || checked[t->hp.precision])
            continue;
        TRY(check_precision(t, s->backend, err));
        checked[t->hp.precision] = true;
    }
    return STATUS_OK;
}
