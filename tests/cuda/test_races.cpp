// That ThreadSanitizer sees a GPU's threads on the stand-in: kernels with a race are reported, and the same kernels
// without it are not. Built with that sanitizer alone.
#include <csetjmp>
#include <cstdarg>
#include <cstddef>
#include <cstdint>

extern "C" {
#include <cmocka.h>
}
#include <cuda_runtime.h>

static int reports;

// The sanitizer's own hook; inside of it nothing may be reported.
extern "C" __attribute__((no_sanitize("thread"))) void __tsan_on_report(void *) {
    reports++;
}

enum { BLOCKS = 6, THREADS = 64, WORDS = 2 * 8 * THREADS };
static unsigned *memory; // of the device: WORDS words of data, then a counter

static __global__ void own_words(unsigned *x) {
    x[blockIdx.x * blockDim.x + threadIdx.x] = threadIdx.x;
}

static __global__ void blocks_share_a_word(unsigned *x) {
    if (threadIdx.x == 5)
        x[0] = blockIdx.x;
}

static __global__ void threads_share_a_word(unsigned *x) {
    x[blockIdx.x * blockDim.x + threadIdx.x / 2] = threadIdx.x;
}

struct long_word {
    unsigned words[8];
};

// Copies as a whole, for which a compiler calls memcpy.
static __global__ void threads_share_a_long_word(struct long_word *x, struct long_word *y) {
    x[threadIdx.x / 2] = y[threadIdx.x];
}

static __global__ void threads_share_a_word_between_barriers(unsigned *x) {
    __syncthreads();
    if (threadIdx.x <= 1)
        x[blockIdx.x] = threadIdx.x;
    __syncthreads();
}

template <bool barrier> static __global__ void turn_around(unsigned *x) {
    __shared__ unsigned shared[THREADS];
    shared[threadIdx.x] = threadIdx.x;
    if (barrier)
        __syncthreads();
    x[blockIdx.x * blockDim.x + threadIdx.x] = shared[THREADS - 1 - threadIdx.x];
}

static __global__ void read_the_block_before(unsigned *x) {
    if (threadIdx.x == 0)
        x[blockIdx.x] = 1;
    __syncthreads();
    x[BLOCKS + blockIdx.x * THREADS / 2 + threadIdx.x / 2] = blockIdx.x > 0 ? x[blockIdx.x - 1] : 0;
}

enum fences { BOTH, NO_FENCE_BEFORE, NO_FENCE_AFTER, FENCE_BEFORE_THE_BARRIER };

// The last block to come adds what all blocks have left. (A kernel for each way: what is reported of one function is
// not reported again.)
template <enum fences fences> static __global__ void add_up(unsigned *x, unsigned *counter) {
    __shared__ bool last;
    if (threadIdx.x == THREADS - 1)
        x[blockIdx.x] = 1;
    if (fences == FENCE_BEFORE_THE_BARRIER)
        __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        if (fences == BOTH || fences == NO_FENCE_AFTER)
            __threadfence();
        last = atomicAdd(counter, 1u) == gridDim.x - 1;
        if (fences == BOTH || fences == NO_FENCE_BEFORE)
            __threadfence();
    }
    __syncthreads();
    if (!last || threadIdx.x != 1)
        return;
    unsigned sum = 0;
    for (unsigned i = 0; i < gridDim.x; i++)
        sum += x[i];
    x[BLOCKS] = sum;
}

template <typename... Parameters, typename... Arguments>
static int reports_of(void (*kernel)(Parameters...), Arguments... arguments) {
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3(BLOCKS);
    config.blockDim = dim3(THREADS);
    reports = 0;
    assert_int_equal(cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(arguments)...), cudaSuccess);
    return reports;
}

static int set_up(void **) {
    void *p;
    if (cudaMalloc(&p, (WORDS + 1) * sizeof *memory) != cudaSuccess)
        return 1;
    memory = static_cast<unsigned *>(p);
    return cudaMemsetAsync(p, 0, (WORDS + 1) * sizeof *memory, nullptr) != cudaSuccess;
}

static int tear_down(void **) {
    return cudaFree(memory) != cudaSuccess;
}

static void who_keeps_apart_does_not_race(void **) {
    assert_int_equal(reports_of(own_words, memory), 0);
    assert_int_equal(reports_of(own_words, memory), 0); // one grid comes after the other
}

static void blocks_race(void **) {
    assert_true(reports_of(blocks_share_a_word, memory) > 0);
    assert_true(reports_of(read_the_block_before, memory) > 0); // a barrier is the block's own
}

static void threads_race(void **) {
    assert_true(reports_of(threads_share_a_word, memory) > 0);
    assert_true(reports_of(threads_share_a_word_between_barriers, memory + BLOCKS * THREADS) > 0);
}

static void threads_race_as_a_whole(void **) {
    struct long_word *x = reinterpret_cast<struct long_word *>(memory);
    assert_true(reports_of(threads_share_a_long_word, x, x + THREADS / 2) > 0);
}

static void a_barrier_orders_a_block(void **) {
    assert_int_equal(reports_of(turn_around<true>, memory), 0); // in shared memory, which is each block's own
    assert_true(reports_of(turn_around<false>, memory) > 0);
}

template <enum fences fences> static int reports_of_adding_up() {
    set_up(nullptr); // where a race was found, none is looked for any more
    int found = reports_of(add_up<fences>, memory, memory + WORDS);
    assert_int_equal(memory[BLOCKS], BLOCKS); // one block after the other: the sum is right all the same
    tear_down(nullptr);
    return found;
}

static void fences_around_an_atomic_order_blocks(void **) {
    assert_int_equal(reports_of_adding_up<BOTH>(), 0);
    assert_true(reports_of_adding_up<NO_FENCE_BEFORE>() > 0);
    assert_true(reports_of_adding_up<NO_FENCE_AFTER>() > 0);
    assert_true(reports_of_adding_up<FENCE_BEFORE_THE_BARRIER>() > 0);
}

int main() {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_keeps_apart_does_not_race, set_up, tear_down),
        cmocka_unit_test_setup_teardown(blocks_race, set_up, tear_down),
        cmocka_unit_test_setup_teardown(threads_race, set_up, tear_down),
        cmocka_unit_test_setup_teardown(threads_race_as_a_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_barrier_orders_a_block, set_up, tear_down),
        cmocka_unit_test(fences_around_an_atomic_order_blocks)};
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
