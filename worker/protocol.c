#include "worker/protocol.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/json_text.h"

enum { LENGTH_BYTES = 4 };

static const char *const kind_names[] = {
#define X(name, text) text,
    MESSAGE_KINDS(X)
#undef X
};
enum { KIND_COUNT = sizeof kind_names / sizeof kind_names[0] };

static const char *const cause_names[] = {
#define X(name, text) text,
    LOSS_CAUSES(X)
#undef X
};
enum { CAUSE_COUNT = sizeof cause_names / sizeof cause_names[0] };

const char *message_kind_name(enum message_kind kind) {
    return kind_names[kind];
}

const char *loss_cause_name(enum loss_cause cause) {
    return cause_names[cause];
}

// The members of the parts, each once: encoding and decoding are both made of these tables.
// X(TYPE, member): REAL double, INT int, LONG int64_t, FLAG bool, TEXT char[].
#define HELLO_MEMBERS(X)                                                                                               \
    X(TEXT, host)                                                                                                      \
    X(TEXT, device)                                                                                                    \
    X(TEXT, cpus)                                                                                                      \
    X(INT, cores)                                                                                                      \
    X(LONG, pid) X(INT, local_rank) X(TEXT, gpus) X(TEXT, gpu_ids) X(TEXT, gpu) X(FLAG, gpus_usable)
#define TRIAL_MEMBERS(X)                                                                                               \
    X(TEXT, id)                                                                                                        \
    X(INT, folds)                                                                                                      \
    X(INT, fold)                                                                                                       \
    X(INT, members)                                                                                                    \
    X(INT, member)                                                                                                     \
    X(FLAG, sync_batchnorm)                                                                                            \
    X(TEXT, dataset) X(TEXT, folder) X(TEXT, backend) X(INT, threads) X(INT, until) X(REAL, checkpoint_seconds)
#define ASSIGN_MEMBERS(X) X(TEXT, gpus) X(TEXT, log) X(FLAG, crowded) X(REAL, hang_seconds)
#define PROGRAM_MEMBERS(X)                                                                                             \
    X(TEXT, arguments)                                                                                                 \
    X(TEXT, variables) X(TEXT, metrics) X(INT, metric) X(FLAG, minimize) X(FLAG, resume) X(INT, epochs)
#define HEARTBEAT_MEMBERS(X) X(INT, epoch) X(INT, step) X(REAL, pause)
#define METRIC_MEMBERS(X)                                                                                              \
    X(INT, epoch)                                                                                                      \
    X(REAL, lr)                                                                                                        \
    X(REAL, train_loss)                                                                                                \
    X(REAL, train_iou)                                                                                                 \
    X(REAL, train_f1)                                                                                                  \
    X(REAL, val_loss)                                                                                                  \
    X(REAL, val_iou) X(REAL, val_f1) X(REAL, val_precision) X(REAL, val_recall) X(REAL, grad_norm)
#define EPOCH_MEMBERS(X) X(FLAG, replayed) X(REAL, seconds)
#define RESULT_MEMBERS(X)                                                                                              \
    X(REAL, best_iou)                                                                                                  \
    X(REAL, best_f1)                                                                                                   \
    X(REAL, final_iou)                                                                                                 \
    X(REAL, train_val_gap) X(INT, best_epoch) X(INT, epochs_run) X(LONG, parameters) X(TEXT, error)

// ---- encoding ----

static json_t *pack_text(const char *text) {
    json_t *value = json_string(text);
    if (value)
        return value;
    char *clean = strdup(text); // a dying program's last words need not be UTF-8
    if (!clean)
        return NULL;
    for (char *p = clean; *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    value = json_string(clean);
    free(clean);
    return value;
}

static json_t *pack_real(double x) {
    if (isnan(x))
        return json_null();
    if (isinf(x))
        return json_string(x > 0 ? "inf" : "-inf");
    return json_real(x);
}

#define PACK_TEXT(member)  pack_text(from->member)
#define PACK_REAL(member)  pack_real(from->member)
#define PACK_INT(member)   json_integer(from->member)
#define PACK_LONG(member)  json_integer((json_int_t)from->member)
#define PACK_FLAG(member)  json_boolean(from->member)
#define PACK(type, member) failed |= json_object_set_new(o, #member, PACK_##type(member));

static int pack_hello(json_t *o, const struct message_hello *from) {
    int failed = 0;
    HELLO_MEMBERS(PACK)
    return failed;
}

static int pack_program(json_t *o, const struct trial_program *from) {
    int failed = json_object_set_new(o, "trainer", json_integer(from->kind));
    if (from->kind == TRAINER_COMMAND) {
        PROGRAM_MEMBERS(PACK)
    }
    return failed;
}

static int pack_trial(json_t *o, const struct trial *from) {
    int failed = 0;
    TRIAL_MEMBERS(PACK)
    char seed[24]; // JSON integers are signed
    snprintf(seed, sizeof seed, "%" PRIu64, from->seed);
    failed |= json_object_set_new(o, "seed", json_string(seed));
    failed |= pack_program(o, &from->program);
    if (from->program.kind != TRAINER_EMBEDDED)
        return failed; // its hyperparameters stand in its arguments
    json_t *values = json_object();
    for (int i = 0; i < HYPER_COUNT; i++) {
        char value[HYPER_VALUE_SIZE];
        hyper_format(&from->hp, i, value);
        failed |= json_object_set_new(values, hyper_key(i), pack_text(value));
    }
    return failed | json_object_set_new(o, "hyperparameters", values);
}

static int pack_assign(json_t *o, const struct message_assign *from) {
    int failed = 0;
    ASSIGN_MEMBERS(PACK)
    return failed | pack_trial(o, &from->trial);
}

static int pack_epoch(json_t *o, const struct message_epoch *whole) {
    int failed = 0;
    {
        const struct message_epoch *from = whole;
        EPOCH_MEMBERS(PACK)
    }
    const struct epoch_metrics *from = &whole->metrics;
    METRIC_MEMBERS(PACK)
    if (from->value_count == 0)
        return failed;
    json_t *values = json_array();
    for (int i = 0; i < from->value_count; i++)
        failed |= json_array_append_new(values, pack_real(from->values[i]));
    return failed | json_object_set_new(o, "values", values);
}

static int pack_result(json_t *o, const struct trial_result *from) {
    int failed = 0;
    RESULT_MEMBERS(PACK)
    return failed | json_object_set_new(o, "status", json_integer(from->status));
}

static int pack_heartbeat(json_t *o, const struct message_heartbeat *from) {
    int failed = 0;
    HEARTBEAT_MEMBERS(PACK)
    return failed;
}

static int pack_message(json_t *o, const struct message *from) {
    int failed = json_object_set_new(o, "kind", json_string(kind_names[from->kind]));
    PACK(TEXT, trial)
    PACK(INT, attempt)
    PACK(INT, code)
    failed |= json_object_set_new(o, "cause", json_string(cause_names[from->cause]));
    PACK(TEXT, reason)
    switch (from->kind) {
    case MESSAGE_HELLO:
        return failed | pack_hello(o, &from->hello);
    case MESSAGE_ASSIGN:
        return failed | pack_assign(o, &from->assign);
    case MESSAGE_EPOCH:
        return failed | pack_epoch(o, &from->epoch);
    case MESSAGE_RESULT:
        return failed | pack_result(o, &from->result);
    case MESSAGE_HEARTBEAT:
        return failed | pack_heartbeat(o, &from->heartbeat);
    default:
        return failed;
    }
}

enum status message_encode(const struct message *m, char **frame, size_t *bytes, struct error *err) {
    json_t *o = json_object();
    char *text = o && pack_message(o, m) == 0 ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(o);
    size_t length = text ? strlen(text) : 0;
    char *out = text ? malloc(LENGTH_BYTES + length) : NULL;
    if (out) {
        for (int i = 0; i < LENGTH_BYTES; i++)
            out[i] = (char)(length >> (8 * i));
        memcpy(out + LENGTH_BYTES, text, length);
    }
    free(text);
    if (!out)
        return error_memory(err, "message");
    if (length > PROTOCOL_MAX_FRAME) {
        free(out);
        return error_set(err, STATUS_INTERNAL, "message of %zu bytes is too long", length);
    }
    *frame = out;
    *bytes = LENGTH_BYTES + length;
    return STATUS_OK;
}

// ---- decoding ----

static bool unpack_text(const json_t *value, char *out, size_t size) {
    const char *text = json_string_value(value);
    return text && (size_t)snprintf(out, size, "%s", text) < size;
}

static bool unpack_real(const json_t *value, double *out) {
    const char *text = json_string_value(value);
    if (json_is_number(value))
        *out = json_number_value(value);
    else if (json_is_null(value))
        *out = NAN;
    else if (text && strcmp(text, "inf") == 0)
        *out = INFINITY;
    else if (text && strcmp(text, "-inf") == 0)
        *out = -INFINITY;
    else
        return false;
    return true;
}

static bool unpack_long(const json_t *value, int64_t *out) {
    *out = json_integer_value(value);
    return json_is_integer(value);
}

static bool unpack_int(const json_t *value, int *out) {
    int64_t wide;
    if (!unpack_long(value, &wide) || wide < INT32_MIN || wide > INT32_MAX)
        return false;
    *out = (int)wide;
    return true;
}

static bool unpack_flag(const json_t *value, bool *out) {
    *out = json_is_true(value);
    return json_is_boolean(value);
}

#define UNPACK_TEXT(member) unpack_text(json_object_get(o, #member), to->member, sizeof to->member)
#define UNPACK_REAL(member) unpack_real(json_object_get(o, #member), &to->member)
#define UNPACK_INT(member)  unpack_int(json_object_get(o, #member), &to->member)
#define UNPACK_LONG(member) unpack_long(json_object_get(o, #member), &to->member)
#define UNPACK_FLAG(member) unpack_flag(json_object_get(o, #member), &to->member)
#define UNPACK(type, member)                                                                                           \
    if (!UNPACK_##type(member))                                                                                        \
        return error_set(err, STATUS_FORMAT, "message: member '%s' is missing or wrong", #member);

static enum status unpack_hello(const json_t *o, struct message_hello *to, struct error *err) {
    HELLO_MEMBERS(UNPACK)
    return STATUS_OK;
}

static enum status unpack_hyperparameters(json_t *values, struct hyperparameters *hp, struct error *err) {
    if (!json_is_object(values) || json_object_size(values) != HYPER_COUNT)
        return error_set(err, STATUS_FORMAT, "message: not the %d hyperparameters of this version", (int)HYPER_COUNT);
    *hp = hyperparameters_default();
    const char *key;
    json_t *value;
    json_object_foreach(values, key, value) {
        int index = hyper_find(key);
        if (index < 0 || !json_is_string(value))
            return error_set(err, STATUS_FORMAT, "message: hyperparameter '%s' is not known to this version", key);
        TRY(hyper_set(hp, index, json_string_value(value), err));
    }
    return STATUS_OK;
}

static enum status unpack_program(const json_t *o, struct trial_program *to, struct error *err) {
    int kind;
    if (!unpack_int(json_object_get(o, "trainer"), &kind) || kind < TRAINER_EMBEDDED || kind > TRAINER_NONE)
        return error_set(err, STATUS_FORMAT, "message: member 'trainer' is missing or wrong");
    to->kind = (enum trainer_kind)kind;
    if (to->kind == TRAINER_COMMAND) {
        PROGRAM_MEMBERS(UNPACK)
    }
    return STATUS_OK;
}

static enum status unpack_trial(const json_t *o, struct trial *to, struct error *err) {
    TRIAL_MEMBERS(UNPACK)
    const char *seed = json_string_value(json_object_get(o, "seed"));
    char *end = NULL;
    errno = 0;
    to->seed = seed ? strtoull(seed, &end, 10) : 0;
    if (!seed || end == seed || *end || errno)
        return error_set(err, STATUS_FORMAT, "message: member 'seed' is missing or wrong");
    TRY(unpack_program(o, &to->program, err));
    if (to->program.kind != TRAINER_EMBEDDED)
        return STATUS_OK;
    return unpack_hyperparameters(json_object_get(o, "hyperparameters"), &to->hp, err);
}

static enum status unpack_assign(const json_t *o, struct message_assign *to, struct error *err) {
    ASSIGN_MEMBERS(UNPACK)
    return unpack_trial(o, &to->trial, err);
}

static enum status unpack_epoch(const json_t *o, struct message_epoch *whole, struct error *err) {
    {
        struct message_epoch *to = whole;
        EPOCH_MEMBERS(UNPACK)
    }
    struct epoch_metrics *to = &whole->metrics;
    METRIC_MEMBERS(UNPACK)
    const json_t *values = json_object_get(o, "values");
    to->value_count = (int)json_array_size(values);
    if (to->value_count > METRICS_MAX)
        return error_set(err, STATUS_FORMAT, "message: %d metrics, at most %d fit", to->value_count, METRICS_MAX);
    for (int i = 0; i < to->value_count; i++)
        if (!unpack_real(json_array_get(values, (size_t)i), &to->values[i]))
            return error_set(err, STATUS_FORMAT, "message: metric %d is no number", i);
    return STATUS_OK;
}

static enum status unpack_result(const json_t *o, struct trial_result *to, struct error *err) {
    RESULT_MEMBERS(UNPACK)
    int status;
    if (!unpack_int(json_object_get(o, "status"), &status) || status < TRIAL_DONE || status > TRIAL_PAUSED)
        return error_set(err, STATUS_FORMAT, "message: member 'status' is missing or wrong");
    to->status = (enum trial_status)status;
    return STATUS_OK;
}

static enum status unpack_heartbeat(const json_t *o, struct message_heartbeat *to, struct error *err) {
    HEARTBEAT_MEMBERS(UNPACK)
    return STATUS_OK;
}

static int find_name(const char *name, const char *const *names, int count) {
    int i = 0;
    while (name && i < count && strcmp(name, names[i]) != 0)
        i++;
    return name && i < count ? i : -1;
}

static enum status unpack_message(const json_t *o, struct message *to, struct error *err) {
    const char *name = json_string_value(json_object_get(o, "kind"));
    int kind = find_name(name, kind_names, KIND_COUNT);
    if (kind < 0)
        return error_set(err, STATUS_FORMAT, "message: kind '%.40s' is not known", name ? name : "");
    int cause = find_name(json_string_value(json_object_get(o, "cause")), cause_names, CAUSE_COUNT);
    if (cause < 0)
        return error_set(err, STATUS_FORMAT, "message: member 'cause' is missing or wrong");
    to->kind = (enum message_kind)kind;
    to->cause = (enum loss_cause)cause;
    UNPACK(TEXT, trial)
    UNPACK(INT, attempt)
    UNPACK(INT, code)
    UNPACK(TEXT, reason)
    switch (to->kind) {
    case MESSAGE_HELLO:
        return unpack_hello(o, &to->hello, err);
    case MESSAGE_ASSIGN:
        return unpack_assign(o, &to->assign, err);
    case MESSAGE_EPOCH:
        return unpack_epoch(o, &to->epoch, err);
    case MESSAGE_RESULT:
        return unpack_result(o, &to->result, err);
    case MESSAGE_HEARTBEAT:
        return unpack_heartbeat(o, &to->heartbeat, err);
    default:
        return STATUS_OK;
    }
}

// ---- inbox ----

enum status inbox_add(struct inbox *inbox, const void *data, size_t bytes, struct error *err) {
    if (inbox->taken > 0) {
        memmove(inbox->data, inbox->data + inbox->taken, inbox->size - inbox->taken);
        inbox->size -= inbox->taken;
        inbox->taken = 0;
    }
    if (inbox->size + bytes > inbox->capacity) {
        size_t capacity = 2 * (inbox->size + bytes);
        char *grown = realloc(inbox->data, capacity);
        if (!grown)
            return error_memory(err, "message buffer");
        inbox->data = grown;
        inbox->capacity = capacity;
    }
    if (bytes > 0)
        memcpy(inbox->data + inbox->size, data, bytes);
    inbox->size += bytes;
    return STATUS_OK;
}

enum status inbox_take(struct inbox *inbox, struct message *m, bool *got, struct error *err) {
    *got = false;
    size_t held = inbox->size - inbox->taken;
    if (held < LENGTH_BYTES)
        return STATUS_OK;
    const unsigned char *p = (const unsigned char *)inbox->data + inbox->taken;
    size_t length = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--)
        length = length << 8 | p[i];
    if (length == 0 || length > PROTOCOL_MAX_FRAME)
        return error_set(err, STATUS_FORMAT, "message: a frame of %zu bytes: not this protocol", length);
    if (held < LENGTH_BYTES + length)
        return STATUS_OK;
    json_t *o;
    struct error why;
    enum status status = json_text_parse((const char *)p + LENGTH_BYTES, length, &o, &why);
    inbox->taken += LENGTH_BYTES + length;
    if (status != STATUS_OK)
        return error_set(err, status, "message: %s%.900s", status == STATUS_FORMAT ? "not JSON: " : "", why.message);
    if (!json_is_object(o)) {
        json_decref(o);
        return error_set(err, STATUS_FORMAT, "message: not JSON: no object");
    }
    memset(m, 0, sizeof *m);
    status = unpack_message(o, m, err);
    json_decref(o);
    *got = status == STATUS_OK;
    return status;
}

void inbox_free(struct inbox *inbox) {
    free(inbox->data);
    *inbox = (struct inbox){0};
}
