// ImageNet weights for the encoder: a safetensors file with torchvision's ResNet keys.
#ifndef GRIDFOLD_WORKER_PRETRAINED_H
#define GRIDFOLD_WORKER_PRETRAINED_H

#include "model/network.h"
#include "worker/dataset/dataset.h"

enum conv1_rgb { CONV1_BY_NAME, CONV1_AS_PUBLISHED };

// Loads every tensor "encoder.<key>" of the network from <key> (or "encoder.<key>") of the file. A 3-channel conv1 is
// widened: its red, green and blue weights go to the bands of those names (as-published: to bands 0, 1, 2); the other
// bands are drawn from the Kaiming normal (fan-out) scaled by sqrt(3 / bands). STATUS_MISMATCH names a tensor of
// another shape; STATUS_INVALID when the dataset has no such bands.
NODISCARD enum status pretrained_load(const char *path, const dataset *ds, enum conv1_rgb rule, uint64_t seed,
                                      network *net, struct error *err);

#endif
