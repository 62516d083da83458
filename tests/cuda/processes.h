// Bodies of tests in processes of their own: where one may die, or where several are the members of a group.
#ifndef GRIDFOLD_TESTS_CUDA_PROCESSES_H
#define GRIDFOLD_TESTS_CUDA_PROCESSES_H

#include <stdbool.h>
#include <stddef.h>

// Runs body(context, 0 .. count - 1) in so many processes, four at most; what they have written to stderr, and how they
// ended, as waitpid says it. Fails the running test where that cannot be done.
void run_processes(int count, void (*body)(int member, void *context), void *context, int *status, char *words,
                   size_t size);

// In such a process: ends it with exit code 1 and a word on stderr unless it is right.
void require(bool right, const char *what);

#endif
