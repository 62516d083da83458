#include "bench/train_step/peak_rate.h"

#include <stddef.h>
#include <stdint.h>

#include "model/base/clock.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CHAINS = 12, ROUNDS = 1 << 18, BURSTS = 10 };

// CHAINS accumulators in registers, so that no multiply-add waits for the one before it; all operands are zero.
#define ONE(instruction, r, i) instruction " %%" r "mm15, %%" r "mm15, %%" r "mm" i "\n\t"
#define CLEAR(r, i)            "vxorps %%ymm" i ", %%ymm" i ", %%ymm" i "\n\t"
#define EACH(f, ...)                                                                                                   \
    f(__VA_ARGS__, "0") f(__VA_ARGS__, "1") f(__VA_ARGS__, "2") f(__VA_ARGS__, "3") f(__VA_ARGS__, "4")                \
        f(__VA_ARGS__, "5") f(__VA_ARGS__, "6") f(__VA_ARGS__, "7") f(__VA_ARGS__, "8") f(__VA_ARGS__, "9")            \
            f(__VA_ARGS__, "10") f(__VA_ARGS__, "11")
#define BURST(name, instruction, r)                                                                                    \
    static void name(void) {                                                                                           \
        __asm__ volatile(EACH(CLEAR, r) CLEAR(r, "15")::                                                               \
                             : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",         \
                               "xmm10", "xmm11", "xmm15");                                                             \
        for (int k = 0; k < ROUNDS; k++)                                                                               \
            __asm__ volatile(EACH(ONE, instruction, r)::                                                               \
                                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",     \
                                   "xmm10", "xmm11");                                                                  \
    }

BURST(burst_avx2, "vfmadd231ps", "y")
BURST(burst_avx512, "vfmadd231ps", "z")
BURST(burst_bf16, "vdpbf16ps", "z")

struct burst {
    void (*run)(void);
    int flops; // of one instruction
};

// Products of whole tiles, 16 x 32 by 32 x 16, into four sums in turn.
__attribute__((target("amx-tile,amx-bf16"))) static void burst_tiles(void) {
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t row_bytes[16];
        uint8_t rows[16];
    } shapes = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        shapes.row_bytes[t] = 64;
        shapes.rows[t] = 16;
    }
    __asm__ volatile("" ::"r"(&shapes) : "memory"); // GCC takes the next line to read 8 bytes of it
    _tile_loadconfig(&shapes);                      // clears all tiles
    for (int k = 0; k < CHAINS / 4 * ROUNDS; k++) {
        _tile_dpbf16ps(0, 4, 6);
        _tile_dpbf16ps(1, 4, 7);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
    }
    _tile_release();
}

static bool has_tiles(void) {
    enum { AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24, REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && d & AMX_BF16 && d & AMX_TILE &&
           syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

static struct burst choose_burst(bool bf16) {
    __builtin_cpu_init();
    if (bf16 && has_tiles())
        return (struct burst){burst_tiles, 2 * 16 * 16 * 32};
    if (bf16)
        return __builtin_cpu_supports("avx512bf16") ? (struct burst){burst_bf16, 64} : (struct burst){NULL, 0};
    if (__builtin_cpu_supports("avx512f"))
        return (struct burst){burst_avx512, 32};
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return (struct burst){burst_avx2, 16};
    return (struct burst){NULL, 0};
}

double peak_rate(int threads, bool bf16) {
    struct burst burst = choose_burst(bf16);
    double best = 0;
    for (int i = 0; burst.run && i < BURSTS; i++) {
        double began = clock_seconds();
#pragma omp parallel num_threads(threads)
        burst.run();
        double rate = 1e-9 * burst.flops * (double)CHAINS * ROUNDS * threads / (clock_seconds() - began);
        best = rate > best ? rate : best;
    }
    return best;
}

#else

double peak_rate(int threads, bool bf16) {
    (void)threads;
    (void)bf16;
    return 0;
}

#endif
