#include "orchestrator/verdict.h"

#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "model/base/file.h"

static const char *const state_names[] = {
#define X(name, text) text,
    VERDICT_STATES(X)
#undef X
};
enum { STATE_COUNT = sizeof state_names / sizeof *state_names };

bool verdict_is_final(enum verdict_state state) {
    return state >= VERDICT_DONE;
}

struct verdict verdict_here(enum verdict_state state, int exit_code, const char *message) {
    struct verdict v = {.state = state, .exit_code = exit_code, .process = getpid()};
    if (gethostname(v.host, sizeof v.host - 1) != 0)
        snprintf(v.host, sizeof v.host, "unknown");
    snprintf(v.message, sizeof v.message, "%s", message);
    return v;
}

enum status verdict_write(const char *path, const struct verdict *v, struct error *err) {
    char text[ERROR_MESSAGE_SIZE + 256];
    int n = snprintf(text, sizeof text, "state = %s\n", state_names[v->state]);
    if (verdict_is_final(v->state))
        n += snprintf(text + n, sizeof text - (size_t)n, "exit-code = %d\n", v->exit_code);
    n += snprintf(text + n, sizeof text - (size_t)n, "process = %ld\nhost = %s\n", v->process, v->host);
    if (v->message[0])
        n += snprintf(text + n, sizeof text - (size_t)n, "message = %s\n", v->message);
    return file_write(path, text, (size_t)n, err);
}

static int take_value(void *user, const char *section, const char *key, const char *value) {
    struct verdict *v = user;
    (void)section;
    if (strcmp(key, "exit-code") == 0)
        v->exit_code = (int)strtol(value, NULL, 10);
    else if (strcmp(key, "process") == 0)
        v->process = strtol(value, NULL, 10);
    else if (strcmp(key, "host") == 0)
        snprintf(v->host, sizeof v->host, "%s", value);
    else if (strcmp(key, "message") == 0)
        snprintf(v->message, sizeof v->message, "%s", value);
    else if (strcmp(key, "state") == 0)
        for (int i = 0; i < STATE_COUNT; i++)
            if (strcmp(value, state_names[i]) == 0)
                v->state = (enum verdict_state)i;
    return 1;
}

enum status verdict_read(const char *path, struct verdict *v, struct error *err) {
    *v = (struct verdict){.state = (enum verdict_state)STATE_COUNT};
    if (!file_exists(path))
        return error_set(err, STATUS_NOT_FOUND, "%s is not there", path);
    char *text;
    TRY(file_read(path, &text, NULL, err));
    ini_parse_string(text, take_value, v);
    free(text);
    if (v->state == (enum verdict_state)STATE_COUNT)
        return error_set(err, STATUS_FORMAT, "%s says no known state", path);
    return STATUS_OK;
}
