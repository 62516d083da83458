// A network: the LSTM-UNet with its parameters, gradients and optimizer state in flat arenas, compiled for a backend.
//
// One network serves one architecture; the programs for each batch size (the last short batch, evaluation) are compiled
// once and kept. The arenas are shared by them. Owned by one trainer, called from one thread. Host tensors are
// row-major float32 and stay the caller's.
#ifndef GRIDFOLD_MODEL_NETWORK_H
#define GRIDFOLD_MODEL_NETWORK_H

#include "model/backend.h"
#include "model/lstm_unet.h"
#include "model/resident.h"

typedef struct network network;

// config->batch is the largest batch that will be asked for. The backend outlives the network. STATUS_MEMORY,
// STATUS_UNSUPPORTED.
NODISCARD enum status network_create(backend *b, const struct lstm_unet_config *config, network **net,
                                     struct error *err);
void network_destroy(network *net);

const graph *network_graph(const network *net); // of the largest batch

// Makes the network a member of a group, whose steps it takes from now on: every batch is this member's share of the
// group's, which may be none; losses, counts, the gradient and its norm are the whole group's, and so are the
// statistics of batch norm in training with `statistics`. What the members do together is in host memory; both outlive
// the network or the next call. NULL: alone again. STATUS_UNSUPPORTED when the backend cannot.
NODISCARD enum status network_join(network *net, const struct collectives *host, bool statistics, struct error *err);
// Member 0's running statistics for everyone. Nothing without a group.
NODISCARD enum status network_share_buffers(network *net, struct error *err);

// Draws every parameter anew from (seed, key): convolutions of the encoder Kaiming normal (fan-out), ConvLSTM Xavier
// uniform with zero bias, decoder Kaiming uniform (fan-in, relu gain), transposed convolutions and the head's as
// segmentation-models-pytorch; BatchNorm 1/0; zero optimizer state.
NODISCARD enum status network_initialize(network *net, uint64_t seed, struct error *err);

// One optimizer step on a batch: image (batch,T,C,H,W), mask (batch,H,W) of 0/1/255. Batch-norm statistics move. A
// member of a group may come without samples (batch 0).
// STATUS_DIVERGED when loss or gradient norm is not finite; parameters are then left as they were before the step.
NODISCARD enum status network_train_step(network *net, int batch, const float *image, const uint8_t *mask,
                                         const struct optimizer_config *config, double lr, struct step_result *result,
                                         struct error *err);

// Forward and backward in training mode without an optimizer step: for tests. Gradients stay readable by network_read.
NODISCARD enum status network_gradients(network *net, int batch, const float *image, const uint8_t *mask,
                                        const struct focal_loss_config *focal, float *logits,
                                        struct step_result *result, struct error *err);

// Forward with running statistics: logits (batch,1,H,W) and, when mask is given, the sums. logits may be NULL,
// and mask with focal and sums. In a group: the sums of all members' batches, of which any may be 0.
NODISCARD enum status network_evaluate(network *net, int batch, const float *image, const uint8_t *mask,
                                       const struct focal_loss_config *focal, float *logits, struct loss_sums *sums,
                                       struct error *err);

// Where the time of network_train_step goes, in seconds that are added up: for measurements, and right on backends that
// have done their work when a call returns. `input` is the images' way into the backend's layout.
struct network_profile {
    double *forward, *backward; // of each node of network_graph
    double input, loss, optimizer;
};
void network_set_profile(network *net, struct network_profile *profile); // stays the caller's; NULL: no clock is read

// The same by samples that the backend holds (resident.h), many steps at once: whole batches, and a last short one. A
// member of a group takes its share of every batch (collectives_first), which is at most the network's largest. The
// host waits once, at the end.
bool network_can_hold_samples(const network *net);
bool network_holds_samples(const network *net);
// Takes a copy; NULL drops the one there is. config->batch is the network's.
NODISCARD enum status network_hold_samples(network *net, const struct resident_config *config, struct error *err);
struct network_stretch {
    const struct sample_cut *cuts; // of all members
    int count, batch;              // how many; how many a step
    struct step_result *results;   // one a step
    // Asked after every step but the last has been handed to the device; true: no more of them. May be NULL. In a group
    // all members answer the same.
    bool (*stop)(void *context);
    void *context;
};
// Why a kind of step could not be recorded, so that each is handed to the device call by call, which takes the host
// longer and gives the same; NULL: none so far. The network's.
const char *network_unrecorded(const network *net);
// `done` steps count; after STATUS_DIVERGED those before the step that diverged. Batch-norm statistics go on moving in
// the steps of the stretch that come after that one.
NODISCARD enum status network_train_stretch(network *net, const struct network_stretch *stretch,
                                            const struct optimizer_config *config, double lr, int *done,
                                            struct error *err);
NODISCARD enum status network_evaluate_stretch(network *net, const struct network_stretch *stretch,
                                               const struct focal_loss_config *focal, struct error *err);

// The state dict. Tensors are enumerated in PyTorch's order of model.state_dict() (num_batches_tracked is left out here
// and written by the checkpoint); slices of one tensor are joined under its key.
// ARENA_MOMENT1 is SGD's velocity or AdamW's first moment. An arena that was never needed reads as zeros.
enum network_arena { ARENA_PARAM, ARENA_GRAD, ARENA_MOMENT1, ARENA_MOMENT2 };
struct network_tensor {
    char key[GRAPH_KEY_SIZE];
    bool buffer; // running statistics: no gradient, no moments
    int rank;
    int64_t shape[4];
    size_t count;
};
int network_tensor_count(const network *net);
const struct network_tensor *network_tensor_at(const network *net, int index);
int network_tensor_find(const network *net, const char *key); // -1: absent
// Host copies of one tensor, row-major, count floats. Buffers: ARENA_PARAM alone. A write that found no memory makes
// the next training step fail with STATUS_MEMORY.
void network_read(network *net, enum network_arena arena, int index, float *host);
void network_write(network *net, enum network_arena arena, int index, const float *host);
// Some rows (of dimension 0) of one tensor, for who does not want to hold all of it.
struct network_piece {
    enum network_arena arena; // of the network's own
    bool snapshot;            // of the snapshot's parameters and buffers instead
    int index;
    int64_t first, rows; // first: a multiple of network_piece_rows
};
// The rows of a piece: about a megabyte, or all. The last piece of a tensor may have fewer.
int64_t network_piece_rows(const network *net, int index);
void network_read_piece(network *net, const struct network_piece *piece, float *host);
int64_t network_steps_taken(const network *net); // optimizer steps since initialisation: AdamW's t
void network_set_steps_taken(network *net, int64_t steps);

// A copy of parameters and buffers, in backend memory: the best epoch so far.
NODISCARD enum status network_snapshot(network *net, struct error *err);
bool network_has_snapshot(const network *net);

// All that a resume needs, as it was at one moment, while the network goes on training: for a writer in another thread.
// Nothing large is copied. The network gets other memory for parameters and moments, which its next optimizer step
// writes, and the old memory stays as it is and is the frozen one's: they exchange it, time and again. That memory is
// the host's, and is first made beside the training (network_frozen_touch), so that the step finds it there. The
// network outlives what was frozen; any thread may destroy it, but not while the arenas are still the network's
// (network_is_freezing).
typedef struct network_frozen network_frozen;
bool network_can_freeze(const network *net); // the backend's memory is the host's
NODISCARD enum status network_frozen_create(network *net, enum optimizer_kind optimizer, network_frozen **frozen,
                                            struct error *err);
void network_frozen_destroy(network_frozen *frozen);
size_t network_frozen_bytes(const network *net, enum optimizer_kind optimizer);
// Of this moment: parameters, buffers, moments and the number of steps; with `best` also the snapshot, which the
// network then has no longer (network_has_snapshot is false until the next one). What it held of an earlier moment is
// lost. Not while one is freezing.
void network_freeze(network *net, bool best, network_frozen *frozen);
// Until the next optimizer step the frozen one reads the network's own arenas, which must not change otherwise.
bool network_is_freezing(const network *net);
// The next step writes in place again: read what was frozen before it.
void network_keep_arenas(network *net);

// For one other thread. Memory from byte `first` on is there, up to `count` bytes; false: that was the end.
bool network_frozen_touch(network_frozen *frozen, size_t first, size_t count);
// As network_read_piece (parameters, moments, the snapshot), of the moment of network_freeze.
void network_frozen_read(network_frozen *frozen, const struct network_piece *piece, float *host);
int64_t network_frozen_steps_taken(const network_frozen *frozen);

// What a network of this configuration will take, in bytes, without building it on a device.
struct network_cost {
    size_t parameters;              // scalars
    size_t arena_bytes;             // parameters and their snapshot, gradients, optimizer state
    size_t activation_bytes;        // the training program's arena
    double train_flops, eval_flops; // of one batch
};
NODISCARD enum status network_estimate(const struct lstm_unet_config *config, enum optimizer_kind optimizer,
                                       struct network_cost *cost, struct error *err);

#endif
