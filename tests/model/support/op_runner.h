// Runs one operation on a backend and brings everything that it wrote back to the host.
//
// All memory that an operation must write is poisoned with NaN before, padding included; after the run the padding must
// be zero again.
#ifndef GRIDFOLD_TESTS_MODEL_SUPPORT_OP_RUNNER_H
#define GRIDFOLD_TESTS_MODEL_SUPPORT_OP_RUNNER_H

#include "model/backend.h"

struct op_case {
    const char *name;
    struct op_desc desc; // passes 0: all
    double tolerance;  // largest difference over the largest magnitude of the expected tensor (or 1, if that is larger)
    bool evaluation;   // batch norm with running statistics, and no backward pass
    bool accumulate;   // input gradients are added to
    bool ties;         // inputs take one of five values
    bool no_cell_grad; // LSTM cell: dc is NULL
    int layout_frames; // the weight's layout comes from another operation, of so many frames and the weight gradient
                       // alone
    float poison;      // put into input 0 at its middle, unless 0
    bool bf16;         // values are held in bf16: what is given is rounded to it beforehand
};

enum op_slot {
    SLOT_OUTPUT0,
    SLOT_OUTPUT1,
    SLOT_INPUT_GRAD0,
    SLOT_INPUT_GRAD1,
    SLOT_PARAM_GRAD0,
    SLOT_PARAM_GRAD1,
    SLOT_BUFFER0,
    SLOT_BUFFER1,
    SLOTS
};
extern const char *const op_slot_names[SLOTS];

struct op_result {
    size_t count[SLOTS]; // 0: not written by this case
    float *values[SLOTS];
};

// Fails the test when the backend refuses or leaves something in the padding.
void op_case_run(backend *b, const struct op_case *c, struct op_result *result);
void op_result_free(struct op_result *result);

// Deterministic values in [-1, 1) for tensor number `tensor`.
void op_fill(uint32_t tensor, size_t count, float *values);

#endif
