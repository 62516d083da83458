// One block of channels as a vector. Internal to kernel_*.c.
#ifndef GRIDFOLD_MODEL_ONEDNN_KERNEL_VEC_H
#define GRIDFOLD_MODEL_ONEDNN_KERNEL_VEC_H

#include "model/onednn/kernel_common.h"

typedef float vec __attribute__((vector_size(KERNEL_BLOCK * sizeof(float)), may_alias));
typedef int32_t lanes __attribute__((vector_size(KERNEL_BLOCK * sizeof(int32_t))));

// to[l][i] = from[i][l], by exchanging ever larger squares (Eklundh 1972).
static inline void transpose_block(const float *from, float *to) {
    vec row[BLOCK];
#pragma GCC unroll 16
    for (int i = 0; i < BLOCK; i++)
        row[i] = ((const vec *)from)[i];
#if defined(__clang__)
    for (int i = 0; i < BLOCK; i++)
        for (int l = 0; l < BLOCK; l++)
            to[l * BLOCK + i] = row[i][l];
#else
#pragma GCC unroll 4
    for (int s = 1; s < BLOCK; s *= 2) {
        lanes low, high;
#pragma GCC unroll 16
        for (int l = 0; l < BLOCK; l++) {
            low[l] = l & s ? BLOCK + l - s : l;
            high[l] = l & s ? BLOCK + l : l + s;
        }
#pragma GCC unroll 16
        for (int i = 0; i < BLOCK; i++)
            if (!(i & s)) {
                vec a = row[i], b = row[i + s];
                row[i] = __builtin_shuffle(a, b, low);
                row[i + s] = __builtin_shuffle(a, b, high);
            }
    }
#pragma GCC unroll 16
    for (int i = 0; i < BLOCK; i++)
        ((vec *)to)[i] = row[i];
#endif
}

#endif
