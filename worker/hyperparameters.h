// The one table of hyperparameters. INI keys, command-line flags, CSV columns, help, validation and the trial id all
// come from it.
//
// X(TYPE, field, "key", "default", minimum, maximum, "choices", "help"). Types: REAL double, INT int, CHOICE int (index
// into choices a|b|c), TEXT char[], LIST five ints "256,128,64,32,16". Keys are written with hyphens, CSV columns with
// underscores; both are read everywhere. Defaults are the baseline configuration of the experiment report.
#ifndef GRIDFOLD_WORKER_HYPERPARAMETERS_H
#define GRIDFOLD_WORKER_HYPERPARAMETERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/base/status.h"
#include "worker/own_hyperparameters.h"

// clang-format off
#define HYPERPARAMETERS(X)                                                                                                                 \
    X(REAL,   lr,                "lr",                "0.001",     1e-12, 1e3,  "", "initial learning rate")                                \
    X(CHOICE, optimizer,         "optimizer",         "sgd",       0, 0, "sgd|adamw", "optimizer")                                          \
    X(CHOICE, scheduler,         "scheduler",         "linear",    0, 0, "linear|cosine", "learning-rate schedule, stepped once an epoch")  \
    X(INT,    epochs,            "epochs",            "200",       1, 1000000, "", "epochs to train, and the length of the schedule")       \
    X(INT,    batch_size,        "batch-size",        "4",         1, 4096, "", "samples a step; the last short batch is kept")             \
    X(INT,    image_size,        "image-size",        "64",        32, 8192, "", "crop side in pixels, a multiple of 32")                   \
    X(CHOICE, temporal_sampling, "temporal-sampling", "annual",    0, 0, "annual|quarterly|bi_temporal|all", "timesteps the model sees")    \
    X(INT,    lstm_hidden_dim,   "lstm-hidden-dim",   "512",       1, 65536, "", "channels of the ConvLSTM's state")                        \
    X(INT,    lstm_layers,       "lstm-layers",       "2",         1, 16, "", "ConvLSTM layers")                                            \
    X(CHOICE, skip_aggregation,  "skip-aggregation",  "max",       0, 0, "max|mean|last", "how skips of all timesteps become one")          \
    X(CHOICE, decoder_upsample,  "decoder-upsample",  "transposed", 0, 0, "transposed|nearest", "2x2 stride-2 up-convolution, or nearest neighbour") \
    X(INT,    encoder_width,     "encoder-width",     "64",        1, 1024, "", "channels of the first convolution; 64 is ResNet-50")       \
    X(LIST,   decoder_channels,  "decoder-channels",  "256,128,64,32,16", 1, 65536, "", "channels of the five decoder stages")              \
    X(REAL,   weight_decay,      "weight-decay",      "0.0005",    0, 1e3, "", "L2 for SGD, decoupled for AdamW")                           \
    X(REAL,   momentum,          "momentum",          "0.9",       0, 1, "", "SGD momentum")                                                \
    X(REAL,   adam_beta1,        "adam-beta1",        "0.9",       0, 0.999999, "", "AdamW: decay of the first moment")                     \
    X(REAL,   adam_beta2,        "adam-beta2",        "0.999",     0, 0.99999999, "", "AdamW: decay of the second moment")                  \
    X(REAL,   adam_epsilon,      "adam-epsilon",      "1e-08",     1e-30, 1, "", "AdamW: added to the denominator")                         \
    X(REAL,   clip_norm,         "clip-norm",         "1",         0, 1e9, "", "global gradient norm is clipped to this; 0: never")         \
    X(REAL,   focal_alpha,       "focal-alpha",       "0.25",      0, 1, "", "focal loss: weight of positives")                             \
    X(REAL,   focal_gamma,       "focal-gamma",       "2",         0, 100, "", "focal loss: focusing exponent")                             \
    X(CHOICE, augment,           "augment",           "on",        0, 0, "off|on", "random crop, flips and rotation of training samples")   \
    X(CHOICE, shuffle,           "shuffle",           "on",        0, 0, "off|on", "shuffle training samples every epoch; off: by id")      \
    X(CHOICE, precision,         "precision",         "fp32",      0, 0, "fp32|tf32|bf16", "what is computed in: tf32 on GPUs alone, bf16 on CPUs with AVX512_BF16 too")  \
    X(TEXT,   pretrained_encoder, "pretrained-encoder", "",        0, 0, "", "safetensors file with torchvision's ResNet keys")             \
    X(CHOICE, conv1_rgb,         "conv1-rgb",         "by-name",   0, 0, "by-name|as-published", "which bands take the RGB weights of a pretrained conv1") \
    X(TEXT,   init_checkpoint,   "init-checkpoint",   "",          0, 0, "", "start from the parameters of this safetensors file")
// clang-format on

enum { HYPER_TEXT_SIZE = 512, HYPER_LIST_LENGTH = 5, HYPER_VALUE_SIZE = 512, TRIAL_ID_SIZE = 17 };

struct hyperparameters {
#define HYPER_FIELD_REAL(field)                           double field;
#define HYPER_FIELD_INT(field)                            int field;
#define HYPER_FIELD_CHOICE(field)                         int field;
#define HYPER_FIELD_TEXT(field)                           char field[HYPER_TEXT_SIZE];
#define HYPER_FIELD_LIST(field)                           int field[HYPER_LIST_LENGTH];
#define X(type, field, key, def, min, max, choices, help) HYPER_FIELD_##type(field)
    HYPERPARAMETERS(X)
#undef X
    char own[OWN_TEXT_SIZE]; // values of a sweep's own hyperparameters (worker/own_hyperparameters.h); "": it has none
};

// Position of a hyperparameter in the table. A sweep's own ones are numbered from HYPER_COUNT on; hyper_set,
// hyper_format, hyper_copy, hyper_is_list and hyper_is_text take these too.
enum hyper_index {
#define X(type, field, key, def, min, max, choices, help) HYPER_##field,
    HYPERPARAMETERS(X)
#undef X
        HYPER_COUNT
};

// Every value at its default.
struct hyperparameters hyperparameters_default(void);

const char *hyper_key(int index);                     // "lstm-hidden-dim"
void hyper_column(int index, char *out, size_t size); // "lstm_hidden_dim"
const char *hyper_help(int index);
const char *hyper_default_text(int index);
const char *hyper_choices(int index);       // "sgd|adamw", "" for other types
int hyper_find(const char *key);            // hyphens or underscores; -1: unknown
const char *hyper_nearest(const char *key); // the key with the smallest edit distance
bool hyper_is_list(int index);              // a value that holds commas itself
bool hyper_is_text(int index);              // a path

// Sets one value from text. STATUS_INVALID says key, value and what is allowed ("lr = 12000: must lie in 1e-12 ..
// 1000").
NODISCARD enum status hyper_set(struct hyperparameters *hp, int index, const char *value, struct error *err);

// The canonical text of one value: shortest digits that read back the same double, choice by name, list with commas.
void hyper_format(const struct hyperparameters *hp, int index, char out[HYPER_VALUE_SIZE]);

// The same for any number: the shortest text that reads back the same double.
void text_of_real(double value, char *out, size_t size);

// Takes one value over from another set.
void hyper_copy(struct hyperparameters *to, const struct hyperparameters *from, int index);

// Checks between values (image-size a multiple of 32, ...).
NODISCARD enum status hyperparameters_check(const struct hyperparameters *hp, struct error *err);
// Whether a batch can be shared out among so many members.
NODISCARD enum status hyperparameters_check_members(const struct hyperparameters *hp, int members, struct error *err);

// 16 hexadecimal digits: a 64-bit FNV-1a hash of "key=value\n" for every hyperparameter in canonical form sorted by
// key, then fold, folds and seed.
void trial_id(const struct hyperparameters *hp, int folds, int fold, uint64_t seed, char id[TRIAL_ID_SIZE]);

#endif
