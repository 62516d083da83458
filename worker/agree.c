#include "worker/agree.h"

#include <stdlib.h>

enum status members_agree(const struct collectives *c, enum status mine, struct error *err) {
    if (!c)
        return mine;
    struct error own = {0}, *all = calloc((size_t)c->members, sizeof *all);
    if (!all)
        return error_memory(err, "what the members say");
    if (mine != STATUS_OK)
        own = *err;
    own.status = mine;
    enum status status = c->gather(c->context, &own, sizeof own, all, err);
    int first = 0;
    while (status == STATUS_OK && first < c->members && all[first].status == STATUS_OK)
        first++;
    if (status == STATUS_OK && first < c->members) {
        *err = all[first];
        status = err->status;
        if (first > 0)
            (void)error_prefix(err, "member %d of %d", first, c->members);
    }
    free(all);
    return status;
}

enum status members_tell(const struct collectives *c, int *word, struct error *err) {
    return c ? c->broadcast(c->context, word, sizeof *word, err) : STATUS_OK;
}
