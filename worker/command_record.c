#include "worker/command_record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/base/file.h"

static enum status remember(struct command_record *r, const struct command_epoch *e, struct error *err) {
    if (r->count == r->capacity) {
        int capacity = 2 * r->capacity + 64;
        struct command_epoch *grown = realloc(r->at, (size_t)capacity * sizeof *grown);
        if (!grown)
            return error_memory(err, "a program's epochs");
        r->at = grown;
        r->capacity = capacity;
    }
    r->at[r->count++] = *e;
    return STATUS_OK;
}

// Drops the epochs from `epoch` on.
static void cut(struct command_record *r, int epoch) {
    while (r->count > 0 && r->at[r->count - 1].epoch >= epoch)
        r->count--;
}

static enum status on_epoch(void *context, const struct command_epoch *e, struct error *err) {
    struct command_record *r = context;
    cut(r, e->epoch);
    return remember(r, e, err);
}

static void on_other(void *context, const char *text, size_t bytes) {
    (void)context;
    (void)text;
    (void)bytes;
}

static enum status load(struct command_record *r, const char *text, size_t bytes, const char *metrics,
                        struct error *err) {
    struct command_sink sink = {r, on_epoch, on_other};
    command_output *o;
    TRY(command_output_create(metrics, &sink, &o, err));
    while (bytes > 0 && text[bytes - 1] != '\n') // a torn line
        bytes--;
    enum status status = command_output_add(o, text, bytes, err);
    command_output_destroy(o);
    return status;
}

static enum status put(const struct command_record *r, const char *text, size_t bytes, struct error *err) {
    while (bytes > 0) {
        ssize_t n = write(r->fd, text, bytes);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return error_set(err, STATUS_IO, "cannot write a trial's epochs.csv: %s", strerror(n < 0 ? errno : ENOSPC));
        text += n;
        bytes -= (size_t)n;
    }
    return STATUS_OK;
}

static enum status put_epoch(const struct command_record *r, const struct command_epoch *e, struct error *err) {
    char line[METRICS_MAX * 26 + 16];
    size_t used = (size_t)snprintf(line, sizeof line, "%d", e->epoch);
    for (int i = 0; i < e->count; i++)
        used += (size_t)snprintf(line + used, sizeof line - used, ",%.17g", e->values[i]);
    line[used++] = '\n';
    return put(r, line, used, err);
}

// The file anew in a moment when nothing else is under way: torn or replaced lines are gone.
static enum status rewrite(struct command_record *r, const char *path, const char *metrics, struct error *err) {
    char head[METRICS_TEXT_SIZE + 16];
    int bytes = snprintf(head, sizeof head, "epoch,%s\n", metrics);
    char temporary[PATH_SIZE];
    if (snprintf(temporary, sizeof temporary, "%s.new", path) >= (int)sizeof temporary)
        return error_set(err, STATUS_INVALID, "path too long: %s", path);
    r->fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666);
    if (r->fd < 0)
        return error_set(err, STATUS_IO, "cannot write %s: %s", temporary, strerror(errno));
    TRY(put(r, head, (size_t)bytes, err));
    for (int i = 0; i < r->count; i++)
        TRY(put_epoch(r, &r->at[i], err));
    if (fdatasync(r->fd) != 0 || rename(temporary, path) != 0)
        return error_set(err, STATUS_IO, "cannot write %s: %s", path, strerror(errno));
    return STATUS_OK;
}

enum status command_record_open(struct command_record *r, const char *path, const char *metrics, struct error *err) {
    if (file_exists(path)) {
        char *text;
        size_t bytes;
        TRY(file_read(path, &text, &bytes, err));
        enum status status = load(r, text, bytes, metrics, err);
        free(text);
        TRY(status);
    }
    return rewrite(r, path, metrics, err);
}

enum status command_record_add(struct command_record *r, const struct command_epoch *e, struct error *err) {
    cut(r, e->epoch);
    int last = r->count > 0 ? r->at[r->count - 1].epoch : e->epoch - 1;
    if (e->epoch != last + 1)
        return error_set(
            err, STATUS_INVALID,
            "it goes on with epoch %d, but the last one that it told is %d: it must not go on from further "
            "than GRIDFOLD_EPOCHS says",
            e->epoch, last);
    TRY(remember(r, e, err));
    if (r->fd < 0)
        return STATUS_OK;
    TRY(put_epoch(r, e, err));
    return fdatasync(r->fd) == 0 ? STATUS_OK
                                 : error_set(err, STATUS_IO, "cannot write a trial's epochs.csv: %s", strerror(errno));
}

void command_record_close(struct command_record *r) {
    if (r->fd >= 0)
        close(r->fd);
    free(r->at);
    *r = (struct command_record){.fd = -1};
}
