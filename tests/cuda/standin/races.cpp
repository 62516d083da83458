// See races.h. Compiled without ThreadSanitizer's own instrumentation (CMakeLists.txt).
#include "races.h"

#ifdef STANDIN_THREAD_SANITIZER

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <sys/mman.h>

#include "cuda_runtime.h"

// ThreadSanitizer's own interface (sanitizer/tsan_interface.h; the last one is what an atomic of the compiler's
// becomes).
extern "C" {
void *__tsan_get_current_fiber();
void *__tsan_create_fiber(unsigned flags);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void __tsan_acquire(void *at);
void __tsan_release(void *at);
unsigned __tsan_atomic32_fetch_add(volatile unsigned *at, unsigned value, int order);
}

// Where the variables with __shared__ stand (cuda_runtime.h); the linker names both ends.
extern "C" {
extern char __start_standin_shared[], __stop_standin_shared[], __bss_start[];
}

namespace {

constexpr uintptr_t PAGE = 4096;
constexpr unsigned UNORDERED = 1; // switching orders nothing
constexpr int RELAXED = 0;

// What comes behind the shared variables is .bss, which by this begins on a page of its own.
alignas(PAGE) volatile char apart[PAGE];
__attribute__((used)) __shared__ char one_at_least;

race_thread host;
race_thread *current = &host;
char grid_begin, grid_end; // their addresses stand for these events
// The block's barriers, by turns: whoever comes to the next one while others have yet to leave this one has nothing to
// do with them.
struct barriers {
    uint64_t turns[2];
} * barriers;

} // namespace

void races_grid_begins() {
    host.identity = __tsan_get_current_fiber();
}

// Fresh pages: as if the host had written them. Whoever begins after that has nothing to do with the blocks before.
void races_block_begins() {
    uintptr_t first = (uintptr_t)__start_standin_shared, end = (uintptr_t)__stop_standin_shared;
    if (first % PAGE != 0 || end != (uintptr_t)__bss_start || apart[0] != 0) {
        fprintf(stderr, "stand-in for CUDA: shared memory does not lie on pages of its own\n");
        abort();
    }
    if (mmap((void *)first, end - first, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
        MAP_FAILED)
        abort();
    barriers = static_cast<struct barriers *>(malloc(sizeof *barriers));
    __tsan_release(&grid_begin);
}

void races_block_ends() {
    free(barriers); // the sanitizer forgets them, so that the next block's are others
}

void races_grid_ends() {
    __tsan_acquire(&grid_end);
}

void races_go_on(race_thread *thread) {
    current = thread ? thread : &host;
    if (!current->identity)
        current->identity = __tsan_create_fiber(0);
    __tsan_switch_to_fiber(current->identity, UNORDERED);
}

void races_thread_begins() {
    current->barriers = 0;
    current->fenced = false;
    current->atomic = nullptr;
    __tsan_acquire(&grid_begin);
}

void races_thread_ends() {
    __tsan_release(&grid_end);
}

void races_barrier_reached() {
    current->fenced = false;
    current->atomic = nullptr;
    __tsan_release(&barriers->turns[current->barriers % 2]);
}

void races_barrier_passed() {
    __tsan_acquire(&barriers->turns[current->barriers++ % 2]);
}

// A fence orders what the same thread does before it with its atomics after it, and the other way round, until the next
// barrier. (CUDA C++ Programming Guide, "Memory Fence Functions"; PTX ISA, "Memory Consistency Model": release and
// acquire patterns.)
void __threadfence() {
    if (current->atomic)
        __tsan_acquire(current->atomic);
    current->fenced = true;
}

unsigned atomicAdd(unsigned *at, unsigned value) {
    unsigned before = __tsan_atomic32_fetch_add(at, value, RELAXED);
    if (current->fenced)
        __tsan_release(at); // the addition with it: who sees it may write there
    current->atomic = at;
    return before;
}

#endif
