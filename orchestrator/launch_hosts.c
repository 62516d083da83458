#include "orchestrator/launch_hosts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/file.h"

enum { MAX_SLOTS = 4096 };

static enum status add(struct launch_hosts *hosts, const char *name, size_t length, int slots, struct error *err) {
    if (length == 0 || length >= LAUNCH_HOST_SIZE || name[0] == '-')
        return error_set(err, STATUS_INVALID, "'%.*s' is no host name", (int)length, name);
    struct launch_host *larger = realloc(hosts->at, ((size_t)hosts->count + 1) * sizeof *larger);
    if (!larger)
        return error_memory(err, "hosts");
    hosts->at = larger;
    struct launch_host *h = &hosts->at[hosts->count++];
    *h = (struct launch_host){.slots = slots, .answers = true};
    memcpy(h->name, name, length);
    return STATUS_OK;
}

static bool read_slots(const char *text, const char **end, int *slots) {
    char *stop;
    long value = strtol(text, &stop, 10);
    *end = stop;
    *slots = (int)value;
    return stop > text && value >= 1 && value <= MAX_SLOTS;
}

enum status launch_hosts_parse(const char *list, struct launch_hosts *hosts, struct error *err) {
    for (const char *at = list; *at;) {
        size_t length = strcspn(at, ",:");
        const char *end = at + length;
        int slots = 1;
        if (*end == ':' && !read_slots(end + 1, &end, &slots))
            return error_set(err, STATUS_INVALID, "--host %s: '%.*s' needs a whole number in 1 .. %d after the colon",
                             list, (int)length, at, MAX_SLOTS);
        if (*end && *end != ',')
            return error_set(err, STATUS_INVALID, "--host %s: a list like a,b:4 is needed", list);
        TRY(add(hosts, at, length, slots, err));
        at = end + (*end == ',');
    }
    if (hosts->count == 0)
        return error_set(err, STATUS_INVALID, "--host names no host; a list like a,b:4 is needed");
    return STATUS_OK;
}

static enum status read_line(char *line, int number, const char *path, struct launch_hosts *hosts, struct error *err) {
    char *save, *name = strtok_r(line, " \t\r", &save);
    int slots = 1;
    if (!name)
        return STATUS_OK;
    for (char *word; (word = strtok_r(NULL, " \t\r", &save));) {
        const char *end = "";
        if (strncmp(word, "max", 3) == 0)
            continue;
        if (strncmp(word, "slots=", 6) != 0 || !read_slots(word + 6, &end, &slots) || *end)
            return error_set(err, STATUS_INVALID, "%s:%d: '%s': a host name and slots=N is all that is known here",
                             path, number, word);
    }
    if (add(hosts, name, strlen(name), slots, err) != STATUS_OK)
        return error_prefix(err, "%s:%d", path, number);
    return STATUS_OK;
}

enum status launch_hosts_read(const char *path, struct launch_hosts *hosts, struct error *err) {
    char *text;
    TRY(file_read(path, &text, NULL, err));
    enum status status = STATUS_OK;
    int number = 1;
    for (char *line = text; line && status == STATUS_OK; number++) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        line[strcspn(line, "#")] = 0;
        status = read_line(line, number, path, hosts, err);
        line = next;
    }
    free(text);
    if (status == STATUS_OK && hosts->count == 0)
        return error_set(err, STATUS_INVALID, "%s names no host", path);
    return status;
}

// The next number of "4(x2),3"; the last one stays.
static int next_tasks(const char **at, int *repeats, int *tasks) {
    if (*repeats == 0 && **at) {
        *tasks = (int)strtol(*at, (char **)at, 10);
        *repeats = strncmp(*at, "(x", 2) == 0 ? (int)strtol(*at + 2, (char **)at, 10) : 1;
        *at += strspn(*at, "),");
    }
    *repeats -= *repeats > 0;
    return *tasks >= 1 && *tasks <= MAX_SLOTS ? *tasks : 1;
}

enum status launch_hosts_from_slurm(const char *names, const char *tasks_per_node, struct launch_hosts *hosts,
                                    struct error *err) {
    int repeats = 0, tasks = 1;
    for (const char *at = names; *at;) {
        size_t length = strcspn(at, "\n");
        if (length > 0)
            TRY(add(hosts, at, length, next_tasks(&tasks_per_node, &repeats, &tasks), err));
        at += length + (at[length] == '\n');
    }
    if (hosts->count == 0)
        return error_set(err, STATUS_INVALID, "Slurm names no host of this job (scontrol show hostnames)");
    return STATUS_OK;
}

void launch_hosts_free(struct launch_hosts *hosts) {
    free(hosts->at);
    *hosts = (struct launch_hosts){0};
}

int launch_hosts_slots(const struct launch_hosts *hosts) {
    int slots = 0;
    for (int i = 0; i < hosts->count; i++)
        slots += hosts->at[i].answers ? hosts->at[i].slots : 0;
    return slots;
}

char *launch_hosts_format(const struct launch_hosts *hosts) {
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    bool first = true;
    if (!f)
        return NULL;
    for (int i = 0; i < hosts->count; i++) {
        if (!hosts->at[i].answers)
            continue;
        fprintf(f, "%s%s:%d", first ? "" : ",", hosts->at[i].name, hosts->at[i].slots + first);
        first = false;
    }
    bool written = !ferror(f);
    if (fclose(f) != 0 || !written) {
        free(text);
        return NULL;
    }
    return text;
}
