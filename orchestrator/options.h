// Command-line options of a verb: --name VALUE, --name=VALUE, --flag, and positional words in any order.
//
// A verb declares a table of what it takes; unknown names, missing values and words out of range are one clear line
// with the nearest valid name.
#ifndef GRIDFOLD_ORCHESTRATOR_OPTIONS_H
#define GRIDFOLD_ORCHESTRATOR_OPTIONS_H

#include <stdbool.h>
#include <stdio.h>

#include "model/base/status.h"

enum { OPTIONS_MAX = 64, OPTIONS_MAX_POSITIONAL = 256 };

struct option_spec {
    const char *name;         // without the dashes
    const char *argument;     // "N", "FILE": what help shows; NULL: a flag
    const char *default_text; // value when it is not given; NULL: none
    const char *help;
};

struct options {
    const char *verb;
    const struct option_spec *specs;
    int spec_count;
    const char *values[OPTIONS_MAX]; // by spec; NULL: neither given nor defaulted; "" for a flag that was given
    bool given[OPTIONS_MAX];
    int positional_count;
    const char *positional[OPTIONS_MAX_POSITIONAL];
};

// argv[0] is the verb. Words are not copied.
NODISCARD enum status options_parse(int argc, char **argv, const struct option_spec *specs, int spec_count,
                                    struct options *o, struct error *err);

// NULL: neither given nor defaulted.
const char *options_text(const struct options *o, const char *name);
bool options_given(const struct options *o, const char *name);
NODISCARD enum status options_integer(const struct options *o, const char *name, long long minimum, long long maximum,
                                      long long *value, struct error *err);
// Index into "a|b|c"; `value` is left alone when the option was not given and has no default.
NODISCARD enum status options_choice(const struct options *o, const char *name, const char *choices, int *value,
                                     struct error *err);
// Exactly `count` positional words, described by `what` ("CHECKPOINT IN.tif OUT.tif").
NODISCARD enum status options_expect(const struct options *o, int count, const char *what, struct error *err);

void options_print(FILE *out, const struct option_spec *specs, int spec_count); // the options' part of a help text

#endif
