// The stand-in for what nvcc gives a kernel: its qualifiers, its coordinates, barriers, vector types, and the launch. A
// kernel is then a plain function that is called once a thread; blocks run one after the other, so that a static
// variable is a block's shared memory.
#ifndef GRIDFOLD_TESTS_CUDA_STANDIN_CUDA_RUNTIME_H
#define GRIDFOLD_TESTS_CUDA_STANDIN_CUDA_RUNTIME_H

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>

#include "cuda_runtime_api.h"

#define __global__
#define __device__
#define __host__
#ifdef STANDIN_THREAD_SANITIZER
#define __shared__ static __attribute__((section("standin_shared"), aligned(4096))) // see races.cpp
#else
#define __shared__ static
#endif

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};

using std::isfinite;

static inline float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}
static inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return {x, y, z, w};
}
static inline uint2 make_uint2(unsigned x, unsigned y) {
    return {x, y};
}

static inline float __uint_as_float(unsigned bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}
static inline unsigned __float_as_uint(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}

#ifdef STANDIN_THREAD_SANITIZER
struct standin_coordinate { // reading it is no access to memory that threads could race for
    unsigned value;
    operator unsigned() const;
};
#else
typedef unsigned standin_coordinate;
#endif
struct standin_coordinates {
    standin_coordinate x, y, z;
};
extern standin_coordinates threadIdx, blockIdx, blockDim, gridDim;

void __syncthreads();
#ifdef STANDIN_THREAD_SANITIZER
void __threadfence();
unsigned atomicAdd(unsigned *at, unsigned value);
#else
static inline void __threadfence() {}
static inline unsigned atomicAdd(unsigned *at, unsigned value) {
    unsigned before = *at;
    *at += value;
    return before;
}
#endif

struct cudaLaunchConfig_t {
    dim3 gridDim, blockDim;
    size_t dynamicSmemBytes = 0;
    cudaStream_t stream = nullptr;
};

cudaError_t standin_launch(const cudaLaunchConfig_t *config, std::function<void()> thread);

template <typename... Parameters, typename... Arguments>
static inline cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(Parameters...),
                                             Arguments &&...arguments) {
    return standin_launch(config, [=]() { kernel(Parameters(arguments)...); });
}

#endif
