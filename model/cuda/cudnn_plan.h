// Execution plans of convolutions: choosing one of cuDNN's engines, and running it.
//
// A plan is an engine for exact shapes on one kind of device, with everything that it was made from. A launch binds a
// plan to addresses. The device may be one that is there, or described by a text (cuDNN's JSON of its properties), so
// that plans can be made, though not run, on a machine without a GPU. Internal to model/cuda; one thread at a time.
#ifndef GRIDFOLD_MODEL_CUDA_CUDNN_PLAN_H
#define GRIDFOLD_MODEL_CUDA_CUDNN_PLAN_H

#include "model/cuda/cudnn_graph.h"

struct cudnn_device {
    const struct cudnn_library *library;
    cudnnBackendDescriptor_t properties;
};

// The GPU that `handle` belongs to.
NODISCARD enum status cudnn_device_of_handle(const struct cudnn_library *library, cudnnHandle_t handle,
                                             struct cudnn_device *device, struct error *err);
NODISCARD enum status cudnn_device_described(const struct cudnn_library *library, const char *json,
                                             struct cudnn_device *device, struct error *err);
void cudnn_device_release(struct cudnn_device *device);

// What cuDNN's notes say of an engine.
struct cudnn_engine_notes {
    int64_t index;
    bool nondeterministic;
    bool tensor_cores;
    bool converts;    // operands to a shorter type
    bool coarse_sums; // in a shorter type than float
    bool transforms;  // Winograd, FFT
    bool run_time_compiled;
};

typedef struct cudnn_plan cudnn_plan;
struct cudnn_plan {
    struct cudnn_convolution convolution;
    cudnnBackendDescriptor_t plan; // NULL: there is no engine, see refusal
    size_t workspace_bytes;
    struct cudnn_engine_notes notes;
    struct error refusal;

    const struct cudnn_library *library;
    struct cudnn_descriptors owned; // the plan's and all that it was made from
    struct cudnn_plan *next;        // for whoever keeps plans
};

// The first engine that cuDNN's heuristics offer, and then its fallback list, whose notes are acceptable:
// deterministic, sums in float, no conversions, no Winograd or FFT; for fp32 no tensor cores; workspace of at most
// `workspace_limit` bytes, if there is such a one. Engines that are compiled at run time (0.3 to 4 s each) come last,
// and never for a bias, which a kernel of ours adds sooner. STATUS_UNSUPPORTED is kept in (*plan)->refusal, naming the
// convolution; the function fails only when it runs out of memory. Destroy with cudnn_plan_destroy.
NODISCARD enum status cudnn_plan_create(const struct cudnn_device *device, size_t workspace_limit,
                                        const struct cudnn_convolution *c, cudnn_plan **plan, struct error *err);
void cudnn_plan_destroy(cudnn_plan *plan);

// A plan and the addresses that it last ran with: they seldom change, and then a run allocates nothing.
struct cudnn_launch {
    const cudnn_plan *plan; // NULL: none
    cudnnBackendDescriptor_t pack;
    void *operands[CUDNN_OPERANDS];
    void *workspace;
};

// Runs the plan on the handle's stream. Operands are device addresses aligned to 16 bytes, the bias NULL unless the
// plan has one; `workspace` is of plan->workspace_bytes.
NODISCARD enum status cudnn_launch_run(cudnnHandle_t handle, struct cudnn_launch *launch,
                                       void *const operands[CUDNN_OPERANDS], void *workspace, struct error *err);
void cudnn_launch_release(struct cudnn_launch *launch);

#endif
