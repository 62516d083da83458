#include "tests/cuda/small_steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

const struct optimizer_config adamw = {.kind = OPTIMIZER_ADAMW,
                                       .beta1 = 0.9f,
                                       .beta2 = 0.999f,
                                       .epsilon = 1e-8f,
                                       .weight_decay = 5e-4f,
                                       .clip_norm = 1,
                                       .focal = {0.25f, 2}};
const struct optimizer_config sgd = {
    .kind = OPTIMIZER_SGD, .momentum = 0.9f, .weight_decay = 5e-4f, .focal = {0.25f, 2}};

void check(enum status status, const struct error *err) {
    if (status != STATUS_OK)
        fail_msg("%s", err->message);
}

network *new_network(backend *b, const struct lstm_unet_config *config, uint64_t seed) {
    struct error err;
    network *net;
    check(network_create(b, config, &net, &err), &err);
    check(network_initialize(net, seed, &err), &err);
    return net;
}

enum status hold_tiles(network *net, const struct tiles *tiles, struct error *err) {
    struct resident_sample samples[TILES];
    for (int i = 0; i < TILES; i++)
        samples[i] = (struct resident_sample){tiles->image + i * TILE_FLOATS, tiles->mask + i * TILE_PIXELS, TILE_SIZE,
                                              TILE_SIZE};
    const struct resident_config config = {TILE_STEPS, TILE_BANDS, TILE_SIZE, SMALL_BATCH, TILES, samples};
    return network_hold_samples(net, &config, err);
}

struct network_stretch whole_epoch(struct tile_epoch *epoch) {
    memset(epoch->cuts, 0, sizeof epoch->cuts);
    for (int i = 0; i < TILES; i++)
        epoch->cuts[i].sample = i;
    return (struct network_stretch){epoch->cuts, TILES, SMALL_BATCH, epoch->results, NULL, NULL};
}
