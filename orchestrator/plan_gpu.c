#include "orchestrator/plan_gpu.h"

#include <string.h>

static double gib(size_t bytes) {
    return (double)bytes / (1024.0 * 1024 * 1024);
}

static bool speaks_of_gpus(const struct plan *p) {
    const struct sweep *s = p->sweep;
    if (strcmp(s->backend, "cuda") == 0 || s->trainers_per_gpu > 0 || s->device_memory_gib > 0)
        return true;
    for (int i = 0; i < p->trial_count; i++)
        if (p->trials[i].hp.precision != PRECISION_FP32)
            return true;
    return false;
}

bool plan_gpu_wanted(const struct plan *plan, const struct gpu_room *room) {
    return gpu_fit_largest(plan) >= 0 && (room->source != GPU_SOURCE_NONE || speaks_of_gpus(plan));
}

static int wanted(const struct plan *p) {
    return p->sweep->trainers_per_gpu > 0 ? p->sweep->trainers_per_gpu : 1;
}

static void print_room(const struct plan *p, const struct plan_trial *largest, const struct gpu_room *room, FILE *out) {
    double need = gpu_fit_need(largest) / (1024.0 * 1024 * 1024);
    if (wanted(p) > 1)
        fprintf(out, "  trainers-per-gpu = %d: %.2f GiB at most", wanted(p), wanted(p) * need);
    else
        fprintf(out, "  one trainer a GPU");
    if (room->source == GPU_SOURCE_NONE)
        fprintf(out, "; not checked: there is no GPU here, and device-memory-gib does not say what one has\n");
    else
        fprintf(out, "; %.2f GiB are %s: room for %d\n", room->bytes / (1024.0 * 1024 * 1024), room->where,
                gpu_fit_count(largest, room));
}

// Each configuration once, though it stands on several folds.
static void print_misfits(const struct plan *p, const struct gpu_room *room, FILE *out) {
    const char *before = "";
    for (int i = 0; i < p->trial_count && room->source != GPU_SOURCE_NONE; i++) {
        const struct plan_trial *t = &p->trials[i];
        if (gpu_fit_need(t) <= 0 || *t->refused || t->withheld)
            continue;
        int count = gpu_fit_count(t, room);
        if (count >= wanted(p) || strcmp(before, t->config) == 0)
            continue;
        before = t->config;
        if (count > 0)
            fprintf(out, "  does not fit %d times: %s, %.2f GiB; %d at most\n", wanted(p), t->config,
                    gpu_fit_need(t) / (1024.0 * 1024 * 1024), count);
        else
            fprintf(out, "  does not fit: %s, %.2f GiB; it will run out of memory\n", t->config,
                    gpu_fit_need(t) / (1024.0 * 1024 * 1024));
    }
}

void plan_gpu_print(const struct plan *plan, const struct gpu_room *room, FILE *out) {
    const struct plan_trial *t = &plan->trials[gpu_fit_largest(plan)];
    const struct device_memory *m = &t->gpu;
    fprintf(out,
            "\nGPU memory of a trainer, at most (%s): %.2f GiB\n"
            "  parameters, gradients, moments %.2f, activations %.2f, samples %.2f, cuDNN %.2f at most, CUDA's context "
            "%.2f assumed\n",
            t->config, gib(device_memory_total(m)), gib(m->arenas), gib(m->activations), gib(m->samples),
            gib(m->convolutions), gib(m->context));
    print_room(plan, t, room, out);
    print_misfits(plan, room, out);
}
