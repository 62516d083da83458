// What ThreadSanitizer is told, so that it looks for races of a GPU's threads where the host has one: every fiber is a
// thread to it, barriers, fences and the beginning and end of a grid are what orders them, and nothing else does. Two
// blocks of a grid are ordered by nothing but atomics between fences. Without that sanitizer all of this is nothing.
//
// Internal to the stand-in; called by what is compiled without the sanitizer's own instrumentation.
#ifndef GRIDFOLD_TESTS_CUDA_STANDIN_RACES_H
#define GRIDFOLD_TESTS_CUDA_STANDIN_RACES_H

#ifdef STANDIN_THREAD_SANITIZER

struct race_thread { // of the sanitizer
    void *identity = nullptr;
    unsigned barriers = 0;      // that it has passed
    bool fenced = false;        // since the last one
    unsigned *atomic = nullptr; // that it has changed, and is yet to fence
};

// By the host.
void races_grid_begins();
void races_block_begins(); // the memory that blocks share is another block's: nobody has touched it
void races_block_ends();
void races_grid_ends();

void races_go_on(race_thread *); // before a jump: NULL is the host
// By a thread of the block, from its own fiber.
void races_thread_begins();
void races_thread_ends();
void races_barrier_reached();
void races_barrier_passed();

#else

struct race_thread {};
static inline void races_grid_begins() {}
static inline void races_block_begins() {}
static inline void races_block_ends() {}
static inline void races_grid_ends() {}
static inline void races_go_on(race_thread *) {}
static inline void races_thread_begins() {}
static inline void races_thread_ends() {}
static inline void races_barrier_reached() {}
static inline void races_barrier_passed() {}

#endif

#endif
