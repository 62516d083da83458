// What the sources of the stand-in for cuDNN share.
//
// Descriptors are kept as cuDNN documents them: attributes of a declared name, type and number, nothing set after
// finalization, nothing read before, only finalized ones inside others. The engines that it offers are traps: all but
// those that gridfold may take compute NaN, or refuse.
#ifndef GRIDFOLD_TESTS_CUDA_STANDIN_CUDNN_INTERNAL_H
#define GRIDFOLD_TESTS_CUDA_STANDIN_CUDNN_INTERNAL_H

#include <stdbool.h>

#include "cudnn_graph.h"

enum { MAX_ATTRIBUTES = 8, MAX_VALUES = 512 };

// What an engine does, and what its notes say.
struct engine {
    int64_t index;
    int note;          // cudnnBackendNumericalNote_t, or -1
    bool compiled;     // at run time
    bool refuses;      // to be finalized
    int64_t workspace; // bytes
};

// A convolution, read out of a graph once it is finalized.
struct convolution_graph {
    int pass;                 // 0 forward, 1 data gradient, 2 weight gradient
    int64_t x[4], w[4], y[4]; // n c h w
    int64_t pad, stride;
    float alpha, beta;
    bool bf16, bias;
    int64_t uid[4]; // x, w, y as the pack names them; bias
};

struct attribute {
    cudnnBackendAttributeName_t name;
    int64_t count;
    size_t bytes;
    char *values;
};

struct descriptor {
    cudnnBackendDescriptorType_t type;
    bool finalized;
    int references; // its owner's, and those of the descriptors that hold it
    struct attribute attributes[MAX_ATTRIBUTES];
    int attribute_count;
    struct convolution_graph graph; // OPERATIONGRAPH
    const struct engine *engine;    // ENGINECFG, ENGINE
    struct descriptor *of;          // ENGINECFG: its graph
    bool has_run;                   // EXECUTION_PLAN
};

struct cudnnContext {
    cudaStream_t stream;
};

// Keeps the words for cudnnGetLastErrorString.
void standin_cudnn_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
#define FAIL(status, ...)                                                                                              \
    do {                                                                                                               \
        standin_cudnn_say(__VA_ARGS__);                                                                                \
        return status;                                                                                                 \
    } while (0)

const struct attribute *attribute_find(const struct descriptor *d, cudnnBackendAttributeName_t name);
const void *attribute_values(const struct descriptor *d, cudnnBackendAttributeName_t name); // never NULL once finalized
struct descriptor *attribute_descriptor(const struct descriptor *d, cudnnBackendAttributeName_t name);
void descriptor_hold(struct descriptor **at, struct descriptor *d);

cudnnStatus_t graph_finalize(struct descriptor *graph);
cudnnStatus_t plan_finalize(struct descriptor *plan);
// Engines offered for a graph, best first; returns how many.
int engines_offered(const struct convolution_graph *g, cudnnBackendHeurMode_t mode, const struct engine **offered,
                    int room);
// One convolution on memory, by the engine.
struct convolution_run {
    struct convolution_graph graph;
    struct engine engine;
    void *pointers[4], *workspace;
};
void convolution_run(const void *run);

#endif
