// What the parts of the stand-in for CUDA's runtime share: the one machine of this process. Internal to the stand-in.
#ifndef GRIDFOLD_TESTS_CUDA_STANDIN_MACHINE_H
#define GRIDFOLD_TESTS_CUDA_STANDIN_MACHINE_H

#include <cstdlib>
#include <map>
#include <vector>

#include "cuda_runtime.h"
#include "standin.h"

struct allocation {
    size_t bytes;
    bool device, hollow;
};

struct machine {
    std::map<const char *, allocation> memory;
    size_t device_bytes = (size_t)1 << 30, device_used = 0, device_peak = 0;
    int devices = -1, device = 0, captures = 0, failing_launch = 0, failing_call = 0;
    bool reverse = false, hollow = false, fail_kernels = true;
    bool uncapturable = false, failing_capture = false;
    int breaking = 0;
    bool hung = false; // what waits on the device waits for ever
    bool side_first = getenv("STANDIN_SIDE_FIRST") != nullptr;
    std::vector<cudaStream_t> streams;
    cudaError_t last = cudaSuccess, sticky = cudaSuccess; // a sticky error answers every later call, as CUDA's do
    struct standin_counts counts = {};
};
extern machine here;

cudaError_t standin_answer(cudaError_t code); // as the last call's code, unless there is a sticky one
bool standin_is_pinned(const void *at);
void standin_finish_all(); // every stream

#endif
