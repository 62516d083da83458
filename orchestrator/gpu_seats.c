#include "orchestrator/gpu_seats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ENTRY_SIZE = 64, NONE = -1 };

struct seat {
    const struct message_hello *hello; // NULL: it has not said any
    bool counts;                       // its GPUs are used, and shared by the rules
    int gpu;                           // in the lists of its hello; NONE
    char id[ENTRY_SIZE];
};

struct gpu_seats {
    struct gpu_rules rules;
    char master_host[PROTOCOL_HOST_SIZE];
    int count;
    struct seat at[];
};

enum status gpu_seats_create(int workers, const struct gpu_rules *rules, struct gpu_seats **out, struct error *err) {
    struct gpu_seats *s = calloc(1, sizeof *s + (size_t)workers * sizeof *s->at);
    if (!s)
        return error_memory(err, "the GPUs of the workers");
    s->rules = *rules;
    s->count = workers;
    snprintf(s->master_host, sizeof s->master_host, "%s", rules->master_host);
    for (int i = 0; i < workers; i++)
        s->at[i].gpu = NONE;
    *out = s;
    return STATUS_OK;
}

void gpu_seats_destroy(struct gpu_seats *s) {
    free(s);
}

// ---- lists with commas ----

static int list_count(const char *list) {
    int count = *list != '\0';
    for (; *list; list++)
        count += *list == ',';
    return count;
}

static void list_item(const char *list, int index, char out[ENTRY_SIZE]) {
    for (; index > 0; index--)
        list += strcspn(list, ",") + 1;
    snprintf(out, ENTRY_SIZE, "%.*s", (int)strcspn(list, ","), list);
}

static int list_find(const char *list, const char *item) {
    char other[ENTRY_SIZE];
    for (int i = 0; i < list_count(list); i++) {
        list_item(list, i, other);
        if (strcmp(other, item) == 0)
            return i;
    }
    return NONE;
}

static void list_add(char list[PROTOCOL_GPUS_SIZE], const char *item) {
    size_t used = strlen(list);
    if (list_find(list, item) == NONE)
        snprintf(list + used, PROTOCOL_GPUS_SIZE - used, "%s%s", used > 0 ? "," : "", item);
}

// ---- choosing ----

static bool same_host(const struct seat *a, const struct seat *b) {
    return a->hello && b->hello && strcmp(a->hello->host, b->hello->host) == 0;
}

static int holders(const struct gpu_seats *s, int worker, const char *id) {
    int count = 0;
    for (int i = 0; i < s->count; i++)
        count +=
            i != worker && s->at[i].gpu != NONE && same_host(&s->at[i], &s->at[worker]) && strcmp(s->at[i].id, id) == 0;
    return count;
}

static int preferred(const struct gpu_seats *s, const struct message_hello *hello) {
    int rank = hello->local_rank - (strcmp(hello->host, s->master_host) == 0);
    int per_gpu = s->rules.per_gpu > 0 ? s->rules.per_gpu : 1;
    return rank > 0 ? rank / per_gpu % list_count(hello->gpu_ids) : 0;
}

static void choose(struct gpu_seats *s, int worker) {
    struct seat *seat = &s->at[worker];
    int count = list_count(seat->hello->gpu_ids), first = preferred(s, seat->hello);
    for (int i = 0; i < count; i++) {
        char id[ENTRY_SIZE];
        list_item(seat->hello->gpu_ids, (first + i) % count, id);
        if (s->rules.per_gpu > 0 && holders(s, worker, id) >= s->rules.per_gpu)
            continue;
        seat->gpu = (first + i) % count;
        memcpy(seat->id, id, sizeof seat->id);
        return;
    }
}

void gpu_seats_take(struct gpu_seats *s, int worker, const struct message_hello *hello) {
    struct seat *seat = &s->at[worker];
    bool used = s->rules.use == GPU_USE_ANY || (s->rules.use == GPU_USE_USABLE && hello->gpus_usable);
    seat->hello = hello;
    seat->counts = used && *hello->gpus;
    seat->gpu = seat->counts && seat->gpu != NONE ? list_find(hello->gpu_ids, seat->id) : NONE;
    if (seat->counts && seat->gpu == NONE)
        choose(s, worker);
}

const char *gpu_seats_id(const struct gpu_seats *s, int worker) {
    return s->at[worker].gpu == NONE ? "cpu" : s->at[worker].id;
}

bool gpu_seats_idle(const struct gpu_seats *s, int worker) {
    return s->at[worker].counts && s->at[worker].gpu == NONE;
}

void gpu_seats_visible(const struct gpu_seats *s, const int *workers, int count, int wanted,
                       char out[PROTOCOL_GPUS_SIZE]) {
    const struct seat *first = &s->at[workers[0]];
    char entry[ENTRY_SIZE];
    out[0] = '\0';
    if (first->gpu == NONE || first->hello->local_rank < 0)
        return;
    for (int i = 0; i < count && i < wanted; i++) {
        const struct seat *seat = &s->at[workers[i]];
        if (seat->gpu == NONE)
            continue;
        list_item(seat->hello->gpus, seat->gpu, entry);
        list_add(out, entry);
    }
    int visible = list_count(first->hello->gpus);
    for (int i = 1; i < visible && list_count(out) < wanted; i++) {
        list_item(first->hello->gpus, (first->gpu + i) % visible, entry);
        list_add(out, entry);
    }
}

// ---- who stays idle ----

bool gpu_seats_complaint(const struct gpu_seats *s, int worker, char *out, size_t size) {
    int idle = 0, workers = 0;
    char gpus[PROTOCOL_GPUS_SIZE] = "";
    if (!gpu_seats_idle(s, worker))
        return false;
    for (int i = 0; i < s->count; i++) {
        if (!same_host(&s->at[i], &s->at[worker]))
            continue;
        if (i < worker && gpu_seats_idle(s, i))
            return false;
        idle += gpu_seats_idle(s, i);
        workers++;
        if (s->at[i].gpu != NONE)
            list_add(gpus, s->at[i].id);
    }
    int count = list_count(gpus);
    snprintf(out, size,
             "%s: %d of %d workers stay idle: with trainers-per-gpu = %d its %d GPU%s take%s %d; start so many there, "
             "or raise trainers-per-gpu",
             s->at[worker].hello->host, idle, workers, s->rules.per_gpu, count, count > 1 ? "s" : "",
             count > 1 ? "" : "s", count * s->rules.per_gpu);
    return true;
}
