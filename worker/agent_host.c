// What an agent can say of the machine it runs on.
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/agent.h"
#include "worker/devices.h"

enum { MAX_CPUS = 4096 };

// "0-3,8"; a list that is too long ends in "...".
static void format_cpus(const cpu_set_t *set, size_t bytes, char *out, size_t size) {
    size_t used = 0;
    out[0] = 0;
    for (size_t i = 0; i < MAX_CPUS; i++) {
        if (!CPU_ISSET_S(i, bytes, set))
            continue;
        size_t last = i;
        while (last + 1 < MAX_CPUS && CPU_ISSET_S(last + 1, bytes, set))
            last++;
        char part[32];
        int length = snprintf(part, sizeof part, last > i ? "%s%zu-%zu" : "%s%zu", used ? "," : "", i, last);
        if (used + (size_t)length + 4 > size) {
            snprintf(out + used, size - used, "...");
            return;
        }
        memcpy(out + used, part, (size_t)length + 1);
        used += (size_t)length;
        i = last;
    }
}

static void describe_cpus(struct message_hello *hello) {
    cpu_set_t *set = CPU_ALLOC(MAX_CPUS);
    size_t bytes = CPU_ALLOC_SIZE(MAX_CPUS);
    hello->cores = (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (set && sched_getaffinity(0, bytes, set) == 0) {
        hello->cores = CPU_COUNT_S(bytes, set);
        format_cpus(set, bytes, hello->cpus, sizeof hello->cpus);
    }
    if (hello->cores < 1)
        hello->cores = 1;
    CPU_FREE(set);
}

static void describe_device(char *out, size_t size) {
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "re");
    snprintf(out, size, "cpu");
    while (f && fgets(line, sizeof line, f)) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) == 0 && value) {
            snprintf(out, size, "%.*s", (int)strcspn(value + 2, "\n"), value + 2);
            break;
        }
    }
    if (f)
        fclose(f);
}

void agent_describe_host(struct message_hello *hello) {
    memset(hello, 0, sizeof *hello);
    if (gethostname(hello->host, sizeof hello->host - 1) != 0)
        snprintf(hello->host, sizeof hello->host, "unknown");
    describe_device(hello->device, sizeof hello->device);
    describe_cpus(hello);
    hello->pid = getpid();
    hello->local_rank = -1;
}

static void append(char *list, size_t size, const char *item) {
    size_t used = strlen(list);
    snprintf(list + used, size - used, "%s%s", used > 0 ? "," : "", item);
}

void agent_describe_gpus(bool rank, struct message_hello *hello) {
    struct visible_devices devices;
    const char *local = getenv("OMPI_COMM_WORLD_LOCAL_RANK");
    if (!local)
        local = getenv("SLURM_LOCALID");
    if (rank && local)
        hello->local_rank = (int)strtol(local, NULL, 10);
    devices_look(false, &devices);
    for (int i = 0; i < devices.count; i++) {
        append(hello->gpus, sizeof hello->gpus, devices.at[i].entry);
        append(hello->gpu_ids, sizeof hello->gpu_ids, devices.at[i].id);
    }
    snprintf(hello->gpu, sizeof hello->gpu, "%s", devices.at[0].name);
    hello->gpus_usable = devices.usable;
}

// State ("R", "S", "T", "Z", ...) and parent of a process; false: there is none.
static bool read_stat(long pid, char *state, long *parent) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    const char *after_name = strrchr(text, ')'); // the name may hold anything
    return after_name && sscanf(after_name, ") %c %ld", state, parent) == 2;
}

long agent_parent_of(long pid) {
    char state;
    long parent;
    return read_stat(pid, &state, &parent) ? parent : 0;
}

bool agent_has_ended(long pid) {
    char state;
    long parent;
    return !read_stat(pid, &state, &parent) || state == 'Z';
}

bool agent_is_stopped(long pid) {
    char state;
    long parent;
    return read_stat(pid, &state, &parent) && state == 'T';
}

// mpirun binds by default: two ranks to a core each, the sleeping master among them. Its daemon, an ancestor of ours
// (there may be a shell or a timeout between), keeps the processors of the job.
void agent_unbind(void) {
    enum { GENERATIONS = 4 };
    if (!getenv("OMPI_MCA_orte_bound_at_launch"))
        return;
    cpu_set_t *own = CPU_ALLOC(MAX_CPUS), *set = CPU_ALLOC(MAX_CPUS);
    size_t bytes = CPU_ALLOC_SIZE(MAX_CPUS);
    long pid = getpid();
    for (int i = 0; own && set && i < GENERATIONS && sched_getaffinity(0, bytes, own) == 0; i++) {
        pid = agent_parent_of(pid);
        if (pid <= 1 || sched_getaffinity((pid_t)pid, bytes, set) != 0)
            break;
        if (CPU_COUNT_S(bytes, set) > CPU_COUNT_S(bytes, own)) {
            (void)!sched_setaffinity(0, bytes, set);
            break;
        }
    }
    CPU_FREE(own);
    CPU_FREE(set);
}
