// The name that a mistyped word was meant to be, for error messages.
#ifndef GRIDFOLD_MODEL_BASE_NEAREST_H
#define GRIDFOLD_MODEL_BASE_NEAREST_H

#include <stddef.h>

// Levenshtein distance of the first 128 bytes, without regard to case and to hyphens against underscores.
size_t text_edit_distance(const char *a, const char *b);

// The name at the smallest distance, the first of several; "" when there are none.
const char *text_nearest(const char *word, const char *const *names, size_t count);

#endif
