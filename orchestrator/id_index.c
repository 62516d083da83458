#include "orchestrator/id_index.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "worker/fnv1a.h"

// Where the id stands, or the free slot where it would.
static size_t slot_of(const struct id_index *index, const char *ids, size_t stride, const char *id) {
    size_t slot = fnv1a(FNV1A_START, id) & (index->slots - 1);
    while (index->slot[slot] && strcmp(ids + (size_t)(index->slot[slot] - 1) * stride, id) != 0)
        slot = (slot + 1) & (index->slots - 1);
    return slot;
}

int id_index_find(const struct id_index *index, const char *ids, size_t stride, const char *id) {
    return index->slots > 0 ? index->slot[slot_of(index, ids, stride, id)] - 1 : -1;
}

static enum status grow(struct id_index *index, const char *ids, size_t stride, struct error *err) {
    struct id_index larger = {.slots = index->slots > 0 ? 2 * index->slots : 64, .used = index->used};
    larger.slot = calloc(larger.slots, sizeof *larger.slot);
    if (!larger.slot)
        return error_memory(err, "an index of trials");
    for (size_t i = 0; i < index->slots; i++)
        if (index->slot[i])
            larger.slot[slot_of(&larger, ids, stride, ids + (size_t)(index->slot[i] - 1) * stride)] = index->slot[i];
    free(index->slot);
    *index = larger;
    return STATUS_OK;
}

enum status id_index_add(struct id_index *index, const char *ids, size_t stride, int position, struct error *err) {
    if (2 * (index->used + 1) > index->slots)
        TRY(grow(index, ids, stride, err));
    index->slot[slot_of(index, ids, stride, ids + (size_t)position * stride)] = position + 1;
    index->used++;
    return STATUS_OK;
}

void id_index_free(struct id_index *index) {
    free(index->slot);
    *index = (struct id_index){0};
}
