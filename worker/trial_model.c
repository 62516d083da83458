#include "worker/trial_model.h"

#include <string.h>

struct lstm_unet_config trial_model(const struct hyperparameters *hp, int steps, int bands) {
    struct lstm_unet_config config = {.batch = hp->batch_size,
                                      .steps = steps,
                                      .bands = bands,
                                      .image_size = hp->image_size,
                                      .encoder_width = hp->encoder_width,
                                      .lstm_hidden = hp->lstm_hidden_dim,
                                      .lstm_layers = hp->lstm_layers,
                                      .upsample = (enum decoder_upsample)hp->decoder_upsample,
                                      .skip = (enum skip_aggregation)hp->skip_aggregation};
    memcpy(config.decoder_channels, hp->decoder_channels, sizeof config.decoder_channels);
    return config;
}
