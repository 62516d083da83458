// Threads that never wait run one after the other in one fiber, at the price of a call; only a thread that waits keeps
// its fiber, and the next one gets another. With ThreadSanitizer every thread gets its own: a
// fiber is a thread to it.
#include "fibers.h"

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include <ucontext.h>

#include "races.h"

// Compiled without the sanitizers' own instrumentation (CMakeLists.txt), which would sweep a whole stack at every jump.
#if defined(STANDIN_ADDRESS_SANITIZER)
#include <sanitizer/common_interface_defs.h>
#endif

namespace {

constexpr size_t STACK_BYTES = 128 * 1024;
#ifdef STANDIN_THREAD_SANITIZER
constexpr bool OWN_FIBERS = true;
#else
constexpr bool OWN_FIBERS = false;
#endif

// As the compiler's own setjmp wants it: frame, place, stack. Neither the C library nor a sanitizer sees these jumps.
struct jump {
    void *words[5];
};

// In a function of its own: gcc asks that a function which can be jumped into does not jump itself.
[[noreturn]] __attribute__((noinline, noclone)) void go(struct jump *to) {
    __builtin_longjmp(to->words, 1);
}

struct fiber {
    ucontext_t context; // to begin with; from then on `jump`, which makes no system call
    struct jump jump;
    bool begun = false;
    std::unique_ptr<char[]> stack{new char[STACK_BYTES]};
    void *fake_stack = nullptr;
    int thread = -1; // whose body it is in; -1: idle
    struct race_thread race_thread;
};

struct scheduler {
    struct jump jump;
    void *fake_stack = nullptr;
    const void *stack_bottom = nullptr;
    size_t stack_size = 0;
    std::vector<std::unique_ptr<fiber>> fibers;
    fiber *current = nullptr;

    size_t blocks = 0; // that were begun
    int count = 0, begun = 0, ended = 0;
    bool reverse = false;
    const std::function<void(int)> *resume = nullptr;
    const std::function<void()> *thread = nullptr;
} now;

// Addresses of stacks are told to the address sanitizer around every switch.
__attribute__((noinline)) void to_fiber(fiber *f) {
    now.current = f;
    races_go_on(&f->race_thread);
#if defined(STANDIN_ADDRESS_SANITIZER)
    __sanitizer_start_switch_fiber(&now.fake_stack, f->stack.get(), STACK_BYTES);
#endif
    if (__builtin_setjmp(now.jump.words) == 0) {
        if (f->begun)
            go(&f->jump);
        f->begun = true;
        setcontext(&f->context);
    }
#if defined(STANDIN_ADDRESS_SANITIZER)
    __sanitizer_finish_switch_fiber(now.fake_stack, nullptr, nullptr);
#endif
}

__attribute__((noinline)) void to_scheduler(fiber *f) {
    races_go_on(nullptr);
#if defined(STANDIN_ADDRESS_SANITIZER)
    __sanitizer_start_switch_fiber(&f->fake_stack, now.stack_bottom, now.stack_size);
#endif
    if (__builtin_setjmp(f->jump.words) == 0)
        go(&now.jump);
#if defined(STANDIN_ADDRESS_SANITIZER)
    __sanitizer_finish_switch_fiber(f->fake_stack, &now.stack_bottom, &now.stack_size);
#endif
}

void fiber_main() {
    fiber *f = now.current;
#if defined(STANDIN_ADDRESS_SANITIZER)
    __sanitizer_finish_switch_fiber(nullptr, &now.stack_bottom, &now.stack_size);
#endif
    for (;;) {
        do {
            f->thread = now.reverse ? now.count - 1 - now.begun : now.begun;
            now.begun++;
            (*now.resume)(f->thread);
            races_thread_begins();
            (*now.thread)();
            races_thread_ends();
            now.ended++;
        } while (!OWN_FIBERS && now.begun < now.count);
        f->thread = -1;
        to_scheduler(f);
    }
}

fiber *new_fiber() {
    now.fibers.emplace_back(new fiber);
    fiber *f = now.fibers.back().get();
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack.get();
    f->context.uc_stack.ss_size = STACK_BYTES;
    f->context.uc_link = nullptr;
    makecontext(&f->context, fiber_main, 0);
    return f;
}

#ifdef STANDIN_THREAD_SANITIZER
// Two sets of fibers, of which blocks take turns: what one fiber does in two blocks has an order to the sanitizer, and
// by barriers so has all that its neighbours do. Neighbouring blocks can race, then, and every other pair.
fiber *next_fiber() {
    size_t set = now.blocks % 2, i = 2 * (size_t)now.begun + set;
    while (now.fibers.size() <= i)
        new_fiber();
    return now.fibers[i].get();
}
#else
fiber *next_fiber() {
    for (auto &f : now.fibers)
        if (f->thread < 0)
            return f.get();
    return new_fiber();
}
#endif

} // namespace

void fibers_wait() {
    races_barrier_reached();
    to_scheduler(now.current);
    races_barrier_passed();
}

// All threads begin and come to their first wait, or to their end; then, round after round, all go on to the next. The
// order of fibers is that of the threads.
void fibers_run(int count, bool reverse, const std::function<void(int)> &resume, const std::function<void()> &thread) {
    now.count = count;
    now.blocks++;
    now.begun = now.ended = 0;
    now.reverse = reverse;
    now.resume = &resume;
    now.thread = &thread;
    std::vector<fiber *> waiting;
    while (now.begun < count) {
        fiber *f = next_fiber();
        to_fiber(f);
        if (f->thread >= 0)
            waiting.push_back(f);
    }
    while (!waiting.empty()) {
        if (now.ended != 0) {
            fprintf(stderr, "stand-in for CUDA: %d of %d threads of a block ended while %zu wait at a barrier\n",
                    now.ended, count, waiting.size());
            abort();
        }
        for (fiber *f : waiting) {
            resume(f->thread);
            to_fiber(f);
        }
        if (now.ended == count)
            break;
    }
}
