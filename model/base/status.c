#include "model/base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// What the header tells the analyzer of these stays out of their definitions.
#undef error_set
#undef error_memory
#undef error_prefix

const char *status_text(enum status status) {
    static const char *const texts[] = {
#define X(name, text) text,
        STATUS_LIST(X)
#undef X
    };
    return texts[status];
}

enum status error_set(struct error *err, enum status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    err->status = status;
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return status;
}

enum status error_memory(struct error *err, const char *what) {
    return error_set(err, STATUS_MEMORY, "out of memory: %s", what);
}

enum status error_prefix(struct error *err, const char *format, ...) {
    char text[ERROR_MESSAGE_SIZE];
    va_list args;
    va_start(args, format);
    int used = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (used >= 0 && (size_t)used + 2 < sizeof text)
        snprintf(text + used, sizeof text - (size_t)used, ": %.*s", (int)(sizeof text - (size_t)used - 3),
                 err->message);
    memcpy(err->message, text, sizeof text);
    return err->status;
}
