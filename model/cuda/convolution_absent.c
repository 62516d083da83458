// Until convolutions are here: the backend refuses them, and with them every network.
#include <stdio.h>

#include "model/cuda/convolution.h"

enum status cudnn_engine_create(struct cuda_backend *b, cudnn_engine **engine, struct error *err) {
    (void)b, (void)err;
    *engine = NULL;
    return STATUS_OK;
}

void cudnn_engine_destroy(cudnn_engine *engine) {
    (void)engine;
}

void cudnn_engine_describe(const cudnn_engine *engine, char *text, size_t size) {
    (void)engine;
    snprintf(text, size, "no cuDNN");
}

enum status cuda_convolution_create(struct cuda_backend *b, const struct op_desc *desc, cuda_convolution **convolution,
                                    struct error *err) {
    (void)b, (void)desc, (void)convolution;
    return error_set(err, STATUS_UNSUPPORTED, "backend cuda: this build has no convolutions");
}

void cuda_convolution_destroy(cuda_convolution *convolution) {
    (void)convolution;
}

size_t cuda_convolution_scratch_bytes(const cuda_convolution *convolution) {
    (void)convolution;
    return 0;
}

enum status cuda_convolution_forward(struct cuda_backend *b, cuda_convolution *convolution, const struct op_args *args,
                                     struct error *err) {
    (void)b, (void)convolution, (void)args;
    return error_set(err, STATUS_UNSUPPORTED, "backend cuda: this build has no convolutions");
}

enum status cuda_convolution_backward(struct cuda_backend *b, cuda_convolution *convolution, const struct op_args *args,
                                      struct error *err) {
    (void)b, (void)convolution, (void)args;
    return error_set(err, STATUS_UNSUPPORTED, "backend cuda: this build has no convolutions");
}
