// The stand-in for CUDA's runtime. See include/cuda_runtime_api.h.
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <sys/mman.h>
#include <utility>
#include <vector>

#include "grid.h"
#include "machine.h"

machine here;

cudaError_t standin_answer(cudaError_t code) {
    if (here.sticky != cudaSuccess)
        code = here.sticky;
    else if (code == cudaSuccess && here.failing_call > 0 && --here.failing_call == 0)
        code = cudaErrorIllegalAddress;
    if (code != cudaSuccess)
        here.last = code;
    return code;
}

namespace {

cudaError_t answer(cudaError_t code) {
    return standin_answer(code);
}

// Until a test says how many: those of the environment, or one.
int device_count() {
    const char *told = getenv("STANDIN_DEVICES");
    return here.devices >= 0 ? here.devices : told ? atoi(told) : 1;
}

// Of the device in use: STANDIN_MEMORY=DEVICE:BYTES sets one apart, in this process and those that it starts.
size_t device_bytes() {
    const char *told = getenv("STANDIN_MEMORY");
    int device = -1;
    size_t bytes = 0;
    bool apart = told && sscanf(told, "%d:%zu", &device, &bytes) == 2 && device == here.device;
    return apart ? bytes : here.device_bytes;
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

char *map_pages(size_t bytes, int protection) {
    void *p = mmap(nullptr, bytes ? bytes : 1, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? nullptr : static_cast<char *>(p);
}

char *on_heap(size_t bytes) {
    return static_cast<char *>(aligned_alloc(256, (bytes + 255) / 256 * 256));
}

// Device memory that was released is nobody's, and nobody gets its address soon: what still works there, a graph for
// one, ends the process. AddressSanitizer sees to that by itself, for memory of its own.
#ifdef __SANITIZE_ADDRESS__
char *device_memory(size_t bytes) {
    return on_heap(bytes);
}

void release_device_memory(char *memory, size_t) {
    free(memory);
}
#else
char *device_memory(size_t bytes) {
    return map_pages(bytes, PROT_READ | PROT_WRITE);
}

void release_device_memory(char *memory, size_t bytes) {
    static const size_t most = 1000; // pieces
    static std::deque<std::pair<char *, size_t>> released;
    bytes = bytes ? bytes : 1;
    mprotect(memory, bytes, PROT_NONE);
    madvise(memory, bytes, MADV_DONTNEED);
    released.push_back({memory, bytes});
    if (released.size() > most) {
        munmap(released.front().first, released.front().second);
        released.pop_front();
    }
}
#endif

cudaError_t allocate(void **memory, size_t bytes, bool device) {
    here.counts.allocations++;
    if (here.captures)
        return answer(cudaErrorStreamCaptureUnsupported);
    if (device && here.device_used + bytes > device_bytes())
        return answer(cudaErrorMemoryAllocation);
    if (cudaError_t code = answer(cudaSuccess))
        return code;
    bool hollow = device && here.hollow;
    char *p = hollow ? map_pages(bytes, PROT_NONE) : device ? device_memory(bytes) : on_heap(bytes);
    if (!p)
        return answer(cudaErrorMemoryAllocation);
    if (!hollow)
        memset(p, 0xff, bytes); // NaN as float, and as bf16
    here.memory[p] = {bytes, device, hollow};
    here.device_used += device ? bytes : 0;
    here.device_peak = here.device_used > here.device_peak ? here.device_used : here.device_peak;
    *memory = p;
    return cudaSuccess;
}

cudaError_t release(void *memory, bool device) {
    if (!memory)
        return answer(cudaSuccess);
    auto found = here.memory.find(static_cast<char *>(memory));
    if (found == here.memory.end() || found->second.device != device)
        return answer(cudaErrorInvalidValue);
    if (here.captures)
        return answer(cudaErrorStreamCaptureUnsupported);
    standin_finish_all(); // as cudaFree does
    here.device_used -= device ? found->second.bytes : 0;
    if (found->second.hollow)
        munmap(memory, found->second.bytes ? found->second.bytes : 1);
    else if (device)
        release_device_memory(static_cast<char *>(memory), found->second.bytes);
    else
        free(memory);
    here.memory.erase(found);
    return answer(cudaSuccess);
}

} // namespace

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
    return standin_enqueue(
        config->stream, [=]() { grid_run(grid, block, here.reverse, thread); }, true);
}

bool standin_is_pinned(const void *at) {
    const char *p = static_cast<const char *>(at);
    auto next = here.memory.upper_bound(p);
    return next != here.memory.begin() && !(--next)->second.device && p < next->first + next->second.bytes;
}

extern "C" {

bool standin_on_device(const void *at, size_t bytes) {
    return on_device(at, bytes);
}

struct standin_counts standin_counts_now(void) {
    return here.counts;
}

size_t standin_peak_memory(void) {
    size_t peak = here.device_peak;
    here.device_peak = here.device_used;
    return peak;
}

void standin_set_devices(int count) {
    here.devices = count;
}

void standin_set_memory(size_t bytes) {
    here.device_bytes = bytes;
}

void standin_set_hollow(bool hollow) {
    here.hollow = hollow;
}

void standin_fail_launch(int nth) {
    here.failing_launch = nth;
    here.sticky = here.last = cudaSuccess;
}

void standin_fail_call(int nth, bool kernels) {
    here.fail_kernels = kernels;
    here.failing_call = nth;
    here.last = cudaSuccess;
}

bool standin_call_has_failed(void) {
    return here.failing_call == 0;
}

void standin_fail_capture(void) {
    here.failing_capture = true;
}

void standin_set_breaking(int nth) {
    here.breaking = nth;
}

void standin_set_uncapturable(bool on) {
    here.uncapturable = on;
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
        NAME(cudaErrorStreamCaptureUnjoined);
        NAME(cudaErrorStreamCaptureIsolation);
        NAME(cudaErrorCapturedEvent);
        NAME(cudaErrorNotReady);
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
    return here.sticky;
}

cudaError_t cudaGetDeviceCount(int *count) {
    *count = device_count();
    return answer(device_count() ? cudaSuccess : cudaErrorInsufficientDriver);
}

cudaError_t cudaGetDevice(int *device) {
    *device = here.device;
    return answer(cudaSuccess);
}

cudaError_t cudaSetDevice(int device) {
    if (device < 0 || device >= device_count())
        return answer(cudaErrorInvalidDevice);
    here.device = device;
    return answer(cudaSuccess);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device) {
    if (device < 0 || device >= device_count())
        return answer(cudaErrorInvalidDevice);
    *properties = cudaDeviceProp();
    snprintf(properties->name, sizeof properties->name, "stand-in on the host");
    memset(properties->uuid.bytes, 0x10 + device, sizeof properties->uuid.bytes);
    properties->totalGlobalMem = device_bytes();
    properties->major = 9;
    properties->multiProcessorCount = 1;
    return answer(cudaSuccess);
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
    *available = device_bytes() - here.device_used;
    *total = device_bytes();
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
    here.counts.copies++;
    if ((to_device ? !on_device(to, bytes) : touches_device(to)) ||
        (from_device ? !on_device(from, bytes) : touches_device(from)))
        return answer(cudaErrorInvalidValue);
    bool pageable = kind == cudaMemcpyHostToDevice && !standin_is_pinned(from);
    if (pageable && !(stream && standin_is_captured(stream))) { // has been read when the call returns
        const char *first = static_cast<const char *>(from);
        std::vector<char> copy(first, first + bytes);
        return standin_enqueue(stream, [=]() { memmove(to, copy.data(), bytes); });
    }
    cudaError_t code = standin_enqueue(stream, [=]() { memmove(to, from, bytes); });
    if (code == cudaSuccess && kind == cudaMemcpyDeviceToHost && !standin_is_pinned(to) && !here.captures && stream)
        return cudaStreamSynchronize(stream); // has been written when the call returns
    return code;
}

cudaError_t cudaMemsetAsync(void *memory, int value, size_t bytes, cudaStream_t stream) {
    if (bytes > 0 && !on_device(memory, bytes))
        return answer(cudaErrorInvalidValue);
    here.counts.fills++;
    return standin_enqueue(stream, [=]() { memset(memory, value, bytes); });
}

cudaError_t cudaDeviceReset(void) {
    return answer(cudaSuccess);
}

} // extern "C"
