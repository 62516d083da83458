// Which idle worker gets which waiting trial.
#include "orchestrator/scheduler_state.h"

static void assign(scheduler *s, int trial, int worker) {
    struct trial_entry *t = &s->trials[trial];
    queue_remove(s, trial);
    t->state = RUNNING;
    t->worker = worker;
    t->attempts++;
    worker_set(s, worker, BUSY, trial);
    const struct device_entry *device = &s->devices[s->workers[worker].device];
    t->crowded = device->busy > 1;
    t->begun = device->begun;
    scheduler_act(s, SCHEDULER_ASSIGN, worker, trial, t->attempts);
}

// ---- where a trial that was lost may go ----

// Workers, or hosts with workers, that may have a trial: all those that there are without those that have lost it.
struct choice {
    int usable_hosts, usable, clean_hosts, clean;
};

static struct choice choice_for(const scheduler *s, const struct trial_entry *t) {
    struct choice c = {s->usable_hosts, s->usable, s->clean_hosts, s->clean};
    for (int i = 0; i < t->lost_count; i++) {
        const struct worker_entry *w = &s->workers[t->lost[i].worker];
        bool worker_again = false, host_again = false;
        for (int j = 0; j < i; j++) {
            worker_again = worker_again || t->lost[j].worker == t->lost[i].worker;
            host_again = host_again || s->workers[t->lost[j].worker].host == w->host;
        }
        c.usable -= w->usable && !worker_again;
        c.clean -= w->clean && !worker_again;
        c.usable_hosts -= s->hosts[w->host].usable > 0 && !host_again;
        c.clean_hosts -= s->hosts[w->host].clean > 0 && !host_again;
    }
    return c;
}

static bool accepts(const scheduler *s, int trial, int worker) {
    const struct trial_entry *t = &s->trials[trial];
    const struct worker_entry *w = &s->workers[worker];
    bool host_lost_it = false, worker_lost_it = false;
    for (int i = 0; i < t->lost_count; i++) {
        host_lost_it = host_lost_it || s->workers[t->lost[i].worker].host == w->host;
        worker_lost_it = worker_lost_it || t->lost[i].worker == worker;
    }
    struct choice c = choice_for(s, t);
    if (c.clean_hosts > 0)
        return w->clean && !host_lost_it;
    if (c.clean > 0)
        return w->clean && !worker_lost_it;
    if (c.usable_hosts > 0)
        return !host_lost_it;
    return c.usable == 0 || !worker_lost_it;
}

// ---- a device alone ----

static void set_reservation(scheduler *s, int device, int trial) {
    s->devices[device].reserved_for = trial;
    for (int i = 0; i < s->config.workers; i++)
        if (s->workers[i].device == device)
            worker_update(s, i);
}

void device_release(scheduler *s, int trial) {
    int device = s->trials[trial].device;
    if (device == NONE)
        return;
    s->trials[trial].device = NONE;
    set_reservation(s, device, NONE);
}

// The device with the least to wait for; NONE.
static int device_to_vacate(const scheduler *s, int trial) {
    int best = NONE;
    for (int i = 0; i < s->config.workers; i++) {
        const struct worker_entry *w = &s->workers[i];
        if (w->usable && s->devices[w->device].reserved_for == NONE && accepts(s, trial, i) &&
            (best == NONE || s->devices[w->device].busy < s->devices[best].busy))
            best = w->device;
    }
    return best;
}

// The worker of a vacant device that takes its trial; NONE.
static int worker_of_device(const scheduler *s, int device) {
    for (int i = 0; i < s->config.workers; i++)
        if (s->workers[i].device == device && s->workers[i].usable && s->workers[i].state == IDLE)
            return i;
    return NONE;
}

// The first of those that wait for a device and have none.
static int next_without_device(const scheduler *s) {
    const struct trial_queue *q = &s->queues[QUEUE_ALONE];
    int best = NONE;
    for (int i = 0; i < q->count; i++)
        if (s->trials[q->at[i]].device == NONE && (best == NONE || queue_before(s, q->at[i], best)))
            best = q->at[i];
    return best;
}

static void reserve_devices(scheduler *s) {
    for (int trial; (trial = next_without_device(s)) != NONE;) {
        int device = device_to_vacate(s, trial);
        if (device == NONE)
            return;
        s->trials[trial].device = device;
        set_reservation(s, device, trial);
    }
}

// A trial whose device is vacant, and the worker there that takes it; NONE.
static int next_with_vacant_device(const scheduler *s, int *worker) {
    const struct trial_queue *q = &s->queues[QUEUE_ALONE];
    for (int i = 0; i < q->count; i++) {
        int device = s->trials[q->at[i]].device;
        if (device == NONE || s->devices[device].busy > 0)
            continue;
        *worker = worker_of_device(s, device);
        if (*worker != NONE)
            return q->at[i];
    }
    return NONE;
}

static void serve_alone(scheduler *s) {
    const struct trial_queue *q = &s->queues[QUEUE_ALONE];
    for (int i = 0; i < q->count; i++) { // a device that has lost its workers will not do
        int device = s->trials[q->at[i]].device;
        if (device != NONE && s->devices[device].usable == 0)
            device_release(s, q->at[i]);
    }
    reserve_devices(s);
    for (int trial, worker; (trial = next_with_vacant_device(s, &worker)) != NONE;) {
        assign(s, trial, worker);
        s->actions[s->action_count - 1].alone = true;
    }
}

// ---- all others ----

// The best waiting trial for a worker; NONE.
static int pick(const scheduler *s, int worker) {
    const struct trial_queue *plain = &s->queues[QUEUE_PLAIN], *retried = &s->queues[QUEUE_RETRIED];
    int best = plain->count > 0 ? plain->at[0] : NONE;
    for (int i = 0; i < retried->count; i++)
        if ((best == NONE || queue_before(s, retried->at[i], best)) && accepts(s, retried->at[i], worker))
            best = retried->at[i];
    return best;
}

void dispatch(scheduler *s) {
    if (s->queues[QUEUE_ALONE].count > 0)
        serve_alone(s);
    for (int word = 0; word <= (s->config.workers - 1) / 64; word++) {
        for (uint64_t left = s->ready[word]; left; left &= left - 1) {
            if (s->queues[QUEUE_PLAIN].count + s->queues[QUEUE_RETRIED].count == 0)
                return;
            int worker = 64 * word + __builtin_ctzll(left), trial = pick(s, worker);
            if (trial != NONE)
                assign(s, trial, worker);
        }
    }
}
