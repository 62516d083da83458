// What a trainer keeps from trial to trial, and how it is made fit for the next one. Private to the trainer and to
// `gridfold evaluate`.
#ifndef GRIDFOLD_WORKER_TRAINER_PREPARE_H
#define GRIDFOLD_WORKER_TRAINER_PREPARE_H

#include "model/network.h"
#include "worker/dataset/loader.h"
#include "worker/metrics.h"
#include "worker/trainer.h"

struct trainer {
    dataset *ds;
    backend *b;
    char backend_name[32];
    int threads;
    enum precision precision;
    network *net;
    struct lstm_unet_config net_config; // of net, and of the next trial's model; its batch is this member's share
    int batch;                          // samples a step, of all members
    const struct collectives *together; // the group; NULL: alone
    loader *l;
    float *image;  // (batch, T, C, S, S)
    uint8_t *mask; // (batch, S, S)
    size_t image_floats, mask_bytes;
    // Where the backend holds the samples: an epoch's cuts and what its steps said, in place of the batch.
    struct sample_cut *cuts;
    struct step_result *results;
};

// Dataset, loader, backend, network and batch buffers for this trial, reused where they fit. The network's parameters
// are then undefined.
NODISCARD enum status trainer_prepare(trainer *t, const struct trial *trial, struct error *err);

// This member's part of `count` consecutive samples, counted from the first of them.
struct share {
    int first, count;
};
struct share trainer_share(const trainer *t, int count);

// The largest number of samples in one stretch (resident.h).
int trainer_stretch(const trainer *t, int left);

// The sums of a whole split in evaluation mode, every batch shared out among the members; hooks->alive is called after
// every batch.
NODISCARD enum status trainer_evaluate(trainer *t, enum split split, const struct focal_loss_config *focal,
                                       const struct trainer_hooks *hooks, struct pooled *sums, struct error *err);

#endif
