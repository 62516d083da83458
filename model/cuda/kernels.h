// Launchers of the kernels in model/cuda/kernels, one operation a file; plain C, so that the backend is. Each puts its
// kernels on `stream`, waits for nothing, allocates nothing, and returns the launch's error. Device pointers all,
// layouts as in cuda_backend.h; `bf16` says whether values are bf16 or float. Sums are taken in an order that depends
// on shapes alone, never by floating-point atomics: same inputs, same bits.
#ifndef GRIDFOLD_MODEL_CUDA_KERNELS_H
#define GRIDFOLD_MODEL_CUDA_KERNELS_H

#include <cuda_runtime_api.h>

#include "model/backend.h"

struct cuda_workspace; // these four: workspace.h
struct cuda_sample;
struct cuda_stretch;
struct sample_cut;

#ifdef __cplusplus
extern "C" {
#endif

// ---- cast.cu ----
// n elements, n a multiple of 8, both 16-byte aligned. To bf16: round to nearest even.
cudaError_t cuda_cast_to_bf16(size_t n, const float *from, void *to, cudaStream_t stream);

// To float, several flat arrays in one kernel; device memory of the caller's, 16-byte aligned, in octets of eight
// elements. `first_block`: of the grid's blocks, the first that works at it.
enum { CUDA_MOST_CASTS = 96 };
struct cuda_cast {
    const void *from; // bf16
    float *to;
    unsigned octets, first_block;
};
struct cuda_casts {
    int count;
    unsigned blocks; // of the kernel's grid
    struct cuda_cast cast[CUDA_MOST_CASTS];
};
void cuda_casts_add(struct cuda_casts *casts, size_t n, const void *from, float *to); // count < CUDA_MOST_CASTS
cudaError_t cuda_casts_to_float(const struct cuda_casts *casts, cudaStream_t stream); // count > 0

// ---- the operations, by what backend.h asks of op_forward and op_backward; scratch and saved as their _bytes say ----
size_t cuda_batchnorm_saved_bytes(const struct op_desc *d);
size_t cuda_batchnorm_scratch_bytes(const struct op_desc *d);
cudaError_t cuda_batchnorm_forward(const struct op_desc *d, bool bf16, const struct op_args *args,
                                   struct cuda_workspace *w, cudaStream_t stream);
cudaError_t cuda_batchnorm_backward(const struct op_desc *d, bool bf16, const struct op_args *args,
                                    struct cuda_workspace *w, cudaStream_t stream);
// In a group (args->together) each way falls into two halves: this one leaves the statistics of this member's batch, or
// nothing of it when it is absent, in the member's part of cuda_batchnorm_parts ...
cudaError_t cuda_batchnorm_forward_part(const struct op_desc *d, bool bf16, const struct op_args *args,
                                        struct cuda_workspace *w, cudaStream_t stream);
cudaError_t cuda_batchnorm_backward_part(const struct op_desc *d, bool bf16, const struct op_args *args,
                                         struct cuda_workspace *w, cudaStream_t stream);
// ... and this one, when the members' parts have been gathered there, does the rest.
cudaError_t cuda_batchnorm_forward_rest(const struct op_desc *d, bool bf16, const struct op_args *args,
                                        cudaStream_t stream);
cudaError_t cuda_batchnorm_backward_rest(const struct op_desc *d, bool bf16, const struct op_args *args,
                                         cudaStream_t stream);
// [members][cuda_batchnorm_part_floats], in args->scratch
float *cuda_batchnorm_parts(const struct op_desc *d, const struct op_args *args);
size_t cuda_batchnorm_part_floats(const struct op_desc *d);
size_t cuda_maxpool_saved_bytes(const struct op_desc *d);
cudaError_t cuda_pool_forward(const struct op_desc *d, bool bf16, const struct op_args *args, cudaStream_t stream);
cudaError_t cuda_pool_backward(const struct op_desc *d, bool bf16, const struct op_args *args, cudaStream_t stream);
size_t cuda_temporal_max_saved_bytes(const struct op_desc *d); // at most 256 steps
cudaError_t cuda_temporal_forward(const struct op_desc *d, bool bf16, const struct op_args *args, cudaStream_t stream);
cudaError_t cuda_temporal_backward(const struct op_desc *d, bool bf16, const struct op_args *args, cudaStream_t stream);
cudaError_t cuda_lstm_cell_forward(const struct op_desc *d, bool bf16, const struct op_args *args, cudaStream_t stream);
cudaError_t cuda_lstm_cell_backward(const struct op_desc *d, bool bf16, const struct op_args *args,
                                    cudaStream_t stream);

// ---- loss.cu ----
// What a step of a stretch leaves behind, and where it stands; NULL for a step that the host leads.
struct cuda_step {
    struct cuda_stretch *stretch;
    struct step_result *results;
};

struct cuda_loss_args {
    struct shape shape; // of the logits; no samples: in a group this member has none
    bool bf16;
    const float *logits;
    const uint8_t *mask; // device memory
    float *dlogits;      // NULL: evaluation
    struct focal_loss_config config;
    struct cuda_step step;              // its sums go there too; NULLs: the host leads
    int batch;                          // cuts that the step is done with
    const struct collectives *together; // NULL: alone
};
// Sums of the batch: alone to w->loss, in a group to this member's of w->loss_parts.
cudaError_t cuda_loss_sums(const struct cuda_loss_args *args, struct cuda_workspace *w, cudaStream_t stream);
// In a group, when the parts have been gathered: w->loss.
cudaError_t cuda_loss_total(const struct cuda_loss_args *args, struct cuda_workspace *w, cudaStream_t stream);
// dlogits, by w->loss's number of pixels.
cudaError_t cuda_loss_gradient(const struct cuda_loss_args *args, struct cuda_workspace *w, cudaStream_t stream);

// ---- optimizer.cu ----
// From w->squares and the step's loss: the norm, how to clip, and w->update. Ends the step.
cudaError_t cuda_begin_update(const struct optimizer_config *config, const struct cuda_step *step,
                              struct cuda_workspace *w, cudaStream_t stream);
// Leaves w->squares.
cudaError_t cuda_sum_squares(size_t n, const float *x, struct cuda_workspace *w, cudaStream_t stream);
// One step by w->update. `copy`: the parameters in bf16, written too; NULL: there are none.
cudaError_t cuda_sgd_step(size_t n, const float *grad, float *velocity, float *param, void *copy,
                          struct cuda_workspace *w, cudaStream_t stream);
cudaError_t cuda_adamw_step(size_t n, const float *grad, float *moment1, float *moment2, float *param, void *copy,
                            struct cuda_workspace *w, cudaStream_t stream);

// ---- cut.cu ----
struct cuda_cut_args {
    int first, batch, steps, bands, size; // first: of the step's cuts, those of this member
    const struct cuda_sample *samples;    // by sample_cut.sample
    const struct sample_cut *cuts;        // of the stretch
    const struct cuda_stretch *stretch;
    uint8_t *mask; // (batch, S, S), written
};
cudaError_t cuda_cut(const struct cuda_cut_args *args, bool bf16, float *input, cudaStream_t stream);

// ---- bias.cu ----
// y[n,h,w,c] += bias[c]
cudaError_t cuda_bias_add(struct shape shape, bool bf16, const float *bias, void *y, cudaStream_t stream);
// dbias[c] = sum over n, h, w of dy; scratch: cuda_bias_grad_scratch_bytes
size_t cuda_bias_grad_scratch_bytes(struct shape shape);
cudaError_t cuda_bias_grad(struct shape shape, bool bf16, const void *dy, float *dbias, void *scratch,
                           cudaStream_t stream);

// ---- elementwise.cu ----
// y += x over n elements, n a multiple of 8, both 16-byte aligned
cudaError_t cuda_add(size_t n, bool bf16, const void *x, void *y, cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif
