#include "model/base/safetensors_checksum.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

enum { LENGTH_BYTES = 8, CHUNK = 1 << 20 };
static const char pattern[] = "\"" CHECKSUM_KEY "\":\"" CHECKSUM_NAME;

checksum *checksum_create(void) {
    XXH3_state_t *state = XXH3_createState();
    if (state)
        XXH3_128bits_reset(state);
    return (checksum *)state;
}

void checksum_destroy(checksum *c) {
    XXH3_freeState((XXH3_state_t *)c);
}

void checksum_add(checksum *c, const void *data, size_t bytes) {
    XXH3_128bits_update((XXH3_state_t *)c, data, bytes);
}

void checksum_digits(const checksum *c, char digits[CHECKSUM_DIGITS + 1]) {
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest((const XXH3_state_t *)c));
    for (size_t i = 0; i < sizeof canonical.digest; i++)
        snprintf(digits + 2 * i, 3, "%02x", canonical.digest[i]);
}

// The pattern cannot stand inside a JSON text: its quotes would be escaped.
char *checksum_find(const char *header, size_t bytes) {
    char *at = memmem(header, bytes, pattern, sizeof pattern - 1);
    if (!at || (size_t)(header + bytes - at) < sizeof pattern - 1 + CHECKSUM_DIGITS)
        return NULL;
    return at + sizeof pattern - 1;
}

static enum status read_all(int fd, const char *path, void *buffer, size_t bytes, off_t offset, struct error *err) {
    for (size_t done = 0; done < bytes;) {
        ssize_t n = pread(fd, (char *)buffer + done, bytes - done, offset + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, STATUS_IO, "cannot read %s: %s", path, strerror(errno));
        if (n == 0)
            return error_set(err, STATUS_FORMAT, "%s: truncated", path);
        done += (size_t)n;
    }
    return STATUS_OK;
}

static enum status add_data(checksum *c, int fd, const char *path, char *buffer, off_t offset, struct error *err) {
    for (;;) {
        ssize_t n = pread(fd, buffer, CHUNK, offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_set(err, STATUS_IO, "cannot read %s: %s", path, strerror(errno));
        if (n == 0)
            return STATUS_OK;
        checksum_add(c, buffer, (size_t)n);
        offset += n;
    }
}

static enum status verify(checksum *c, int fd, const char *path, char *header, size_t bytes, char *buffer, bool *there,
                          struct error *err) {
    TRY(read_all(fd, path, header, bytes, 0, err));
    char *at = checksum_find(header, bytes), wanted[CHECKSUM_DIGITS + 1] = "", found[CHECKSUM_DIGITS + 1];
    *there = at != NULL;
    if (!at)
        return STATUS_OK;
    memcpy(wanted, at, CHECKSUM_DIGITS);
    memcpy(at, CHECKSUM_ZEROS, CHECKSUM_DIGITS);
    checksum_add(c, header, bytes);
    TRY(add_data(c, fd, path, buffer, (off_t)bytes, err));
    checksum_digits(c, found);
    if (strcmp(wanted, found) != 0)
        return error_set(err, STATUS_FORMAT, "%s: damaged: its checksum is %s, but it says %s", path, found, wanted);
    return STATUS_OK;
}

enum status checksum_verify(int fd, const char *path, size_t header_bytes, bool *there, struct error *err) {
    size_t bytes = LENGTH_BYTES + header_bytes;
    checksum *c = checksum_create();
    char *header = malloc(bytes), *buffer = malloc(CHUNK);
    enum status status =
        c && header && buffer ? verify(c, fd, path, header, bytes, buffer, there, err) : error_memory(err, path);
    checksum_destroy(c);
    free(header);
    free(buffer);
    return status;
}
