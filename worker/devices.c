#include "worker/devices.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/base/clock.h"

static const double ANSWER_SECONDS = 10;
enum { ANSWER_SIZE = DEVICES_MAX * 256 };

// "ID BYTES FREE NAME", with tabs between.
static bool read_device(const char *line, struct visible_device *d) {
    return sscanf(line, "%63[^\t]\t%" SCNu64 "\t%" SCNu64 "\t%63[^\n]", d->id, &d->bytes, &d->free_bytes, d->name) == 4;
}

// ---- asking ----

static pid_t start(bool memory, int *fd) {
    char *const arguments[] = {(char *)"gridfold", (char *)"trainer", (char *)"devices",
                               memory ? (char *)"memory" : NULL, NULL};
    int ends[2];
    pid_t pid = 0;
    posix_spawn_file_actions_t actions;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return 0;
    if (posix_spawn_file_actions_init(&actions) == 0) {
        int e = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
        e = e ? e : posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
        e = e ? e : posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
        e = e ? e : posix_spawn_file_actions_addclosefrom_np(&actions, 3);
        if (e || posix_spawn(&pid, "/proc/self/exe", &actions, NULL, arguments, environ) != 0)
            pid = 0;
        posix_spawn_file_actions_destroy(&actions);
    }
    close(ends[1]);
    *fd = ends[0];
    return pid;
}

// Reads to the end; false: it did not come in time.
static bool read_answer(int fd, char *text, size_t size) {
    double end = clock_seconds() + ANSWER_SECONDS;
    for (size_t used = 0; used + 1 < size;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        double left = end - clock_seconds();
        if (left <= 0 || poll(&p, 1, (int)(left * 1000) + 1) == 0)
            return false;
        ssize_t n = read(fd, text + used, size - 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n == 0;
        used += (size_t)n;
        text[used] = '\0';
    }
    return true;
}

// A process that hangs in the kernel is left behind: SIGKILL is on its way.
static bool ends_well(pid_t pid, bool answered) {
    int status = 0;
    if (answered)
        return waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    kill(pid, SIGKILL);
    (void)waitpid(pid, &status, WNOHANG);
    return false;
}

static bool ask(bool memory, char *text, size_t size) {
    int fd = -1;
    text[0] = '\0';
    pid_t pid = start(memory, &fd);
    bool answered = pid > 0 && read_answer(fd, text, size);
    if (fd >= 0)
        close(fd);
    return pid > 0 && ends_well(pid, answered);
}

// ---- what is there ----

static int count_files(void) {
    DIR *folder = opendir("/proc/driver/nvidia/gpus");
    int count = 0;
    for (struct dirent *e; folder && (e = readdir(folder));)
        count += e->d_name[0] != '.';
    if (folder)
        closedir(folder);
    return count;
}

// As CUDA reads it: the first entry that is none ends the list ("0,-1,2" is GPU 0).
static void read_entries(const char *visible, struct visible_devices *devices) {
    while (devices->count < DEVICES_MAX) {
        visible += strspn(visible, " ");
        size_t length = strcspn(visible, ", ");
        if (length == 0 || *visible == '-' || length >= DEVICE_ID_SIZE)
            return;
        snprintf(devices->at[devices->count++].entry, DEVICE_ID_SIZE, "%.*s", (int)length, visible);
        visible += strcspn(visible, ",");
        if (*visible++ != ',')
            return;
    }
}

static void number_entries(int count, struct visible_devices *devices) {
    for (; devices->count < count && devices->count < DEVICES_MAX; devices->count++)
        snprintf(devices->at[devices->count].entry, DEVICE_ID_SIZE, "%d", devices->count);
}

static int count_lines(const char *text) {
    int count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

void devices_merge(const char *visible, const char *printed, int in_files, struct visible_devices *devices) {
    memset(devices, 0, sizeof *devices);
    int known = printed ? count_lines(printed) : 0;
    if (visible)
        read_entries(visible, devices);
    else
        number_entries(known > 0 ? known : in_files, devices);
    devices->usable = known > 0 && devices->count > 0;
    if (devices->usable && known < devices->count)
        devices->count = known;
    for (int i = 0; i < devices->count; i++) {
        struct visible_device *d = &devices->at[i];
        if (known == 0 || !read_device(printed, d) || strncmp(d->entry, "MIG-", 4) == 0)
            memcpy(d->id, d->entry, sizeof d->id); // an instance's own name is the same for everyone
        if (known > 0)
            printed += strcspn(printed, "\n") + 1;
    }
}

void devices_look(bool memory, struct visible_devices *devices) {
    const char *visible = getenv("CUDA_VISIBLE_DEVICES");
    int in_files = count_files();
    char printed[ANSWER_SIZE];
    bool any = visible ? *visible != '\0' : in_files > 0;
    bool known = any && ask(memory, printed, sizeof printed);
    devices_merge(visible, known ? printed : NULL, in_files, devices);
}
