#include "orchestrator/launch_probe.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "model/base/clock.h"
#include "model/base/file.h"
#include "orchestrator/launch_process.h"

enum { MAX_WORDS = 16 };

struct probes {
    struct launch_hosts *hosts;
    const char *folder;
    pid_t *pids; // one a host; 0: over, or never begun
};

static bool is_here(const char *name) {
    char own[LAUNCH_HOST_SIZE] = "";
    gethostname(own, sizeof own - 1);
    size_t shorter = strcspn(own, ".");
    return strcmp(name, "localhost") == 0 || strcmp(name, "127.0.0.1") == 0 || strcmp(name, own) == 0 ||
           (strncmp(name, own, shorter) == 0 && (name[shorter] == 0 || name[shorter] == '.'));
}

// A file by name, not an open descriptor a probe: there may be more hosts than a process may have open files.
static enum status words_path(const struct probes *p, int i, char path[PATH_SIZE], struct error *err) {
    char name[32];
    snprintf(name, sizeof name, "probe-%d", i);
    return path_join(path, p->folder, name, err);
}

static int open_words(const struct probes *p, int i) {
    char path[PATH_SIZE];
    struct error err;
    int file = -1;
    if (words_path(p, i, path, &err) == STATUS_OK)
        file = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return file >= 0 ? file : open("/dev/null", O_WRONLY | O_CLOEXEC);
}

static pid_t start_probe(const struct probes *p, int i, const char *remote_shell) {
    char words[1024], *argv[MAX_WORDS + 3], *save;
    int count = 0;
    pid_t pid = 0;
    struct error err;
    snprintf(words, sizeof words, "%s", remote_shell);
    for (char *w = strtok_r(words, " ", &save); w && count < MAX_WORDS; w = strtok_r(NULL, " ", &save))
        argv[count++] = w;
    argv[count++] = p->hosts->at[i].name;
    argv[count++] = (char *)"true";
    argv[count] = NULL;
    int file = open_words(p, i);
    if (launch_spawn(argv, file, &pid, &err) != STATUS_OK) {
        fprintf(stderr, "gridfold launch: %s\n", err.message);
        pid = 0;
    }
    if (file >= 0)
        close(file);
    return pid;
}

// The last line of text, as one line that a terminal shows as it is; ssh gives its reason last.
static void take_last_line(char *text, char *line, size_t size) {
    size_t length = strlen(text);
    while (length > 0 && strchr(" \t\r\n.", text[length - 1]))
        text[--length] = 0;
    const char *last = strrchr(text, '\n');
    snprintf(line, size, "%s", last ? last + 1 : text);
    for (char *c = line; *c; c++)
        *c = iscntrl((unsigned char)*c) ? ' ' : *c;
}

static void take_words(const struct probes *p, int i) {
    struct launch_host *h = &p->hosts->at[i];
    char path[PATH_SIZE], *text;
    struct error err;
    if (words_path(p, i, path, &err) != STATUS_OK || file_read(path, &text, NULL, &err) != STATUS_OK)
        return;
    take_last_line(text, h->why, sizeof h->why);
    free(text);
}

// True while one is out.
static bool take_answers(struct probes *p) {
    bool out = false;
    for (int i = 0; i < p->hosts->count; i++) {
        int status;
        if (p->pids[i] > 0 && waitpid(p->pids[i], &status, WNOHANG) == p->pids[i]) {
            p->pids[i] = 0;
            p->hosts->at[i].answers = WIFEXITED(status) && WEXITSTATUS(status) == 0;
            if (!p->hosts->at[i].answers)
                take_words(p, i);
        }
        out = out || p->pids[i] > 0;
    }
    return out;
}

void launch_hosts_probe(struct launch_hosts *hosts, const char *remote_shell, double seconds, const char *folder) {
    struct probes p = {.hosts = hosts, .folder = folder};
    p.pids = calloc((size_t)hosts->count + 1, sizeof *p.pids);
    for (int i = 0; p.pids && i < hosts->count; i++) {
        hosts->at[i].why[0] = 0;
        hosts->at[i].answers = is_here(hosts->at[i].name);
        if (!hosts->at[i].answers)
            p.pids[i] = start_probe(&p, i, remote_shell);
    }
    double end = clock_seconds() + seconds;
    while (p.pids && take_answers(&p) && clock_seconds() < end && launch_wait(0.05).asked == 0) {
    }
    free(p.pids);
    launch_end_children(1);
}
