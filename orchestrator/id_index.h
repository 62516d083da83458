// From a trial's id to its position: a hash table. Ids are hashes already, and are taken as such.
//
// It holds positions only: the caller's array keeps the ids, and may grow and move. One thread.
#ifndef GRIDFOLD_ORCHESTRATOR_ID_INDEX_H
#define GRIDFOLD_ORCHESTRATOR_ID_INDEX_H

#include <stddef.h>

#include "model/base/status.h"

// Zero-initialise; release with id_index_free. `ids` at every call: the first id in an array of structs of `stride`
// bytes.
struct id_index {
    int *slot; // position + 1; 0: free
    size_t slots, used;
};

int id_index_find(const struct id_index *index, const char *ids, size_t stride, const char *id); // -1: not there
// The id at `position` is not there yet. STATUS_MEMORY.
NODISCARD enum status id_index_add(struct id_index *index, const char *ids, size_t stride, int position,
                                   struct error *err);
void id_index_free(struct id_index *index);

#endif
