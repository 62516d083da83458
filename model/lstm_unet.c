#include "model/lstm_unet.h"

#include <stdio.h>

#include "model/graph_builder.h"

enum { SKIPS = 4, KERNEL = 3 };

struct builder {
    struct graph_builder base;
    const struct lstm_unet_config *config;
};

static void join(char out[GRAPH_KEY_SIZE], const char *prefix, const char *name) {
    snprintf(out, GRAPH_KEY_SIZE, "%.63s.%.31s", prefix, name); // no key here is longer
}

static int conv_weight(struct builder *b, const char *prefix, const char *name, int out, int in, int kernel,
                       enum param_init init) {
    char key[GRAPH_KEY_SIZE];
    join(key, prefix, name);
    return build_conv_weight(&b->base, key, out, in, kernel, init);
}

static struct batchnorm_params norm_params(struct builder *b, const char *prefix, const char *name, int channels) {
    char key[GRAPH_KEY_SIZE];
    join(key, prefix, name);
    return build_batchnorm_params(&b->base, key, channels);
}

// Convolution without bias, into a value of its own.
static int conv(struct builder *b, const char *prefix, const char *name, int x, int weight, int stride) {
    char full[GRAPH_KEY_SIZE];
    join(full, prefix, name);
    return build_conv(&b->base, full, x, weight, (struct conv_options){.stride = stride, .bias = -1, .into = NO_VALUE});
}

static int norm(struct builder *b, const char *prefix, const char *name, int x, int residual, bool relu,
                struct batchnorm_params params) {
    char full[GRAPH_KEY_SIZE];
    join(full, prefix, name);
    return build_batchnorm(&b->base, full, x, residual, relu, params);
}

// ResNet-50's block: 1x1, 3x3 (with the stride), 1x1, each normalized, around a shortcut. Parameters are declared in
// state-dict order, which puts the shortcut's last; it runs before the normalization that adds it.
static int bottleneck(struct builder *b, const char *prefix, int x, int mid, int stride) {
    const enum param_init init = INIT_KAIMING_NORMAL_FAN_OUT;
    int in = value_shape(&b->base, x).c, out = 4 * mid;
    int weight1 = conv_weight(b, prefix, "conv1.weight", mid, in, 1, init);
    struct batchnorm_params norm1 = norm_params(b, prefix, "bn1", mid);
    int weight2 = conv_weight(b, prefix, "conv2.weight", mid, mid, 3, init);
    struct batchnorm_params norm2 = norm_params(b, prefix, "bn2", mid);
    int weight3 = conv_weight(b, prefix, "conv3.weight", out, mid, 1, init);
    struct batchnorm_params norm3 = norm_params(b, prefix, "bn3", out);

    int y = norm(b, prefix, "bn1", conv(b, prefix, "conv1", x, weight1, 1), NO_VALUE, true, norm1);
    y = norm(b, prefix, "bn2", conv(b, prefix, "conv2", y, weight2, stride), NO_VALUE, true, norm2);
    y = conv(b, prefix, "conv3", y, weight3, 1);
    int shortcut = x;
    if (stride != 1 || in != out) {
        int weight = conv_weight(b, prefix, "downsample.0.weight", out, in, 1, init);
        struct batchnorm_params params = norm_params(b, prefix, "downsample.1", out);
        shortcut = conv(b, prefix, "downsample.0", x, weight, stride);
        shortcut = norm(b, prefix, "downsample.1", shortcut, NO_VALUE, false, params);
    }
    return norm(b, prefix, "bn3", y, shortcut, true, norm3);
}

// Steps t .. t + count of a sequence.
static int timestep(struct builder *b, int value, int t, int count) {
    return build_view(&b->base, value, t * b->config->batch, count * b->config->batch);
}

// The four skips are aggregated over time, (T*B,C,h,w) to (B,C,h,w), or are the frames of the last step.
static int aggregate(struct builder *b, int feature, int scale) {
    const struct lstm_unet_config *config = b->config;
    if (config->skip == SKIP_LAST || config->steps == 1)
        return timestep(b, feature, config->steps - 1, 1);
    char name[GRAPH_KEY_SIZE];
    snprintf(name, sizeof name, "skip.%d", scale);
    return build_temporal(&b->base, name, config->skip == SKIP_MAX ? OP_TEMPORAL_MAX : OP_TEMPORAL_MEAN, feature,
                          config->steps);
}

// All T*B frames at once. Returns the features at 1/32; the skips are of 1/2 .. 1/16, aggregated where they are made,
// so that evaluation need not keep all frames until the decoder.
static int encoder(struct builder *b, int image, int skips[SKIPS]) {
    static const int depths[] = {3, 4, 6, 3};
    int width = b->config->encoder_width;
    int weight = conv_weight(b, "encoder", "conv1.weight", width, b->config->bands, 7, INIT_KAIMING_NORMAL_FAN_OUT);
    struct batchnorm_params params = norm_params(b, "encoder", "bn1", width);
    int x = build_conv(&b->base, "encoder.conv1", image, weight,
                       (struct conv_options){.stride = 2,
                                             .bias = -1,
                                             .into = NO_VALUE,
                                             .passes = PASS_FORWARD | PASS_PARAM_GRAD}); // no gradient for the image
    x = norm(b, "encoder", "bn1", x, NO_VALUE, true, params);
    skips[0] = aggregate(b, x, 0);
    x = build_maxpool(&b->base, "encoder.maxpool", x);
    for (int layer = 0; layer < 4; layer++) {
        for (int block = 0; block < depths[layer]; block++) {
            char prefix[GRAPH_KEY_SIZE];
            snprintf(prefix, sizeof prefix, "encoder.layer%d.%d", layer + 1, block);
            x = bottleneck(b, prefix, x, width << layer, layer > 0 && block == 0 ? 2 : 1);
        }
        if (layer + 1 < SKIPS)
            skips[layer + 1] = aggregate(b, x, layer + 1);
    }
    return x;
}

struct lstm_layer {
    int input_weight, recurrent_weight, bias; // parameters
    int gates, h;                             // values (T*B,4H,h,w) and (T*B,H,h,w)
};

// The weight gradient of the recurrent half, over all steps at once. It stands before the steps, so that it runs
// backward after them.
static void recurrent_weight_gradient(struct builder *b, const char *prefix, const struct lstm_layer *l) {
    int steps = b->config->steps;
    char name[GRAPH_KEY_SIZE];
    join(name, prefix, "recurrent_weight_grad");
    build_conv(
        &b->base, name, timestep(b, l->h, 0, steps - 1), l->recurrent_weight,
        (struct conv_options){
            .bias = -1, .into = timestep(b, l->gates, 1, steps - 1), .accumulate = true, .passes = PASS_PARAM_GRAD});
}

static void recurrent_steps(struct builder *b, const char *prefix, const struct lstm_layer *l) {
    int c = NO_VALUE, previous = NO_VALUE;
    for (int t = 0; t < b->config->steps; t++) {
        int gates = timestep(b, l->gates, t, 1), h = timestep(b, l->h, t, 1);
        char name[GRAPH_KEY_SIZE], step[32];
        if (t > 0) {
            snprintf(step, sizeof step, "recurrent.%d", t);
            join(name, prefix, step);
            build_conv(&b->base, name, previous, l->recurrent_weight,
                       (struct conv_options){
                           .bias = -1, .into = gates, .accumulate = true, .passes = PASS_FORWARD | PASS_INPUT_GRAD});
        }
        snprintf(step, sizeof step, "cell.%d", t);
        join(name, prefix, step);
        c = build_lstm_cell(&b->base, name, gates, c, h);
        previous = h;
    }
}

// One ConvLSTM layer over the sequence x (T*B,C,h,w); returns h of all steps. The gates' convolution over [x, h] is
// split: the input's half runs once over all frames, the state's half step by step, adding to the former's output. h
// and c begin at zero, so step 0 has no second half.
static int lstm_layer(struct builder *b, int index, int x) {
    struct shape in = value_shape(&b->base, x), out = in, gates = in;
    out.c = b->config->lstm_hidden;
    gates.c = 4 * out.c;
    char prefix[GRAPH_KEY_SIZE], key[GRAPH_KEY_SIZE];
    snprintf(prefix, sizeof prefix, "convlstm.cell_list.%d", index);
    join(key, prefix, "conv.weight");
    struct lstm_layer l;
    l.input_weight =
        build_conv_weight_slice(&b->base, key, gates.c, 0, in.c, in.c + out.c, KERNEL, INIT_XAVIER_UNIFORM);
    l.recurrent_weight =
        build_conv_weight_slice(&b->base, key, gates.c, in.c, out.c, in.c + out.c, KERNEL, INIT_XAVIER_UNIFORM);
    join(key, prefix, "conv.bias");
    l.bias = build_bias(&b->base, key, gates.c, INIT_ZERO, l.input_weight);

    join(key, prefix, "conv");
    l.gates = build_conv(&b->base, key, x, l.input_weight, (struct conv_options){.bias = l.bias, .into = NO_VALUE});
    l.h = build_value(&b->base, out);
    if (b->config->steps > 1)
        recurrent_weight_gradient(b, prefix, &l);
    recurrent_steps(b, prefix, &l);
    return l.h;
}

// The last layer's state after the last step (B,H,h,w).
static int convlstm(struct builder *b, int x) {
    for (int i = 0; i < b->config->lstm_layers; i++)
        x = lstm_layer(b, i, x);
    return timestep(b, x, b->config->steps - 1, 1);
}

static int upsample(struct builder *b, const char *prefix, int x, int channels) {
    char name[GRAPH_KEY_SIZE], key[GRAPH_KEY_SIZE];
    join(name, prefix, "up");
    if (b->config->upsample == UPSAMPLE_NEAREST)
        return build_upsample(&b->base, name, x);
    join(key, name, "weight");
    int weight = build_conv_transpose_weight(&b->base, key, value_shape(&b->base, x).c, channels);
    join(key, name, "bias");
    int bias = build_bias(&b->base, key, channels, INIT_PYTORCH_DEFAULT_UNIFORM, weight);
    return build_conv_transpose(&b->base, name, x, weight, bias);
}

// The convolution over [up, skip], as one convolution over each and a sum in place.
static int concat_conv(struct builder *b, const char *prefix, int up, int skip, int channels) {
    const enum param_init init = INIT_KAIMING_UNIFORM_FAN_IN;
    int first = value_shape(&b->base, up).c;
    if (skip == NO_VALUE)
        return conv(b, prefix, "conv1.0", up, conv_weight(b, prefix, "conv1.0.weight", channels, first, KERNEL, init),
                    1);
    int second = value_shape(&b->base, skip).c;
    char key[GRAPH_KEY_SIZE], name[GRAPH_KEY_SIZE];
    join(key, prefix, "conv1.0.weight");
    int weight1 = build_conv_weight_slice(&b->base, key, channels, 0, first, first + second, KERNEL, init);
    int weight2 = build_conv_weight_slice(&b->base, key, channels, first, second, first + second, KERNEL, init);
    int y = conv(b, prefix, "conv1.0", up, weight1, 1);
    join(name, prefix, "conv1.0.skip");
    return build_conv(&b->base, name, skip, weight2, (struct conv_options){.bias = -1, .into = y, .accumulate = true});
}

static int decoder_block(struct builder *b, int index, int x, int skip) {
    int channels = b->config->decoder_channels[index];
    char prefix[GRAPH_KEY_SIZE];
    snprintf(prefix, sizeof prefix, "decoder.blocks.%d", index);
    x = upsample(b, prefix, x, channels);
    x = concat_conv(b, prefix, x, skip, channels);
    x = norm(b, prefix, "conv1.1", x, NO_VALUE, true, norm_params(b, prefix, "conv1.1", channels));
    int weight = conv_weight(b, prefix, "conv2.0.weight", channels, channels, KERNEL, INIT_KAIMING_UNIFORM_FAN_IN);
    x = conv(b, prefix, "conv2.0", x, weight, 1);
    return norm(b, prefix, "conv2.1", x, NO_VALUE, true, norm_params(b, prefix, "conv2.1", channels));
}

static int head(struct builder *b, int x) {
    int channels = value_shape(&b->base, x).c;
    int weight = conv_weight(b, "segmentation_head.0", "weight", 1, channels, KERNEL, INIT_XAVIER_UNIFORM);
    int bias = build_bias(&b->base, "segmentation_head.0.bias", 1, INIT_ZERO, weight);
    return build_conv(&b->base, "segmentation_head.0", x, weight,
                      (struct conv_options){.bias = bias, .into = NO_VALUE});
}

static enum status check(const struct lstm_unet_config *c, struct error *err) {
    const struct {
        const char *name;
        int value;
    } counts[] = {{"batch", c->batch},
                  {"timesteps", c->steps},
                  {"bands", c->bands},
                  {"image size", c->image_size},
                  {"encoder width", c->encoder_width},
                  {"LSTM hidden channels", c->lstm_hidden},
                  {"LSTM layers", c->lstm_layers}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i].value < 1)
            return error_set(err, STATUS_INVALID, "model: %s must be at least 1, not %d", counts[i].name,
                             counts[i].value);
    for (int i = 0; i < DECODER_STAGES; i++)
        if (c->decoder_channels[i] < 1)
            return error_set(err, STATUS_INVALID, "model: channels of decoder stage %d must be at least 1, not %d", i,
                             c->decoder_channels[i]);
    if (c->image_size % 32 != 0)
        return error_set(err, STATUS_INVALID, "model: image size %d is not a multiple of 32; the nearest is %d",
                         c->image_size, c->image_size < 32 ? 32 : (c->image_size + 16) / 32 * 32);
    return STATUS_OK;
}

enum status lstm_unet_build(const struct lstm_unet_config *config, graph **g, struct error *err) {
    TRY(check(config, err));
    struct builder b = {.config = config};
    graph_builder_init(&b.base, config->batch, config->steps);
    int image = build_value(
        &b.base, (struct shape){config->steps * config->batch, config->bands, config->image_size, config->image_size});
    int skips[SKIPS];
    int x = convlstm(&b, encoder(&b, image, skips));
    for (int i = 0; i < DECODER_STAGES; i++)
        x = decoder_block(&b, i, x, i < SKIPS ? skips[SKIPS - 1 - i] : NO_VALUE);
    int logits = head(&b, x);
    TRY(graph_builder_finish(&b.base, g, err));
    (*g)->input = image;
    (*g)->logits = logits;
    return STATUS_OK;
}
