// The stand-in for CUDA's bf16: a type and its conversions.
#ifndef GRIDFOLD_TESTS_CUDA_STANDIN_CUDA_BF16_H
#define GRIDFOLD_TESTS_CUDA_STANDIN_CUDA_BF16_H

#include "cuda_runtime.h"

struct __nv_bfloat16 {
    unsigned short bits;
};

static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) {
    return x.bits;
}

static inline float __bfloat162float(__nv_bfloat16 x) {
    return __uint_as_float((unsigned)x.bits << 16);
}

static inline __nv_bfloat16 __float2bfloat16_rn(float x) { // to nearest even
    unsigned bits = __float_as_uint(x);
    if (x != x)
        return {0x7fff};
    return {(unsigned short)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

#endif
