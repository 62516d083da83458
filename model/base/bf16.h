// bf16: the upper half of a float (8 bits of exponent, 7 of mantissa).
#ifndef GRIDFOLD_MODEL_BASE_BF16_H
#define GRIDFOLD_MODEL_BASE_BF16_H

#include <stdint.h>
#include <string.h>

// To the nearest, ties to even; NaN stays NaN, and what is too large becomes infinite.
static inline uint16_t bf16_from_float(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
    return (uint16_t)(x != x ? quiet : rounded);
}

static inline float bf16_to_float(uint16_t x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
