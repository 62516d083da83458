// Text that came from files and may be of any encoding.
#ifndef GRIDFOLD_MODEL_BASE_UTF8_H
#define GRIDFOLD_MODEL_BASE_UTF8_H

#include <stddef.h>

// Bytes of the character that begins at `at` (1 to 4), 0 where none of UTF-8 does (RFC 3629: shortest form, no
// surrogates, up to U+10FFFF). `at` ends in a zero byte.
size_t utf8_character(const char *at);
// How many bytes belong to no character.
size_t utf8_count_wrong(const char *text);
// Each of them becomes '?'.
void utf8_mend(char *text);

#endif
