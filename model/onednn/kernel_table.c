#include "model/onednn/kernel_common.h"

const struct kernel_table KERNEL(kernel_table) = {
    .block = BLOCK,
    .ops =
        {
            [OP_BATCHNORM] = {KERNEL(batchnorm_forward), KERNEL(batchnorm_backward), KERNEL(batchnorm_saved_bytes),
                              KERNEL(batchnorm_scratch_bytes)},
            [OP_MAXPOOL2D] = {KERNEL(maxpool_forward), KERNEL(maxpool_backward), KERNEL(maxpool_saved_bytes), NULL},
            [OP_UPSAMPLE2D] = {KERNEL(upsample_forward), KERNEL(upsample_backward), NULL, NULL},
            [OP_TEMPORAL_MAX] = {KERNEL(temporal_max_forward), KERNEL(temporal_max_backward),
                                 KERNEL(temporal_max_saved_bytes), NULL},
            [OP_TEMPORAL_MEAN] = {KERNEL(temporal_mean_forward), KERNEL(temporal_mean_backward), NULL, NULL},
            [OP_LSTM_CELL] = {KERNEL(lstm_cell_forward), KERNEL(lstm_cell_backward), NULL, NULL},
        },
    .add = KERNEL(add),
    .bias_add = KERNEL(bias_add),
    .bias_grad = KERNEL(bias_grad),
    .bias_grad_scratch_bytes = KERNEL(bias_grad_scratch_bytes),
    .conv_small = {KERNEL(conv_small_forward), KERNEL(conv_small_data_grad), KERNEL(conv_small_weight_grad),
                   KERNEL(conv_small_scratch_bytes)},
#ifndef KERNEL_BF16
    .conv_2x2 = {KERNEL(conv_2x2_forward), KERNEL(conv_2x2_data_grad), KERNEL(conv_2x2_weight_grad),
                 KERNEL(conv_2x2_scratch_bytes)},
    .conv_image = {KERNEL(conv_image_forward), NULL, KERNEL(conv_image_weight_grad), KERNEL(conv_image_scratch_bytes)},
    .conv_image_fits = KERNEL(conv_image_fits),
#endif
#if KERNEL_BLOCK == 8
    .conv_winograd = {KERNEL(conv_winograd_forward), KERNEL(conv_winograd_data_grad), KERNEL(conv_winograd_weight_grad),
                      KERNEL(conv_winograd_scratch_bytes)},
#endif
    .batchnorm_moments = KERNEL(batchnorm_moments),
    .batchnorm_finish = KERNEL(batchnorm_finish),
    .batchnorm_gradient_sums = KERNEL(batchnorm_gradient_sums),
    .batchnorm_gradient = KERNEL(batchnorm_gradient),
    .focal_loss = KERNEL(focal_loss),
    .sum_squares = KERNEL(sum_squares),
    .sgd_step = KERNEL(sgd_step),
    .adamw_step = KERNEL(adamw_step),
};
