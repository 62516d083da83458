#include "orchestrator/options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/base/nearest.h"

static int find(const struct options *o, const char *name, size_t length) {
    for (int i = 0; i < o->spec_count; i++)
        if (strncmp(o->specs[i].name, name, length) == 0 && o->specs[i].name[length] == 0)
            return i;
    return -1;
}

static enum status unknown(const struct options *o, const char *word, struct error *err) {
    const char *names[OPTIONS_MAX];
    if (o->spec_count == 0)
        return error_set(err, STATUS_INVALID, "gridfold %s takes no options; remove --%s", o->verb, word);
    for (int i = 0; i < o->spec_count; i++)
        names[i] = o->specs[i].name;
    return error_set(err, STATUS_INVALID, "gridfold %s takes no option --%s; the nearest is --%s", o->verb, word,
                     text_nearest(word, names, (size_t)o->spec_count));
}

// One word that begins with "--"; *next is the word after it and is moved on when it is this one's value.
static enum status take(struct options *o, const char *word, int argc, char **argv, int *next, struct error *err) {
    const char *name = word + 2, *equals = strchr(name, '=');
    int i = find(o, name, equals ? (size_t)(equals - name) : strlen(name));
    if (i < 0)
        return unknown(o, name, err);
    o->given[i] = true;
    if (!o->specs[i].argument) {
        if (equals)
            return error_set(err, STATUS_INVALID, "--%s takes no value", o->specs[i].name);
        o->values[i] = "";
    } else if (equals) {
        o->values[i] = equals + 1;
    } else if (*next < argc) {
        o->values[i] = argv[(*next)++];
    } else {
        return error_set(err, STATUS_INVALID, "--%s needs a value (%s)", o->specs[i].name, o->specs[i].argument);
    }
    return STATUS_OK;
}

enum status options_parse(int argc, char **argv, const struct option_spec *specs, int spec_count, struct options *o,
                          struct error *err) {
    *o = (struct options){.verb = argv[0], .specs = specs, .spec_count = spec_count};
    for (int i = 0; i < spec_count; i++)
        o->values[i] = specs[i].default_text;
    bool only_positional = false;
    for (int i = 1; i < argc;) {
        const char *word = argv[i++];
        if (!only_positional && strcmp(word, "--") == 0) {
            only_positional = true;
        } else if (!only_positional && strncmp(word, "--", 2) == 0) {
            TRY(take(o, word, argc, argv, &i, err));
        } else {
            if (o->positional_count == OPTIONS_MAX_POSITIONAL)
                return error_set(err, STATUS_INVALID, "gridfold %s: more than %d words", o->verb,
                                 OPTIONS_MAX_POSITIONAL);
            o->positional[o->positional_count++] = word;
        }
    }
    return STATUS_OK;
}

const char *options_text(const struct options *o, const char *name) {
    return o->values[find(o, name, strlen(name))];
}

bool options_given(const struct options *o, const char *name) {
    return o->given[find(o, name, strlen(name))];
}

enum status options_integer(const struct options *o, const char *name, long long minimum, long long maximum,
                            long long *value, struct error *err) {
    const char *text = options_text(o, name);
    if (!text)
        return STATUS_OK;
    char *end;
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    if (end == text || *end || errno || parsed < minimum || parsed > maximum)
        return error_set(err, STATUS_INVALID, "--%s %s: a whole number from %lld to %lld is needed", name, text,
                         minimum, maximum);
    *value = parsed;
    return STATUS_OK;
}

enum status options_choice(const struct options *o, const char *name, const char *choices, int *value,
                           struct error *err) {
    const char *text = options_text(o, name);
    if (!text)
        return STATUS_OK;
    size_t length = strlen(text);
    int index = 0;
    for (const char *c = choices; c; index++) {
        const char *end = strchrnul(c, '|');
        if ((size_t)(end - c) == length && strncmp(c, text, length) == 0) {
            *value = index;
            return STATUS_OK;
        }
        c = *end ? end + 1 : NULL;
    }
    return error_set(err, STATUS_INVALID, "--%s %s: one of %s is needed", name, text, choices);
}

enum status options_expect(const struct options *o, int count, const char *what, struct error *err) {
    if (o->positional_count != count)
        return error_set(err, STATUS_INVALID, "gridfold %s needs %s; see gridfold %s --help", o->verb, what, o->verb);
    return STATUS_OK;
}

void options_print(FILE *out, const struct option_spec *specs, int spec_count) {
    for (int i = 0; i < spec_count; i++) {
        char left[128];
        snprintf(left, sizeof left, "--%s%s%s", specs[i].name, specs[i].argument ? " " : "",
                 specs[i].argument ? specs[i].argument : "");
        if (strlen(left) > 28) // its help stands on the next line
            fprintf(out, "  %s\n  %-28s %s", left, "", specs[i].help);
        else
            fprintf(out, "  %-28s %s", left, specs[i].help);
        if (specs[i].default_text && specs[i].default_text[0])
            fprintf(out, " (%s)", specs[i].default_text);
        fputc('\n', out);
    }
}
