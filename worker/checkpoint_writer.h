// Checkpoints that are written beside the training, so that no step waits for a disk.
//
// Memory as large as the training state is made once (in the writer's thread) and kept. A checkpoint then has two
// parts: the next step writes its results there and leaves the state as it was (network_freeze); and that becomes a
// file: reordered, summed, written, fsync'ed, renamed (in the writer's thread, which takes some 1.5 per cent of one
// core, so that the steps meanwhile hardly feel it). One is under way at a time. What is on disk, and in which order,
// is the same as when the trainer writes it.
//
// A writer belongs to one trial and to the trainer's thread.
#ifndef GRIDFOLD_WORKER_CHECKPOINT_WRITER_H
#define GRIDFOLD_WORKER_CHECKPOINT_WRITER_H

#include "worker/checkpoint.h"
#include "worker/trial_folder.h"

// Both files in the calling thread, best first (with `best`): a `last` that can be resumed always has its best beside
// it. STATUS_LOST: the folder is another's by now.
NODISCARD enum status checkpoint_write_files(const struct trial_folder *folder,
                                             const struct checkpoint_context *context,
                                             const struct checkpoint_source *source, const struct training_state *state,
                                             bool best, struct error *err);

// What the next checkpoint wants, `since` seconds after the last one, of which there is to be one `every` so many
// seconds: memory (which the first one makes, slowly), from a minute before it is due or from half the time; to be
// started, and the one under way written faster; to be waited for, with no time between them. A checkpoint that
// takes longer than that time delays the next one, and no step.
struct checkpoint_wants {
    bool memory, start, wait;
};
struct checkpoint_wants checkpoint_wants(double since, double every);

typedef struct checkpoint_writer checkpoint_writer;

// Starts the thread. Folder, context and network stay the caller's and outlive the writer. STATUS_UNSUPPORTED: the
// network's state cannot be read by another thread. STATUS_MEMORY.
NODISCARD enum status checkpoint_writer_create(const struct trial_folder *folder,
                                               const struct checkpoint_context *context, network *net,
                                               checkpoint_writer **writer, struct error *err);
// Finishes what is under way.
void checkpoint_writer_destroy(checkpoint_writer *writer);

// Comes nearer to the next checkpoint: *ready when checkpoint_writer_start may be called, where that is wanted. It
// takes some calls, or one that waits. The failure of the checkpoint before it is this call's. STATUS_MEMORY: there is
// not enough for a second training state.
NODISCARD enum status checkpoint_writer_prepare(checkpoint_writer *writer, const struct checkpoint_wants *wants,
                                                bool *ready, struct error *err);
// Keeps network and state as they are and has them written once the network has taken another step, which the first
// call after it tells the thread (or checkpoint_writer_drain, without a step); with `best` the network's snapshot too.
NODISCARD enum status checkpoint_writer_start(checkpoint_writer *writer, const struct training_state *state, bool best,
                                              struct error *err);
// Waits until nothing is under way. The failure of what was.
NODISCARD enum status checkpoint_writer_drain(checkpoint_writer *writer, struct error *err);
// The failure of a checkpoint, as soon as it is known.
NODISCARD enum status checkpoint_writer_check(checkpoint_writer *writer, struct error *err);

#endif
