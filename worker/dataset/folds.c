#include <stdlib.h>

#include "model/base/rng.h"
#include "worker/dataset/dataset.h"

enum status folds_assign(const dataset *ds, int folds, uint64_t seed, int *fold, struct error *err) {
    int count = dataset_count(ds), usable = 0;
    for (int i = 0; i < count; i++) {
        fold[i] = FOLD_TEST;
        usable += !dataset_sample(ds, i)->test;
    }
    if (folds < 1)
        return error_set(err, STATUS_INVALID, "%d folds: at least 1 is needed", folds);
    if (usable < folds)
        return error_set(err, STATUS_INVALID, "%s has %d train/validation samples, too few for %d folds",
                         dataset_path(ds), usable, folds);
    int *members = malloc((size_t)count * sizeof *members);
    if (!members)
        return error_memory(err, "folds");
    int dealt = 0; // goes on from level to level, so that the folds' sizes differ by at most one
    for (int level = 0; level < CHANGE_LEVELS; level++) {
        size_t n = 0;
        for (int i = 0; i < count; i++) {
            const struct sample *s = dataset_sample(ds, i);
            if (!s->test && (int)s->level == level)
                members[n++] = i;
        }
        struct rng r = rng_stream(seed, 0, RNG_FOLDS, 0, (uint32_t)level);
        rng_shuffle(&r, members, n);
        for (size_t i = 0; i < n; i++)
            fold[members[i]] = dealt++ % folds;
    }
    free(members);
    return STATUS_OK;
}
