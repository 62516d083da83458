// Workers: who is there, who may be used, who was heard when. All counts and sets are kept here, by worker_set and
// worker_update, so that no event has to look at every worker.
#include "orchestrator/scheduler_state.h"

// ---- the list by the time of the last word ----

static void list_remove(scheduler *s, int worker) {
    struct worker_entry *w = &s->workers[worker];
    *(w->older == NONE ? &s->oldest : &s->workers[w->older].newer) = w->newer;
    *(w->newer == NONE ? &s->newest : &s->workers[w->newer].older) = w->older;
}

static void list_append(scheduler *s, int worker) {
    struct worker_entry *w = &s->workers[worker];
    w->older = s->newest;
    w->newer = NONE;
    *(s->newest == NONE ? &s->oldest : &s->workers[s->newest].newer) = worker;
    s->newest = worker;
}

void worker_heard_at(scheduler *s, int worker, double now) {
    s->workers[worker].heard = now;
    if (!worker_is_present(&s->workers[worker]))
        return;
    list_remove(s, worker);
    list_append(s, worker);
}

// ---- states ----

// Sets a worker's flag, and the sums over hosts and all workers that go with it.
static void set_flag(bool *flag, bool value, int *host_sum, int *sum, int *hosts) {
    int change = value - *flag;
    *hosts += (*host_sum + change > 0) - (*host_sum > 0);
    *host_sum += change;
    *sum += change;
    *flag = value;
}

void worker_update(scheduler *s, int worker) {
    struct worker_entry *w = &s->workers[worker];
    struct host_entry *host = &s->hosts[w->host];
    struct device_entry *device = &s->devices[w->device];
    bool usable = worker_is_present(w) && !w->quarantined;
    device->usable += usable - w->usable;
    set_flag(&w->usable, usable, &host->usable, &s->usable, &s->usable_hosts);
    set_flag(&w->clean, usable && w->suspect.charges == 0, &host->clean, &s->clean, &s->clean_hosts);
    uint64_t bit = UINT64_C(1) << (worker % 64);
    if (usable && w->state == IDLE && device->reserved_for == NONE)
        s->ready[worker / 64] |= bit;
    else
        s->ready[worker / 64] &= ~bit;
}

static void count_busy(scheduler *s, const struct worker_entry *w, int change) {
    s->busy += change;
    s->devices[w->device].busy += change;
    s->trials[w->trial].runners += change;
}

void worker_set(scheduler *s, int worker, enum worker_state state, int trial) {
    struct worker_entry *w = &s->workers[worker];
    bool was_present = worker_is_present(w);
    if (w->state == BUSY)
        count_busy(s, w, -1);
    w->state = state;
    w->trial = state == BUSY ? trial : NONE;
    if (state == BUSY) {
        count_busy(s, w, 1);
        s->devices[w->device].begun++;
    }
    s->present += worker_is_present(w) - was_present;
    if (was_present && !worker_is_present(w))
        list_remove(s, worker);
    else if (!was_present && worker_is_present(w))
        list_append(s, worker);
    worker_update(s, worker);
}

void scheduler_place(scheduler *s, int worker, int host, int device) {
    struct worker_entry *w = &s->workers[worker];
    if (host < 0 || device < 0 || host >= s->config.workers || device >= s->config.workers)
        return;
    if (w->host == host && w->device == device)
        return;
    enum worker_state state = w->state;
    int trial = w->trial;
    worker_set(s, worker, ABSENT, NONE); // counted out of the old place, and into the new one
    w->host = host;
    w->device = device;
    worker_set(s, worker, state, trial);
}
