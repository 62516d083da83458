// The checksum of a safetensors file: XXH3-128 of every byte of it, its own digits taken as zeros, in the metadata as
// "checksum": "xxh3-128:<32 hex digits>". Other readers see a metadata entry and nothing else.
//
// Shared by the writer and the reader; one thread.
#ifndef GRIDFOLD_MODEL_BASE_SAFETENSORS_CHECKSUM_H
#define GRIDFOLD_MODEL_BASE_SAFETENSORS_CHECKSUM_H

#include <stdbool.h>
#include <stddef.h>

#include "model/base/status.h"

#define CHECKSUM_KEY   "checksum"
#define CHECKSUM_NAME  "xxh3-128:"
#define CHECKSUM_ZEROS "00000000000000000000000000000000"
enum { CHECKSUM_DIGITS = sizeof CHECKSUM_ZEROS - 1 };

typedef struct checksum checksum;
checksum *checksum_create(void); // NULL: out of memory
void checksum_destroy(checksum *c);
void checksum_add(checksum *c, const void *data, size_t bytes);
void checksum_digits(const checksum *c, char digits[CHECKSUM_DIGITS + 1]);

// Where the digits stand in the text of a header (`bytes` long); NULL: it has none.
char *checksum_find(const char *header, size_t bytes);

// Reads the open file from its beginning and compares. *there: it has a checksum at all. STATUS_FORMAT: damaged;
// STATUS_IO: unreadable. `header_bytes`: of the JSON.
NODISCARD enum status checksum_verify(int fd, const char *path, size_t header_bytes, bool *there, struct error *err);

#endif
