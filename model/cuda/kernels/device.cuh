// What the kernels share: launching, eight channels at a time, and sums over a block in a fixed order.
//
// Values are NHWC with channels in whole octets, so that a thread always moves eight channels: 32 bytes of float or 16
// of bf16, in vector loads. Arithmetic is in float whatever the values are.
#ifndef GRIDFOLD_MODEL_CUDA_KERNELS_DEVICE_CUH
#define GRIDFOLD_MODEL_CUDA_KERNELS_DEVICE_CUH

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "model/cuda/kernels.h"

#ifndef CUDA_BLOCK_THREADS
#define CUDA_BLOCK_THREADS 256 // a power of two, and LOSS_BLOCKS at least
#endif
enum { BLOCK_THREADS = CUDA_BLOCK_THREADS, OCTET = 8, TILE_OCTETS = 8 };

typedef __nv_bfloat16 bf16;

// kernel<<<grid, block, 0, stream>>>(arguments...), as a function that returns what became of it.
template <typename... Parameters, typename... Arguments>
static cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, unsigned block, cudaStream_t stream,
                          Arguments... arguments) {
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = dim3(block);
    config.stream = stream;
    return cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...);
}

// Blocks for one thread an item.
static inline dim3 blocks_for(size_t items) {
    return dim3((unsigned)((items + BLOCK_THREADS - 1) / BLOCK_THREADS));
}

static inline int padded_channels(int channels) {
    return (channels + OCTET - 1) / OCTET * OCTET;
}

static inline size_t pixel_count(struct shape s) {
    return (size_t)s.n * (size_t)s.h * (size_t)s.w;
}

static inline size_t octet_count(struct shape s) { // of a value
    return pixel_count(s) * (size_t)(padded_channels(s.c) / OCTET);
}

static __device__ inline size_t thread_number() {
    return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

// ---- eight channels ----

static __device__ inline void load8(const float *from, float v[OCTET]) {
    const float4 low = reinterpret_cast<const float4 *>(from)[0], high = reinterpret_cast<const float4 *>(from)[1];
    v[0] = low.x, v[1] = low.y, v[2] = low.z, v[3] = low.w;
    v[4] = high.x, v[5] = high.y, v[6] = high.z, v[7] = high.w;
}

static __device__ inline void store8(float *to, const float v[OCTET]) {
    reinterpret_cast<float4 *>(to)[0] = make_float4(v[0], v[1], v[2], v[3]);
    reinterpret_cast<float4 *>(to)[1] = make_float4(v[4], v[5], v[6], v[7]);
}

// A bf16 is the upper half of a float; the lower channel stands in the lower half of a word.
static __device__ inline void load8(const bf16 *from, float v[OCTET]) {
    const uint4 raw = *reinterpret_cast<const uint4 *>(from);
    const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
    for (int i = 0; i < 4; i++) {
        v[2 * i] = __uint_as_float(words[i] << 16);
        v[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
}

static __device__ inline unsigned pack2(float low, float high) {
    return (unsigned)__bfloat16_as_ushort(__float2bfloat16_rn(low)) |
           (unsigned)__bfloat16_as_ushort(__float2bfloat16_rn(high)) << 16;
}

static __device__ inline void store8(bf16 *to, const float v[OCTET]) {
    *reinterpret_cast<uint4 *>(to) =
        make_uint4(pack2(v[0], v[1]), pack2(v[2], v[3]), pack2(v[4], v[5]), pack2(v[6], v[7]));
}

// to = v, or to += v
template <typename T> static __device__ inline void write8(T *to, const float v[OCTET], bool accumulate) {
    float sum[OCTET];
    if (!accumulate) {
        store8(to, v);
        return;
    }
    load8(to, sum);
    for (int i = 0; i < OCTET; i++)
        sum[i] += v[i];
    store8(to, sum);
}

static __device__ inline float to_float(float x) {
    return x;
}

static __device__ inline float to_float(bf16 x) {
    return __bfloat162float(x);
}

static __device__ inline void from_float(float *to, float x) {
    *to = x;
}

static __device__ inline void from_float(bf16 *to, float x) {
    *to = __float2bfloat16_rn(x);
}

// ---- sums by channel ----

// How a reduction over pixels is shared out: blockIdx.x is a tile of up to TILE_OCTETS octets of channels, blockIdx.y a
// chunk of the pixels; within a block, neighbouring threads take the octets of one pixel, and `rows` such groups stride
// over the chunk's pixels. It depends on the shape alone.
struct reduction_grid {
    int octets;      // of all channels
    int tile_octets; // 1, 2, 4 or 8
    int tiles, chunks;
    size_t pixels;
};

enum { MAX_CHUNKS = 128 };

static inline struct reduction_grid reduction_grid_of(struct shape s) {
    struct reduction_grid g = {padded_channels(s.c) / OCTET, 1, 0, 1, pixel_count(s)};
    while (g.tile_octets < g.octets && g.tile_octets < TILE_OCTETS)
        g.tile_octets *= 2;
    // Eight pixels a thread or more.
    size_t chunks = g.pixels / (size_t)(BLOCK_THREADS / g.tile_octets * 8);
    g.chunks = chunks < 1 ? 1 : chunks > MAX_CHUNKS ? MAX_CHUNKS : (int)chunks;
    // A block that has all pixels takes fewer channels instead: about four pixels a thread, and more blocks. Two octets
    // in bf16 are what memory is read by, 32 bytes.
    while (g.chunks == 1 && g.tile_octets > 2 && g.pixels > (size_t)(BLOCK_THREADS / g.tile_octets * 4))
        g.tile_octets /= 2;
    g.tiles = (g.octets + g.tile_octets - 1) / g.tile_octets;
    return g;
}

static inline dim3 reduction_blocks(struct reduction_grid g) {
    return dim3((unsigned)g.tiles, (unsigned)g.chunks);
}

struct reduction_thread {
    int octet; // of all channels; may lie past the last in the last tile
    int row, rows;
    size_t first, end; // pixels of the chunk
};

static __device__ inline struct reduction_thread reduction_thread_of(struct reduction_grid g) {
    struct reduction_thread t;
    t.octet = (int)blockIdx.x * g.tile_octets + (int)threadIdx.x % g.tile_octets;
    t.row = (int)threadIdx.x / g.tile_octets;
    t.rows = BLOCK_THREADS / g.tile_octets;
    t.first = g.pixels * blockIdx.y / (unsigned)g.chunks;
    t.end = g.pixels * (blockIdx.y + 1) / (unsigned)g.chunks;
    return t;
}

// Adds v over the block's rows, in pairs; row 0 then holds the sum. `shared` has BLOCK_THREADS * COUNT elements. One
// barrier a round: a round's writers were no readers' sources in the round before. Who uses `shared` again has a
// barrier in between.
template <int COUNT, typename T>
static __device__ inline void sum_rows(struct reduction_grid g, struct reduction_thread t, T v[COUNT], T *shared) {
    for (int half = t.rows / 2; half > 0; half /= 2) {
        if (t.row >= half && t.row < 2 * half)
            for (int i = 0; i < COUNT; i++)
                shared[i * BLOCK_THREADS + (int)threadIdx.x] = v[i];
        __syncthreads();
        if (t.row < half)
            for (int i = 0; i < COUNT; i++)
                v[i] += shared[i * BLOCK_THREADS + (int)threadIdx.x + half * g.tile_octets];
    }
}

// True in every thread of the block that is the last of `blocks` to come here; what the others wrote before is then
// visible. The counter is zero before and after. Which block it is varies; what it computes from the others' results
// does not. One thread fences for its block, between the barriers: order by barrier and order by fence add up (PTX ISA,
// "Memory Consistency Model": causality order); cooperative groups wait for a whole grid in the same way.
static __device__ inline bool last_block(unsigned *counter, unsigned blocks) {
    __shared__ bool last;
    __syncthreads();
    if (threadIdx.x == 0) {
        __threadfence();
        last = atomicAdd(counter, 1u) == blocks - 1;
        __threadfence();
        if (last)
            *counter = 0;
    }
    __syncthreads();
    return last;
}

#endif
