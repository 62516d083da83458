// Waiting trials: binary heaps in which every trial knows its place, so that it can be taken out from anywhere.
#include "orchestrator/scheduler_state.h"

bool queue_before(const scheduler *s, int a, int b) {
    const struct trial_entry *x = &s->trials[a], *y = &s->trials[b];
    if (x->started != y->started)
        return x->started;
    if (x->work != y->work)
        return x->work > y->work;
    return a < b;
}

static void put(scheduler *s, struct trial_queue *q, int place, int trial) {
    q->at[place] = trial;
    s->trials[trial].place = place;
}

static void sift_up(scheduler *s, struct trial_queue *q, int place) {
    int trial = q->at[place];
    for (; place > 0 && queue_before(s, trial, q->at[(place - 1) / 2]); place = (place - 1) / 2)
        put(s, q, place, q->at[(place - 1) / 2]);
    put(s, q, place, trial);
}

static void sift_down(scheduler *s, struct trial_queue *q, int place) {
    int trial = q->at[place];
    for (;;) {
        int child = 2 * place + 1;
        if (child + 1 < q->count && queue_before(s, q->at[child + 1], q->at[child]))
            child++;
        if (child >= q->count || !queue_before(s, q->at[child], trial))
            break;
        put(s, q, place, q->at[child]);
        place = child;
    }
    put(s, q, place, trial);
}

void queue_push(scheduler *s, int trial) {
    struct trial_entry *t = &s->trials[trial];
    t->queue = t->alone ? QUEUE_ALONE : t->lost_count > 0 ? QUEUE_RETRIED : QUEUE_PLAIN;
    struct trial_queue *q = &s->queues[t->queue];
    put(s, q, q->count++, trial);
    sift_up(s, q, q->count - 1);
}

void queue_remove(scheduler *s, int trial) {
    struct trial_queue *q = &s->queues[s->trials[trial].queue];
    int place = s->trials[trial].place, last = q->at[--q->count];
    if (last == trial)
        return;
    put(s, q, place, last);
    sift_up(s, q, place);
    sift_down(s, q, s->trials[last].place);
}
