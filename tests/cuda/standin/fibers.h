// Runs the threads of one block on the host: each as a fiber, switched where it waits for the others.
#ifndef GRIDFOLD_TESTS_CUDA_STANDIN_FIBERS_H
#define GRIDFOLD_TESTS_CUDA_STANDIN_FIBERS_H

#include <functional>

// Calls thread(i) for i in 0 .. count - 1 (or from the last to the first). Inside, fibers_wait() returns when all
// threads have called it; a thread that ends while others wait for it stops the process with a message, as on a GPU the
// block would hang. `resume(i)` is called before thread i begins or goes on.
void fibers_run(int count, bool reverse, const std::function<void(int)> &resume, const std::function<void()> &thread);
void fibers_wait();

#endif
