// So many training steps of a small network on the CPU backend, one thread: the run whose work fixed_work.sh counts.
// usage: fixed_steps STEPS
#include <stdio.h>
#include <stdlib.h>

#include "model/base/rng.h"
#include "model/network.h"

enum { BATCH = 1, STEPS = 2, BANDS = 9, SIZE = 32, FLOATS = BATCH * STEPS * BANDS * SIZE * SIZE };

static enum status run(int steps, struct error *err) {
    static float image[FLOATS];
    static uint8_t mask[BATCH * SIZE * SIZE];
    static const struct lstm_unet_config model = {.batch = BATCH,
                                                  .steps = STEPS,
                                                  .bands = BANDS,
                                                  .image_size = SIZE,
                                                  .encoder_width = 8,
                                                  .lstm_hidden = 8,
                                                  .lstm_layers = 2,
                                                  .decoder_channels = {8, 8, 8, 8, 8}};
    static const struct optimizer_config adamw = {.kind = OPTIMIZER_ADAMW,
                                                  .beta1 = 0.9f,
                                                  .beta2 = 0.999f,
                                                  .epsilon = 1e-8f,
                                                  .weight_decay = 5e-4f,
                                                  .clip_norm = 1e-3f, // always clips
                                                  .focal = {0.25f, 2}};
    struct rng rng = rng_stream(1, 0, RNG_TEST, 0, 0);
    for (int i = 0; i < FLOATS; i++)
        image[i] = (float)rng_normal(&rng);
    for (int i = 0; i < BATCH * SIZE * SIZE; i++)
        mask[i] = i % SIZE < SIZE / 4;
    backend *b = NULL;
    network *net = NULL;
    struct step_result result;
    enum status status = backend_create("cpu", &(struct backend_config){.threads = 1}, &b, err);
    if (status == STATUS_OK)
        status = network_create(b, &model, &net, err);
    if (status == STATUS_OK)
        status = network_initialize(net, 1, err);
    for (int i = 0; i < steps && status == STATUS_OK; i++)
        status = network_train_step(net, BATCH, image, mask, &adamw, 1e-3, &result, err);
    network_destroy(net);
    backend_destroy(b);
    return status;
}

int main(int argc, char **argv) {
    struct error err;
    if (run(argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1, &err) == STATUS_OK)
        return 0;
    fprintf(stderr, "fixed_steps: %s\n", err.message);
    return 1;
}
