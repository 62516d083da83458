#include "worker/free_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/file.h"

static const char CGROUPS[] = "/sys/fs/cgroup";

// The number at `key` in a file of "key: number" lines, or the first number of it (key ""). False: none.
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

// What the limit of one control group leaves, of version 2; SIZE_MAX: it has none.
static size_t group_leaves(const char *group) {
    char path[2 * PATH_SIZE];
    size_t limit, used;
    snprintf(path, sizeof path, "%s%s/memory.max", CGROUPS, group);
    if (!read_number(path, "", &limit))
        return (size_t)-1;
    snprintf(path, sizeof path, "%s%s/memory.current", CGROUPS, group);
    if (!read_number(path, "", &used))
        return (size_t)-1;
    return used < limit ? limit - used : 0;
}

// Our own control group, "/" and what follows; "" when there is none.
static void find_group(char group[PATH_SIZE]) {
    char line[PATH_SIZE];
    FILE *f = fopen("/proc/self/cgroup", "re");
    group[0] = 0;
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, "0::", 3) == 0)
            snprintf(group, PATH_SIZE, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    if (f)
        fclose(f);
}

size_t free_memory_bytes(void) {
    size_t kib, least;
    char group[PATH_SIZE];
    if (!read_number("/proc/meminfo", "MemAvailable:", &kib))
        return 0;
    least = kib * 1024;
    find_group(group);
    for (char *end; (end = strrchr(group, '/')) != NULL; *end = 0) { // and all groups that it stands in
        size_t left = group_leaves(group);
        least = left < least ? left : least;
    }
    return least;
}
