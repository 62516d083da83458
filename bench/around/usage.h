// Who had the processors, by what the kernel counts.
#ifndef GRIDFOLD_BENCH_AROUND_USAGE_H
#define GRIDFOLD_BENCH_AROUND_USAGE_H

// Seconds so far.
struct usage {
    double writer; // processor time of this process's thread that writes checkpoints
    double waited; // of its other threads, all together, ready to run and without a processor
    double stolen; // of all processors together, given to others by the hypervisor ("steal")
};

struct usage usage_now(void); // zeros where the kernel does not say

#endif
