// The GPUs that a rank, and so its trainers, may use, and what they are called.
//
// Only CUDA knows which GPU "2" of CUDA_VISIBLE_DEVICES is, and in a Slurm task that sees one GPU all are "0". A rank
// does not load the driver, which may hang with a sick device: it starts `gridfold trainer devices`, which prints
// them, and waits for its end. Where there is neither CUDA_VISIBLE_DEVICES nor NVIDIA's driver nothing is started.
#ifndef GRIDFOLD_WORKER_DEVICES_H
#define GRIDFOLD_WORKER_DEVICES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "model/device.h"

enum { DEVICES_MAX = 16 };

struct visible_device {
    char entry[DEVICE_ID_SIZE]; // what CUDA_VISIBLE_DEVICES calls it: "2", "GPU-8932f937", "MIG-..."
    char id[DEVICE_ID_SIZE];    // the physical device: the same for everyone who has it; else `entry`
    char name[DEVICE_NAME_SIZE];
    uint64_t bytes, free_bytes; // of memory; 0: not known
};

struct visible_devices {
    int count;
    bool usable; // CUDA knows them, so that the embedded trainer can run there
    struct visible_device at[DEVICES_MAX];
};

// Asks. `memory`: also what is free. Waits ten seconds at most; without an answer the devices are those that
// CUDA_VISIBLE_DEVICES or the driver's files name, and not usable.
void devices_look(bool memory, struct visible_devices *devices);

// What devices_look makes of CUDA_VISIBLE_DEVICES (NULL: not set), of what was printed (NULL: no answer), and of the
// number of GPUs in the driver's files.
void devices_merge(const char *visible, const char *printed, int in_files, struct visible_devices *devices);

// What the process that is asked does: a line a device.
NODISCARD enum status devices_print(bool memory, FILE *out, struct error *err);

#endif
