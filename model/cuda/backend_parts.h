// The functions behind the backend's table, by the file that they stand in. Internal to model/cuda.
#ifndef GRIDFOLD_MODEL_CUDA_BACKEND_PARTS_H
#define GRIDFOLD_MODEL_CUDA_BACKEND_PARTS_H

#include "model/cuda/cuda_backend.h"
#include "model/cuda/kernels.h"

// cuda_status.c: the failure that cuda_note kept, or STATUS_OK.
NODISCARD enum status cuda_failed_before(const struct cuda_backend *b, struct error *err);

// params.c
NODISCARD enum status cuda_params_alloc(backend *b, enum params_kind kind, size_t floats, float **params,
                                        struct error *err);
void cuda_params_forget(struct cuda_backend *b, const void *memory); // that is being released
// Where a parameter, or a gradient, begins in bf16; NULL: `param` is no such memory, or the precision is another.
void *cuda_params_bf16(const struct cuda_backend *b, const float *param);
// After floats have been written anywhere on the device: brings the parameters' copy up to date where there is one.
void cuda_params_changed(struct cuda_backend *b, const float *param, size_t floats);

// gradients.c
// After cuDNN has written a gradient at cuda_params_bf16(b, grad); one that was written and not settled may be written
// again.
void cuda_gradient_written(struct cuda_backend *b, float *grad, size_t elements);
// Before gradients are read as floats: what has been written becomes float.
void cuda_gradients_settle(struct cuda_backend *b);
void cuda_gradients_forget(struct cuda_backend *b); // what has been written; its memory is being released

// layout.c
size_t cuda_activation_floats(const backend *b, struct shape shape);
void cuda_activation_import(backend *b, struct shape shape, const float *host, float *value);
void cuda_activation_export(backend *b, struct shape shape, const float *value, float *host);
NODISCARD enum status cuda_param_layout_create(backend *b, const struct graph_param *param,
                                               const struct op_desc *op_desc, param_layout **layout, struct error *err);
void cuda_param_layout_destroy(backend *b, param_layout *layout);
size_t cuda_param_floats(const param_layout *layout);
void cuda_param_import(backend *b, const param_layout *layout, const float *host, float *param);
int64_t cuda_param_row_group(const param_layout *layout);
void cuda_param_export(backend *b, const param_layout *layout, const float *param, int64_t first, int64_t rows,
                       float *host);

// operation.c
NODISCARD enum status cuda_op_create(backend *b, const struct op_desc *desc, const param_layout *weight, op **o,
                                     struct error *err);
void cuda_op_destroy(backend *b, op *o);
size_t cuda_op_saved_bytes(const op *o);
size_t cuda_op_scratch_bytes(const op *o);
NODISCARD enum status cuda_op_forward(backend *b, op *o, const struct op_args *args, struct error *err);
NODISCARD enum status cuda_op_backward(backend *b, op *o, const struct op_args *args, struct error *err);

// arena.c
NODISCARD enum status cuda_loss(struct cuda_backend *b, const struct cuda_loss_args *args, struct error *err);
NODISCARD enum status cuda_backend_focal_loss(backend *b, struct shape shape, const float *logits, const uint8_t *mask,
                                              const struct focal_loss_config *config,
                                              const struct collectives *together, float *dlogits,
                                              struct loss_sums *sums, struct error *err);
double cuda_backend_sum_squares(backend *b, size_t n, const float *x);
void cuda_backend_sgd_step(backend *b, size_t n, const struct sgd_config *config, const float *grad,
                           const struct optimizer_state *from, const struct optimizer_state *to);
void cuda_backend_adamw_step(backend *b, size_t n, const struct adamw_config *config, const float *grad,
                             const struct optimizer_state *from, const struct optimizer_state *to);

// resident.c
extern const struct resident_ops cuda_resident_ops;

#endif
