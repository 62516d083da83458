// The one interface that a compute backend implements: layouts, operations on descriptors and tensors, arithmetic over
// flat arenas.
//
// All pointers to values, parameters and gradients are backend memory in the backend's own layout. An activation's
// layout is a pure function of its shape, with frames outermost, so that a view of frames is a pointer offset. Padding,
// where a layout has any, is zero in activations, parameters and gradients alike, and every operation keeps it zero:
// the optimizers then need not know of it. Reductions are done in an order that depends on shapes and the number of
// threads alone: same inputs, same bits. A backend is owned by one trainer process and called from one thread. After
// op_create nothing allocates. A backend may keep copies of parameters: they are written by param_import, copy, scale
// and the optimizers' steps alone.
#ifndef GRIDFOLD_MODEL_BACKEND_H
#define GRIDFOLD_MODEL_BACKEND_H

#include "model/collectives.h"
#include "model/graph.h"

typedef struct backend backend;
typedef struct param_layout param_layout;
typedef struct op op;

// What products and values are computed in. A backend that cannot, on this machine, refuses to be made: "reference" has
// fp32 alone, "onednn" fp32 and, on a CPU with AVX512_BF16, bf16.
enum precision {
    PRECISION_FP32,
    PRECISION_TF32, // float values, products in TF32
    PRECISION_BF16, // bf16 values, products in bf16; parameters, sums and statistics in float
};

struct backend_config {
    int threads; // >= 1
    enum precision precision;
    int device; // which GPU, counted from 0
};

// One call's tensors. What an operation does not have is NULL. Forward reads input, param and writes output (batch norm
// in training also updates buffer); backward reads input, output (those of op_backward_reads), output_grad, param and
// writes input_grad, param_grad.
struct op_args {
    const float *input[OP_MAX_INPUTS];
    float *output[OP_MAX_OUTPUTS];
    const float *output_grad[OP_MAX_OUTPUTS];  // OP_LSTM_CELL: dh, dc (dc NULL: zero)
    float *input_grad[OP_MAX_INPUTS];          // NULL: not wanted
    bool input_grad_accumulate[OP_MAX_INPUTS]; // add to what input_grad holds
    const float *param[OP_MAX_PARAMS];
    float *param_grad[OP_MAX_PARAMS]; // written, never added to
    float *buffer[OP_MAX_BUFFERS];
    void *saved;   // from forward to backward of the same step
    void *scratch; // shared by all operations, contents undefined
    bool training; // forward: batch norm takes batch statistics (and backward will follow) or running ones
    // Batch norm in training: where the statistics of all members come from; NULL: they are of this batch alone.
    const struct collectives *together;
    bool absent; // with `together`: this member has no samples in this step, and only takes part in the statistics
};

struct focal_loss_config {
    float alpha, gamma; // Lin et al. 2017; alpha weighs positives
};

// What one batch's logits say against its mask; pixels with mask 255 count nowhere.
struct loss_sums {
    double loss;            // mean over the counted pixels; 0 when there are none
    int64_t tp, fp, fn, tn; // positive at logit > 0
};

enum optimizer_kind { OPTIMIZER_SGD, OPTIMIZER_ADAMW };

struct optimizer_config {
    enum optimizer_kind kind;
    float momentum;              // SGD
    float beta1, beta2, epsilon; // AdamW
    float weight_decay;
    float clip_norm; // global gradient norm; 0 leaves gradients alone
    struct focal_loss_config focal;
};

struct step_result {
    struct loss_sums sums;
    double grad_norm; // before clipping; 0 in evaluation
};

// Where an optimizer keeps what it changes: arenas of the same number of floats. moment1 is SGD's velocity; SGD has no
// moment2 (NULL).
struct optimizer_state {
    float *param, *moment1, *moment2;
};

// `clip`: what every gradient is multiplied by first.
struct sgd_config {
    float clip, lr, momentum, weight_decay;
    bool first; // step
};

struct adamw_config {
    float clip, lr, beta1, beta2, epsilon, weight_decay;
    int64_t step; // 1 at the first
};

struct resident_ops;

enum params_kind { PARAMS_VALUES, PARAMS_GRADIENTS };

struct backend_ops {
    const char *name;
    // Backend memory is the host's, and another thread may call param_export (one call at a time) beside all else.
    bool host_memory;
    void (*destroy)(backend *b);
    void (*describe)(const backend *b, char *text, size_t size); // "oneDNN 2.6.3, avx512_core, 2 threads"

    // Memory, 64-byte aligned or better and zeroed.
    enum status (*alloc)(backend *b, size_t bytes, void **memory, struct error *err);
    // The same for n floats of parameters that operations will read, or of gradients that they will write: those may be
    // in other memory until one of the functions below asks for them. NULL where `alloc` will do
    // (backend_alloc_params).
    enum status (*alloc_params)(backend *b, enum params_kind kind, size_t n, float **params, struct error *err);
    // As `alloc`, but with what happens to stand there, and where the system makes pages when they are first written,
    // not before. NULL where memory is not the host's.
    enum status (*reserve)(backend *b, size_t bytes, void **memory, struct error *err);
    void (*release)(backend *b, void *memory);
    void (*fill)(backend *b, void *memory, int byte, size_t bytes);     // as memset
    void (*copy)(backend *b, void *to, const void *from, size_t bytes); // backend memory to backend memory
    // Waits until all that was asked for is done; fails with the first failure of what returns nothing. NULL where
    // nothing can fail late (backend_finish).
    enum status (*finish)(backend *b, struct error *err);

    // Activations: floats of a value with padding; from and to host (N,C,H,W) row-major.
    size_t (*activation_floats)(const backend *b, struct shape shape);
    void (*activation_import)(backend *b, struct shape shape, const float *host, float *value);
    void (*activation_export)(backend *b, struct shape shape, const float *value, float *host);

    // Parameters: `op_desc` is of the first operation that uses the parameter. Host side: row-major in
    // graph_param.shape. The same layout serves the parameter, its gradient and its optimizer moments.
    enum status (*param_layout_create)(backend *b, const struct graph_param *param, const struct op_desc *op_desc,
                                       param_layout **layout, struct error *err);
    void (*param_layout_destroy)(backend *b, param_layout *layout);
    size_t (*param_floats)(const param_layout *layout);
    void (*param_import)(backend *b, const param_layout *layout, const float *host, float *param);
    // Rows `first` to `first + rows - 1` of dimension 0, of which `host` gets no others. They come in groups: `first`
    // is a multiple of the group, and so is `rows` unless it goes up to the last one.
    int64_t (*param_row_group)(const param_layout *layout);
    void (*param_export)(backend *b, const param_layout *layout, const float *param, int64_t first, int64_t rows,
                         float *host);

    // Operations. `weight` is the layout of parameter 0, NULL when the operation has none. STATUS_UNSUPPORTED when the
    // backend lacks it.
    enum status (*op_create)(backend *b, const struct op_desc *desc, const param_layout *weight, op **o,
                             struct error *err);
    void (*op_destroy)(backend *b, op *o);
    size_t (*op_saved_bytes)(const op *o);
    size_t (*op_scratch_bytes)(const op *o);
    enum status (*op_forward)(backend *b, op *o, const struct op_args *args, struct error *err);
    enum status (*op_backward)(backend *b, op *o, const struct op_args *args, struct error *err);

    // Loss and metrics: logits (B,1,H,W) in backend layout, host mask (B,H,W) of 0, 1 or 255. dlogits may be NULL
    // (evaluation). With `together` the sums, and the number of pixels that the gradient is divided by, are those of
    // all members' batches, and B may be 0.
    enum status (*focal_loss)(backend *b, struct shape shape, const float *logits, const uint8_t *mask,
                              const struct focal_loss_config *config, const struct collectives *together,
                              float *dlogits, struct loss_sums *sums, struct error *err);

    // Flat arenas of n floats.
    double (*sum_squares)(backend *b, size_t n, const float *x);
    // The optimizers read `from` and write `to`: the same arenas or, where memory is the host's, others, whose content
    // does not matter; `from` then stays as it is. The bits are the same.
    // As torch.optim.SGD: g = clip g + weight_decay p; m = momentum m + g (m = g at the first step); p -= lr m.
    void (*sgd_step)(backend *b, size_t n, const struct sgd_config *config, const float *grad,
                     const struct optimizer_state *from, const struct optimizer_state *to);
    // As torch.optim.AdamW (Loshchilov and Hutter 2019).
    void (*adamw_step)(backend *b, size_t n, const struct adamw_config *config, const float *grad,
                       const struct optimizer_state *from, const struct optimizer_state *to);

    // Makes this backend one of a group: from what the members do together in host memory, the same for backend memory,
    // which is the backend's. All members call it at once, and it fails for all or for none. NULL for `host`: alone
    // again; *device is then NULL. The function is NULL where the two are the same memory. STATUS_UNSUPPORTED.
    enum status (*join)(backend *b, const struct collectives *host, const struct collectives **device,
                        struct error *err);

    const struct resident_ops *resident; // model/resident.h; NULL: the host leads every step
};

struct backend { // a backend's own state begins with this
    const struct backend_ops *ops;
};

// The factory, and the only place that knows which backends were built. Names: "reference", "onednn", "cuda", "auto"
// (the fastest that this machine can run: cuda where there is a device) and "cpu" (the fastest of the CPU's).
// STATUS_UNSUPPORTED names those that this build has, or says that there is no device or not this precision. Destroy
// with backend_destroy (NULL is fine).
NODISCARD enum status backend_create(const char *name, const struct backend_config *config, backend **b,
                                     struct error *err);
void backend_destroy(backend *b);
NODISCARD enum status backend_alloc_params(backend *b, enum params_kind kind, size_t n, float **params,
                                           struct error *err);
NODISCARD enum status backend_finish(backend *b, struct error *err);
const char *backend_list(void); // "reference, onednn"

// The constructors behind the factory, each in its own room.
NODISCARD enum status backend_reference_create(const struct backend_config *config, backend **b, struct error *err);
NODISCARD enum status backend_onednn_create(const struct backend_config *config, backend **b, struct error *err);
NODISCARD enum status backend_cuda_create(const struct backend_config *config, backend **b, struct error *err);

#endif
