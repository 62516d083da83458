#include "orchestrator/command_template.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { NAME_SIZE = 64, VALUE_SIZE = 2048 };

struct expander {
    const char *at;
    command_lookup *lookup;
    const void *context;
    char *out, *unknown;
    size_t used, size;
    struct error *err;
};

static enum status put(struct expander *x, const char *text, size_t length) {
    if (x->used + length + 1 > x->size)
        return error_set(x->err, STATUS_INVALID, "command: longer than %zu bytes with its values", x->size - 1);
    memcpy(x->out + x->used, text, length);
    x->used += length;
    x->out[x->used] = '\0';
    return STATUS_OK;
}

static bool is_name(char c) {
    return isalnum((unsigned char)c) || c == '_' || c == '-';
}

// At an opening brace: {name}, {{, or a brace that means itself.
static enum status put_braced(struct expander *x) {
    size_t length = 0;
    while (is_name(x->at[1 + length]))
        length++;
    if (x->at[1] == '{') {
        x->at += 2;
        return put(x, "{", 1);
    }
    if (length == 0 || length >= NAME_SIZE || x->at[1 + length] != '}')
        return put(x, x->at++, 1);
    char name[NAME_SIZE], value[VALUE_SIZE];
    snprintf(name, sizeof name, "%.*s", (int)length, x->at + 1);
    x->at += length + 2;
    if (x->lookup(x->context, name, value, sizeof value))
        return put(x, value, strlen(value));
    snprintf(x->unknown, NAME_SIZE, "%s", name);
    return error_set(x->err, STATUS_INVALID, "command: {%s} has no value", name);
}

static enum status put_character(struct expander *x) {
    if (*x->at == '{')
        return put_braced(x);
    if (x->at[0] == '}' && x->at[1] == '}')
        x->at++;
    return put(x, x->at++, 1);
}

static enum status put_quoted(struct expander *x) {
    char quote = *x->at++;
    while (*x->at && *x->at != quote) {
        if (quote == '"' && *x->at == '\\' && x->at[1]) {
            TRY(put(x, x->at + 1, 1));
            x->at += 2;
        } else {
            TRY(put_character(x));
        }
    }
    if (!*x->at)
        return error_set(x->err, STATUS_INVALID, "command: a %c has no end", quote);
    x->at++;
    return STATUS_OK;
}

static enum status put_word(struct expander *x) {
    while (*x->at && !isspace((unsigned char)*x->at)) {
        if (*x->at == '\'' || *x->at == '"') {
            TRY(put_quoted(x));
        } else if (*x->at == '\\' && x->at[1]) {
            TRY(put(x, x->at + 1, 1));
            x->at += 2;
        } else {
            TRY(put_character(x));
        }
    }
    return put(x, "\n", 1);
}

enum status command_expand(const char *command, command_lookup *lookup, const void *context, char *out, size_t size,
                           char *unknown, struct error *err) {
    struct expander x = {
        .at = command, .lookup = lookup, .context = context, .out = out, .size = size, .unknown = unknown, .err = err};
    *unknown = *out = '\0';
    for (;;) {
        while (isspace((unsigned char)*x.at))
            x.at++;
        if (!*x.at)
            break;
        TRY(put_word(&x));
    }
    return *out && *out != '\n' ? STATUS_OK : error_set(err, STATUS_INVALID, "command: names no program");
}
