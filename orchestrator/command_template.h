// `command = python3 train.py --lr {lr}`: a program and its arguments with places for values.
//
// The text is split into words at blanks; '...' and "..." keep blanks together, a backslash takes the next character as
// it is (not within '...'). There is no shell: for pipes and wildcards write sh -c '...'. Then {name} in any word is
// replaced by a value, which never splits a word. {{ and }} are braces; what stands in braces and is no name ('{x +=
// $1}') is left as it is. Pure.
#ifndef GRIDFOLD_ORCHESTRATOR_COMMAND_TEMPLATE_H
#define GRIDFOLD_ORCHESTRATOR_COMMAND_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "model/base/status.h"

// The value of a name; false: there is no such name.
typedef bool command_lookup(const void *context, const char *name, char *value, size_t size);

// Writes the words, each ended by '\n'. STATUS_INVALID: a quote without its end, no word at all, a name that lookup
// does not know (`unknown`, of at least 64 bytes, has it then, else ""), or a text that does not fit.
NODISCARD enum status command_expand(const char *command, command_lookup *lookup, const void *context, char *out,
                                     size_t size, char *unknown, struct error *err);

#endif
