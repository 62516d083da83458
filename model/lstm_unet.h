// The LSTM-UNet, written once, as a builder of the static graph.
//
// Shared ResNet-50 encoder on T*B frames, a ConvLSTM at 1/32, temporal aggregation of the four skips, a decoder of five
// stages, a 3x3 head to one logit. State-dict keys: torchvision's under "encoder.",
// "convlstm.cell_list.<l>.conv.{weight,bias}", "decoder.blocks.<i>.{up,conv1.0,conv1.1,conv2.0,conv2.1}",
// "segmentation_head.0.{weight,bias}". Sources: He et al. 2016 (ResNet-50, stride on the 3x3 as torchvision), Shi et
// al. 2015 (ConvLSTM, without peepholes), Ronneberger et al. 2015.
#ifndef GRIDFOLD_MODEL_LSTM_UNET_H
#define GRIDFOLD_MODEL_LSTM_UNET_H

#include "model/graph.h"

enum decoder_upsample { UPSAMPLE_TRANSPOSED, UPSAMPLE_NEAREST };
enum skip_aggregation { SKIP_MAX, SKIP_MEAN, SKIP_LAST };
enum { DECODER_STAGES = 5 };

struct lstm_unet_config {
    int batch, steps, bands, image_size; // B, T, C, H = W (a multiple of 32)
    int encoder_width;                   // 64 is ResNet-50
    int lstm_hidden, lstm_layers;
    int decoder_channels[DECODER_STAGES];
    enum decoder_upsample upsample;
    enum skip_aggregation skip;
};

// STATUS_INVALID when the image size is no multiple of 32 or a count is not positive. The caller destroys the graph.
NODISCARD enum status lstm_unet_build(const struct lstm_unet_config *config, graph **g, struct error *err);

#endif
