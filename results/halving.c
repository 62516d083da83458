#include "results/halving.h"

#include <math.h>
#include <stdlib.h>

int halving_size(const struct halving *h, int configurations, int rung) {
    int size = configurations;
    for (int i = 0; i < rung && size > 1; i++)
        size = size / h->factor > 1 ? size / h->factor : 1;
    return size;
}

// Epochs of a rung if there were one for ever; at most those of the whole training.
static int level(const struct halving *h, int rung) {
    long long epochs = h->first;
    for (int i = 0; i < rung && epochs < h->epochs; i++)
        epochs *= h->factor;
    return epochs < h->epochs ? (int)epochs : h->epochs;
}

int halving_rungs(const struct halving *h, int configurations) {
    int rung = 0;
    while (level(h, rung) < h->epochs && halving_size(h, configurations, rung) > 1)
        rung++;
    return rung + 1;
}

int halving_epochs(const struct halving *h, int configurations, int rung) {
    return rung + 1 >= halving_rungs(h, configurations) ? h->epochs : level(h, rung);
}

static bool is_scored(const struct halving_entry *e) {
    return e->state == HALVING_THERE && !isnan(e->score);
}

static int compare(const void *a, const void *b) {
    const struct halving_entry *x = a, *y = b;
    if (is_scored(x) != is_scored(y))
        return is_scored(x) ? -1 : 1;
    if (is_scored(x) && x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

void halving_decide(struct halving_entry *entries, int count, int missing, int quota) {
    int pending = missing;
    for (int i = 0; i < count; i++)
        pending += entries[i].state == HALVING_PENDING;
    qsort(entries, (size_t)count, sizeof *entries, compare);
    for (int i = 0; i < count; i++) { // the first i are better, and those that are pending may be
        struct halving_entry *e = &entries[i];
        if (e->state == HALVING_PENDING)
            e->verdict = HALVING_OPEN;
        else if (!is_scored(e) || i >= quota)
            e->verdict = HALVING_STOPPED;
        else
            e->verdict = i + pending < quota ? HALVING_PROMOTED : HALVING_OPEN;
    }
}
