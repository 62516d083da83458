// 64-bit FNV-1a over text (http://www.isthe.com/chongo/tech/comp/fnv/): the hash of trial ids.
#ifndef GRIDFOLD_WORKER_FNV1A_H
#define GRIDFOLD_WORKER_FNV1A_H

#include <stdint.h>

#define FNV1A_START UINT64_C(0xcbf29ce484222325)

static inline uint64_t fnv1a(uint64_t hash, const char *text) {
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * UINT64_C(0x100000001b3);
    return hash;
}

#endif
