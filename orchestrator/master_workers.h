// What the master knows of its workers: who they are, how they share hosts, since when they have had their trial.
// Internal to the master.
#ifndef GRIDFOLD_ORCHESTRATOR_MASTER_WORKERS_H
#define GRIDFOLD_ORCHESTRATOR_MASTER_WORKERS_H

#include "orchestrator/gpu_seats.h"
#include "orchestrator/run_folder.h"
#include "orchestrator/transport.h"

struct workers;

NODISCARD enum status workers_create(int count, const struct gpu_rules *gpus, struct workers **w, struct error *err);
void workers_destroy(struct workers *w);
void workers_join(struct workers *w, int worker, const struct message_hello *hello);
void workers_leave(struct workers *w, int worker);
bool workers_is_present(const struct workers *w, int worker);
int workers_joined(const struct workers *w); // have ever said hello
const struct message_hello *workers_hello(const struct workers *w, int worker);

// Numbers below the number of workers: the first worker that runs on the same host, and with the same device.
int workers_host(const struct workers *w, int worker);
int workers_device(const struct workers *w, int worker);

// What its trainers run on: "NVIDIA H100 80GB HBM3 (GPU-8932f937-...)", or its CPU.
void workers_device_name(const struct workers *w, int worker, char *out, size_t size);
// CUDA_VISIBLE_DEVICES for its trainers, `members` a trial; "": as its own.
void workers_visible_gpus(const struct workers *w, int worker, int members, char out[PROTOCOL_GPUS_SIZE]);
// One line for a host on which workers get no GPU, asked of each worker (gpu_seats.h).
bool workers_complaint(const struct workers *w, int worker, char *out, size_t size);

// Which workers get trials, with `members` trainers a trial (gpus-per-trial). So many consecutive workers of a host
// make a place, and the first of them starts all of its trainers; the others lend theirs, and get none. A rest that is
// too small for a place gets none either, but where a host has no other. Nor does one that finds no room on a GPU.
// Called when a worker is there to be used: returns the worker that has a place now and had none before; -1: nobody.
int workers_take_place(struct workers *w, int worker, int members);
bool workers_has_place(const struct workers *w, int worker);

void workers_begin_trial(struct workers *w, int worker);
bool workers_first_sign(struct workers *w, int worker); // true once a trial: the first sign that it is being trained
double workers_trial_seconds(const struct workers *w, int worker);

// Threads that every trainer can have: the cores of a host divided among the workers that share them, or the `members`
// of the only one, at least 1, the smallest of all hosts (the number of threads changes results, so that all trainers
// have the same).
int workers_fair_threads(const struct workers *w, int members);
// The trainers that share this worker's cores have more threads than these.
bool workers_are_crowded(const struct workers *w, int worker, int members, int threads);
// Writes the start to the manifest.
NODISCARD enum status workers_record(const struct workers *w, run_folder *folder, const struct transport *t,
                                     int threads, struct error *err);

#endif
