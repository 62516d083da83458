// See grid.h. Compiled without the sanitizers' own instrumentation (CMakeLists.txt): coordinates are the hardware's, no
// memory of the kernels'.
#include "grid.h"

#include "fibers.h"
#include "races.h"

standin_coordinates threadIdx, blockIdx, blockDim, gridDim;

#ifdef STANDIN_THREAD_SANITIZER
standin_coordinate::operator unsigned() const {
    return value;
}
#endif

static standin_coordinates coordinates(size_t i, dim3 size) {
    return {{(unsigned)(i % size.x)}, {(unsigned)(i / size.x % size.y)}, {(unsigned)(i / size.x / size.y)}};
}

static standin_coordinates coordinates(dim3 size) {
    return {{size.x}, {size.y}, {size.z}};
}

void __syncthreads() {
    fibers_wait();
}

static void run_block(dim3 block, bool reverse, const std::function<void()> &thread) {
    int count = (int)(block.x * block.y * block.z);
    races_block_begins();
    fibers_run(
        count, reverse, [=](int i) { threadIdx = coordinates((size_t)i, block); }, thread);
    races_block_ends();
}

void grid_run(dim3 grid, dim3 block, bool reverse, const std::function<void()> &thread) {
    gridDim = coordinates(grid);
    blockDim = coordinates(block);
    size_t blocks = (size_t)grid.x * grid.y * grid.z;
    races_grid_begins();
    for (size_t k = 0; k < blocks; k++) {
        blockIdx = coordinates(reverse ? blocks - 1 - k : k, grid);
        run_block(block, reverse, thread);
    }
    races_grid_ends();
}
