// What a program prints: epochs among other lines.
//
// The header is the first line that names all wanted columns among its fields. After it every line of as many fields,
// with a number (or nothing, or nan) in each wanted column, is an epoch; a column called `epoch` numbers them, else
// they count from 0. Everything else is passed on as it came. Pure.
#ifndef GRIDFOLD_WORKER_COMMAND_OUTPUT_H
#define GRIDFOLD_WORKER_COMMAND_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "worker/trial_program.h"
#include "model/base/status.h"

struct command_epoch {
    int epoch;
    int count;
    double values[METRICS_MAX]; // in the order of `metrics`
};

struct command_sink {
    void *context;
    enum status (*epoch)(void *context, const struct command_epoch *epoch, struct error *err);
    void (*other)(void *context, const char *text, size_t bytes); // with its line's end, if it has one
};

typedef struct command_output command_output;

// `metrics`: "loss,accuracy".
NODISCARD enum status command_output_create(const char *metrics, const struct command_sink *sink, command_output **o,
                                            struct error *err);
void command_output_destroy(command_output *o);
// Takes bytes as they come. Fails when the sink does, or without memory.
NODISCARD enum status command_output_add(command_output *o, const char *bytes, size_t count, struct error *err);
// There is no more: a last line without an end counts.
NODISCARD enum status command_output_end(command_output *o, struct error *err);
bool command_output_has_header(const command_output *o);
bool command_output_numbers_epochs(const command_output *o); // there is a column `epoch`

#endif
