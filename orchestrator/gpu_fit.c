#include "orchestrator/gpu_fit.h"

#include <stdio.h>
#include <time.h>

#include "worker/devices.h"

static const double GIB = 1024.0 * 1024 * 1024;

void gpu_room_find(const struct sweep *sweep, struct gpu_room *room) {
    struct visible_devices devices;
    *room = (struct gpu_room){.source = GPU_SOURCE_NONE};
    if (sweep->device_memory_gib > 0) {
        *room = (struct gpu_room){GPU_SOURCE_SETTING, sweep->device_memory_gib * GIB, "given by device-memory-gib"};
        return;
    }
    if (!sweep_may_use_cuda(sweep))
        return;
    devices_look(true, &devices);
    for (int i = 0; devices.usable && i < devices.count; i++) {
        const struct visible_device *d = &devices.at[i];
        if (room->source == GPU_SOURCE_HERE && (double)d->free_bytes >= room->bytes)
            continue;
        *room = (struct gpu_room){GPU_SOURCE_HERE, (double)d->free_bytes, ""};
        snprintf(room->where, sizeof room->where, "free on %s (%s)", d->name, d->id);
    }
}

double gpu_fit_need(const struct plan_trial *trial) {
    return (double)device_memory_total(&trial->gpu);
}

int gpu_fit_largest(const struct plan *plan) {
    int largest = -1;
    for (int i = 0; i < plan->trial_count; i++)
        if (gpu_fit_need(&plan->trials[i]) > (largest < 0 ? 0 : gpu_fit_need(&plan->trials[largest])))
            largest = i;
    return largest;
}

int gpu_fit_count(const struct plan_trial *trial, const struct gpu_room *room) {
    return (int)(room->bytes / gpu_fit_need(trial));
}

enum status gpu_fit_check(const struct plan *plan, const struct gpu_room *room, struct error *err) {
    int wanted = plan->sweep->trainers_per_gpu, misfits = 0, fewest = wanted;
    const struct plan_trial *worst = NULL;
    for (int i = 0; i < plan->trial_count && room->source != GPU_SOURCE_NONE && wanted > 1; i++) {
        const struct plan_trial *t = &plan->trials[i];
        int count = gpu_fit_need(t) > 0 && !t->withheld && !*t->refused ? gpu_fit_count(t, room) : wanted;
        if (count < 1 || count >= wanted)
            continue;
        misfits++;
        if (!worst || gpu_fit_need(t) > gpu_fit_need(worst))
            worst = t;
        fewest = count < fewest ? count : fewest;
    }
    if (misfits == 0)
        return STATUS_OK;
    return error_set(err, STATUS_INVALID,
                     "trainers-per-gpu = %d: %d of %d trials do not fit; %s needs %d x %.2f = %.2f GiB of GPU memory, "
                     "%.2f GiB are %s; take trainers-per-gpu = %d",
                     wanted, misfits, plan->trial_count, worst->config, wanted, gpu_fit_need(worst) / GIB,
                     wanted * gpu_fit_need(worst) / GIB, room->bytes / GIB, room->where, fewest);
}

enum status gpu_fit_check_run(const struct plan *plan, struct error *err) {
    enum { ASKED = 4 };
    static const struct timespec pause = {.tv_sec = 3};
    enum status status = STATUS_OK;
    for (int i = 0; i < ASKED && plan->sweep->trainers_per_gpu > 1; i++) {
        struct gpu_room room;
        gpu_room_find(plan->sweep, &room);
        status = gpu_fit_check(plan, &room, err);
        if (status == STATUS_OK || room.source != GPU_SOURCE_HERE)
            break;
        if (i + 1 < ASKED)
            nanosleep(&pause, NULL);
    }
    return status;
}
