// Runs a kernel's grid on the host: blocks one after the other, each as fibers. Internal to the stand-in.
#ifndef GRIDFOLD_TESTS_CUDA_STANDIN_GRID_H
#define GRIDFOLD_TESTS_CUDA_STANDIN_GRID_H

#include <functional>

#include "cuda_runtime.h"

// Calls thread() once a thread. `reverse`: blocks, and the threads of each, from the last to the first.
void grid_run(dim3 grid, dim3 block, bool reverse, const std::function<void()> &thread);

#endif
