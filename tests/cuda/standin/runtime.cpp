// The stand-in for CUDA's runtime. See include/cuda_runtime_api.h.
#include "standin.h"

#include <cstdio>
#include <cstdlib>
#include <map>
#include <vector>

#include "cuda_runtime.h"
#include "fibers.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

struct CUgraph_st {
    std::vector<std::function<void()>> work;
};
struct CUgraphExec_st {
    std::vector<std::function<void()>> work;
};
struct CUstream_st {
    CUgraph_st *capture; // NULL: work is done at once
};
struct CUevent_st {
    int unused;
};

namespace {

struct allocation {
    size_t bytes;
    bool device;
};

struct machine {
    std::map<const char *, allocation> memory;
    size_t device_bytes = (size_t)1 << 30, device_used = 0;
    int devices = 1, device = 0, captures = 0, failing_launch = 0;
    bool reverse = false;
    cudaError_t last = cudaSuccess, sticky = cudaSuccess; // a sticky error answers every later call, as CUDA's do
    struct standin_counts counts = {};
} here;

cudaError_t answer(cudaError_t code) {
    if (here.sticky != cudaSuccess)
        code = here.sticky;
    if (code != cudaSuccess)
        here.last = code;
    return code;
}

bool on_device(const void *at, size_t bytes) {
    const char *p = static_cast<const char *>(at);
    auto next = here.memory.upper_bound(p);
    if (next == here.memory.begin())
        return false;
    --next;
    return next->second.device && p + bytes <= next->first + next->second.bytes;
}

bool touches_device(const void *at) {
    return on_device(at, 1);
}

cudaError_t allocate(void **memory, size_t bytes, bool device) {
    here.counts.allocations++;
    if (here.captures)
        return answer(cudaErrorStreamCaptureUnsupported);
    if (device && here.device_used + bytes > here.device_bytes)
        return answer(cudaErrorMemoryAllocation);
    char *p = static_cast<char *>(aligned_alloc(256, (bytes + 255) / 256 * 256));
    if (!p)
        return answer(cudaErrorMemoryAllocation);
    memset(p, 0xff, bytes); // NaN as float, and as bf16
    here.memory[p] = {bytes, device};
    here.device_used += device ? bytes : 0;
    *memory = p;
    return answer(cudaSuccess);
}

cudaError_t release(void *memory, bool device) {
    if (!memory)
        return answer(cudaSuccess);
    auto found = here.memory.find(static_cast<char *>(memory));
    if (found == here.memory.end() || found->second.device != device)
        return answer(cudaErrorInvalidValue);
    if (here.captures)
        return answer(cudaErrorStreamCaptureUnsupported);
    here.device_used -= device ? found->second.bytes : 0;
    here.memory.erase(found);
    free(memory);
    return answer(cudaSuccess);
}

cudaError_t wait() {
    here.counts.waits++;
    return answer(here.captures ? cudaErrorStreamCaptureUnsupported : cudaSuccess);
}

void run_block(dim3 block, const std::function<void()> &thread) {
    int count = (int)(block.x * block.y * block.z);
    fibers_run(
        count, here.reverse,
        [=](int i) {
            unsigned u = (unsigned)i;
            threadIdx = {u % block.x, u / block.x % block.y, u / block.x / block.y};
        },
        thread);
}

void run_grid(dim3 grid, dim3 block, const std::function<void()> &thread) {
    gridDim = grid;
    blockDim = block;
    size_t blocks = (size_t)grid.x * grid.y * grid.z;
    for (size_t k = 0; k < blocks; k++) {
        size_t i = here.reverse ? blocks - 1 - k : k;
        blockIdx = {(unsigned)(i % grid.x), (unsigned)(i / grid.x % grid.y), (unsigned)(i / grid.x / grid.y)};
        run_block(block, thread);
    }
}

} // namespace

void __syncthreads() {
    fibers_wait();
}

cudaError_t standin_enqueue(cudaStream_t stream, std::function<void()> work) {
    if (here.sticky != cudaSuccess)
        return answer(here.sticky);
    if (stream && stream->capture)
        stream->capture->work.push_back(std::move(work));
    else if (here.captures && !stream)
        return answer(cudaErrorStreamCaptureUnsupported); // the legacy stream waits for all others
    else
        work();
    return answer(cudaSuccess);
}

cudaError_t standin_launch(const cudaLaunchConfig_t *config, std::function<void()> thread) {
    dim3 grid = config->gridDim, block = config->blockDim;
    size_t threads = (size_t)block.x * block.y * block.z;
    if (threads < 1 || threads > 1024 || block.z > 64 || grid.x < 1 || grid.x > 0x7fffffffu || grid.y < 1 ||
        grid.y > 65535 || grid.z < 1 || grid.z > 65535)
        return answer(cudaErrorInvalidConfiguration);
    here.counts.launches++;
    if (here.failing_launch > 0 && --here.failing_launch == 0) {
        here.sticky = cudaErrorIllegalAddress;
        return answer(here.sticky);
    }
    return standin_enqueue(config->stream, [=]() { run_grid(grid, block, thread); });
}

extern "C" {

cudaError_t standin_enqueue_copy(cudaStream_t stream, void (*run)(const void *context), const void *context,
                                 size_t bytes) {
    const char *from = static_cast<const char *>(context);
    std::vector<char> copy(from, from + bytes);
    return standin_enqueue(stream, [=]() { run(copy.data()); });
}

struct standin_counts standin_counts_now(void) {
    return here.counts;
}

void standin_set_devices(int count) {
    here.devices = count;
}

void standin_set_memory(size_t bytes) {
    here.device_bytes = bytes;
}

void standin_fail_launch(int nth) {
    here.failing_launch = nth;
    here.sticky = here.last = cudaSuccess;
}

void standin_set_reverse(bool reverse) {
    here.reverse = reverse;
}

const char *cudaGetErrorName(cudaError_t code) {
    switch (code) {
#define NAME(name)                                                                                                     \
    case name:                                                                                                         \
        return #name
        NAME(cudaSuccess);
        NAME(cudaErrorInvalidValue);
        NAME(cudaErrorMemoryAllocation);
        NAME(cudaErrorInvalidConfiguration);
        NAME(cudaErrorInsufficientDriver);
        NAME(cudaErrorNoDevice);
        NAME(cudaErrorInvalidDevice);
        NAME(cudaErrorInvalidResourceHandle);
        NAME(cudaErrorIllegalAddress);
        NAME(cudaErrorStreamCaptureUnsupported);
        NAME(cudaErrorStreamCaptureInvalidated);
#undef NAME
    }
    return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t code) {
    switch (code) {
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    case cudaErrorInsufficientDriver:
        return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorIllegalAddress:
        return "an illegal memory access was encountered";
    default:
        return cudaGetErrorName(code);
    }
}

cudaError_t cudaGetLastError(void) {
    cudaError_t code = here.last;
    here.last = here.sticky;
    return code;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return answer(cudaSuccess);
}

cudaError_t cudaGetDeviceCount(int *count) {
    *count = here.devices;
    return answer(here.devices ? cudaSuccess : cudaErrorInsufficientDriver);
}

cudaError_t cudaGetDevice(int *device) {
    *device = here.device;
    return answer(cudaSuccess);
}

cudaError_t cudaSetDevice(int device) {
    if (device < 0 || device >= here.devices)
        return answer(cudaErrorInvalidDevice);
    here.device = device;
    return answer(cudaSuccess);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device) {
    if (device < 0 || device >= here.devices)
        return answer(cudaErrorInvalidDevice);
    *properties = cudaDeviceProp();
    snprintf(properties->name, sizeof properties->name, "stand-in on the host");
    memset(properties->uuid.bytes, 0x10 + device, sizeof properties->uuid.bytes);
    properties->totalGlobalMem = here.device_bytes;
    properties->major = 9;
    properties->multiProcessorCount = 1;
    return answer(cudaSuccess);
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
    *available = here.device_bytes - here.device_used;
    *total = here.device_bytes;
    return answer(cudaSuccess);
}

cudaError_t cudaMalloc(void **memory, size_t bytes) {
    return allocate(memory, bytes, true);
}

cudaError_t cudaFree(void *memory) {
    return release(memory, true);
}

cudaError_t cudaMallocHost(void **memory, size_t bytes) {
    return allocate(memory, bytes, false);
}

cudaError_t cudaFreeHost(void *memory) {
    return release(memory, false);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    if (bytes == 0)
        return answer(cudaSuccess);
    if ((to_device ? !on_device(to, bytes) : touches_device(to)) ||
        (from_device ? !on_device(from, bytes) : touches_device(from)))
        return answer(cudaErrorInvalidValue);
    return standin_enqueue(stream, [=]() { memmove(to, from, bytes); });
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream) {
    if (bytes > 0 && !on_device(memory, bytes))
        return answer(cudaErrorInvalidValue);
    return standin_enqueue(stream, [=]() { memset(memory, value, bytes); });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    (void)flags;
    *stream = new CUstream_st{nullptr};
    return answer(cudaSuccess);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    delete stream;
    return answer(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    (void)stream;
    return wait();
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
    (void)stream, (void)event, (void)flags; // streams do their work at once
    return answer(cudaSuccess);
}

cudaError_t cudaDeviceSynchronize(void) {
    return wait();
}

cudaError_t cudaDeviceReset(void) {
    return answer(cudaSuccess);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    (void)flags;
    *event = new CUevent_st{0};
    return answer(cudaSuccess);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    delete event;
    return answer(cudaSuccess);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    (void)event, (void)stream;
    return answer(cudaSuccess);
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    (void)event;
    return wait();
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    (void)mode; // the strictest, whatever was asked for
    if (!stream || stream->capture)
        return answer(cudaErrorStreamCaptureUnsupported);
    stream->capture = new CUgraph_st;
    here.captures++;
    return answer(cudaSuccess);
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    *graph = nullptr;
    if (!stream || !stream->capture)
        return answer(cudaErrorInvalidValue);
    *graph = stream->capture;
    stream->capture = nullptr;
    here.captures--;
    return answer(cudaSuccess);
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags) {
    (void)flags;
    *exec = new CUgraphExec_st{graph->work};
    return answer(cudaSuccess);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    here.counts.graph_launches++;
    return standin_enqueue(stream, [=]() {
        for (auto &work : exec->work)
            work();
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return answer(cudaSuccess);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    delete exec;
    return answer(cudaSuccess);
}

} // extern "C"
