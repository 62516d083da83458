#include "model/collectives.h"

#include <stdlib.h>

#include "model/backend.h"

static void merge(struct channel_sums *a, const struct channel_sums *b) {
    double count = a->count + b->count, difference = b->first - a->first;
    if (b->count == 0)
        return;
    if (a->count == 0) {
        *a = *b;
        return;
    }
    a->first += difference * (b->count / count);
    a->second += b->second + difference * difference * (a->count * b->count / count);
    a->count = count;
}

static void add(struct channel_sums *a, const struct channel_sums *b) {
    a->count += b->count;
    a->first += b->first;
    a->second += b->second;
}

static enum status fold(const struct collectives *c, int channels, struct channel_sums *mine, struct channel_sums *all,
                        void (*into)(struct channel_sums *a, const struct channel_sums *b), struct error *err) {
    TRY(c->gather(c->context, mine, (size_t)channels * sizeof *mine, all, err));
    for (int i = 0; i < channels; i++) {
        mine[i] = all[i];
        for (int m = 1; m < c->members; m++)
            into(&mine[i], &all[(size_t)m * (size_t)channels + (size_t)i]);
    }
    return STATUS_OK;
}

enum status collectives_merge_moments(const struct collectives *c, int channels, struct channel_sums *mine,
                                      struct channel_sums *all, struct error *err) {
    return fold(c, channels, mine, all, merge, err);
}

enum status collectives_add_sums(const struct collectives *c, int channels, struct channel_sums *mine,
                                 struct channel_sums *all, struct error *err) {
    return fold(c, channels, mine, all, add, err);
}

enum status collectives_count(const struct collectives *c, int64_t *count, struct error *err) {
    int64_t all[COLLECTIVES_MAX_MEMBERS] = {0};
    TRY(c->gather(c->context, count, sizeof *count, all, err));
    *count = 0;
    for (int m = 0; m < c->members; m++)
        *count += all[m];
    return STATUS_OK;
}

enum status collectives_loss(const struct collectives *c, struct loss_sums *sums, struct error *err) {
    struct loss_sums all[COLLECTIVES_MAX_MEMBERS] = {{0}};
    TRY(c->gather(c->context, sums, sizeof *sums, all, err));
    *sums = (struct loss_sums){0};
    for (int m = 0; m < c->members; m++) {
        sums->loss += all[m].loss;
        sums->tp += all[m].tp;
        sums->fp += all[m].fp;
        sums->fn += all[m].fn;
        sums->tn += all[m].tn;
    }
    return STATUS_OK;
}

enum status collectives_agree(const struct collectives *c, enum status mine, struct error *err) {
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

enum status collectives_tell(const struct collectives *c, int *word, struct error *err) {
    return c ? c->broadcast(c->context, word, sizeof *word, err) : STATUS_OK;
}
