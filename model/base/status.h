// What a function of gridfold returns when it can fail, and the one line that says why.
//
// A fallible function returns `enum status` and fills the caller's `struct error` (never NULL). The message says what
// is wrong, where, and what to do. Foreign codes (MPI, GDAL, oneDNN, errno) become a status at the boundary. Any thread
// may call everything here.
#ifndef GRIDFOLD_MODEL_BASE_STATUS_H
#define GRIDFOLD_MODEL_BASE_STATUS_H

#define STATUS_LIST(X)                                                                                                 \
    X(OK, "ok")                                                                                                        \
    X(INVALID, "invalid input")                                                                                        \
    X(NOT_FOUND, "not found")                                                                                          \
    X(IO, "input/output error")                                                                                        \
    X(FORMAT, "malformed file")                                                                                        \
    X(MISMATCH, "does not belong together")                                                                            \
    X(MEMORY, "out of memory")                                                                                         \
    X(UNSUPPORTED, "not supported")                                                                                    \
    X(DIVERGED, "diverged")                                                                                            \
    X(STOPPED, "stopped")                                                                                              \
    X(LOST, "peer lost")                                                                                               \
    X(INTERNAL, "internal error")

enum status {
#define X(name, text) STATUS_##name,
    STATUS_LIST(X)
#undef X
};

enum { ERROR_MESSAGE_SIZE = 1024 };

struct error {
    enum status status;
    char message[ERROR_MESSAGE_SIZE]; // one line, no newline
};

#define NODISCARD __attribute__((warn_unused_result))

// Leave the enclosing function with the first status that is not STATUS_OK.
#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        enum status try_status_ = (call);                                                                              \
        if (try_status_ != STATUS_OK)                                                                                  \
            return try_status_;                                                                                        \
    } while (0)

// The same for functions that have something to release: sets the local `status` and jumps to the local label `fail`.
#define TRY_OR_FAIL(call)                                                                                              \
    do {                                                                                                               \
        status = (call);                                                                                               \
        if (status != STATUS_OK)                                                                                       \
            goto fail;                                                                                                 \
    } while (0)

const char *status_text(enum status status);

// Fills *err and returns `status`, so that `return error_set(err, STATUS_INVALID, "...")` is one line.
enum status error_set(struct error *err, enum status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// STATUS_MEMORY with "out of memory: <what>".
enum status error_memory(struct error *err, const char *what);

// Puts "prefix: " before the message already in *err; returns its status.
enum status error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

#ifdef __clang_analyzer__
// The analyzer sees one file at a time: without this it follows paths on which a failure returns STATUS_OK.
static inline enum status error_fails_with_(enum status made, enum status wanted) {
    (void)made;
    return wanted;
}
#define error_set(err, status, ...) error_fails_with_((error_set)(err, status, __VA_ARGS__), status)
#define error_memory(err, what)     error_fails_with_((error_memory)(err, what), STATUS_MEMORY)
#define error_prefix(err, ...)      error_fails_with_((error_prefix)(err, __VA_ARGS__), STATUS_INTERNAL)
#endif

#endif
