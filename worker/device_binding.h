// Which of a host's GPUs a worker's trainer gets: the local rank decides, so that neighbours do not share one while
// there are enough.
#ifndef GRIDFOLD_WORKER_DEVICE_BINDING_H
#define GRIDFOLD_WORKER_DEVICE_BINDING_H

#include <stdbool.h>
#include <stddef.h>

// Entry `local_rank` modulo their number of a list like CUDA_VISIBLE_DEVICES, or of 0 .. devices - 1 where `visible` is
// NULL. Consecutive local ranks get different ones, whether or not the master is among them. False: there is nothing to
// choose.
bool device_binding_choose(const char *visible, int devices, int local_rank, char *out, size_t size);

// Sets CUDA_VISIBLE_DEVICES of this process, and of what it starts, by the local rank that mpirun or srun has given it.
// Nothing happens without one, or without GPUs (the driver's /proc/driver/nvidia/gpus). Call before threads start.
void device_binding_apply(void);

#endif
