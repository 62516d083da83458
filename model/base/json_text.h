// JSON text into jansson's values, safe where memory is short.
//
// jansson 2.14's lexer drops a character without a word when it cannot grow its buffer (lex_save ignores the failure):
// a trial's id may then lack a digit and still be a string. Here such a text is refused. One thread at a time in a
// process.
#ifndef GRIDFOLD_MODEL_BASE_JSON_TEXT_H
#define GRIDFOLD_MODEL_BASE_JSON_TEXT_H

#include <jansson.h>

#include "model/base/status.h"

// One value and nothing behind it; no key twice in an object. The caller owns *value. STATUS_MEMORY; STATUS_FORMAT with
// what is wrong, without a file's name.
NODISCARD enum status json_text_parse(const char *text, size_t bytes, json_t **value, struct error *err);

#endif
