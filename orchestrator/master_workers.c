#include "orchestrator/master_workers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/clock.h"

struct worker_info {
    bool joined, present;
    int seat; // its number among those of its host that have come to be used, from 1; 0: not yet
    bool has_place;
    struct message_hello hello;
    double trial_began;
    bool trial_trains;
};

struct workers {
    int count;
    struct gpu_seats *gpus;
    struct worker_info *at;
};

enum status workers_create(int count, const struct gpu_rules *gpus, struct workers **out, struct error *err) {
    struct workers *w = calloc(1, sizeof *w);
    struct worker_info *at = calloc((size_t)count + 1, sizeof *at);
    if (!w || !at) {
        free(w);
        free(at);
        return error_memory(err, "workers");
    }
    *w = (struct workers){.count = count, .at = at};
    enum status status = gpu_seats_create(count, gpus, &w->gpus, err);
    if (status != STATUS_OK)
        workers_destroy(w);
    else
        *out = w;
    return status;
}

void workers_destroy(struct workers *w) {
    if (!w)
        return;
    gpu_seats_destroy(w->gpus);
    free(w->at);
    free(w);
}

void workers_join(struct workers *w, int worker, const struct message_hello *hello) {
    w->at[worker].joined = w->at[worker].present = true;
    w->at[worker].hello = *hello;
    gpu_seats_take(w->gpus, worker, &w->at[worker].hello);
}

void workers_leave(struct workers *w, int worker) {
    w->at[worker].present = false;
}

bool workers_is_present(const struct workers *w, int worker) {
    return w->at[worker].present;
}

int workers_joined(const struct workers *w) {
    int count = 0;
    for (int i = 0; i < w->count; i++)
        count += w->at[i].joined;
    return count;
}

const struct message_hello *workers_hello(const struct workers *w, int worker) {
    return &w->at[worker].hello;
}

static int first_beside(const struct workers *w, int worker, bool device) {
    const struct message_hello *a = &w->at[worker].hello;
    const char *id = gpu_seats_id(w->gpus, worker);
    int i = 0;
    for (; i < worker; i++) {
        const struct message_hello *b = &w->at[i].hello;
        if (w->at[i].joined && strcmp(a->host, b->host) == 0 && (!device || strcmp(id, gpu_seats_id(w->gpus, i)) == 0))
            break;
    }
    return i;
}

int workers_host(const struct workers *w, int worker) {
    return first_beside(w, worker, false);
}

int workers_device(const struct workers *w, int worker) {
    return first_beside(w, worker, true);
}

void workers_device_name(const struct workers *w, int worker, char *out, size_t size) {
    const struct message_hello *h = &w->at[worker].hello;
    const char *id = gpu_seats_id(w->gpus, worker);
    if (strcmp(id, "cpu") == 0)
        snprintf(out, size, "%s", h->device);
    else
        snprintf(out, size, *h->gpu ? "%s (%s)" : "%sGPU %s", h->gpu, id);
}

bool workers_complaint(const struct workers *w, int worker, char *out, size_t size) {
    return gpu_seats_complaint(w->gpus, worker, out, size);
}

static int find_seat(const struct workers *w, int host, int seat) {
    for (int i = 0; i < w->count; i++)
        if (w->at[i].seat == seat && workers_host(w, i) == host)
            return i;
    return -1;
}

int workers_take_place(struct workers *w, int worker, int members) {
    struct worker_info *info = &w->at[worker];
    int host = workers_host(w, worker), first = worker;
    if (info->seat > 0)
        return info->has_place ? worker : -1;
    if (gpu_seats_idle(w->gpus, worker))
        return -1;
    info->seat = 1;
    for (int i = 0; i < w->count; i++)
        if (i != worker && w->at[i].seat >= info->seat && workers_host(w, i) == host)
            info->seat = w->at[i].seat + 1;
    if (info->seat > 1) {
        if (info->seat % members != 0 || info->seat == members)
            return -1;
        first = find_seat(w, host, info->seat - members + 1);
    }
    w->at[first].has_place = true;
    return first;
}

bool workers_has_place(const struct workers *w, int worker) {
    return w->at[worker].has_place;
}

void workers_visible_gpus(const struct workers *w, int worker, int members, char out[PROTOCOL_GPUS_SIZE]) {
    int place[COLLECTIVES_MAX_MEMBERS] = {worker}, count = 1, host = workers_host(w, worker);
    for (; count < members; count++) {
        place[count] = find_seat(w, host, w->at[worker].seat + count);
        if (place[count] < 0)
            break;
    }
    gpu_seats_visible(w->gpus, place, count, members, out);
}

void workers_begin_trial(struct workers *w, int worker) {
    w->at[worker].trial_began = clock_seconds();
    w->at[worker].trial_trains = false;
}

bool workers_first_sign(struct workers *w, int worker) {
    bool first = !w->at[worker].trial_trains;
    w->at[worker].trial_trains = true;
    return first;
}

double workers_trial_seconds(const struct workers *w, int worker) {
    return clock_seconds() - w->at[worker].trial_began;
}

// Workers that may use the same processors of the same host, itself among them.
static int count_sharers(const struct workers *w, int worker) {
    const struct message_hello *a = &w->at[worker].hello;
    int count = 0;
    for (int i = 0; i < w->count; i++) {
        const struct message_hello *b = &w->at[i].hello;
        count += w->at[i].present && !gpu_seats_idle(w->gpus, i) && strcmp(a->host, b->host) == 0 &&
                 strcmp(a->cpus, b->cpus) == 0;
    }
    return count > 0 ? count : 1;
}

static int count_trainers(const struct workers *w, int worker, int members) {
    int sharers = count_sharers(w, worker);
    return sharers > members ? sharers : members;
}

int workers_fair_threads(const struct workers *w, int members) {
    int threads = 0;
    for (int i = 0; i < w->count; i++) {
        if (!w->at[i].present || gpu_seats_idle(w->gpus, i))
            continue;
        int share = w->at[i].hello.cores / count_trainers(w, i, members);
        if (threads == 0 || share < threads)
            threads = share;
    }
    return threads > 0 ? threads : 1;
}

bool workers_are_crowded(const struct workers *w, int worker, int members, int threads) {
    return count_trainers(w, worker, members) * threads > w->at[worker].hello.cores;
}

enum status workers_record(const struct workers *w, run_folder *folder, const struct transport *t, int threads,
                           struct error *err) {
    enum { LINE = 256 };
    char(*lines)[LINE] = calloc((size_t)w->count + 1, sizeof *lines);
    const char **hosts = calloc((size_t)w->count + 1, sizeof *hosts);
    enum status status = lines && hosts ? STATUS_OK : error_memory(err, "manifest");
    for (int i = 0; i < w->count && status == STATUS_OK; i++) {
        const struct message_hello *h = &w->at[i].hello;
        char device[PROTOCOL_DEVICE_SIZE * 2 + 8];
        workers_device_name(w, i, device, sizeof device);
        snprintf(lines[i], LINE, "rank %d, %.64s, %s, %d cores", i + t->first_rank, h->host, device, h->cores);
        hosts[i] = w->at[i].present ? lines[i] : "absent";
    }
    struct run_folder_start start = {
        .ranks = w->count + t->first_rank, .threads = threads, .mpi = t->name, .hosts = hosts, .host_count = w->count};
    if (status == STATUS_OK)
        status = run_folder_add_start(folder, &start, err);
    free(lines);
    free(hosts);
    return status;
}
