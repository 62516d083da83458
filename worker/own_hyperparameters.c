#include "worker/own_hyperparameters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/fnv1a.h"

static char hyphen(char c) {
    return c == '_' ? '-' : c;
}

int own_key_find(const struct own_keys *keys, const char *key) {
    for (int i = 0; i < keys->count; i++) {
        const char *a = keys->key[i], *b = key;
        while (*a && *a == hyphen(*b))
            a++, b++;
        if (!*a && !*b)
            return i;
    }
    return -1;
}

enum status own_key_declare(struct own_keys *keys, const char *key, int *index, struct error *err) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    *index = own_key_find(keys, key);
    if (*index >= 0)
        return STATUS_OK;
    if (!*key || strlen(key) >= OWN_KEY_SIZE || key[strspn(key, allowed)])
        return error_set(err, STATUS_INVALID,
                         "'%.80s' is no name of a hyperparameter: letters, digits, - and _, at "
                         "most %d of them",
                         key, OWN_KEY_SIZE - 1);
    if (keys->count == OWN_MAX)
        return error_set(err, STATUS_INVALID, "'%s' is one hyperparameter too many: at most %d can be declared", key,
                         OWN_MAX);
    *index = keys->count++;
    char *out = keys->key[*index];
    for (; *key; key++)
        *out++ = hyphen(*key);
    *out = '\0';
    return STATUS_OK;
}

// Where line `index` begins; the end of the text when there are fewer.
static const char *line_at(const char *own, int index) {
    while (index > 0 && *own) {
        own += strcspn(own, "\n");
        own += *own == '\n';
        index--;
    }
    return own;
}

static int count_lines(const char *own) {
    int lines = 0;
    for (; *own; own++)
        lines += *own == '\n';
    return lines;
}

void own_value(const char *own, int index, char *out, size_t size) {
    const char *line = line_at(own, index);
    snprintf(out, size, "%.*s", (int)strcspn(line, "\n"), line);
}

// Every value fits, as each has its share of the text.
static void replace_line(char own[OWN_TEXT_SIZE], int index, const char *value) {
    char text[OWN_TEXT_SIZE + OWN_MAX];
    size_t used = (size_t)snprintf(text, sizeof text, "%s", own);
    for (int lines = count_lines(own); lines <= index; lines++)
        text[used++] = '\n';
    text[used] = '\0';
    const char *line = line_at(text, index);
    snprintf(own, OWN_TEXT_SIZE, "%.*s%s%s", (int)(line - text), text, value, line + strcspn(line, "\n"));
}

enum status own_value_set(char own[OWN_TEXT_SIZE], int index, const char *value, struct error *err) {
    if (strpbrk(value, "\r\n"))
        return error_set(err, STATUS_INVALID, "a value holds a line break; take one without");
    if (strlen(value) >= OWN_VALUE_SIZE)
        return error_set(err, STATUS_INVALID, "'%.80s' is longer than %d bytes; take a shorter value", value,
                         OWN_VALUE_SIZE - 1);
    replace_line(own, index, value);
    return STATUS_OK;
}

void own_value_copy(char to[OWN_TEXT_SIZE], const char *from, int index) {
    char value[OWN_VALUE_SIZE];
    own_value(from, index, value, sizeof value);
    replace_line(to, index, value);
}

struct line {
    const char *key;
    char value[OWN_VALUE_SIZE];
};

static int by_key(const void *a, const void *b) {
    return strcmp(((const struct line *)a)->key, ((const struct line *)b)->key);
}

void own_trial_id(const struct own_keys *keys, const char *own, const char *program, int folds, int fold, uint64_t seed,
                  char id[17]) {
    struct line lines[OWN_MAX]; // sorted, so that the order of declaration changes no id
    for (int i = 0; i < keys->count; i++) {
        lines[i].key = keys->key[i];
        own_value(own, i, lines[i].value, sizeof lines[i].value);
    }
    qsort(lines, (size_t)keys->count, sizeof lines[0], by_key);
    uint64_t hash = fnv1a(fnv1a(FNV1A_START, program), "\n");
    for (int i = 0; i < keys->count; i++)
        hash = fnv1a(fnv1a(fnv1a(fnv1a(hash, lines[i].key), "="), lines[i].value), "\n");
    char tail[96];
    snprintf(tail, sizeof tail, "fold=%d\nfolds=%d\nseed=%llu\n", fold, folds, (unsigned long long)seed);
    snprintf(id, 17, "%016llx", (unsigned long long)fnv1a(hash, tail));
}
