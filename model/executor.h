// A program: one graph compiled for a backend. Compiling creates the operations, plans the memory and decides, write by
// write, which gradients overwrite and which accumulate; running is then two loops over prepared arguments that
// allocate nothing.
//
// Several programs may share one arena, each of them using it from its start, as long as one runs at a time. Owned by
// one caller.
#ifndef GRIDFOLD_MODEL_EXECUTOR_H
#define GRIDFOLD_MODEL_EXECUTOR_H

#include "model/backend.h"

typedef struct program program;

// One for each parameter or buffer of the graph, all backend memory. grad may be NULL for a program without backward.
struct program_memory {
    char *arena; // program_arena_bytes of it
    float *const *param, *const *grad, *const *buffer;
    const struct collectives *together; // whose statistics batch norm takes in training; NULL: this batch's
};

// `layouts`, one for each parameter of the graph, and the graph itself outlive the program. STATUS_MEMORY,
// STATUS_UNSUPPORTED (names the node).
NODISCARD enum status program_create(backend *b, const graph *g, bool training, param_layout *const *layouts,
                                     program **p, struct error *err);
void program_destroy(program *p);
size_t program_arena_bytes(const program *p);

// Points every argument into this memory; again whenever the memory moved. Before the first run.
void program_bind(program *p, const struct program_memory *memory);

// Valid after program_bind: the graph's input to fill in before, and its logits to read after program_forward; then the
// place for the logits' gradient, to fill in before program_backward. Other values are gone when the program has run.
float *program_input(const program *p);
float *program_logits(const program *p);
float *program_logits_grad(const program *p);

// Told of every node of the graph when its backward pass has been asked for, in that order, from the last to the first.
// NULL: nobody is.
struct program_observer {
    enum status (*after)(void *context, int node, struct error *err);
    void *context;
};

// `seconds`, one for each node, are added to; NULL: no clock is read. Right for backends that have done their work when
// a call returns. Backward: compiled for training.
NODISCARD enum status program_forward(program *p, double *seconds, struct error *err);
NODISCARD enum status program_backward(program *p, double *seconds, const struct program_observer *observer,
                                       struct error *err);

// The same for a member that has no samples in this step: it takes part in the statistics of the others, if they have
// any in common, and leaves parameters' gradients alone.
NODISCARD enum status program_forward_absent(program *p, struct error *err);
NODISCARD enum status program_backward_absent(program *p, const struct program_observer *observer, struct error *err);

#endif
