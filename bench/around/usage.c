#include "bench/around/usage.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// Two numbers of a small file; 0 where there are none.
static void read_numbers(const char *path, const char *format, unsigned long long numbers[2]) {
    FILE *f = fopen(path, "r");
    numbers[0] = numbers[1] = 0;
    if (!f)
        return;
    if (fscanf(f, format, &numbers[0], &numbers[1]) < 1)
        numbers[0] = numbers[1] = 0;
    fclose(f);
}

static bool is_writer(const char *thread) {
    char path[300], name[32];
    snprintf(path, sizeof path, "/proc/self/task/%s/comm", thread);
    FILE *f = fopen(path, "r");
    bool writer = f && fgets(name, sizeof name, f) && strcmp(name, "gridfold-write\n") == 0;
    if (f)
        fclose(f);
    return writer;
}

static void add_thread(const char *thread, struct usage *u) {
    char path[300];
    unsigned long long ran_and_waited[2]; // nanoseconds
    snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", thread);
    read_numbers(path, "%llu %llu", ran_and_waited);
    if (is_writer(thread))
        u->writer += 1e-9 * (double)ran_and_waited[0];
    else
        u->waited += 1e-9 * (double)ran_and_waited[1];
}

struct usage usage_now(void) {
    struct usage u = {0};
    unsigned long long stolen[2];
    DIR *threads = opendir("/proc/self/task");
    for (const struct dirent *e; threads && (e = readdir(threads));)
        if (e->d_name[0] != '.')
            add_thread(e->d_name, &u);
    if (threads)
        closedir(threads);
    read_numbers("/proc/stat", "cpu %*u %*u %*u %*u %*u %*u %*u %llu", stolen);
    u.stolen = (double)stolen[0] / (double)sysconf(_SC_CLK_TCK);
    return u;
}
