#include "worker/free_memory.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/file.h"

// Where one version of control groups keeps its numbers.
struct version {
    const char *mount, *limit, *used, *reclaimable; // the last: a key of memory.stat
};
static const struct version V1 = {"/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "};
static const struct version V2 = {"", "memory.max", "memory.current", "inactive_file "};

// The number at `key` in a file of "key number" lines, or the first number of it (key ""). False: none.
static bool read_number(const char *path, const char *key, size_t *number) {
    char line[256];
    bool found = false;
    FILE *f = fopen(path, "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        char *end, *at = line + strlen(key);
        if (strncmp(line, key, strlen(key)) != 0)
            continue;
        *number = (size_t)strtoull(at, &end, 10);
        found = end != at; // "max": no limit
    }
    if (f)
        fclose(f);
    return found;
}

// What the limit of one control group leaves; SIZE_MAX: it has none.
static size_t group_leaves(const struct version *v, const char *root, const char *group) {
    char path[3 * PATH_SIZE];
    size_t limit, used, reclaimable = 0;
    snprintf(path, sizeof path, "%s%s%s/%s", root, v->mount, group, v->limit);
    if (!read_number(path, "", &limit))
        return SIZE_MAX;
    snprintf(path, sizeof path, "%s%s%s/%s", root, v->mount, group, v->used);
    if (!read_number(path, "", &used))
        return SIZE_MAX;
    snprintf(path, sizeof path, "%s%s%s/memory.stat", root, v->mount, group);
    read_number(path, v->reclaimable, &reclaimable);
    used -= reclaimable < used ? reclaimable : used;
    return used < limit ? limit - used : 0;
}

// A group and all that it stands in, up to the mount: a container may see its own group there alone.
static size_t ancestors_leave(const struct version *v, const char *root, char *group) {
    size_t least = SIZE_MAX;
    for (;;) {
        size_t left = group_leaves(v, root, group);
        least = left < least ? left : least;
        char *end = strrchr(group, '/');
        if (!end)
            return least;
        *end = 0;
    }
}

// Whether "a,memory,b" names the controller.
static bool has_memory(const char *controllers, size_t length) {
    static const char NAME[] = "memory";
    for (const char *end = controllers + length; controllers < end;) {
        size_t n = strcspn(controllers, ",:");
        if (n == strlen(NAME) && memcmp(controllers, NAME, n) == 0)
            return true;
        controllers += n + 1;
    }
    return false;
}

size_t control_groups_leave(const char *membership, const char *root) {
    char line[PATH_SIZE];
    size_t least = SIZE_MAX;
    FILE *f = fopen(membership, "re");
    while (f && fgets(line, sizeof line, f)) { // "hierarchy:controllers:group"
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group)
            continue;
        controllers++;
        group++;
        group[strcspn(group, "\n")] = 0;
        size_t length = (size_t)(group - 1 - controllers), left = SIZE_MAX;
        if (length == 0)
            left = ancestors_leave(&V2, root, group);
        else if (has_memory(controllers, length))
            left = ancestors_leave(&V1, root, group);
        least = left < least ? left : least;
    }
    if (f)
        fclose(f);
    return least;
}

size_t free_memory_bytes(void) {
    size_t kib, left = control_groups_leave("/proc/self/cgroup", "/sys/fs/cgroup");
    if (!read_number("/proc/meminfo", "MemAvailable:", &kib))
        return 0;
    return kib * 1024 < left ? kib * 1024 : left;
}
