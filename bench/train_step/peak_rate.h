// What the processor's multiply-add units give at most: the yardstick for a training step.
#ifndef GRIDFOLD_BENCH_PEAK_RATE_H
#define GRIDFOLD_BENCH_PEAK_RATE_H

#include <stdbool.h>

// GFLOP/s (2 a multiply-add) of independent multiply-adds in registers, the widest that the processor has, on so many
// threads: the fastest of several bursts of some 20 ms. bf16: products in bf16 added in fp32, by tile registers (AMX)
// or of pairs (AVX512_BF16). 0: no such instruction here.
double peak_rate(int threads, bool bf16);

#endif
