// The hyperparameter table at work: text to value and back, ranges, trial ids.
#include "worker/hyperparameters.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/nearest.h"
#include "worker/fnv1a.h"

enum hyper_type { TYPE_REAL, TYPE_INT, TYPE_CHOICE, TYPE_TEXT, TYPE_LIST };

static const struct entry {
    enum hyper_type type;
    size_t offset; // of the value in struct hyperparameters
    const char *key, *default_text;
    double minimum, maximum;
    const char *choices, *help;
} table[HYPER_COUNT] = {
#define X(type, field, key, def, min, max, choices, help)                                                              \
    {TYPE_##type, offsetof(struct hyperparameters, field), key, def, min, max, choices, help},
    HYPERPARAMETERS(X)
#undef X
};

static void *field_of(struct hyperparameters *hp, int index) {
    return (char *)hp + table[index].offset;
}

static const void *const_field_of(const struct hyperparameters *hp, int index) {
    return (const char *)hp + table[index].offset;
}

const char *hyper_key(int index) {
    return table[index].key;
}

const char *hyper_help(int index) {
    return table[index].help;
}

const char *hyper_default_text(int index) {
    return table[index].default_text;
}

const char *hyper_choices(int index) {
    return table[index].choices;
}

bool hyper_is_list(int index) {
    return index < HYPER_COUNT && table[index].type == TYPE_LIST;
}

bool hyper_is_text(int index) {
    return index >= HYPER_COUNT || table[index].type == TYPE_TEXT;
}

void hyper_column(int index, char *out, size_t size) {
    snprintf(out, size, "%s", table[index].key);
    for (char *c = out; *c; c++)
        if (*c == '-')
            *c = '_';
}

// Keys and choices are one name whether written with hyphens or underscores.
static char same_dash(char c) {
    return c == '_' ? '-' : c;
}

static bool names_equal(const char *a, const char *b, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (a[i] == '\0' || same_dash(a[i]) != same_dash(b[i]))
            return false;
    return a[length] == '\0';
}

int hyper_find(const char *key) {
    for (int i = 0; i < HYPER_COUNT; i++)
        if (names_equal(key, table[i].key, strlen(table[i].key)))
            return i;
    return -1;
}

const char *hyper_nearest(const char *key) {
    const char *keys[HYPER_COUNT];
    for (int i = 0; i < HYPER_COUNT; i++)
        keys[i] = table[i].key;
    return text_nearest(key, keys, HYPER_COUNT);
}

// ---- text to value ----

static enum status out_of_range(const struct entry *e, const char *value, struct error *err) {
    return error_set(err, STATUS_INVALID, "%s = %.80s: must lie in %.10g .. %.10g", e->key, value, e->minimum,
                     e->maximum);
}

static enum status set_real(const struct entry *e, const char *value, double *out, struct error *err) {
    char *end = NULL;
    double number = strtod(value, &end);
    // strtod also reads "inf", "nan" and hexadecimal; none of them is a setting that anyone means.
    if (*value == '\0' || *end != '\0' || value[strspn(value, "+-.0123456789eE")] != '\0')
        return error_set(err, STATUS_INVALID, "%s = %.80s: is not a number; write one like %s", e->key, value,
                         e->default_text);
    if (!(number >= e->minimum && number <= e->maximum))
        return out_of_range(e, value, err);
    *out = number == 0 ? 0 : number; // "-0" and "0" are one value and one trial
    return STATUS_OK;
}

// The whole number at the start of `value`; *end stands behind it, or at `value` when there is none.
static long whole_number(const char *value, char **end) {
    errno = 0;
    long number = strtol(value, end, 10);
    return errno == ERANGE ? -1 : number; // no range of the table reaches below zero
}

static enum status set_int(const struct entry *e, const char *value, int *out, struct error *err) {
    char *end = NULL;
    long number = whole_number(value, &end);
    if (end == value || *end != '\0')
        return error_set(err, STATUS_INVALID, "%s = %.80s: is not a whole number; write one like %s", e->key, value,
                         e->default_text);
    if (!((double)number >= e->minimum && (double)number <= e->maximum))
        return out_of_range(e, value, err);
    *out = (int)number;
    return STATUS_OK;
}

static enum status set_choice(const struct entry *e, const char *value, int *out, struct error *err) {
    const char *choice = e->choices;
    for (int i = 0;; i++) {
        size_t length = strcspn(choice, "|");
        if (names_equal(value, choice, length)) {
            *out = i;
            return STATUS_OK;
        }
        if (choice[length] == '\0')
            break;
        choice += length + 1;
    }
    return error_set(err, STATUS_INVALID, "%s = %.80s: must be one of %s", e->key, value, e->choices);
}

static enum status set_text(const struct entry *e, const char *value, char *out, struct error *err) {
    if (strlen(value) >= HYPER_TEXT_SIZE)
        return error_set(err, STATUS_INVALID, "%s: is longer than %d bytes; take a shorter one", e->key,
                         HYPER_TEXT_SIZE - 1);
    if (strpbrk(value, "\r\n"))
        return error_set(err, STATUS_INVALID, "%s: holds a line break; take a path without one", e->key);
    memmove(out, value, strlen(value) + 1);
    return STATUS_OK;
}

static enum status set_list(const struct entry *e, const char *value, int *out, struct error *err) {
    int parsed[HYPER_LIST_LENGTH];
    const char *at = value;
    for (int i = 0; i < HYPER_LIST_LENGTH; i++) {
        char *end = NULL;
        long number = whole_number(at, &end);
        bool last = i == HYPER_LIST_LENGTH - 1, empty = end == at;
        end += strspn(end, " \t");
        if (empty || *end != (last ? '\0' : ','))
            return error_set(err, STATUS_INVALID, "%s = %.80s: must be %d whole numbers like %s", e->key, value,
                             HYPER_LIST_LENGTH, e->default_text);
        if (!((double)number >= e->minimum && (double)number <= e->maximum))
            return out_of_range(e, value, err);
        parsed[i] = (int)number;
        at = end + 1;
    }
    memcpy(out, parsed, sizeof parsed);
    return STATUS_OK;
}

enum status hyper_set(struct hyperparameters *hp, int index, const char *value, struct error *err) {
    if (index >= HYPER_COUNT)
        return own_value_set(hp->own, index - HYPER_COUNT, value, err);
    const struct entry *e = &table[index];
    void *field = field_of(hp, index);
    switch (e->type) {
    case TYPE_REAL:
        return set_real(e, value, field, err);
    case TYPE_INT:
        return set_int(e, value, field, err);
    case TYPE_CHOICE:
        return set_choice(e, value, field, err);
    case TYPE_TEXT:
        return set_text(e, value, field, err);
    case TYPE_LIST:
        return set_list(e, value, field, err);
    }
    return error_set(err, STATUS_INTERNAL, "%s: unknown type in the hyperparameter table", e->key);
}

struct hyperparameters hyperparameters_default(void) {
    struct hyperparameters hp;
    memset(&hp, 0, sizeof hp); // padding too: the struct goes over the wire as bytes
    struct error err;
    for (int i = 0; i < HYPER_COUNT; i++)
        if (hyper_set(&hp, i, table[i].default_text, &err) != STATUS_OK)
            fprintf(stderr, "gridfold: default of the hyperparameter table: %s\n", err.message);
    return hp;
}

// ---- value to text ----

void text_of_real(double value, char *out, size_t size) {
    if (fabs(value) < 1e15 && value == floor(value)) { // "100" and not "1e+02"
        snprintf(out, size, "%.0f", value);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(out, size, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            return;
    }
}

static void format_choice(const char *choices, int index, char out[HYPER_VALUE_SIZE]) {
    for (; index > 0; index--)
        choices += strcspn(choices, "|") + 1;
    snprintf(out, HYPER_VALUE_SIZE, "%.*s", (int)strcspn(choices, "|"), choices);
}

static void format_list(const int *list, char out[HYPER_VALUE_SIZE]) {
    int used = 0;
    for (int i = 0; i < HYPER_LIST_LENGTH; i++)
        used += snprintf(out + used, (size_t)(HYPER_VALUE_SIZE - used), "%s%d", i > 0 ? "," : "", list[i]);
}

void hyper_format(const struct hyperparameters *hp, int index, char out[HYPER_VALUE_SIZE]) {
    if (index >= HYPER_COUNT) {
        own_value(hp->own, index - HYPER_COUNT, out, HYPER_VALUE_SIZE);
        return;
    }
    const void *field = const_field_of(hp, index);
    switch (table[index].type) {
    case TYPE_REAL:
        text_of_real(*(const double *)field, out, HYPER_VALUE_SIZE);
        break;
    case TYPE_INT:
        snprintf(out, HYPER_VALUE_SIZE, "%d", *(const int *)field);
        break;
    case TYPE_CHOICE:
        format_choice(table[index].choices, *(const int *)field, out);
        break;
    case TYPE_TEXT:
        snprintf(out, HYPER_VALUE_SIZE, "%s", (const char *)field);
        break;
    case TYPE_LIST:
        format_list(field, out);
        break;
    }
}

void hyper_copy(struct hyperparameters *to, const struct hyperparameters *from, int index) {
    static const size_t sizes[] = {[TYPE_REAL] = sizeof(double),
                                   [TYPE_INT] = sizeof(int),
                                   [TYPE_CHOICE] = sizeof(int),
                                   [TYPE_TEXT] = HYPER_TEXT_SIZE,
                                   [TYPE_LIST] = HYPER_LIST_LENGTH * sizeof(int)};
    if (index >= HYPER_COUNT) {
        own_value_copy(to->own, from->own, index - HYPER_COUNT);
        return;
    }
    memcpy(field_of(to, index), const_field_of(from, index), sizes[table[index].type]);
}

enum status hyperparameters_check(const struct hyperparameters *hp, struct error *err) {
    if (hp->image_size % 32 != 0)
        return error_set(err, STATUS_INVALID, "image-size = %d: must be a multiple of 32; take %d", hp->image_size,
                         hp->image_size / 32 * 32 > 0 ? hp->image_size / 32 * 32 : 32);
    return STATUS_OK;
}

enum status hyperparameters_check_members(const struct hyperparameters *hp, int members, struct error *err) {
    if (members > hp->batch_size)
        return error_set(err, STATUS_INVALID,
                         "batch-size = %d: too few samples to be shared out among gpus-per-trial = %d", hp->batch_size,
                         members);
    return STATUS_OK;
}

// ---- trial id ----

static int by_key(const void *a, const void *b) {
    return strcmp(table[*(const int *)a].key, table[*(const int *)b].key);
}

void trial_id(const struct hyperparameters *hp, int folds, int fold, uint64_t seed, char id[TRIAL_ID_SIZE]) {
    int order[HYPER_COUNT]; // sorted, so that moving a line of the table changes no id
    for (int i = 0; i < HYPER_COUNT; i++)
        order[i] = i;
    qsort(order, HYPER_COUNT, sizeof order[0], by_key);

    uint64_t hash = FNV1A_START;
    for (int i = 0; i < HYPER_COUNT; i++) {
        char value[HYPER_VALUE_SIZE];
        hyper_format(hp, order[i], value);
        hash = fnv1a(hash, table[order[i]].key);
        hash = fnv1a(hash, "=");
        hash = fnv1a(hash, value);
        hash = fnv1a(hash, "\n");
    }
    char tail[96];
    snprintf(tail, sizeof tail, "fold=%d\nfolds=%d\nseed=%llu\n", fold, folds, (unsigned long long)seed);
    snprintf(id, TRIAL_ID_SIZE, "%016llx", (unsigned long long)fnv1a(hash, tail));
}
